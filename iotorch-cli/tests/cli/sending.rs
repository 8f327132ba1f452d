//! Acting as devices, and looking at what came of it.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::home::{Home, Running, eventually, stderr, stdout};

/// A slice whose devices speak every protocol and have a sensor and an actuator.
pub(crate) const FIELD: &str = "apiVersion: iotorch.dev/v1alpha1
kind: Infrastructure
metadata: { name: desk }
spec: { driver: local, tier: edge }
---
apiVersion: iotorch.dev/v1alpha1
kind: Slice
metadata: { name: field }
spec:
  gateways: [ { name: gw } ]
  servers: [ { name: hub } ]
  profiles:
    - name: climate
      resources:
        - { name: temperature, type: float, unit: Cel, range: [-40, 85] }
        - { name: label, type: string }
        - { name: vent, type: bool, access: write }
  devices:
    - { name: bench-1, profile: climate, protocol: mqtt }
    - { name: bench-2, profile: climate, protocol: http }
    - { name: bench-3, profile: climate, protocol: coap }
";

const DEVICES: [&str; 3] = ["bench-1", "bench-2", "bench-3"];

pub(crate) fn field() -> (Home, Running) {
    let home = Home::new();
    home.write("field.yaml", FIELD);
    let run = home.run(&["-f", "field.yaml"]);
    home.wait_until_ready("field");
    (home, run)
}

/// What `iotorch send` prints for a program, and the code it ends with.
fn send(home: &Home, arguments: &[&str]) -> (Value, Option<i32>) {
    let output = home.iotorch(&[&["send", "field"], arguments, &["--output", "json"]].concat());
    assert!(!output.stdout.is_empty(), "{arguments:?}: {}", stderr(&output));
    (serde_json::from_slice(&output.stdout).unwrap(), output.status.code())
}

pub(crate) fn stored(home: &Home, name: &str) -> Vec<Value> {
    let all = home.data(&["messages", "field", "--name", name]);
    all.as_array().unwrap().iter().map(|message| message["v"].clone()).collect()
}

#[test]
fn a_device_is_acted_as_over_each_protocol_and_its_readings_are_stored_or_rejected_with_a_reason() {
    let (home, _run) = field();
    for device in DEVICES {
        let (told, code) = send(&home, &[device, "temperature=21.5", "label=7"]);
        assert_eq!((&told[0]["answer"], code), (&"accepted".into(), Some(0)), "{device}: {told}");
        let (told, code) = send(&home, &[device, "temperature=900", "label=hot"]);
        assert_eq!((&told[0]["answer"], code), (&"rejected".into(), Some(3)), "{device}: {told}");
        let reason = told[0]["rejected"][0].as_str().unwrap();
        assert!(reason.contains("temperature"), "{device}: {reason}");
        let name = format!("{device}:temperature");
        eventually("the reading is stored", || stored(&home, &name) == [Value::from(21.5)]);
    }
    let refused = home.iotorch(&["send", "field", "bench-2", "temperature=900"]);
    assert!(
        stderr(&refused).contains("measures: temperature (float, Cel, -40 to 85), label (string)"),
        "{}",
        stderr(&refused)
    );
    let unknown = home.iotorch(&["send", "field", "bench-9", "temperature=1"]);
    assert_eq!(unknown.status.code(), Some(3));
    assert!(stderr(&unknown).contains("bench-1, bench-2, bench-3"), "{}", stderr(&unknown));
}

#[test]
fn lines_of_standard_input_and_files_of_senml_are_messages() {
    let (home, _run) = field();
    let lines = "temperature=1 label=a\n\n{\"temperature\": 2}\n[{\"n\":\"temperature\",\"v\":3}]\n";
    let mut child = home
        .command(&["send", "field", "bench-2", "-", "--output", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let told: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<_> = told.iter().map(|it| (it["message"].as_u64(), it["answer"].as_str())).collect();
    assert_eq!(numbers, [1, 2, 3].map(|number| (Some(number), Some("accepted"))));

    // Larger than what fits in one message of CoAP.
    let records: Vec<Value> = (0..60)
        .map(|second| serde_json::json!({ "n": "temperature", "v": 4.5, "t": -60 + second }))
        .collect();
    home.write("pack.json", &Value::from(records).to_string());
    let (told, code) = send(&home, &["bench-3", "--senml", "pack.json"]);
    assert_eq!((&told[0]["answer"], code), (&"accepted".into(), Some(0)), "{told}");
    eventually("all of the pack is stored", || {
        let all = home.data(&["messages", "field", "--device", "bench-3", "--all"]);
        all.as_array().unwrap().len() == 60
    });
    let greatest =
        home.data(&["messages", "field", "--device", "bench-3", "--interval", "366d", "--aggregate", "max"]);
    assert_eq!(greatest[0]["v"], 4.5);
    assert_eq!(greatest.as_array().unwrap().len(), 1);
    let csv = home.told(&["messages", "field", "--device", "bench-3", "--oldest-first", "-n", "2", "--csv"]);
    assert_eq!(csv.lines().next(), Some("time,gateway,name,value,unit"));
    assert_eq!(csv.lines().count(), 3, "{csv}");
}

#[test]
fn simulated_devices_are_counted_from_sending_to_storing() {
    let (home, _run) = field();
    let arguments = ["simulate", "field", "--rate", "20/s", "--for", "1s", "--seed", "7"];
    let told = home.data(&arguments);
    let messages = &told["messages"];
    let counts = |of: &Value, names: &[&str]| -> Vec<u64> {
        names.iter().map(|name| of[*name].as_u64().unwrap_or_else(|| panic!("{name}: {told}"))).collect()
    };
    assert_eq!(told["devices"], 3);
    assert_eq!(counts(messages, &["sent", "acknowledged", "failed"]), [60, 60, 0], "{told}");
    let readings = ["sent", "accepted", "rejected", "stored", "waiting"];
    assert_eq!(counts(&told["readings"], &readings), [120, 120, 0, 120, 0], "{told}");
    for latency in ["acknowledged", "stored"] {
        let latency = &told["latency"][latency];
        let at = |name: &str| latency[name].as_f64().unwrap_or_else(|| panic!("{name}: {told}"));
        assert!(0.0 < at("p50") && at("p50") <= at("p90") && at("p99") <= at("max"), "{told}");
    }
    let few = home.iotorch(&["simulate", "field", "--devices", "9"]);
    assert_eq!(few.status.code(), Some(3));
    assert!(stderr(&few).contains("3 can send"), "{}", stderr(&few));
    assert!(stderr(&few).contains("profile: climate"), "{}", stderr(&few));
}

#[test]
fn a_recording_is_sent_again_and_a_wrong_one_is_refused_with_its_line_and_column() {
    let (home, _run) = field();
    home.write("day.csv", "offset,device,temperature\n0,bench-1,1.25\n0.1,bench-2,2.5\n0.2,bench-1,3\n");
    let told = home.data(&["simulate", "field", "--csv", "day.csv"]);
    assert_eq!((&told["messages"]["sent"], &told["readings"]["stored"]), (&3.into(), &3.into()), "{told}");
    assert_eq!(stored(&home, "bench-1:temperature"), [3.0, 1.25].map(Value::from));

    home.write("wrong.csv", "offset,device,temperature\n0,bench-1,1\n1,bench-1,warm\n");
    let wrong = home.iotorch(&["simulate", "field", "--csv", "wrong.csv"]);
    assert_eq!(wrong.status.code(), Some(3));
    assert!(
        stderr(&wrong).contains("line 3, column 3 (temperature): \"warm\" is no float"),
        "{}",
        stderr(&wrong)
    );
}

#[test]
fn a_command_waits_for_its_device_and_is_delivered_when_it_comes() {
    let (home, _run) = field();
    let waiting = home.data(&["command", "field", "bench-1", "vent", "true", "--no-wait"]);
    assert_eq!((&waiting["id"], &waiting["state"]), (&1.into(), &"waiting".into()));
    let withdrawn = home.data(&["command", "field", "bench-1", "--withdraw", "1"]);
    assert_eq!(withdrawn["state"], "withdrawn");

    let login = home.data(&["credentials", "field", "bench-1", "--show-passwords"]);
    let port = login[0]["endpoint"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let password = login[0]["password"].as_str().unwrap();
    let device =
        ["-h", "127.0.0.1", "-u", "bench-1", "-q", "1", "-C", "1", "-V", "5", "-p", &port, "-P", password];
    let device = Command::new("mosquitto_sub")
        .args(device)
        .args(["-t", "devices/bench-1/commands/#"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("mosquitto_sub is installed (mosquitto-clients)");
    let delivered = home.data(&["command", "field", "bench-1", "vent", "false", "--wait", "30s"]);
    assert_eq!(delivered["state"], "delivered");
    let got = device.wait_with_output().unwrap();
    assert!(stdout(&got).contains("false"), "{}", stdout(&got));
    let states: Vec<Value> =
        home.data(&["command", "field", "bench-1", "--list"]).as_array().unwrap().clone();
    let states: Vec<_> = states.iter().map(|command| command["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["withdrawn", "delivered"]);

    let refused = home.iotorch(&["command", "field", "bench-1", "temperature", "5"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(stderr(&refused).contains("can be told: vent (bool)"), "{}", stderr(&refused));
}

#[test]
fn messages_and_events_are_followed_while_they_happen() {
    let (home, mut run) = field();
    let mut following = home.start("follow", &["messages", "field", "--follow", "-n", "2", "-o", "json"]);
    let mut events = home.start("events", &["events", "field", "-o", "json"]);
    eventually("the follower has its messages", || {
        home.told(&["send", "field", "bench-2", "temperature=5"]);
        home.printed("follow").lines().count() == 2
    });
    assert!(following.ended().success());
    for line in home.printed("follow").lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&message["n"], &message["v"]), (&"bench-2:temperature".into(), &5.0.into()));
    }
    eventually("an event is followed", || {
        home.told(&["rotate", "field/desk/space/gw/app/device/bench-2"]);
        home.printed("events").contains("run-ended")
    });
    let first: Value = serde_json::from_str(home.printed("events").lines().next().unwrap()).unwrap();
    assert_eq!(first["slice"], "field");
    // Who follows holds up nobody, and goes on waiting.
    run.signal(Signal::INT);
    assert!(run.ended().success());
    events.signal(Signal::INT);
    assert!(events.ended().success());
}

#[test]
fn who_was_refused_is_shown_to_the_operator() {
    let (home, _run) = field();
    let login = home.data(&["credentials", "field", "bench-1"]);
    let port = login[0]["endpoint"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let guess = ["-h", "127.0.0.1", "-u", "bench-1", "-P", "a guess", "-t", "devices/bench-1", "-m", "1"];
    let guess = Command::new("mosquitto_pub").args(guess).args(["-p", &port]).output();
    assert!(!guess.expect("mosquitto_pub is installed (mosquitto-clients)").status.success());

    let described = home.told(&["describe", "field"]);
    let refused = described.split("Refused\n").nth(1).unwrap_or_else(|| panic!("{described}"));
    assert!(refused.lines().nth(1).unwrap().starts_with("gw  bench-1  1"), "{refused}");
    let described = home.data(&["describe", "field"]);
    assert_eq!(
        (&described["refused"][0]["by"], &described["refused"][0]["logins"]),
        (&"gw".into(), &1.into())
    );
    let status = home.iotorch(&["status"]);
    assert!(stderr(&status).contains("field has refused 1 login"), "{}", stderr(&status));
    eventually("the log has it", || home.told(&["logs", "field", "gw"]).contains("bench-1"));
    let other = home.iotorch(&["logs", "field", "gv"]);
    assert_eq!(other.status.code(), Some(3));
    assert!(stderr(&other).contains("gw, hub"), "{}", stderr(&other));
}
