//! What this crate is built from: it stands on its own, for whoever wants charts and releases and nothing else.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, process::Command};

/// A crate whose name begins with one of these has no place here.
const FOREIGN: [&str; 4] = ["iotorch-core", "iotorch-k8s", "k8s-openapi", "kube"];

#[test]
fn neither_the_core_nor_a_kubernetes_client_is_built_in() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "-p", "iotorch-helm", "-e", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--all-features", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree failed: {told}");
    let listed = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    for ours in ["iotorch-helm", "reqwest", "tar"] {
        assert!(crates.contains(ours), "{ours} is missing, so the list is not what it should be: {crates:?}");
    }
    let is_foreign = |name: &&&str| FOREIGN.iter().any(|foreign| name.starts_with(foreign));
    let foreign: Vec<_> = crates.iter().filter(is_foreign).collect();
    assert!(foreign.is_empty(), "this crate has to do without {foreign:?}");
}
