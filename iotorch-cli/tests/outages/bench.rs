//! Two clusters that can be hurt, and the command that works on them.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use iotorch_testbed::{Cluster, Component, Link, Testbed};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take on a busy machine that can take long: to start a pod, or to remove one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) const CLUSTERS: [&str; 2] = ["edge-1", "cloud-1"];

/// What no test may leave behind, or change: whatever is there in any namespace.
const KEPT: &str = "secrets,configmaps,persistentvolumeclaims";

/// What there is to test with.
#[derive(Clone, Debug)]
pub(crate) struct System {
    testbed: Testbed,
    image: String,
}

impl System {
    #[allow(clippy::disallowed_methods, reason = "a test is told by the environment what there is")]
    pub(crate) fn find() -> Result<Self, &'static str> {
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let kubeconfig = set("IOTORCH_KUBECONFIG").ok_or("kubernetes")?;
        // Clusters of another kind can be used, but not hurt.
        let testbed = Testbed::open().map_err(|_| "testbed")?;
        if testbed.kubeconfig() != Path::new(&kubeconfig) {
            return Err("testbed");
        }
        Ok(Self { testbed, image: set("IOTORCH_LITE_IMAGE").ok_or("kubernetes")? })
    }

    pub(crate) fn cluster(&self, name: &str) -> &Cluster {
        self.testbed.cluster(name).unwrap()
    }

    /// Everything that is kept on both clusters, a line each: namespaces, Secrets (those of releases of Helm among them), ConfigMaps,
    /// and volumes with their claims.
    pub(crate) fn inventory(&self) -> BTreeSet<String> {
        let mut inventory = BTreeSet::new();
        for name in CLUSTERS {
            let each = |kinds: &str, fields: &str| {
                let template = format!("--output=jsonpath={{range .items[*]}}{fields}{{\"\\n\"}}{{end}}");
                self.cluster(name).kubectl(["get", kinds, "--all-namespaces", &template]).unwrap()
            };
            let whole = each("namespaces,persistentvolumes", "{.kind} {.metadata.name}");
            let inside = each(KEPT, "{.kind} {.metadata.namespace}/{.metadata.name}");
            inventory.extend(whole.lines().chain(inside.lines()).map(|line| format!("{name}: {line}")));
        }
        inventory
    }

    /// Makes everything work again that a test may have hurt.
    pub(crate) fn heal(&self) {
        for name in CLUSTERS {
            let cluster = self.cluster(name);
            for link in [Link::Uplink, Link::Direct] {
                cluster.mend(link).unwrap();
            }
            for component in [Component::ApiServer, Component::Kubelet] {
                cluster.start(component).unwrap();
            }
            cluster.wait_until_ready().unwrap();
        }
    }
}

/// Whether this system must be there, as CONTRIBUTING.md says.
#[allow(clippy::disallowed_methods, reason = "a test is told by the environment what must be there")]
pub(crate) fn is_required(system: &str) -> bool {
    let required = env::var("IOTORCH_REQUIRE").unwrap_or_default();
    // Only that of the testbed can be hurt.
    let system = if system == "testbed" { "kubernetes" } else { system };
    required.split(',').any(|word| ["all", system].contains(&word.trim()))
}

/// A home directory with the documents of the clusters, and names of slices that nobody else has.
pub(crate) struct Bench {
    pub(crate) system: System,
    home: TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Whatever a test has left when it failed; those that are in order have nothing.
        self.system.heal();
        for cluster in CLUSTERS {
            let found = self.system.cluster(cluster).kubectl(["get", "namespaces", "--output=name"]);
            for namespace in found.unwrap_or_default().lines().filter(|name| name.contains(&self.slice(""))) {
                let _ = self.system.cluster(cluster).kubectl(["delete", namespace, "--wait=false"]);
            }
        }
    }
}

impl Bench {
    pub(crate) fn new(system: System) -> Self {
        let bench = Self { system, home: tempfile::tempdir().unwrap() };
        let (repository, tag) = bench.system.image.rsplit_once(':').unwrap();
        let image = json!({ "repository": repository, "tag": tag, "pullPolicy": "Never" });
        for (name, tier) in CLUSTERS.into_iter().zip(["edge", "cloud"]) {
            // What cannot be reached shows soon, so that tests are short.
            let settings = json!({ "context": name, "connectTimeout": "2s", "lite": { "image": image } });
            bench.write(name, &json!({ "apiVersion": "iotorch.dev/v1alpha1", "kind": "Infrastructure",
                "metadata": { "name": name }, "spec": { "driver": "kubernetes", "tier": tier, "settings": settings } }));
        }
        bench
    }

    /// The name of a slice of this bench.
    pub(crate) fn slice(&self, name: &str) -> String {
        let own = self.home.path().file_name().unwrap().to_string_lossy().to_lowercase();
        format!("hurt-{}-{name}", own.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
    }

    fn write(&self, name: &str, document: &Value) {
        fs::write(self.home.path().join(format!("{name}.json")), document.to_string()).unwrap();
    }

    /// Writes the document of a slice, as `NAME.json`.
    pub(crate) fn document(&self, name: &str, spec: &Value) -> String {
        let slice = self.slice(name);
        let metadata = json!({ "name": slice });
        let slice_of = json!({ "apiVersion": "iotorch.dev/v1alpha1", "kind": "Slice", "metadata": metadata, "spec": spec });
        self.write(name, &slice_of);
        slice
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iotorch"));
        command.args(arguments).current_dir(self.home.path()).env_clear();
        command.env("HOME", self.home.path()).env("KUBECONFIG", self.system.testbed.kubeconfig());
        command.env("IOTORCH_HELM", self.system.testbed.helm4()).stdin(Stdio::null());
        command
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command prints that has to succeed.
    pub(crate) fn told(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub(crate) fn data(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.told(&[arguments, &["--output", "json"]].concat())).unwrap()
    }

    /// Starts a command and listens to it.
    pub(crate) fn start(&self, arguments: &[&str]) -> Working {
        let mut command = self.command(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        Working::new(command.spawn().unwrap())
    }

    /// Whether the clusters are as the document of a slice says, the slice on its own and apart from others.
    pub(crate) fn is_as_documented(&self, name: &str) -> bool {
        let plan = self.output(&["plan", "--exit-code", "-f", &format!("{name}.json")]);
        plan.status.code() == Some(0)
    }

    /// What is not as the document of a slice says.
    pub(crate) fn changes(&self, name: &str) -> String {
        text(&self.output(&["plan", "-f", &format!("{name}.json")]).stdout)
    }

    pub(crate) fn open_runs(&self) -> Vec<Value> {
        serde_json::from_value(self.data(&["runs", "--open"])).unwrap()
    }

    pub(crate) fn has_waiting_run(&self) -> bool {
        self.open_runs().iter().any(|run| run["state"] == "waiting")
    }

    /// What the namespace of a slice has on a cluster; all revisions of a release of Helm are one. Nothing where there is no such
    /// namespace.
    pub(crate) fn contents(&self, cluster: &str, slice: &str) -> BTreeSet<String> {
        let kinds = format!("{KEPT},statefulsets,services,networkpolicies");
        let found =
            self.system.cluster(cluster).kubectl(["get", &kinds, "--namespace", slice, "--output=name"]);
        let found = found.unwrap();
        let one_of_all = |name: &str| match name.rsplit_once(".v") {
            Some((release, _)) if name.starts_with("secret/sh.helm.release.v1.") => release.to_owned(),
            _ => name.to_owned(),
        };
        found.lines().map(one_of_all).collect()
    }

    /// What the namespace of a slice has where these parts of it are, each of `lite`.
    pub(crate) fn contents_of(parts: &[&str]) -> BTreeSet<String> {
        let of_a_part = |part: &&str| {
            [
                format!("configmap/{part}-settings"),
                format!("configmap/iotorch.{part}"),
                format!("persistentvolumeclaim/{part}"),
                format!("secret/{part}-iotorch"),
                format!("secret/sh.helm.release.v1.{part}"),
                format!("service/{part}"),
                format!("service/{part}-data"),
                format!("statefulset.apps/{part}"),
            ]
        };
        let of_all = ["configmap/kube-root-ca.crt", "networkpolicy.networking.k8s.io/iotorch"];
        parts.iter().flat_map(of_a_part).chain(of_all.map(str::to_owned)).collect()
    }

    /// The slice is nowhere.
    pub(crate) fn expect_gone(&self, slice: &str) {
        for cluster in CLUSTERS {
            let found = ["get", "namespace", slice, "--ignore-not-found", "--output=name"];
            assert_eq!(self.system.cluster(cluster).kubectl(found).unwrap(), "", "on {cluster}");
        }
    }
}

/// A command at work.
pub(crate) struct Working {
    child: Child,
    lines: Receiver<String>,
    reader: JoinHandle<()>,
    /// What it has said.
    pub(crate) said: String,
}

impl Working {
    fn new(mut child: Child) -> Self {
        let errors = child.stderr.take().unwrap();
        let (sender, lines) = channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                // A test that has heard enough does not listen any more.
                let _ = sender.send(line);
            }
        });
        Self { child, lines, reader, said: String::new() }
    }

    /// Waits until it says this.
    pub(crate) fn until(&mut self, words: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.said.contains(words) {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.hear(&line),
                Err(RecvTimeoutError::Disconnected) => panic!("it never says {words:?}: {}", self.said),
                Err(RecvTimeoutError::Timeout) => panic!("it does not say {words:?}: {}", self.said),
            }
        }
    }

    /// Listens for so long, or until it ends.
    pub(crate) fn listen(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.hear(&line);
        }
    }

    fn hear(&mut self, line: &str) {
        self.said.push_str(line);
        self.said.push('\n');
    }

    /// Waits until it ends.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let until = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.hear(&line);
        }
        assert!(Instant::now() < until, "it does not end: {}", self.said);
        let status = self.child.wait().unwrap();
        self.reader.join().unwrap();
        (status, self.said)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// As Ctrl-C.
    pub(crate) fn interrupt(&self) {
        kill_process(self.pid(), Signal::INT).unwrap();
    }

    /// The helms that are at work for it.
    fn helms(&self) -> Vec<Pid> {
        children(self.pid())
    }

    /// The helm that does this for it, when there is one.
    pub(crate) fn helm(&self, operation: &str) -> Option<Pid> {
        let does = |pid: &Pid| {
            let arguments = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
            arguments.split(|byte| *byte == 0).nth(1) == Some(operation.as_bytes())
        };
        self.helms().into_iter().find(does)
    }

    /// `kill -9`, of the process alone or of its helms too; gives how many of these were at work.
    pub(crate) fn kill(mut self, with_helms: bool) -> usize {
        let helms = self.helms();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        for helm in helms.iter().filter(|_| with_helms) {
            // One that has ended meanwhile is gone.
            let _ = kill_process(*helm, Signal::KILL);
        }
        self.reader.join().unwrap();
        helms.len()
    }
}

/// The processes whose parent is this one (`proc_pid_stat(5)`).
fn children(of: Pid) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let is_child = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name before it, in parentheses, can have spaces.
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1));
        parent.is_some_and(|parent| parent == of.as_raw_nonzero().to_string())
    };
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    pids.filter(is_child).filter_map(Pid::from_raw).collect()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "{what} does not come true");
    }
}
