//! Slices on two real clusters, as a person makes them.
//!
//! `IOTORCH_KUBECONFIG` has the contexts `edge-1` and `cloud-1`, `IOTORCH_HELM4` is a helm, `IOTORCH_KUBECTL` a kubectl, and
//! `IOTORCH_LITE_IMAGE` an image of iotorch that both clusters have; `cargo xtask testbed up k8s` brings up such clusters.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode, Output},
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const CLUSTERS: [&str; 2] = ["edge-1", "cloud-1"];

fn main() -> ExitCode {
    let system = System::find();
    let is_ignored = system.as_ref().is_err_and(|missing| !is_required(missing));
    let trial = |name: &str, test: fn(&Bench)| {
        let kind = system
            .as_ref()
            .err()
            .map_or_else(|| "kubernetes".to_owned(), |missing| format!("{missing} is absent"));
        let found = system.clone();
        let trial = Trial::test(name, move || {
            test(&Bench::new(found.map_err(|missing| format!("{missing} is absent"))?));
            Ok(())
        });
        trial.with_kind(kind).with_ignored_flag(is_ignored)
    };
    let trials = vec![
        trial("a_reading_goes_from_one_cluster_to_the_other", reading),
        trial("what_somebody_has_changed_is_seen_and_mended", drift),
        trial("slices_with_the_same_parts_live_side_by_side", neighbours),
        trial("what_cannot_start_is_told_with_its_cause_and_taken_back", causes),
        trial("a_namespace_of_somebody_else_is_left_alone", foreign),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// What there is to test with.
#[derive(Clone, Debug)]
struct System {
    kubeconfig: PathBuf,
    helm: PathBuf,
    kubectl: PathBuf,
    image: String,
}

impl System {
    #[allow(clippy::disallowed_methods, reason = "a test is told by the environment what there is")]
    fn find() -> Result<Self, &'static str> {
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        Ok(Self {
            kubeconfig: set("IOTORCH_KUBECONFIG").ok_or("kubernetes")?.into(),
            helm: set("IOTORCH_HELM4").ok_or("helm4")?.into(),
            kubectl: set("IOTORCH_KUBECTL").unwrap_or_else(|| "kubectl".to_owned()).into(),
            image: set("IOTORCH_LITE_IMAGE").ok_or("kubernetes")?,
        })
    }
}

/// Whether this system must be there, as CONTRIBUTING.md says.
#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what must be there")]
fn is_required(system: &str) -> bool {
    let required = env::var("IOTORCH_REQUIRE").unwrap_or_default();
    required.split(',').any(|word| ["all", system].contains(&word.trim()))
}

/// A home directory, the documents of the clusters, and names of slices that nobody else has.
struct Bench {
    system: System,
    home: TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Whatever a test has left when it failed; those that are in order have nothing.
        for slice in ["one", "two"] {
            for cluster in CLUSTERS {
                let namespace = self.slice(slice);
                let _ = self.kubectl(
                    cluster,
                    &["delete", "namespace", &namespace, "--wait=false", "--ignore-not-found"],
                );
            }
        }
    }
}

impl Bench {
    fn new(system: System) -> Self {
        let bench = Self { system, home: tempfile::tempdir().unwrap() };
        let (repository, tag) = bench.system.image.rsplit_once(':').unwrap();
        let image = json!({ "repository": repository, "tag": tag, "pullPolicy": "Never" });
        let place = |name: &str, tier: &str| {
            let settings = json!({ "context": name, "lite": { "image": image } });
            json!({ "apiVersion": "iotorch.dev/v1alpha1", "kind": "Infrastructure", "metadata": { "name": name },
                "spec": { "driver": "kubernetes", "tier": tier, "settings": settings } })
        };
        bench.write("edge-1", &place("edge-1", "edge"));
        bench.write("cloud-1", &place("cloud-1", "cloud"));
        bench
    }

    /// The name of a slice of this test.
    fn slice(&self, name: &str) -> String {
        let own = self.home.path().file_name().unwrap().to_string_lossy().to_lowercase();
        format!("test-{}-{name}", own.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
    }

    fn write(&self, name: &str, document: &Value) {
        fs::write(self.home.path().join(format!("{name}.json")), document.to_string()).unwrap();
    }

    /// The document of a slice with a gateway and a server of `lite`.
    fn lite(&self, name: &str) -> String {
        let resource = json!({ "name": "temperature", "type": "float", "unit": "Cel" });
        let spec = json!({ "gateways": [{ "name": "gw" }], "servers": [{ "name": "hub" }],
            "devices": [{ "name": "bench-1", "protocol": "http", "resources": [resource] }] });
        self.document(name, spec)
    }

    fn document(&self, name: &str, spec: Value) -> String {
        let slice = self.slice(name);
        let document = json!({ "apiVersion": "iotorch.dev/v1alpha1", "kind": "Slice", "metadata": { "name": slice }, "spec": spec });
        self.write(name, &document);
        slice
    }

    fn iotorch(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iotorch"));
        command.args(arguments).current_dir(self.home.path()).env_clear();
        command.env("HOME", self.home.path()).env("KUBECONFIG", &self.system.kubeconfig);
        command.env("IOTORCH_HELM", &self.system.helm).output().unwrap()
    }

    fn told(&self, arguments: &[&str]) -> String {
        let output = self.iotorch(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn data(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.told(&[arguments, &["--output", "json"]].concat())).unwrap()
    }

    fn apply(&self, names: &[&str]) {
        let files: Vec<String> = names.iter().map(|name| format!("{name}.json")).collect();
        let mut arguments = vec!["apply", "-f", "edge-1.json", "-f", "cloud-1.json"];
        arguments.extend(files.iter().flat_map(|file| ["-f", file.as_str()]));
        self.told(&arguments);
    }

    fn helm(&self, cluster: &str, arguments: &[&str]) -> Output {
        let mut helm = Command::new(&self.system.helm);
        helm.args(arguments)
            .args(["--kube-context", cluster])
            .env("KUBECONFIG", &self.system.kubeconfig)
            .output()
            .unwrap()
    }

    fn kubectl(&self, cluster: &str, arguments: &[&str]) -> Output {
        let mut kubectl = Command::new(&self.system.kubectl);
        kubectl
            .args(["--context", cluster])
            .args(arguments)
            .env("KUBECONFIG", &self.system.kubeconfig)
            .output()
            .unwrap()
    }

    /// Sends a reading as a device does: until the gateway takes it, as its node port may be a moment behind.
    fn send(&self, slice: &str, reading: &str) {
        let send = || self.iotorch(&["send", slice, "bench-1", reading]).status.success();
        eventually("the gateway takes a reading", send);
    }

    fn status(&self, slice: &str) -> String {
        self.told(&["status", slice])
    }

    /// No namespace of the slice is left on any cluster.
    fn expect_gone(&self, slice: &str) {
        for cluster in CLUSTERS {
            let found =
                self.kubectl(cluster, &["get", "namespace", slice, "--ignore-not-found", "--output", "name"]);
            assert_eq!(text(&found.stdout), "", "on {cluster}: {}", text(&found.stderr));
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "{what} does not come true");
    }
}

fn reading(bench: &Bench) {
    let slice = bench.lite("one");
    bench.apply(&["one"]);
    assert!(bench.told(&["plan", "-f", "one.json"]).starts_with("No changes"));
    bench.send(&slice, "temperature=21.5");
    eventually("the reading is at the server", || {
        let messages = bench.data(&["messages", &slice]);
        messages.to_string().contains("21.5")
    });
    bench.told(&["delete", &slice, "--yes"]);
    bench.expect_gone(&slice);
}

fn drift(bench: &Bench) {
    let slice = bench.lite("one");
    bench.apply(&["one"]);
    let scaled =
        bench.kubectl("edge-1", &["--namespace", &slice, "scale", "statefulset", "gw", "--replicas=0"]);
    assert!(scaled.status.success(), "{}", text(&scaled.stderr));
    eventually("the change is seen", || !bench.status(&slice).contains("Ready"));
    let plan = bench.iotorch(&["plan", "-f", "one.json"]);
    assert!(text(&plan.stdout).contains("~ gw"), "{}", text(&plan.stdout));
    bench.told(&["apply", &slice]);
    eventually("it is as it was", || bench.status(&slice).contains("Ready"));

    let removed = bench.helm("cloud-1", &["uninstall", "hub", "--namespace", &slice, "--wait"]);
    assert!(removed.status.success(), "{}", text(&removed.stderr));
    assert!(bench.status(&slice).contains("hub removed outside"), "{}", bench.status(&slice));
    bench.told(&["apply", &slice]);
    eventually("it is as it was", || bench.status(&slice).contains("Ready"));
    bench.told(&["delete", &slice, "--yes"]);
    bench.expect_gone(&slice);
}

fn neighbours(bench: &Bench) {
    let (one, two) = (bench.lite("one"), bench.lite("two"));
    bench.apply(&["one", "two"]);
    bench.send(&one, "temperature=1");
    bench.send(&two, "temperature=2");
    let has = |slice: &str, value: &str| bench.told(&["messages", slice]).contains(value);
    eventually("each has its reading", || has(&one, "1 Cel") && has(&two, "2 Cel"));
    assert!(!has(&one, "2 Cel") && !has(&two, "1 Cel"));
    bench.told(&["delete", &one, "--yes"]);
    bench.expect_gone(&one);
    assert!(bench.status(&two).contains("Ready"));
    bench.told(&["delete", &two, "--yes"]);
    bench.expect_gone(&two);
}

fn causes(bench: &Bench) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../iotorch-k8s/tests/charts/idle");
    for (values, cause) in [
        (
            json!({ "image": "iotorch.test/none:1" }),
            "image \"iotorch.test/none:1\" is not on the node, and is never pulled",
        ),
        (json!({ "image": "No Image" }), "\"No Image\" is no name of an image"),
        (json!({ "memory": "1Ti" }), "Insufficient memory"),
        (
            json!({ "image": "iotorch.test/busybox:1", "minReadySeconds": 3,
                "command": ["sh", "-c", "echo the valve is stuck; exit 3"] }),
            "its log ends with: the valve is stuck",
        ),
        (json!({ "mistake": "no valve was given" }), "no valve was given"),
        (json!({ "replicas": -1 }), "replicas"),
    ] {
        let chart = json!({ "source": source, "values": values });
        let slice = bench.document("one", json!({ "gateways": [{ "name": "gw", "chart": chart }] }));
        let begun = Instant::now();
        let output = bench.iotorch(&["apply", "-f", "edge-1.json", "-f", "cloud-1.json", "-f", "one.json"]);
        let told = text(&output.stderr);
        assert!(!output.status.success() && told.contains(cause), "{values}: {told}");
        // A pod is given up after 15 s at most, or 30 s of failing.
        assert!(begun.elapsed() < Duration::from_secs(120), "{values}: it took {:?}", begun.elapsed());
        bench.expect_gone(&slice);
    }
}

fn foreign(bench: &Bench) {
    let slice = bench.lite("one");
    assert!(bench.kubectl("edge-1", &["create", "namespace", &slice]).status.success());
    let output = bench.iotorch(&["apply", "-f", "edge-1.json", "-f", "cloud-1.json", "-f", "one.json"]);
    assert!(text(&output.stderr).contains("nobody (no mark)"), "{}", text(&output.stderr));
    let there = bench.kubectl("edge-1", &["get", "namespace", &slice]);
    assert!(there.status.success());
}
