//! The documents of the examples, and plans of them.

use std::{fs, process::Stdio};

use crate::home::{Home, stderr, stdout};

/// Where the examples are.
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

fn example(name: &str) -> String {
    format!("{EXAMPLES}/{name}")
}

#[test]
fn every_example_is_valid() {
    let home = Home::new();
    let (slices, clusters) = (example("slices"), example("clusters"));
    for files in [
        &[slices.as_str()][..],
        &[&clusters, &example("slices/greenhouse.yaml")],
        &[&clusters, &example("slices/paper.yaml")],
        &[&example("slices/external.yaml")],
        &[&clusters, &example("figure-4")],
    ] {
        let named = files.iter().flat_map(|file| ["-f", file]);
        let arguments: Vec<&str> = ["validate"].into_iter().chain(named).collect();
        home.told(&arguments);
    }
}

#[test]
fn the_examples_that_run_on_this_machine_are_those_of_their_directory() {
    let left_out = fs::read_to_string(example("slices/.iotorchignore")).unwrap();
    for name in ["paper.yaml", "external.yaml"] {
        assert!(left_out.lines().any(|line| line == name), "{name} needs more than this machine");
        assert!(fs::exists(example(&format!("slices/{name}"))).unwrap());
    }
}

/// The plan of a document whose endpoints are where nobody listens.
fn plan(document: &str) -> String {
    let home = Home::new();
    // The port of the discard service (RFC 863), which no machine has any more.
    let unreachable: Vec<String> = document
        .lines()
        .map(|line| match line.split_once("port: ") {
            Some((start, _)) => format!("{start}port: 9 }}"),
            None => line.to_owned(),
        })
        .collect();
    home.write("slice.yaml", &unreachable.join("\n"));
    let output = home
        .command(&["plan", "-f", "slice.yaml"])
        .env("EDGEX_TOKEN", "a token")
        .env("MAINFLUX_ADMIN", "admin@example.com:a password")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output).to_owned()
}

#[test]
fn a_slice_on_edgex_and_mainflux_is_planned_readably() {
    insta::assert_snapshot!(plan(&fs::read_to_string(example("slices/external.yaml")).unwrap()));
}

#[test]
fn a_thousand_devices_are_planned_in_a_few_lines() {
    let devices: String = (1..=1000)
        .map(|number| format!("    - {{ name: load-{number:04}, protocol: mqtt, profile: climate }}\n"))
        .collect();
    let document = fs::read_to_string(example("slices/external.yaml")).unwrap() + &devices;
    let plan = plan(&document);
    assert!(plan.lines().count() < 40, "{plan}");
    insta::assert_snapshot!(plan);
}
