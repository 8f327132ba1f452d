//! Two clusters that can be hurt, and the command that works on them.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    mem,
    os::unix::process::CommandExt,
    process::{Child, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use iotorch_testbed::{Cluster, Component, Link, Testbed};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};

use crate::common::{self, CLUSTERS, PATIENCE, text};

/// What no test may leave behind, or change: whatever is there in any namespace.
const KEPT: &str = "secrets,configmaps,persistentvolumeclaims";

/// What there is to test with.
#[derive(Clone, Debug)]
pub(crate) struct System {
    clusters: common::System,
    testbed: Testbed,
}

impl System {
    pub(crate) fn find() -> Result<Self, &'static str> {
        let clusters = common::System::find()?;
        // Clusters of another kind can be used, but not hurt.
        match Testbed::open() {
            Ok(testbed) if testbed.kubeconfig() == clusters.kubeconfig => Ok(Self { clusters, testbed }),
            _ => Err("kubernetes"),
        }
    }

    pub(crate) fn cluster(&self, name: &str) -> &Cluster {
        self.testbed.cluster(name).unwrap()
    }

    /// Everything that is kept on both clusters, a line each: namespaces, Secrets (those of releases of Helm among them), ConfigMaps,
    /// and claims of volumes.
    pub(crate) fn inventory(&self) -> BTreeSet<String> {
        let mut inventory = self.list("namespaces");
        inventory.extend(self.list(KEPT));
        inventory
    }

    /// The volumes on both clusters, a line each.
    pub(crate) fn volumes(&self) -> BTreeSet<String> {
        self.list("persistentvolumes")
    }

    fn list(&self, kinds: &str) -> BTreeSet<String> {
        let fields = "{.kind} {.metadata.namespace}/{.metadata.name}";
        let template = format!("--output=jsonpath={{range .items[*]}}{fields}{{\"\\n\"}}{{end}}");
        let get = ["get", kinds, "--all-namespaces", &template];
        let of = |cluster: &'static str| {
            let listed = self.clusters.kubectl_told(cluster, &get);
            listed.lines().map(|line| format!("{cluster}: {line}")).collect::<Vec<_>>()
        };
        CLUSTERS.into_iter().flat_map(of).collect()
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

/// A bench whose clusters can be hurt.
pub(crate) struct Bench {
    pub(crate) base: common::Bench,
    system: System,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Before the base removes what a test has left when it failed.
        self.system.heal();
    }
}

impl Bench {
    pub(crate) fn new(system: System) -> Self {
        let base = common::Bench::new(system.clusters.clone(), "hurt");
        // What cannot be reached shows soon, so that tests are short.
        base.places(|settings| settings["connectTimeout"] = json!("2s"));
        Self { base, system }
    }

    /// Starts a command and listens to it.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Working {
        let mut command = self.base.command(&self.base.system.helm4, arguments);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        Working::new(command.spawn().unwrap())
    }

    /// Whether the clusters are as the document of a slice says, the slice on its own and apart from others.
    pub(crate) fn is_as_documented(&self, name: &str) -> bool {
        let plan = self.base.iotorch(&["plan", "--exit-code", "-f", &format!("{name}.json")]);
        plan.status.code() == Some(0)
    }

    /// What is not as the document of a slice says.
    pub(crate) fn changes(&self, name: &str) -> String {
        text(&self.base.iotorch(&["plan", "-f", &format!("{name}.json")]).stdout)
    }

    pub(crate) fn open_runs(&self) -> Vec<Value> {
        serde_json::from_value(self.base.data(&["runs", "--open"])).unwrap()
    }

    pub(crate) fn has_waiting_run(&self) -> bool {
        self.open_runs().iter().any(|run| run["state"] == "waiting")
    }

    /// What the namespace of a slice has on a cluster; all revisions of a release of Helm are one. Nothing where there is no such
    /// namespace.
    pub(crate) fn contents(&self, cluster: &str, slice: &str) -> BTreeSet<String> {
        let kinds = format!("{KEPT},statefulsets,services,networkpolicies");
        let get = ["get", &kinds, "--namespace", slice, "--output=name"];
        let found = self.base.system.kubectl_told(cluster, &get);
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
}

/// A command at work, in a process group of its own; it ends with the test, and so do its helms.
pub(crate) struct Working {
    child: Child,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
    /// What it has said.
    pub(crate) said: String,
}

impl Drop for Working {
    fn drop(&mut self) {
        // It has ended unless the test failed, and may have left helms at work that are meant to be.
        if let Ok(None) = self.child.try_wait() {
            // Each helm has a group of its own.
            for group in [vec![self.pid()], self.helms()].concat() {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = self.child.wait();
        }
    }
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
        Self { child, lines, reader: Some(reader), said: String::new() }
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
        self.stop_listening();
        (status, mem::take(&mut self.said))
    }

    fn stop_listening(&mut self) {
        self.reader.take().into_iter().for_each(|reader| reader.join().unwrap());
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
        self.stop_listening();
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
