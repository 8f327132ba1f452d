//! What a shell is told when a person presses the tab key.

use crate::home::{GREENHOUSE, Home, stderr, stdout};

/// The candidates for the last of the words of a command.
fn completed(home: &Home, words: &[&str]) -> Vec<String> {
    let output = home
        .command(&["--", "iotorch"])
        .args(words)
        .env("IOTORCH_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_IFS", "\n")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{words:?}");
    assert_eq!(stderr(&output), "", "{words:?}");
    stdout(&output).lines().map(str::to_owned).collect()
}

const ORCHARD: &str = "---
apiVersion: iotorch.dev/v1alpha1
kind: Slice
metadata: { name: orchard }
spec:
  gateways: [ { name: tree } ]
  devices: [ { name: leaf, resources: [ { name: wet, type: bool } ] } ]
";

/// A state with two slices. A server without a place cannot be made, so it is hosted for a moment.
fn stored() -> (Home, crate::home::Running) {
    let home = Home::new();
    home.write("documents.yaml", &format!("{GREENHOUSE}{ORCHARD}"));
    let run = home.run(&["-f", "documents.yaml"]);
    home.wait_until_ready("greenhouse");
    home.wait_until_ready("orchard");
    (home, run)
}

fn check(home: &Home) {
    assert_eq!(completed(home, &["describe", ""])[..2], ["greenhouse", "orchard"]);
    assert_eq!(completed(home, &["status", "or"]), ["orchard"]);
    assert_eq!(completed(home, &["iotserver", "list", "--slice", "g"]), ["greenhouse"]);
    assert_eq!(completed(home, &["k8scluster", "delete", "--name", ""]), ["desk"]);
    assert_eq!(completed(home, &["infra", "check", ""])[..1], ["desk"]);
    let devices = completed(home, &["credentials", "greenhouse", ""]);
    assert!(devices.contains(&"bench-1".to_owned()) && !devices.contains(&"leaf".to_owned()), "{devices:?}");
    assert_eq!(completed(home, &["iotdevice", "get", "--name", "l"]), ["leaf"]);
    assert_eq!(completed(home, &["messages", "orchard", "--gateway", ""]), ["tree"]);
    assert_eq!(completed(home, &["logs", "greenhouse", ""])[..2], ["gw", "hub"]);
    assert_eq!(completed(home, &["simulate", "orchard", "--device", ""]), ["leaf"]);
    assert_eq!(completed(home, &["iotgateway", "attach", "--name", "gw", "--server", ""]), ["hub"]);
}

#[test]
fn names_are_known_while_a_process_holds_the_state_and_when_none_does() {
    let (home, mut run) = stored();
    check(&home);
    run.signal(rustix::process::Signal::INT);
    assert_eq!(run.ended().code(), Some(0));
    check(&home);
    let elsewhere = home.state().display().to_string();
    assert_eq!(completed(&home, &["status", "--state", &elsewhere, "or"]), ["orchard"]);
}

#[test]
fn where_there_is_nothing_nothing_is_told_or_made() {
    let home = Home::new();
    assert!(completed(&home, &["describe", "g"]).is_empty());
    assert_eq!(completed(&home, &["descr"]), ["describe"]);
    assert!(!home.path().join(".local").exists());
    std::fs::create_dir_all(home.state()).unwrap();
    std::fs::write(home.state().join("state.redb"), "not a store").unwrap();
    std::fs::write(home.state().join("iotorch.sock"), "not a socket").unwrap();
    assert!(completed(&home, &["describe", "g"]).is_empty());
}

#[test]
fn verbs_options_and_values_are_completed_too() {
    let home = Home::new();
    assert_eq!(completed(&home, &["iots"]), ["iotslice", "iotserver"]);
    assert_eq!(completed(&home, &["iotserver", "s"]), ["set"]);
    assert_eq!(completed(&home, &["iotdevice", "create", "--prot"]), ["--protocol"]);
    assert_eq!(completed(&home, &["iotdevice", "create", "--protocol", "M"]), ["MQTT"]);
}

#[test]
fn contexts_are_those_of_the_kubeconfig() {
    let home = Home::new();
    let config = "apiVersion: v1\nkind: Config\ncontexts:\n- { name: edge-1, context: { cluster: a, user: b } }\n- { name: cloud-1, context: { cluster: a, user: b } }\n";
    home.write("kubeconfig", config);
    let path = home.path().join("kubeconfig").display().to_string();
    assert_eq!(completed(&home, &["infra", "check", "--kubeconfig", &path, "--context", "e"]), ["edge-1"]);
    assert!(completed(&home, &["infra", "check", "--kubeconfig", "nothing", "--context", ""]).is_empty());
}
