//! Two clusters, `edge-1` and `cloud-1`, and the command that works on them.
//!
//! `IOTORCH_KUBECONFIG` has both as contexts, `IOTORCH_HELM4` is a helm, `IOTORCH_HELM3` another if it is there, `IOTORCH_KUBECTL` a
//! kubectl, and `IOTORCH_LITE_IMAGE` an image of iotorch that both clusters have; `cargo xtask testbed up k8s` brings up such clusters.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::{
    env,
    ffi::OsStr,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take on a busy machine that can take long: to start a pod, or to remove one.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub const CLUSTERS: [&str; 2] = ["edge-1", "cloud-1"];

/// What there is to test with.
#[derive(Clone, Debug)]
pub struct System {
    pub kubeconfig: PathBuf,
    pub helm4: PathBuf,
    pub helm3: Option<PathBuf>,
    kubectl: PathBuf,
    image: String,
}

impl System {
    /// What the environment names, or what it does not.
    #[allow(clippy::disallowed_methods, reason = "a test is told by the environment what there is")]
    pub fn find() -> Result<Self, &'static str> {
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        Ok(Self {
            kubeconfig: set("IOTORCH_KUBECONFIG").ok_or("kubernetes")?.into(),
            helm4: set("IOTORCH_HELM4").ok_or("helm4")?.into(),
            helm3: set("IOTORCH_HELM3").map(PathBuf::from),
            kubectl: set("IOTORCH_KUBECTL").unwrap_or_else(|| "kubectl".to_owned()).into(),
            image: set("IOTORCH_LITE_IMAGE").ok_or("kubernetes")?,
        })
    }

    /// Runs kubectl with this on its standard input.
    pub fn kubectl_with(&self, cluster: &str, arguments: &[&str], input: &str) -> Output {
        let mut kubectl = Command::new(&self.kubectl);
        kubectl.args(["--context", cluster]).args(arguments).env("KUBECONFIG", &self.kubeconfig);
        kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut kubectl = kubectl.spawn().unwrap();
        kubectl.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        kubectl.wait_with_output().unwrap()
    }

    pub fn kubectl(&self, cluster: &str, arguments: &[&str]) -> Output {
        self.kubectl_with(cluster, arguments, "")
    }

    /// What a kubectl prints that has to succeed.
    pub fn kubectl_told(&self, cluster: &str, arguments: &[&str]) -> String {
        told(&self.kubectl(cluster, arguments))
    }

    /// The settings of a cluster: its context, and the image that is there.
    pub fn settings(&self, cluster: &str) -> Value {
        let (repository, tag) = self.image.rsplit_once(':').unwrap();
        let image = json!({ "repository": repository, "tag": tag, "pullPolicy": "Never" });
        json!({ "context": cluster, "lite": { "image": image } })
    }
}

/// Whether this system must be there, as CONTRIBUTING.md says.
#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what must be there")]
pub fn is_required(system: &str) -> bool {
    let required = env::var("IOTORCH_REQUIRE").unwrap_or_default();
    required.split(',').any(|word| ["all", system].contains(&word.trim()))
}

/// A trial that is ignored, with the reason, where what it needs is absent and need not be there.
pub fn trial<S: Clone + Send + 'static>(
    system: &Result<S, &'static str>,
    name: &str,
    test: impl FnOnce(S) + Send + 'static,
) -> Trial {
    let is_ignored = system.as_ref().is_err_and(|missing| !is_required(missing));
    let absent = |missing: &str| format!("{missing} is absent");
    let kind = system.as_ref().err().map_or_else(|| "kubernetes".to_owned(), |missing| absent(missing));
    let system = system.clone();
    let trial = Trial::test(name, move || {
        test(system.map_err(absent)?);
        Ok(())
    });
    trial.with_kind(kind).with_ignored_flag(is_ignored)
}

/// A home directory with the documents of the clusters, and names of slices that nobody else has.
pub struct Bench {
    pub system: System,
    pub home: TempDir,
    /// That of the command, and of nobody else here.
    pub kubeconfig: PathBuf,
    prefix: String,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Whatever a test has left when it failed; those that are in order have nothing.
        for cluster in CLUSTERS {
            let found = text(&self.system.kubectl(cluster, &["get", "namespaces", "--output=name"]).stdout);
            for namespace in found.lines().filter(|name| name.contains(&self.prefix)) {
                let _ = self.system.kubectl(cluster, &["delete", namespace, "--wait=false"]);
            }
        }
    }
}

impl Bench {
    /// A bench whose slices have names that begin with a word.
    pub fn new(system: System, word: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().file_name().unwrap().to_string_lossy().to_lowercase();
        let prefix = format!("{word}-{}", own.trim_matches(|c: char| !c.is_ascii_alphanumeric()));
        let bench = Self { kubeconfig: system.kubeconfig.clone(), system, home, prefix };
        bench.places(|_| {});
        bench
    }

    /// The name of a slice of this bench.
    pub fn slice(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Writes `NAME.json`.
    pub fn write(&self, name: &str, document: &Value) {
        fs::write(self.home.path().join(format!("{name}.json")), document.to_string()).unwrap();
    }

    /// Writes the documents of both clusters, with their settings changed.
    pub fn places(&self, change: impl Fn(&mut Value)) {
        for (name, tier) in CLUSTERS.into_iter().zip(["edge", "cloud"]) {
            let mut settings = self.system.settings(name);
            change(&mut settings);
            let spec = json!({ "driver": "kubernetes", "tier": tier, "settings": settings });
            self.write(name, &document("Infrastructure", name, &spec));
        }
    }

    /// Writes the document of a slice, and gives its name.
    pub fn document(&self, name: &str, spec: &Value) -> String {
        let slice = self.slice(name);
        self.write(name, &document("Slice", &slice, spec));
        slice
    }

    pub fn command<S: AsRef<OsStr>>(&self, helm: &Path, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iotorch"));
        command.args(arguments).current_dir(self.home.path()).env_clear();
        command.env("HOME", self.home.path()).env("KUBECONFIG", &self.kubeconfig);
        command.env("IOTORCH_HELM", helm).stdin(Stdio::null());
        command
    }

    pub fn iotorch<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        self.command(&self.system.helm4, arguments).output().unwrap()
    }

    /// What a command prints that has to succeed.
    pub fn told<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        told(&self.iotorch(arguments))
    }

    pub fn data(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.told(&[arguments, &["--output", "json"]].concat())).unwrap()
    }

    /// The slice is nowhere.
    pub fn expect_gone(&self, slice: &str) {
        for cluster in CLUSTERS {
            let found = ["get", "namespace", slice, "--ignore-not-found", "--output=name"];
            assert_eq!(self.system.kubectl_told(cluster, &found), "", "on {cluster}");
        }
    }
}

fn document(kind: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "iotorch.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}

/// How to apply `NAME.json` of each of these, with the documents of the clusters.
pub fn apply(names: &[&str]) -> Vec<String> {
    let files = CLUSTERS.iter().chain(names).map(|name| format!("--file={name}.json"));
    ["apply".to_owned()].into_iter().chain(files).collect()
}

/// What a command has printed that has to succeed.
pub fn told(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// A slice with a gateway and a server of `lite`, and so many devices.
pub fn lite(devices: u32) -> Value {
    let resource = json!({ "name": "temperature", "type": "float", "unit": "Cel" });
    let device =
        |number| json!({ "name": format!("bench-{number}"), "protocol": "http", "resources": [resource] });
    json!({ "gateways": [{ "name": "gw" }], "servers": [{ "name": "hub" }],
        "devices": (1..=devices).map(device).collect::<Vec<_>>() })
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asks again and again, as what is asked is another process.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "{what} does not come true");
    }
}
