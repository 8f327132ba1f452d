//! With other people's programs as devices, and with a look for secrets where none may be.

use std::{
    fs,
    process::{Command, Output},
};

use rustix::process::Signal;

use crate::home::{GREENHOUSE, Home, stderr};

/// Publishes as `mosquitto_pub` does it.
fn publish(port: &str, user: &str, password: &str, topic: &str, value: &str) -> Output {
    let arguments = [
        "-h",
        "127.0.0.1",
        "-p",
        port,
        "-u",
        user,
        "-P",
        password,
        "-t",
        topic,
        "-m",
        value,
        "-q",
        "1",
        "-V",
        "5",
    ];
    Command::new("mosquitto_pub")
        .args(arguments)
        .output()
        .expect("mosquitto_pub is installed (mosquitto-clients)")
}

/// The port and the password of a device.
fn login(home: &Home, slice: &str, device: &str) -> (String, String) {
    let logins = home.data(&["credentials", slice, device]);
    let endpoint = logins[0]["endpoint"].as_str().unwrap().to_owned();
    let password = home.told(&["credentials", slice, device, "--password"]).trim().to_owned();
    (endpoint.rsplit(':').next().unwrap().to_owned(), password)
}

#[test]
fn mosquitto_pub_is_a_device_and_only_the_one_it_is() {
    let home = Home::new();
    home.write("greenhouse.yaml", GREENHOUSE);
    home.write("orchard.yaml", &GREENHOUSE.replace("greenhouse", "orchard"));
    let mut run = home.run(&["-f", "greenhouse.yaml"]);
    home.wait_until_ready("greenhouse");
    home.told(&["apply", "-f", "orchard.yaml"]);
    home.wait_until_ready("orchard");
    let (port, password) = login(&home, "greenhouse", "bench-1");
    let (other_port, other_password) = login(&home, "orchard", "bench-1");
    assert_ne!((&port, &password), (&other_port, &other_password), "same names, nothing shared");

    let accepted = publish(&port, "bench-1", &password, "devices/bench-1/load", "0.5");
    assert!(accepted.status.success(), "{}", stderr(&accepted));
    crate::home::eventually("the reading is stored", || {
        home.told(&["messages", "greenhouse", "--name", "bench-1:load"]).contains("0.5")
    });
    let wrong_password = publish(&port, "bench-1", "guessed", "devices/bench-1/load", "1");
    assert!(stderr(&wrong_password).contains("Bad User Name or Password"), "{}", stderr(&wrong_password));
    let other_device = publish(&port, "bench-1", &password, "devices/here/load", "1");
    assert!(stderr(&other_device).contains("Not authorized"), "{}", stderr(&other_device));
    let other_slice = publish(&port, "bench-1", &other_password, "devices/bench-1/load", "1");
    assert!(stderr(&other_slice).contains("Bad User Name or Password"), "{}", stderr(&other_slice));
    let names = home.told(&["messages", "orchard"]);
    assert!(!names.contains("bench-1"), "nothing of the first slice is in the second: {names}");
    run.signal(Signal::INT);
    run.ended();
}

/// Every text that iotorch shows or keeps outside of the file of secrets, with where it was found.
fn everything_said(home: &Home, run: u32) -> Vec<(String, String)> {
    let mut said: Vec<(String, String)> = Vec::new();
    let commands: &[&[&str]] = &[
        &["plan", "-f", "changed.yaml", "-o", "json"],
        &["state", "export"],
        &["status", "-o", "json"],
        &["describe", "greenhouse", "-o", "json"],
        &["describe", "greenhouse"],
        &["runs", "-o", "json"],
        &["credentials", "greenhouse"],
        &["-vv", "apply", "-f", "changed.yaml"],
        &["-vv", "rotate", "greenhouse/desk/space/gw/app/device/bench-1"],
        &["-vv", "apply", "-f", "broken.yaml"],
        &["-vv", "messages", "greenhouse"],
    ];
    for arguments in commands {
        let output = home.iotorch(arguments);
        said.push((format!("{arguments:?} stdout"), String::from_utf8_lossy(&output.stdout).into_owned()));
        said.push((format!("{arguments:?} stderr"), String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    for file in ["run.out", "run.err"] {
        said.push((file.into(), fs::read_to_string(home.path().join(file)).unwrap()));
    }
    for file in ["cmdline", "environ"] {
        said.push((format!("process {file}"), fs::read_to_string(format!("/proc/{run}/{file}")).unwrap()));
    }
    let store = fs::read(home.state().join("state.redb")).unwrap();
    said.push(("the store".into(), String::from_utf8_lossy(&store).into_owned()));
    said
}

#[test]
fn no_secret_is_in_a_plan_journal_record_log_error_or_process_list() {
    let home = Home::new();
    home.write("greenhouse.yaml", GREENHOUSE);
    home.write("changed.yaml", &GREENHOUSE.replace("name: bench-1", "name: bench-2"));
    home.write("broken.yaml", &GREENHOUSE.replace("profile: machine", "profile: machin"));
    let mut run = home.run(&["-f", "greenhouse.yaml", "-vv"]);
    home.wait_until_ready("greenhouse");
    home.wait_for_readings("greenhouse", "1h");
    let values = |home: &Home| -> Vec<(String, String)> {
        let stored: serde_json::Value =
            serde_json::from_slice(&fs::read(home.state().join("secrets.json")).unwrap()).unwrap();
        let stored = stored["secrets"].as_object().unwrap().clone();
        stored.into_iter().map(|(name, value)| (name, value.as_str().unwrap().to_owned())).collect()
    };
    let mut planted = values(&home);
    assert!(planted.len() >= 5, "the slice has secrets to look for");
    let said = everything_said(&home, run.id());
    planted.extend(values(&home));
    assert!(said.iter().any(|(_, text)| text.contains("bench-1/password#1")), "the search would find a name");
    for (place, text) in said {
        for (name, value) in &planted {
            assert!(!text.contains(value.as_str()), "the value of {name} is in {place}");
        }
    }
    run.signal(Signal::INT);
    run.ended();
}
