//! What this crate is built from: nothing that speaks to a particular system, so that every service can link it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, process::Command};

/// Clients, servers and protocols of other systems; a crate whose name begins with one of these belongs to it.
const FOREIGN: [&str; 26] = [
    // HTTP
    "actix",
    "attohttpc",
    "axum",
    "curl",
    "h2",
    "h3",
    "http",
    "hyper",
    "isahc",
    "reqwest",
    "surf",
    "tonic",
    "tower",
    "tungstenite",
    "ureq",
    "warp",
    // Kubernetes
    "k8s-openapi",
    "kube",
    // MQTT
    "mqtt",
    "ntex",
    "paho",
    "rumqtt",
    // What such clients bring along
    "native-tls",
    "openssl",
    "rustls",
    "webpki",
];

#[test]
fn no_http_kubernetes_or_mqtt_crate_is_built_in() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "-p", "iotorch-core", "-e", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--all-features", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree failed: {told}");
    let listed = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    for ours in ["iotorch-core", "serde", "tokio"] {
        assert!(crates.contains(ours), "{ours} is missing, so the list is not what it should be: {crates:?}");
    }
    let is_foreign = |name: &&&str| FOREIGN.iter().any(|foreign| name.starts_with(foreign));
    let foreign: Vec<_> = crates.iter().filter(is_foreign).collect();
    assert!(foreign.is_empty(), "the core has to do without {foreign:?}");
}
