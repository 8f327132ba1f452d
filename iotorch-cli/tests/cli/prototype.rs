//! The verbs of the paper's prototype.

use rustix::process::Signal;

use crate::{
    home::{Home, stderr, stdout},
    transcript::Transcript,
};

/// A cluster in the process of `iotorch run`, and a slice on it with a server, a gateway and a device.
const SESSION: [&str; 5] = [
    "k8scluster create --name pc --driver local",
    "iotslice create --name slice1 --edge pc --cloud pc",
    "iotserver create --name hub --slice slice1",
    "iotgateway create --name gw --slice slice1",
    "iotdevice create --name dev --gateway gw --protocol MQTT --resource=temperature",
];

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// A home where an `iotorch run` hosts what the session makes.
fn after_the_session() -> (Home, crate::home::Running) {
    let home = Home::new();
    let run = home.run(&[]);
    for line in SESSION {
        home.told(&words(line));
    }
    (home, run)
}

#[test]
fn the_session_of_the_paper_works_by_its_own_verbs() {
    let home = Home::new();
    let mut run = home.run(&[]);
    let mut session = Transcript::new(&home);
    for line in [
        "iotorch k8scluster create --name=pc --ip=192.168.1.105 --k8shelmport=44134 --k8scontext=pc --driver local",
        "iotorch k8scluster create --name=rpi --ip=192.168.1.160 --k8shelmport=44134 --helmip=192.168.1.161 --driver local --tier edge",
        "iotorch k8scluster list",
        "iotorch iotslice create --name=slice1 --edge rpi --cloud pc",
        "iotorch iotslice get --name=slice1",
        "iotorch iotserver create --name iotserver1 --cluster=pc --slice=slice1 --helmpath=./helm/mainflux/",
        "iotorch iotserver set --name=iotserver1 --user=testuser@test.com --password=123456",
        "iotorch iotgateway create --name=iotgw1 --cluster=rpi --slice=slice1 --helmpath=./helm/edgex-go/",
        "iotorch iotgateway attach --name=iotgw1 --server=iotserver1",
        "iotorch iotdevice create --name=iotdevice1 --gateway iotgw1 --protocol MQTT --resource=temperature --resource=humidity",
        "iotorch iotserver list",
        "iotorch iotgateway list",
        "iotorch iotdevice list",
        "iotorch iotserver get --name iotserver1",
        "iotorch iotgateway get --name iotgw1",
        "iotorch iotdevice get --name iotdevice1",
        "iotorch credentials slice1 iotdevice1",
    ] {
        session.types(line, 0);
    }
    for (line, code) in [
        ("iotorch k8scluster delete --name pc", 4),
        ("iotorch iotgateway delete --name iotgw1", 4),
        ("iotorch iotdevice delete --name iotdevice1", 0),
        ("iotorch iotgateway delete --name iotgw1", 0),
        ("iotorch iotserver delete --name iotserver1", 0),
        ("iotorch iotslice delete --name slice1", 0),
        ("iotorch k8scluster delete --name pc", 0),
        ("iotorch k8scluster delete --name rpi", 0),
        ("iotorch iotslice list", 0),
        ("iotorch k8scluster list", 0),
    ] {
        session.types(line, code);
    }
    session.compare_with("the_session_of_the_paper");
    run.signal(Signal::INT);
    assert_eq!(run.ended().code(), Some(0));
    let secrets: serde_json::Value =
        serde_json::from_slice(&std::fs::read(home.state().join("secrets.json")).unwrap()).unwrap();
    assert_eq!(secrets["secrets"], serde_json::json!({}), "what was set is gone with what it was for");
}

#[test]
fn a_later_apply_shows_what_a_verb_has_changed_as_a_change_of_the_plan() {
    let (home, _run) = after_the_session();
    home.write("slice1.yaml", &home.told(&["get", "slices", "slice1"]));
    home.told(&["plan", "-f", "slice1.yaml", "--exit-code"]);
    home.told(&words("iotdevice create --name other --gateway gw --resource humidity"));
    home.told(&words("iotdevice delete --name dev"));

    let plan = home.iotorch(&["plan", "-f", "slice1.yaml", "--exit-code"]);
    assert_eq!(plan.status.code(), Some(2), "{}", stderr(&plan));
    insta::assert_snapshot!("a_plan_shows_what_a_verb_has_changed", stdout(&plan));
    home.told(&["apply", "-f", "slice1.yaml"]);
    assert!(home.told(&words("iotdevice list")).contains("dev"), "the document has the last word");
}

#[test]
fn a_verb_changes_what_it_is_about_and_leaves_the_rest_of_the_document_alone() {
    let (home, _run) = after_the_session();
    let before = home.data(&["get", "slices", "slice1"]);
    home.told(&words("iotdevice create --name other --gateway gw --protocol http --resource open=bool"));
    let mut after = home.data(&["get", "slices", "slice1"]);
    let other = after["spec"]["devices"].as_array_mut().unwrap().pop().unwrap();
    assert_eq!(after, before);
    assert_eq!(
        other,
        serde_json::json!({
            "name": "other", "gateway": "gw", "protocol": "http",
            "resources": [ { "name": "open", "type": "bool", "access": "read" } ],
        })
    );
}

#[test]
fn edits_at_the_same_time_lose_none() {
    let (home, _run) = after_the_session();
    let names: Vec<String> = (0..6).map(|number| format!("d{number}")).collect();
    let running: Vec<_> = names
        .iter()
        .map(|name| {
            home.command(&words("iotdevice create --gateway gw --resource=t"))
                .args(["--name", name])
                .stdin(std::process::Stdio::null())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in running {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    let listed = home.data(&words("iotdevice list"));
    let listed: Vec<&str> =
        listed.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(listed.len(), 7, "{listed:?}");
    assert!(names.iter().all(|name| listed.contains(&name.as_str())), "{listed:?}");
}

#[test]
fn a_second_server_changes_nothing_for_a_gateway_that_named_none() {
    let (home, _run) = after_the_session();
    home.told(&words("iotserver create --name second --slice slice1"));
    let gateways = home.data(&words("iotgateway list"));
    assert_eq!(gateways[0]["servers"], serde_json::json!([ { "name": "hub" } ]));
    home.told(&words("iotgateway attach --name gw --server second"));
    let told = home.told(&words("iotgateway list"));
    assert!(told.contains("hub,second"), "{told}");
    home.told(&words("iotserver delete --name hub"));
    let told = home.told(&words("iotgateway list"));
    assert!(told.contains("second") && !told.contains("hub"), "{told}");
}

#[test]
fn a_password_that_was_set_is_the_one_of_the_account_and_in_no_document() {
    let (home, _run) = after_the_session();
    let mut set = Transcript::new(&home);
    set.types_with("iotorch iotserver set --name hub --password -", "s3cret-of-hub\n", 0);
    set.types_with("iotorch iotserver set --name hub --password -", "two words\n", 3);
    set.compare_with("a_password_from_standard_input");
    let secrets = || -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(home.state().join("secrets.json")).unwrap()).unwrap()
    };
    assert_eq!(secrets()["secrets"]["slice1/hub/tenant#2"], "s3cret-of-hub");
    assert!(secrets()["secrets"].get("slice1/hub/tenant#1").is_none(), "the one before is gone");
    assert!(!home.told(&["state", "export"]).contains("s3cret-of-hub"));
    home.told(&["plan", "slice1", "--exit-code"]);
    home.told(&words("iotserver set --name hub --password other-s3cret"));
    assert_eq!(secrets()["secrets"]["slice1/hub/tenant#3"], "other-s3cret");
    home.told(&["messages", "slice1"]);
}

#[test]
fn a_part_of_a_name_that_several_slices_have_is_asked_for_by_its_slice() {
    let (home, _run) = after_the_session();
    home.told(&words("iotslice create --name slice2 --edge pc --cloud pc"));
    home.told(&words("iotserver create --name hub --slice slice2"));
    let refused = home.iotorch(&words("iotserver get --name hub"));
    assert_eq!(refused.status.code(), Some(3));
    assert!(stderr(&refused).contains("--slice: slice1, slice2"), "{}", stderr(&refused));
    assert_eq!(home.data(&words("iotserver get --name hub --slice slice2"))["slice"], "slice2");
}

#[test]
fn a_configuration_file_of_its_own_is_a_state_of_its_own() {
    let home = Home::new();
    home.told(&words("k8scluster create --name pc --driver local --configfile other"));
    assert!(home.path().join("other/state.redb").exists());
    assert_eq!(home.told(&words("k8scluster list")), "no infrastructures\n");
    assert!(home.told(&words("k8scluster list --configfile=other")).contains("pc"));
}
