//! What the tests stand on: the testbed that they share, namespaces of their own, and what mends itself.

use std::sync::OnceLock;
use std::thread;

use iotorch_testbed::{Cluster, Component, Kind, Link, Testbed};

#[allow(clippy::print_stderr, reason = "a test that takes minutes tells what it is at")]
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
}

/// The testbed that all tests but the last share.
pub(crate) fn testbed() -> &'static Testbed {
    static TESTBED: OnceLock<Testbed> = OnceLock::new();
    TESTBED.get_or_init(|| Testbed::up_for_tests(Kind::K8s, None, &tell).unwrap())
}

pub(crate) fn edge() -> &'static Cluster {
    testbed().cluster("edge-1").unwrap()
}

pub(crate) fn cloud() -> &'static Cluster {
    testbed().cluster("cloud-1").unwrap()
}

/// A namespace of a test's own, which goes with everything in it when the test ends.
pub(crate) struct Namespace<'a> {
    cluster: &'a Cluster,
    pub(crate) name: String,
}

impl<'a> Namespace<'a> {
    pub(crate) fn new(cluster: &'a Cluster, test: &str) -> Self {
        // A testbed that was up before may have somebody's own namespaces.
        let name = format!("iotorch-live-{test}");
        // An earlier run may have been killed.
        cluster.kubectl(["delete", "namespace", &name, "--ignore-not-found"]).unwrap();
        cluster.kubectl(["create", "namespace", &name]).unwrap();
        cluster
            .kubectl(["wait", "--namespace", &name, "--for=create", "serviceaccount/default", "--timeout=1m"])
            .unwrap();
        Self { cluster, name }
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String, iotorch_testbed::Error> {
        self.cluster.kubectl([&["--namespace", self.name.as_str()], arguments].concat())
    }

    /// Starts a pod, and waits until it is ready.
    pub(crate) fn run(&self, pod: &str, image: &str, command: &[&str]) {
        let image = format!("--image={image}");
        let mut arguments = vec!["run", pod, &image, "--image-pull-policy=Never", "--restart=Never"];
        if !command.is_empty() {
            arguments.extend(["--command", "--"]);
            arguments.extend(command);
        }
        self.kubectl(&arguments).unwrap();
        self.ready(pod);
    }

    pub(crate) fn ready(&self, pod: &str) {
        self.kubectl(&["wait", "--for=condition=Ready", &format!("pod/{pod}"), "--timeout=1m"]).unwrap();
    }

    /// Runs a script in a pod.
    pub(crate) fn exec(&self, pod: &str, script: &str) -> Result<String, iotorch_testbed::Error> {
        self.kubectl(&["exec", pod, "--", "sh", "-c", script])
    }

    pub(crate) fn get(&self, object: &str, path: &str) -> String {
        self.kubectl(&["get", object, &format!("--output=jsonpath={{{path}}}")]).unwrap()
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        // Programs in these pods do not listen to a request to end, so they are not given long.
        let deleted = self
            .kubectl(&["delete", "pods", "--all", "--now"])
            .and_then(|_| self.cluster.kubectl(["delete", "namespace", &self.name]));
        if !thread::panicking() {
            deleted.unwrap();
        }
    }
}

pub(crate) type Mended = Result<(), iotorch_testbed::Error>;

/// What a test has broken, until this goes; also when the test fails.
pub(crate) struct Broken<F: Fn() -> Mended>(F);

impl<F: Fn() -> Mended> Drop for Broken<F> {
    fn drop(&mut self) {
        let mended = (self.0)();
        if !thread::panicking() {
            mended.unwrap();
        }
    }
}

pub(crate) fn cut(cluster: &Cluster, link: Link) -> Broken<impl Fn() -> Mended> {
    cluster.cut(link).unwrap();
    Broken(move || cluster.mend(link))
}

pub(crate) fn kill(cluster: &Cluster, component: Component) -> Broken<impl Fn() -> Mended> {
    cluster.kill(component).unwrap();
    Broken(move || cluster.start(component))
}
