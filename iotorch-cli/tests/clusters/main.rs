//! Slices on two real clusters, as a person makes them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod paper;

use std::{
    fs,
    process::{Child, Command, ExitCode, Output, Stdio},
    time::{Duration, Instant},
};

use libtest_mimic::Arguments;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use common::{Bench, PATIENCE, System, apply, eventually, lite, text};

/// What tests call their slices.
const NAMES: [&str; 4] = ["slice-1", "slice-2", "slice-3", "slice-4"];

fn main() -> ExitCode {
    let system = System::find();
    let trial = |name: &str, test: fn(&Bench)| {
        common::trial(&system, name, move |system| test(&Bench::new(system, "test")))
    };
    let papers = system.clone().and_then(|system| Ok((system, paper::Values::find()?)));
    let paper = |name: &str, test: fn(&Bench, &paper::Values)| {
        common::trial(&papers, name, move |(system, values)| test(&Bench::new(system, "test"), &values))
    };
    let trials = vec![
        trial("a_reading_goes_from_one_cluster_to_the_other", reading),
        trial("what_somebody_has_changed_is_seen_and_mended", drift),
        trial("three_slices_with_the_same_parts_live_side_by_side_on_one_cluster", three_on_one_cluster),
        trial("four_slices_are_spread_over_cloud_edge_and_a_device", figure_4),
        trial("what_cannot_start_is_told_with_its_cause_and_taken_back", causes),
        trial("what_a_chart_makes_outside_of_its_namespace_goes_with_the_slice", outside),
        trial("a_namespace_of_somebody_else_is_left_alone", foreign),
        paper("a_reading_at_edgex_on_one_cluster_is_read_from_mainflux_on_the_other", paper::one),
        paper("three_slices_of_the_paper_live_side_by_side", paper::three),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn helm(bench: &Bench, cluster: &str, arguments: &[&str]) -> Output {
    let mut helm = Command::new(&bench.system.helm4);
    helm.args(arguments).args(["--kube-context", cluster]).env("KUBECONFIG", &bench.system.kubeconfig);
    helm.output().unwrap()
}

/// Sends a reading as a device does: until the gateway takes it, as its node port may be a moment behind.
fn send(bench: &Bench, slice: &str, device: &str, reading: &str) {
    let send = || bench.iotorch(&["send", slice, device, reading]).status.success();
    eventually("the gateway takes a reading", send);
}

/// The slices whose gateways a pod in the namespace of one of them reaches: its own first, as names may take a moment, then
/// each of the others once.
fn reached(bench: &Bench, cluster: &str, from: &str, names: &[&str]) -> Vec<String> {
    let namespace = bench.slice(from);
    let kubectl = |arguments: &[&str]| {
        bench.system.kubectl_told(cluster, &[&["--namespace", &namespace], arguments].concat())
    };
    let ask = |name: &str| {
        let host = format!("gw.{}.svc.cluster.local", bench.slice(name));
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

fn status(bench: &Bench, slice: &str) -> String {
    bench.told(&["status", slice])
}

fn expect_ready(bench: &Bench, slice: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        // Until it was applied there is no such slice.
        let output = bench.iotorch(&["status", slice]);
        if text(&output.stdout).contains("Ready") {
            return;
        }
        let told = text(&bench.iotorch(&["describe", slice]).stdout) + &text(&output.stderr);
        assert!(Instant::now() < until, "{slice} does not become ready: {told}");
    }
}

/// Two gateways of the slice are on one cluster.
fn reading(bench: &Bench) {
    let mut spec = lite(1);
    spec["gateways"] = json!([{ "name": "gw" }, { "name": "gw-2" }]);
    let mut second = spec["devices"][0].clone();
    spec["devices"][0]["gateway"] = json!("gw");
    (second["name"], second["gateway"]) = (json!("bench-2"), json!("gw-2"));
    spec["devices"].as_array_mut().unwrap().push(second);
    let slice = bench.document("slice-1", &spec);
    bench.told(&apply(&["slice-1"]));
    assert!(bench.told(&["plan", "-f", "slice-1.json"]).starts_with("No changes"));
    send(bench, &slice, "bench-1", "temperature=21.5");
    send(bench, &slice, "bench-2", "temperature=22.75");
    eventually("the readings are at the server", || {
        let messages = bench.data(&["messages", &slice]).to_string();
        messages.contains("21.5") && messages.contains("22.75")
    });
    bench.told(&["delete", &slice, "--yes"]);
    bench.expect_gone(&slice);
}

fn drift(bench: &Bench) {
    let slice = bench.document("slice-1", &lite(1));
    bench.told(&apply(&["slice-1"]));
    let scaled = bench
        .system
        .kubectl("edge-1", &["--namespace", &slice, "scale", "statefulset", "gw", "--replicas=0"]);
    assert!(scaled.status.success(), "{}", text(&scaled.stderr));
    eventually("the change is seen", || !status(bench, &slice).contains("Ready"));
    let plan = bench.iotorch(&["plan", "-f", "slice-1.json"]);
    assert!(text(&plan.stdout).contains("~ gw"), "{}", text(&plan.stdout));
    bench.told(&["apply", &slice]);
    expect_ready(bench, &slice);

    let removed = helm(bench, "cloud-1", &["uninstall", "hub", "--namespace", &slice, "--wait"]);
    assert!(removed.status.success(), "{}", text(&removed.stderr));
    assert!(status(bench, &slice).contains("hub removed outside"), "{}", status(bench, &slice));
    bench.told(&["apply", &slice]);
    expect_ready(bench, &slice);
    bench.told(&["delete", &slice, "--yes"]);
    bench.expect_gone(&slice);
}

/// The paper's Figure A6.
fn three_on_one_cluster(bench: &Bench) {
    let slices = ["slice-1", "slice-2", "slice-3"];
    for name in slices {
        let mut spec = lite(1);
        spec["places"] = json!({ "edge": "edge-1", "cloud": "edge-1" });
        bench.document(name, &spec);
    }
    bench.told(&apply(&slices));
    expect_own_readings(bench, &slices);
    expect_isolation(bench, "edge-1", &slices);
    let [first, others @ ..] = slices;
    bench.told(&["delete", &bench.slice(first), "--yes"]);
    bench.expect_gone(&bench.slice(first));
    for name in others {
        assert!(status(bench, &bench.slice(name)).contains("Ready"));
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
        expect_ready(bench, &bench.slice(name));
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
        let arguments: Vec<&str> = ["run"].into_iter().chain(files).collect();
        let mut command = bench.command(&bench.system.helm4, &arguments);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Asks it to end, and waits until it has.
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
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
        send(bench, &bench.slice(name), "bench-1", &format!("temperature={}", reading(index)));
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
        assert_eq!(reached(bench, cluster, from, names), [*from]);
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
        let slice = bench.document("slice-1", &spec);
        let begun = Instant::now();
        let output = bench.iotorch(&apply(&["slice-1"]));
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
    bench.document("slice-1", &json!({ "gateways": [{ "name": "gw", "chart": chart }] }));
    let roles = || {
        bench
            .system
            .kubectl_told("edge-1", &["get", "clusterrole", &name, "--ignore-not-found", "--output=name"])
    };
    // There is no application in it that could be managed; what was made up to there is kept.
    let mut apply = apply(&["slice-1"]);
    apply.push("--on-failure=keep".to_owned());
    assert!(!bench.iotorch(&apply).status.success());
    assert_ne!(roles(), "");
    bench.told(&["delete", &name, "--yes"]);
    assert_eq!(roles(), "");
    bench.expect_gone(&name);
}

fn foreign(bench: &Bench) {
    let slice = bench.document("slice-1", &lite(1));
    assert!(bench.system.kubectl("edge-1", &["create", "namespace", &slice]).status.success());
    let output = bench.iotorch(&apply(&["slice-1"]));
    assert!(text(&output.stderr).contains("nobody (no mark)"), "{}", text(&output.stderr));
    let there = bench.system.kubectl("edge-1", &["get", "namespace", &slice]);
    assert!(there.status.success());
}
