//! Slices on two real clusters, as a person makes them.
//!
//! `IOTORCH_KUBECONFIG` has the contexts `edge-1` and `cloud-1`, `IOTORCH_HELM4` is a helm, `IOTORCH_KUBECTL` a kubectl, and
//! `IOTORCH_LITE_IMAGE` an image of iotorch that both clusters have; `cargo xtask testbed up k8s` brings up such clusters.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    env, fs,
    path::PathBuf,
    process::{Child, Command, ExitCode, Output, Stdio},
    time::{Duration, Instant},
};

use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const CLUSTERS: [&str; 2] = ["edge-1", "cloud-1"];

/// What tests call their slices.
const NAMES: [&str; 4] = ["slice-1", "slice-2", "slice-3", "slice-4"];

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
        trial("three_slices_with_the_same_parts_live_side_by_side_on_one_cluster", three_on_one_cluster),
        trial("four_slices_are_spread_over_cloud_edge_and_a_device", figure_4),
        trial("what_cannot_start_is_told_with_its_cause_and_taken_back", causes),
        trial("what_a_chart_makes_outside_of_its_namespace_goes_with_the_slice", outside),
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
        for slice in NAMES {
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
        self.document(name, lite())
    }

    fn document(&self, name: &str, spec: Value) -> String {
        let slice = self.slice(name);
        let document = json!({ "apiVersion": "iotorch.dev/v1alpha1", "kind": "Slice", "metadata": { "name": slice }, "spec": spec });
        self.write(name, &document);
        slice
    }

    fn iotorch(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iotorch"));
        command.current_dir(self.home.path()).env_clear();
        command.env("HOME", self.home.path()).env("KUBECONFIG", &self.system.kubeconfig);
        command.env("IOTORCH_HELM", &self.system.helm);
        command
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
    fn send(&self, slice: &str, device: &str, reading: &str) {
        let send = || self.iotorch(&["send", slice, device, reading]).status.success();
        eventually("the gateway takes a reading", send);
    }

    /// The slices whose gateways a pod in the namespace of one of them reaches: its own first, as names may take a moment, then
    /// each of the others once.
    fn reached(&self, cluster: &str, from: &str, names: &[&str]) -> Vec<String> {
        let namespace = self.slice(from);
        let kubectl = |arguments: &[&str]| {
            let output = self.kubectl(cluster, &[&["--namespace", &namespace], arguments].concat());
            assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
            text(&output.stdout)
        };
        let ask = |name: &str| {
            let host = format!("gw.{}.svc.cluster.local", self.slice(name));
            format!("timeout 3 wget -q -O /dev/null http://{host}:8081/health && echo {name}")
        };
        let others = names.iter().filter(|name| **name != from).map(|name| ask(name));
        let own = format!("for attempt in 1 2 3 4 5; do {} && break; done", ask(from));
        let script = [own].into_iter().chain(others).collect::<Vec<_>>().join("; ");
        // The shell tells of what it has ended.
        let script = format!("exec 2>/dev/null; {script}; true");
        let image = ["--image=iotorch.test/busybox:1", "--image-pull-policy=Never", "--restart=Never"];
        kubectl(&[&["run", "probe"], &image[..], &["--command", "--", "sh", "-c", &script]].concat());
        kubectl(&["wait", "pod/probe", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"]);
        let answer = kubectl(&["logs", "probe"]);
        kubectl(&["delete", "pod", "probe", "--now"]);
        answer.lines().map(str::to_owned).collect()
    }

    fn status(&self, slice: &str) -> String {
        self.told(&["status", slice])
    }

    fn expect_ready(&self, slice: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            // Until it was applied there is no such slice.
            let output = self.iotorch(&["status", slice]);
            if text(&output.stdout).contains("Ready") {
                return;
            }
            let told = text(&self.iotorch(&["describe", slice]).stdout) + &text(&output.stderr);
            assert!(Instant::now() < until, "{slice} does not become ready: {told}");
        }
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

/// A slice with a gateway and a server of `lite`, and a device.
fn lite() -> Value {
    let resource = json!({ "name": "temperature", "type": "float", "unit": "Cel" });
    json!({ "gateways": [{ "name": "gw" }], "servers": [{ "name": "hub" }],
        "devices": [{ "name": "bench-1", "protocol": "http", "resources": [resource] }] })
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

/// Two gateways of the slice are on one cluster.
fn reading(bench: &Bench) {
    let mut spec = lite();
    spec["gateways"] = json!([{ "name": "gw" }, { "name": "gw-2" }]);
    let mut second = spec["devices"][0].clone();
    spec["devices"][0]["gateway"] = json!("gw");
    (second["name"], second["gateway"]) = (json!("bench-2"), json!("gw-2"));
    spec["devices"].as_array_mut().unwrap().push(second);
    let slice = bench.document("slice-1", spec);
    bench.apply(&["slice-1"]);
    assert!(bench.told(&["plan", "-f", "slice-1.json"]).starts_with("No changes"));
    bench.send(&slice, "bench-1", "temperature=21.5");
    bench.send(&slice, "bench-2", "temperature=22.75");
    eventually("the readings are at the server", || {
        let messages = bench.data(&["messages", &slice]).to_string();
        messages.contains("21.5") && messages.contains("22.75")
    });
    bench.told(&["delete", &slice, "--yes"]);
    bench.expect_gone(&slice);
}

fn drift(bench: &Bench) {
    let slice = bench.lite("slice-1");
    bench.apply(&["slice-1"]);
    let scaled =
        bench.kubectl("edge-1", &["--namespace", &slice, "scale", "statefulset", "gw", "--replicas=0"]);
    assert!(scaled.status.success(), "{}", text(&scaled.stderr));
    eventually("the change is seen", || !bench.status(&slice).contains("Ready"));
    let plan = bench.iotorch(&["plan", "-f", "slice-1.json"]);
    assert!(text(&plan.stdout).contains("~ gw"), "{}", text(&plan.stdout));
    bench.told(&["apply", &slice]);
    bench.expect_ready(&slice);

    let removed = bench.helm("cloud-1", &["uninstall", "hub", "--namespace", &slice, "--wait"]);
    assert!(removed.status.success(), "{}", text(&removed.stderr));
    assert!(bench.status(&slice).contains("hub removed outside"), "{}", bench.status(&slice));
    bench.told(&["apply", &slice]);
    bench.expect_ready(&slice);
    bench.told(&["delete", &slice, "--yes"]);
    bench.expect_gone(&slice);
}

/// The paper's Figure A6.
fn three_on_one_cluster(bench: &Bench) {
    let slices = ["slice-1", "slice-2", "slice-3"];
    for name in slices {
        let mut spec = lite();
        spec["places"] = json!({ "edge": "edge-1", "cloud": "edge-1" });
        bench.document(name, spec);
    }
    bench.apply(&slices);
    expect_own_readings(bench, &slices);
    expect_isolation(bench, "edge-1", &slices);
    let [first, others @ ..] = slices;
    bench.told(&["delete", &bench.slice(first), "--yes"]);
    bench.expect_gone(&bench.slice(first));
    for name in others {
        assert!(bench.status(&bench.slice(name)).contains("Ready"));
    }
    delete_all(bench, &others);
}

/// The paper's Figure 4, by the documents of the examples.
fn figure_4(bench: &Bench) {
    let documents = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/figure-4");
    let mut slices = fs::read_to_string(format!("{documents}/slices.yaml")).unwrap();
    for name in NAMES {
        slices = slices.replace(&format!("name: {name}\n"), &format!("name: {}\n", bench.slice(name)));
    }
    fs::write(bench.home.path().join("slices.yaml"), slices).unwrap();

    let drone = format!("{documents}/drone.yaml");
    let files = [drone.as_str(), "edge-1.json", "cloud-1.json", "slices.yaml"];
    let host = Host::start(bench, &files);
    for name in NAMES {
        bench.expect_ready(&bench.slice(name));
    }
    expect_own_readings(bench, &NAMES);
    expect_isolation(bench, "edge-1", &["slice-1", "slice-3"]);
    delete_all(bench, &NAMES);
    host.stop();
}

/// `iotorch run`, which hosts what runs in its own process.
struct Host(Child);

impl Host {
    fn start(bench: &Bench, files: &[&str]) -> Self {
        let files = files.iter().flat_map(|file| ["-f", file]);
        let mut command = bench.command();
        let child = command.arg("run").args(files).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.unwrap())
    }

    /// Asks it to end, and waits until it has.
    fn stop(mut self) {
        let stopped = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(stopped.success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Each slice stores the readings of its own devices and of nobody else's.
fn expect_own_readings(bench: &Bench, names: &[&str]) {
    let reading = |index: usize| format!("{index}.125");
    for (index, name) in names.iter().enumerate() {
        bench.send(&bench.slice(name), "bench-1", &format!("temperature={}", reading(index)));
    }
    for (index, name) in names.iter().enumerate() {
        let messages = || bench.told(&["messages", &bench.slice(name)]);
        eventually("each has its reading", || messages().contains(&reading(index)));
        let others = (0..names.len()).filter(|other| *other != index);
        assert!(others.map(reading).all(|other| !messages().contains(&other)), "{name}: {}", messages());
    }
}

/// A pod in the namespace of a slice reaches the gateway of this slice, and that of no other on the cluster.
fn expect_isolation(bench: &Bench, cluster: &str, names: &[&str]) {
    for from in names {
        assert_eq!(bench.reached(cluster, from, names), [*from]);
    }
}

fn delete_all(bench: &Bench, names: &[&str]) {
    let slices: Vec<String> = names.iter().map(|name| bench.slice(name)).collect();
    let slices: Vec<&str> = slices.iter().map(String::as_str).collect();
    bench.told(&[&["delete"], slices.as_slice(), &["--yes"]].concat());
    slices.iter().for_each(|slice| bench.expect_gone(slice));
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
        (json!({ "memory": "1Gi" }), "exceeded quota"),
    ] {
        let chart = json!({ "source": source, "values": values });
        let quota =
            if cause.contains("quota") { json!({ "edge": { "memory": "512MiB" } }) } else { json!({}) };
        let spec = json!({ "quota": quota, "gateways": [{ "name": "gw", "chart": chart }] });
        let slice = bench.document("slice-1", spec);
        let begun = Instant::now();
        let output =
            bench.iotorch(&["apply", "-f", "edge-1.json", "-f", "cloud-1.json", "-f", "slice-1.json"]);
        let told = text(&output.stderr);
        assert!(!output.status.success() && told.contains(cause), "{values}: {told}");
        // A pod is given up after 15 s at most, or 30 s of failing.
        assert!(begun.elapsed() < Duration::from_secs(120), "{values}: it took {:?}", begun.elapsed());
        bench.expect_gone(&slice);
    }
}

/// A chart with an object of the whole cluster.
fn outside(bench: &Bench) {
    let name = bench.slice("slice-1");
    let metadata = |name: &str| json!({ "name": name });
    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata(&name) });
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../iotorch-k8s/tests/charts/parts");
    let chart = json!({ "source": source, "values": { "objects": [role] } });
    bench.document("slice-1", json!({ "gateways": [{ "name": "gw", "chart": chart }] }));
    let roles = || {
        let found =
            bench.kubectl("edge-1", &["get", "clusterrole", &name, "--ignore-not-found", "--output", "name"]);
        text(&found.stdout)
    };
    // There is no application in it that could be managed; what was made up to there is kept.
    let apply =
        ["apply", "-f", "edge-1.json", "-f", "cloud-1.json", "-f", "slice-1.json", "--on-failure", "keep"];
    assert!(!bench.iotorch(&apply).status.success());
    assert_ne!(roles(), "");
    bench.told(&["delete", &name, "--yes"]);
    assert_eq!(roles(), "");
    bench.expect_gone(&name);
}

fn foreign(bench: &Bench) {
    let slice = bench.lite("slice-1");
    assert!(bench.kubectl("edge-1", &["create", "namespace", &slice]).status.success());
    let output = bench.iotorch(&["apply", "-f", "edge-1.json", "-f", "cloud-1.json", "-f", "slice-1.json"]);
    assert!(text(&output.stderr).contains("nobody (no mark)"), "{}", text(&output.stderr));
    let there = bench.kubectl("edge-1", &["get", "namespace", &slice]);
    assert!(there.status.success());
}
