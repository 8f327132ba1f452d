//! Slices on EdgeX and Mainflux that run already: fakes that answer as these do, a real broker as the bus, and the bridge as a person starts it.
//!
//! Where a program is absent, its tests are ignored with the reason, unless `IOTORCH_REQUIRE` names it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod gate;
#[path = "../cli/home.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod home;
mod kills;
mod mosquitto;
mod stand;

use std::process::ExitCode;

use iotorch_mainflux_fake::{Release, Service};
use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};

use home::{eventually, stderr};
use stand::{Gateway, Server, Stand};

fn main() -> ExitCode {
    let absent = !mosquitto::is_there() && !mosquitto::is_required();
    let trial = |name: &str, test: fn()| {
        let trial = Trial::test(name, move || {
            test();
            Ok(())
        });
        trial.with_kind(if absent { "mosquitto is absent" } else { "" }).with_ignored_flag(absent)
    };
    let trials = vec![
        trial("a_reading_at_edgex_is_read_from_mainflux_as_it_was_measured", papers_slice),
        trial("every_gateway_sends_to_every_server", pairings),
        trial("many_devices_of_edgex_are_measured_up_to_the_server", simulation),
        trial("what_is_stored_late_is_measured_too", outage),
        trial("a_device_of_edgex_is_told_and_asked", commands),
        trial("what_the_bridge_does_is_seen", bridge),
        trial("killed_at_every_request_to_edgex_and_mainflux", kills::at_every_request),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn seconds() -> f64 {
    jiff::Timestamp::now().as_duration().as_secs_f64()
}

/// Sends a reading until EdgeX has it: its device service learns of a device over the bus, a moment after it is made.
fn send_until_stored(stand: &Stand, device: &str, value: f64) {
    let name = format!("{device}:temperature");
    eventually("EdgeX takes the reading", || {
        stand.told(&["send", "field", device, &format!("temperature={value}")]);
        let messages = stand.data(&["messages", "field", "--name", &name]);
        messages.as_array().unwrap().iter().any(|message| message["v"] == value)
    });
}

fn papers_slice() {
    let stand = Stand::new(Gateway::Edgex, Server::Mainflux(Release::Mainflux012));
    let before = stand.listing();
    stand.told(&["apply", "-f", "field.json"]);
    assert!(stand.told(&["plan", "-f", "field.json"]).starts_with("No changes"));
    let began = seconds();
    // As a device of EdgeX does that knows nothing of iotorch.
    let topic = "incoming/data/field.bench-1/temperature";
    eventually("EdgeX takes a reading from its topic", || {
        stand.publish(topic, r#"{"temperature":21.5}"#);
        !stand.data(&["messages", "field"]).as_array().unwrap().is_empty()
    });
    let messages = stand.data(&["messages", "field", "-n", "1"]);
    let message = &messages[0];
    assert_eq!(
        (&message["n"], &message["u"], &message["v"]),
        (&json!("bench-1:temperature"), &json!("Cel"), &json!(21.5)),
        "{message}"
    );
    let time = message["t"].as_f64().unwrap();
    assert!((began - 1.0..=seconds() + 1.0).contains(&time), "it was measured at {time}, not since {began}");

    let again = stand.told(&["apply", "-f", "field.json"]);
    assert!(again.starts_with("no changes"), "{again}");
    let gone = stand.iotorch(&["delete", "field", "--yes"]);
    assert_eq!(gone.status.code(), Some(0), "{}", stderr(&gone));
    stand.expect_only_residue(&before);

    // What was left is found again, and used again.
    stand.told(&["apply", "-f", "field.json"]);
    send_until_stored(&stand, "bench-1", 22.5);
    stand.told(&["delete", "field", "--yes"]);
    stand.expect_only_residue(&before);
}

fn pairings() {
    let servers = [
        Server::Mainflux(Release::Mainflux012),
        Server::Mainflux(Release::SuperMq019),
        Server::Mainflux(Release::Magistrala030),
        Server::Lite,
    ];
    for gateway in [Gateway::Edgex, Gateway::Lite] {
        for server in servers {
            let stand = Stand::new(gateway, server);
            stand.told(&["apply", "-f", "field.json"]);
            if server == Server::Mainflux(Release::SuperMq019) {
                // It has no reader of its own: that it was taken is all that is known.
                eventually("the reading is taken by the server", || {
                    stand.told(&["send", "field", "bench-1", "temperature=21.5"]);
                    stand.sent() > 0
                });
                let refused = stand.iotorch(&["messages", "field"]);
                assert_eq!(refused.status.code(), Some(3), "{gateway:?}: {}", stderr(&refused));
                assert!(stderr(&refused).contains("reader"), "{gateway:?}: {}", stderr(&refused));
            } else {
                send_until_stored(&stand, "bench-1", 21.5);
                let newest = stand.data(&["messages", "field", "-n", "1"]);
                assert_eq!(newest[0]["u"], "Cel", "{gateway:?} to {server:?}: {newest}");
            }
            stand.told(&["delete", "field", "--yes"]);
        }
    }
}

fn simulation() {
    let stand = Stand::new(Gateway::Edgex, Server::Mainflux(Release::Mainflux012));
    stand.told(&["apply", "-f", "field.json"]);
    send_until_stored(&stand, "bench-1", 20.0);
    send_until_stored(&stand, "bench-2", 20.0);
    let arguments = ["simulate", "field", "--rate", "20/s", "--for", "2s", "--seed", "7"];
    let told = stand.data(&arguments);
    let messages = &told["messages"];
    assert!(messages["sent"].as_u64().unwrap() > 40, "{told}");
    assert_eq!((&messages["failed"], &messages["acknowledged"]), (&json!(0), &messages["sent"]), "{told}");
    let readings = &told["readings"];
    assert_eq!(readings["stored"], readings["sent"], "{told}");
    assert_eq!(readings["accepted"], readings["sent"], "{told}");
    assert!(told["latency"]["stored"]["p50"].as_f64().unwrap() > 0.0, "{told}");

    let refused = stand.iotorch(&["simulate", "field", "--payload", "senml"]);
    assert!(stderr(&refused).contains("EdgeX takes plain values"), "{}", stderr(&refused));

    let name = "bench-1:temperature";
    let highest = ["messages", "field", "--name", name, "--interval", "366d", "--aggregate", "count"];
    let all = stand.data(&["messages", "field", "--name", name, "--all", "--oldest-first"]);
    let times: Vec<f64> = all.as_array().unwrap().iter().map(|it| it["t"].as_f64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(stand.data(&highest)[0]["v"].as_f64(), Some(times.len() as f64));
    let device = stand.data(&["messages", "field", "--device", "bench-1", "--all"]);
    let named: Vec<_> = device.as_array().unwrap().iter().map(|it| it["n"].as_str().unwrap()).collect();
    assert!(named.iter().all(|it| it.starts_with("bench-1:")), "{named:?}");
    assert_eq!(named.iter().filter(|it| **it == name).count(), times.len());
}

fn outage() {
    const SIMULATE: [&str; 6] = ["simulate", "field", "--rate", "20/s", "--for", "6s"];
    const AWAY: [Service; 2] = [Service::Mqtt, Service::Reader];
    let stand = Stand::new(Gateway::Edgex, Server::Mainflux(Release::Mainflux012));
    stand.told(&["apply", "-f", "field.json"]);
    send_until_stored(&stand, "bench-1", 20.0);
    send_until_stored(&stand, "bench-2", 20.0);
    let before = stand.sent();
    let told = std::thread::scope(|scope| {
        let simulation = scope.spawn(|| stand.data(&SIMULATE));
        eventually("readings are stored", || stand.sent() > before + 20);
        stand.lose(&AWAY);
        // Both devices send twenty messages of two readings a second: this takes two seconds.
        eventually("readings wait for the server", || stand.pending() > 160);
        stand.mend(&AWAY);
        simulation.join().unwrap()
    });
    assert_eq!(told["readings"]["stored"], told["readings"]["sent"], "{told}");
    assert!(told["latency"]["stored"]["max"].as_f64().unwrap() > 1.5, "{told}");
}

fn commands() {
    let stand = Stand::new(Gateway::Edgex, Server::Lite);
    stand.told(&["apply", "-f", "field.json"]);
    let _device = stand.answers_commands("field.bench-1", "temperature", &json!(23.25));
    let mut got = Value::Null;
    eventually("the device answers", || {
        let output =
            stand.iotorch(&["command", "field", "bench-1", "temperature", "--get", "--output", "json"]);
        got = serde_json::from_slice(&output.stdout).unwrap_or_default();
        output.status.success()
    });
    assert_eq!((&got[0]["resource"], &got[0]["value"]), (&json!("temperature"), &json!(23.25)), "{got}");
    let set = stand.data(&["command", "field", "bench-1", "vent", "true"]);
    assert_eq!((&set["resource"], &set["value"]), (&json!("vent"), &json!(true)));
    for wrong in [&["vent", "--get"][..], &["temperature", "5"], &["--list"]] {
        let refused = stand.iotorch(&[&["command", "field", "bench-1"], wrong].concat());
        assert_ne!(refused.status.code(), Some(0), "{wrong:?}");
        assert!(stderr(&refused).contains("cannot"), "{wrong:?}: {}", stderr(&refused));
    }
}

fn bridge() {
    let stand = Stand::new(Gateway::Edgex, Server::Mainflux(Release::Mainflux012));
    stand.told(&["apply", "-f", "field.json"]);
    send_until_stored(&stand, "bench-2", 21.5);
    let logs = stand.iotorch(&["logs", "field", "gw"]);
    assert_eq!(logs.status.code(), Some(3), "it belongs to others too: {}", stderr(&logs));
    let described = stand.told(&["describe", "field"]);
    assert!(described.contains("Bridges") && described.contains("connected"), "{described}");

    stand.lose(&[Service::Mqtt]);
    stand.told(&["send", "field", "bench-2", "temperature=19.5"]);
    let waits = || stand.data(&["describe", "field"])["bridges"][0]["exports"].to_string();
    eventually("the reading waits in the bridge", || waits().contains(r#""pending":1"#));
    let status = stand.iotorch(&["status", "field"]);
    let told = format!("{}{}", home::stdout(&status), stderr(&status));
    assert!(told.contains("wait for"), "{told}");
    stand.mend(&[Service::Mqtt]);
    eventually("what waited has arrived", || {
        let messages = stand.data(&["messages", "field", "--name", "bench-2:temperature", "-n", "1"]);
        messages[0]["v"] == 19.5
    });
}
