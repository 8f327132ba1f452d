//! One gateway or server of its own.

use std::os::unix::fs::PermissionsExt;

use iotorch_lite::{Secret, client::GatewayClient};
use rustix::process::Signal;
use serde_json::Value;

use crate::home::{Home, Running, eventually, stderr};

/// Starts it and waits until it says where it listens.
fn start(home: &Home, name: &str, arguments: &[&str]) -> (Running, Value) {
    let running = home.start(name, &[arguments, &["--output", "json"]].concat());
    eventually("it says where it listens", || home.printed(name).ends_with('\n'));
    (running, serde_json::from_str(&home.printed(name)).unwrap())
}

/// Whether its management API takes this token.
fn admits(told: &Value, token: &str) -> bool {
    let url = format!("http://{}", told["management"].as_str().unwrap());
    let client = GatewayClient::new(url, Secret::new(token.trim())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(client.status()).is_ok()
}

#[test]
fn a_gateway_has_its_token_and_ports_again_when_it_is_started_again() {
    let home = Home::new();
    let arguments = ["gateway", "--data-dir", "gw"];
    let (mut gateway, told) = start(&home, "gateway", &arguments);
    let token = home.path().join("gw/admin-token");
    assert_eq!(token.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let token = std::fs::read_to_string(token).unwrap();
    assert!(admits(&told, &token) && !admits(&told, "a guess"));

    let second = home.iotorch(&arguments);
    assert_eq!(second.status.code(), Some(4), "{}", stderr(&second));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().code(), Some(0));

    let (mut gateway, again) = start(&home, "again", &arguments);
    assert_eq!(again, told);
    assert!(admits(&again, &token));
    gateway.signal(Signal::INT);
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn options_go_before_the_settings_of_a_file_and_wrong_ones_are_refused() {
    let home = Home::new();
    home.write("server.yaml", "retention: 30d\nlisten: 127.0.0.1\nconnectionLimit: 5\n");
    let (mut server, told) = start(
        &home,
        "server",
        &["server", "--data-dir", "hub", "--config", "server.yaml", "--listen", "127.0.0.2"],
    );
    assert!(told["mqtt"].as_str().unwrap().starts_with("127.0.0.2:"), "{told}");
    assert!(told["management"].as_str().unwrap().starts_with("127.0.0.1:"), "{told}");
    assert!(told.get("coap").is_none(), "{told}");
    server.signal(Signal::TERM);
    assert_eq!(server.ended().code(), Some(0));

    home.write("wrong.yaml", "retension: 30d\n");
    home.write("gateway.yaml", "outboxLimit: 5\n");
    let cases: [(&[&str], &str); 4] = [
        (&["--listen", "0.0.0.0"], "without TLS"),
        (&["--config", "wrong.yaml"], "retension"),
        (&["--config", "gateway.yaml"], "outboxLimit: a server has no outbox"),
        (&["--config", "none.yaml"], "none.yaml"),
    ];
    for (options, why) in cases {
        let output = home.iotorch(&[&["server", "--data-dir", "other"], options].concat());
        assert_eq!(output.status.code(), Some(3), "{options:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(why), "{options:?}: {}", stderr(&output));
    }
    assert!(!home.path().join("other").exists(), "what is refused leaves nothing behind");
}

#[test]
fn a_token_comes_from_the_environment_where_it_is_set() {
    let home = Home::new();
    let mut command = home.command(&["gateway", "--data-dir", "gw", "--output", "json"]);
    let out = std::fs::File::create(home.path().join("gateway.out")).unwrap();
    let mut gateway = Running::of(command.env("IOTORCH_ADMIN_TOKEN", "the token of this test").stdout(out));
    eventually("it says where it listens", || home.printed("gateway").ends_with('\n'));
    let told: Value = serde_json::from_str(&home.printed("gateway")).unwrap();
    assert!(told.get("adminTokenFile").is_none(), "{told}");
    assert!(admits(&told, "the token of this test"));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn a_gateway_that_reads_a_bus_has_no_doors_and_its_secret_from_the_environment() {
    let home = Home::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let arguments = ["gateway", "--data-dir", "bridge", "--bus", &nobody, "--http-port"];
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut command = home.command(&[&arguments[..], &[&port, "--output", "json"]].concat());
    let out = std::fs::File::create(home.path().join("bridge.out")).unwrap();
    let mut gateway = Running::of(command.env("IOTORCH_BUS_CREDENTIALS", "bridge:a secret").stdout(out));
    eventually("it says where it listens", || home.printed("bridge").ends_with('\n'));
    let told: Value = serde_json::from_str(&home.printed("bridge")).unwrap();
    assert!(told.get("mqtt").is_none() && told.get("coap").is_none(), "{told}");
    assert_eq!(told["http"], format!("127.0.0.1:{port}"));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().code(), Some(0));

    home.write("bus.yaml", "bus: { endpoint: { host: broker, port: 1883 }, credentials: bus-login }\n");
    let cases: [(&[&str], &str); 4] = [
        (&["--config", "bus.yaml"], "cannot use IOTORCH_BUS_CREDENTIALS for the bus"),
        (&["--bus", "broker:1883", "--bus-topic", "a/#/b"], "bus/topics: \"a/#/b\" is not a topic"),
        (&["--bus", "broker"], "use a host and a port"),
        (&["--bus-tls"], "--bus"),
    ];
    for (options, why) in cases {
        let output = home.iotorch(&[&["gateway", "--data-dir", "other"], options].concat());
        assert!(
            !output.status.success() && stderr(&output).contains(why),
            "{options:?}: {}",
            stderr(&output)
        );
    }
    assert!(!home.path().join("other").exists(), "what is refused leaves nothing behind");
}
