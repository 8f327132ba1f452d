//! The slice of the paper: an EdgeX gateway on one cluster, a Mainflux server on the other.
//!
//! `IOTORCH_EDGEX_VALUES` and `IOTORCH_MAINFLUX_VALUES` are files with values of the two charts, which say by which images these run.

use std::{env, fs};

use serde_json::{Value, json};

use crate::common::{Bench, apply, eventually};

/// The document of the examples.
const PAPER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/slices/paper.yaml");

/// What the charts of EdgeX and Mainflux are told on these clusters.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    edgex: Value,
    mainflux: Value,
}

impl Values {
    /// What the environment names, or what it does not.
    pub(crate) fn find() -> Result<Self, &'static str> {
        Ok(Self { edgex: values("IOTORCH_EDGEX_VALUES")?, mainflux: values("IOTORCH_MAINFLUX_VALUES")? })
    }

    fn place(&self, bench: &Bench) {
        bench.places(|settings| {
            settings["edgex"] = self.edgex.clone();
            settings["mainflux"] = self.mainflux.clone();
        });
    }
}

#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what there is")]
fn values(variable: &str) -> Result<Value, &'static str> {
    let path = env::var(variable).ok().filter(|path| !path.is_empty()).ok_or("kubernetes")?;
    Ok(serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap())
}

/// Writes the document to `NAME.yaml`, under a name of its own, and gives that.
fn document(bench: &Bench, name: &str) -> String {
    let slice = bench.slice(name);
    let text = fs::read_to_string(PAPER).unwrap().replace("name: paper\n", &format!("name: {slice}\n"));
    fs::write(bench.home.path().join(format!("{name}.yaml")), text).unwrap();
    slice
}

/// Applies slices by their documents, with one command.
fn apply_all(bench: &Bench, names: &[&str]) {
    let mut arguments = apply(&[]);
    arguments.extend(names.iter().map(|name| format!("--file={name}.yaml")));
    bench.told(&arguments);
}

/// Sends a reading to the topic of EdgeX's device until it is read from Mainflux, and gives that.
fn reading(bench: &Bench, slice: &str, value: f64) -> Value {
    let mut messages = Value::Null;
    eventually("the reading is read from the other cluster", || {
        // A device is known to its service a moment after it was made.
        let sent = bench.iotorch(&["send", slice, "pi-1", &format!("temperature={value}")]);
        messages = bench.data(&["messages", slice, "--name", "pi-1:temperature"]);
        let stored = |message: &Value| message["v"] == value;
        sent.status.success() && messages.as_array().unwrap().iter().any(stored)
    });
    messages[0].take()
}

fn seconds() -> f64 {
    jiff::Timestamp::now().as_duration().as_secs_f64()
}

/// One file, one command, and the reading as it was measured.
pub(crate) fn one(bench: &Bench, values: &Values) {
    values.place(bench);
    let slice = document(bench, "paper");
    apply_all(bench, &["paper"]);
    assert!(bench.told(&["plan", "-f", "paper.yaml"]).starts_with("No changes"));
    let began = seconds();
    let message = reading(bench, &slice, 21.5);
    assert_eq!((&message["n"], &message["u"]), (&json!("pi-1:temperature"), &json!("Cel")), "{message}");
    let time = message["t"].as_f64().unwrap();
    // The clocks are those of one machine.
    assert!((began - 1.0..=seconds() + 1.0).contains(&time), "it was measured at {time}, not since {began}");
    let logs = bench.told(&["logs", &slice, "gw"]);
    assert!(!logs.trim().is_empty(), "the bridge has a log");
    let described = bench.told(&["describe", &slice]);
    assert!(described.contains("Bridges"), "{described}");
    bench.told(&["delete", &slice, "--yes"]);
    bench.expect_gone(&slice);
}

/// The paper's Figure A6, over both clusters.
pub(crate) fn three(bench: &Bench, values: &Values) {
    values.place(bench);
    let names = ["paper-1", "paper-2", "paper-3"];
    let slices: Vec<String> = names.iter().map(|name| document(bench, name)).collect();
    apply_all(bench, &names);
    for (slice, value) in slices.iter().zip([1.125, 2.125, 3.125]) {
        reading(bench, slice, value);
    }
    for (slice, own) in slices.iter().zip([1.125, 2.125, 3.125]) {
        let all = bench.data(&["messages", slice, "--all"]);
        let foreign = all.as_array().unwrap().iter().filter(|message| message["v"] != own);
        assert_eq!(foreign.count(), 0, "{slice} has the readings of others: {all}");
    }
    let all: Vec<&str> = slices.iter().map(String::as_str).collect();
    bench.told(&[&["delete"], all.as_slice(), &["--yes"]].concat());
    for slice in &slices {
        bench.expect_gone(slice);
    }
}
