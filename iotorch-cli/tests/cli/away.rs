//! What is told of a slice when something of it is away.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    home::{Home, eventually, stderr},
    sending::{FIELD, field, stored},
};

/// What a command that stays has said beside its result.
fn complained(home: &Home, name: &str) -> String {
    fs::read_to_string(home.path().join(format!("{name}.err"))).unwrap()
}

#[test]
fn a_simulation_tells_what_it_measured_though_nobody_answers_at_its_end() {
    let (home, mut run) = field();
    let arguments = ["simulate", "field", "--rate", "10/s", "--for", "1h", "--output", "json"];
    let mut simulation = home.start("simulation", &arguments);
    eventually("it sends", || !stored(&home, "bench-1:temperature").is_empty());
    run.signal(Signal::KILL);
    run.ended();
    simulation.signal(Signal::INT);
    let ended = simulation.ended();
    let complained = complained(&home, "simulation");
    assert!(complained.contains("warning: what gateways and servers have is not known: "), "{complained}");
    assert_eq!(ended.code(), Some(130), "{complained}");
    let told: Value = serde_json::from_str(&home.printed("simulation")).unwrap();
    assert!(told["messages"]["acknowledged"].as_u64().unwrap() > 0, "{told}");
    for unknown in ["accepted", "rejected", "stored", "waiting"] {
        assert_eq!(told["readings"][unknown], Value::Null, "{unknown}: {told}");
    }
}

#[test]
fn a_command_that_is_with_the_gateway_is_told_by_its_number_when_the_gateway_goes() {
    let (home, mut run) = field();
    let mut command =
        home.start("command", &["command", "field", "bench-1", "vent", "true", "--wait", "10min"]);
    eventually("it waits", || {
        !home.data(&["command", "field", "bench-1", "--list"]).as_array().unwrap().is_empty()
    });
    run.signal(Signal::KILL);
    run.ended();
    let ended = command.ended();
    let complained = complained(&home, "command");
    let warning = "warning: command 1 is with the gateway; what becomes of it cannot be seen: ";
    assert!(complained.contains(warning), "{complained}");
    assert_eq!(ended.code(), Some(7), "{complained}");
    let told = home.printed("command");
    assert!(told.contains("command 1 to device \"bench-1\": vent = true: waits for the device"), "{told}");
}

#[test]
fn a_server_that_cannot_be_opened_hides_nothing_but_itself() {
    let home = Home::new();
    let field = FIELD
        .replace("{ name: gw }", "{ name: gw, servers: [ { name: hub }, { name: hub-2 } ] }")
        .replace("{ name: hub } ]\n", "{ name: hub }, { name: hub-2 } ]\n");
    home.write("field.yaml", &field);
    let _run = home.run(&["-f", "field.yaml"]);
    home.wait_until_ready("field");
    home.told(&["send", "field", "bench-2", "temperature=5"]);
    let at_hub = ["messages", "field", "--server", "hub"];
    eventually("the reading is stored", || !home.data(&at_hub).as_array().unwrap().is_empty());

    let path = home.state().join("secrets.json");
    let mut kept: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    kept["secrets"].as_object_mut().unwrap().retain(|name, _| !name.contains("hub-2"));
    fs::write(&path, kept.to_string()).unwrap();
    let lost = home.iotorch(&["logs", "field", "hub-2"]);
    assert!(!lost.status.success());

    assert_eq!(home.data(&at_hub).as_array().unwrap().len(), 1);
    home.told(&["logs", "field", "gw"]);
    home.told(&["command", "field", "bench-1", "--list"]);
    home.told(&["send", "field", "bench-1", "temperature=6"]);
    let described = home.data(&["describe", "field"]);
    assert_eq!(described["readings"][0]["server"], "hub", "{described}");
    assert!(described["readingsError"].as_str().unwrap().contains("hub-2"), "{described}");
    let described = home.told(&["describe", "field"]);
    let readings = described.split("Readings\n").nth(1).unwrap();
    assert!(readings.contains("bench-2:temperature") && readings.contains("hub-2"), "{readings}");
    let refused = home.iotorch(&["messages", "field"]);
    assert!(stderr(&refused).contains("hub-2"), "{}", stderr(&refused));
}
