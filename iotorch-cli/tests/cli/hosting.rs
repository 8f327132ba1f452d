//! With slices that `iotorch run` hosts.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::home::{GREENHOUSE, Home, eventually, stderr};

fn ids(home: &Home, slice: &str) -> Vec<String> {
    let all = home.data(&["status", slice]);
    all[0]["resources"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}

/// The value of a device's password, as `iotorch run` reads it.
fn secrets(home: &Home) -> Value {
    serde_json::from_slice(&fs::read(home.state().join("secrets.json")).unwrap()).unwrap()
}

#[test]
fn readings_of_this_machine_arrive_and_other_commands_work_meanwhile() {
    let home = Home::new();
    home.write("greenhouse.yaml", GREENHOUSE);
    let mut run = home.run(&["-f", "greenhouse.yaml"]);
    home.wait_until_ready("greenhouse");
    let readings = home.wait_for_readings("greenhouse", "1h");
    let names: Vec<&str> = readings.as_array().unwrap().iter().map(|it| it["n"].as_str().unwrap()).collect();
    assert!(names.contains(&"here:load") && names.contains(&"here:memory"), "{names:?}");

    home.told(&["plan", "-f", "greenhouse.yaml", "--exit-code"]);
    home.write("orchard.yaml", &GREENHOUSE.replace("greenhouse", "orchard"));
    assert!(home.told(&["apply", "-f", "orchard.yaml"]).contains("orchard"));
    home.wait_until_ready("orchard");
    home.wait_for_readings("orchard", "1h");
    home.told(&["delete", "orchard"]);
    assert_eq!(home.data(&["status"]).as_array().unwrap().len(), 1);

    run.signal(Signal::INT);
    assert_eq!(run.ended().code(), Some(0));
    assert!(!home.state().join("iotorch.sock").exists());
    let told = fs::read_to_string(home.path().join("run.out")).unwrap();
    assert!(told.contains("greenhouse") && told.contains("here:load"), "{told}");
}

#[test]
fn started_again_after_a_kill_it_has_the_same_credentials_and_data() {
    let home = Home::new();
    home.write("greenhouse.yaml", GREENHOUSE);
    let mut run = home.run(&["-f", "greenhouse.yaml"]);
    home.wait_until_ready("greenhouse");
    home.wait_for_readings("greenhouse", "1h");
    let (before, kept) = (ids(&home, "greenhouse"), secrets(&home));
    run.signal(Signal::KILL);
    run.ended();

    let mut run = home.run(&[]);
    home.wait_until_ready("greenhouse");
    home.told(&["plan", "-f", "greenhouse.yaml", "--exit-code"]);
    assert_eq!(ids(&home, "greenhouse"), before);
    assert_eq!(secrets(&home), kept);
    home.wait_for_readings("greenhouse", "2s");
    run.signal(Signal::TERM);
    assert_eq!(run.ended().code(), Some(0));
}

#[test]
fn deleting_leaves_no_record_no_secret_and_no_file_behind() {
    let home = Home::new();
    home.write("greenhouse.yaml", GREENHOUSE);
    let mut run = home.run(&["-f", "greenhouse.yaml"]);
    home.wait_until_ready("greenhouse");
    run.signal(Signal::INT);
    run.ended();

    home.told(&["delete", "-f", "greenhouse.yaml"]);
    assert_eq!(home.told(&["get", "slices"]), "no slices\n");
    assert_eq!(home.told(&["get", "infrastructures"]), "no infrastructures\n");
    assert_eq!(secrets(&home)["secrets"], serde_json::json!({}));
    assert_eq!(fs::read_dir(home.state().join("local")).unwrap().count(), 0);
    let state = home.data(&["state", "export"]);
    assert_eq!((&state["records"], &state["reservations"]), (&serde_json::json!([]), &serde_json::json!({})));
}

#[test]
fn a_slice_in_a_process_that_is_not_there_is_refused_with_the_way_out() {
    let home = Home::new();
    home.write("greenhouse.yaml", GREENHOUSE);
    let output = home.iotorch(&["apply", "-f", "greenhouse.yaml"]);
    assert_eq!(output.status.code(), Some(7));
    assert!(stderr(&output).contains("iotorch run -f greenhouse.yaml"), "{}", stderr(&output));
    assert_eq!(home.told(&["get", "slices"]), "no slices\n");
}

#[test]
fn a_second_host_is_refused_and_names_the_first() {
    let home = Home::new();
    home.write("greenhouse.yaml", GREENHOUSE);
    let _run = home.run(&["-f", "greenhouse.yaml"]);
    home.wait_until_ready("greenhouse");
    let output = home.iotorch(&["run"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("iotorch apply -f"), "{}", stderr(&output));
}

#[test]
fn a_saved_plan_is_applied_once_and_refused_when_its_base_has_moved() {
    let home = Home::new();
    home.write("greenhouse.yaml", GREENHOUSE);
    let _run = home.run(&["-f", "greenhouse.yaml"]);
    home.wait_until_ready("greenhouse");
    home.write("more.yaml", &format!("{GREENHOUSE}    - {{ name: bench-2, profile: machine }}\n"));
    let plan = home.iotorch(&["plan", "-f", "more.yaml", "--out", "more.plan", "--exit-code"]);
    assert_eq!(plan.status.code(), Some(2), "{}", stderr(&plan));
    home.told(&["apply", "--plan", "more.plan"]);
    assert!(ids(&home, "greenhouse").iter().any(|id| id.ends_with("device/bench-2")));
    let again = home.iotorch(&["apply", "--plan", "more.plan"]);
    assert_eq!(again.status.code(), Some(4), "{}", stderr(&again));
}

#[test]
fn a_rotated_credential_takes_the_place_of_the_old_one() {
    let home = Home::new();
    home.write("greenhouse.yaml", GREENHOUSE);
    let _run = home.run(&["-f", "greenhouse.yaml"]);
    home.wait_until_ready("greenhouse");
    home.wait_for_readings("greenhouse", "1h");
    home.told(&["rotate", "greenhouse/desk/space/gw/app/device/here"]);
    let credentials: Vec<String> =
        ids(&home, "greenhouse").into_iter().filter(|id| id.contains("device/here/credential")).collect();
    assert_eq!(credentials, ["greenhouse/desk/space/gw/app/device/here/credential/2"]);
    home.wait_for_readings("greenhouse", "1s");
}

#[test]
fn a_run_that_fails_is_rolled_back_and_told_with_its_cause() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let gateway = format!("gateways: [ {{ name: gw, settings: {{ mqttPort: {port} }} }} ]");
    home.write("greenhouse.yaml", &GREENHOUSE.replace("gateways: [ { name: gw } ]", &gateway));
    let output = home.iotorch(&["run", "-f", "greenhouse.yaml"]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    let told = stderr(&output);
    for part in [
        "cannot create slice \"greenhouse\"",
        "desk/space/gw",
        &port.to_string(),
        "nothing of this run is left",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert_eq!(home.told(&["get", "slices"]), "no slices\n");
}

#[test]
fn a_run_that_pauses_is_decided_from_another_terminal() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let gateway = format!("gateways: [ {{ name: gw, settings: {{ mqttPort: {port} }} }} ]");
    home.write("greenhouse.yaml", &GREENHOUSE.replace("gateways: [ { name: gw } ]", &gateway));
    let mut run = home.run(&["-f", "greenhouse.yaml", "--on-failure", "pause"]);
    let mut open = Value::Null;
    eventually("the run pauses", || {
        open = home.data(&["runs", "--open"]);
        open[0]["state"] == "paused"
    });
    let number = format!("r{}", open[0]["id"]);
    let again = home.iotorch(&["resume", &number, "--continue", "--on-failure", "pause"]);
    assert_eq!(again.status.code(), Some(6), "{}", stderr(&again));
    assert!(stderr(&again).contains(&format!("iotorch resume {number} --rollback")), "{}", stderr(&again));
    let refused = home.iotorch(&["apply", "-f", "greenhouse.yaml"]);
    assert_eq!(refused.status.code(), Some(4), "{}", stderr(&refused));

    home.told(&["resume", &number, "--rollback"]);
    assert_eq!(home.told(&["runs", "--open"]), "no runs\n");
    run.signal(Signal::INT);
    assert_eq!(run.ended().code(), Some(6));
}

#[test]
fn what_is_hosted_is_not_forgotten_and_without_a_host_a_person_is_told_to_start_one() {
    let home = Home::new();
    home.write("greenhouse.yaml", GREENHOUSE);
    let mut run = home.run(&["-f", "greenhouse.yaml"]);
    home.wait_until_ready("greenhouse");
    let failed = |arguments: &[&str], code: i32| {
        let output = home.iotorch(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        stderr(&output).to_owned()
    };
    let refused = failed(&["forget", "desk", "--yes"], 4);
    assert!(refused.contains("it is not gone, iotorch run hosts it"), "{refused}");
    home.told(&["plan", "greenhouse", "--exit-code"]);

    let unknown = failed(&["messages", "greenhouse", "--device", "bench-2"], 3);
    assert!(unknown.contains("did you mean \"bench-1\"?"), "{unknown}");
    home.write("lines", "load=1\nload\n");
    let mut send = home.command(&["send", "greenhouse", "bench-1", "-"]);
    let lines = fs::File::open(home.path().join("lines")).unwrap();
    let sent = send.stdin(lines).output().unwrap();
    assert!(stderr(&sent).contains("cannot send line 2 of standard input"), "{}", stderr(&sent));

    run.signal(Signal::INT);
    assert_eq!(run.ended().code(), Some(0));
    for arguments in [
        &["messages", "greenhouse"][..],
        &["logs", "greenhouse", "gw"],
        &["simulate", "greenhouse", "--for", "1s"],
        &["command", "greenhouse", "bench-1", "--list"],
    ] {
        let told = failed(arguments, 7);
        assert!(told.contains("start it, and leave it running:  iotorch run"), "{told}");
    }
    let told = failed(&["messages", "greenhouse", "--output", "json"], 7);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["error"]["kind"], "unavailable");
}
