//! One cluster of the testbed: what tests do with it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::addresses::Addresses;
use crate::clean;
use crate::command::Tool;
use crate::component::Component;
use crate::config::{self, ADMIN, Access, DOMAIN, NOBODY};
use crate::error::{Error, Result};
use crate::groups;
use crate::image::Image;
use crate::kind::Kind;
use crate::layout::Layout;
use crate::modules::{Module, Programs};
use crate::network::{self, Link};
use crate::pieces;
use crate::process::{self, Process};
use crate::progress::Progress;

const MANIFEST: &str = include_str!("../manifests/cluster.yaml");
const DNS_MANIFEST: &str = include_str!("../manifests/dns.yaml");

/// The namespace of images that the kubelet knows.
const IMAGE_NAMESPACE: &str = "k8s.io";

/// How long an API server may take to come up, and a node to be ready: on a busy machine many times what is usual.
const PATIENCE: Duration = Duration::from_secs(120);

/// A cluster that runs, or ran.
#[derive(Debug, Clone)]
pub struct Cluster {
    name: &'static str,
    kind: Kind,
    addresses: Addresses,
    layout: Layout,
    programs: Programs,
}

/// A node as the API tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether its condition `Ready` is true.
    pub is_ready: bool,
}

impl Cluster {
    pub(crate) fn all(kind: Kind, state: &Path, programs: &Programs) -> Vec<Self> {
        (0..)
            .zip(kind.clusters())
            .map(|(index, name)| Self {
                name,
                kind,
                addresses: Addresses::of(index),
                layout: Layout::new(state, name),
                programs: programs.clone(),
            })
            .collect()
    }

    /// Its name, which is also that of its context in the testbed's kubeconfig, and of its node.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its addresses; API server and node ports are at that of the node.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The programs that it consists of.
    #[must_use]
    pub fn components(&self) -> &'static [Component] {
        self.kind.components()
    }

    /// Where containerd listens, for `ctr --address … --namespace k8s.io`; no cluster of simulated nodes has one.
    #[must_use]
    pub fn containerd_socket(&self) -> PathBuf {
        self.layout.containerd_socket()
    }

    /// The file that a component logs to.
    #[must_use]
    pub fn log(&self, component: Component) -> PathBuf {
        self.layout.log(component)
    }

    /// A kubeconfig of this cluster alone, whose context is of this user: `admin`, who may do everything, or `nobody`, who may do
    /// nothing but what every user may.
    #[must_use]
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.layout.kubeconfig(user)
    }

    /// Runs `kubectl` as the user `admin` and gives what it prints.
    ///
    /// # Errors
    ///
    /// It fails; the cause is what it said.
    pub fn kubectl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        self.kubectl_tool().args(arguments).ask()
    }

    /// Applies YAML or JSON documents by `kubectl apply`.
    ///
    /// # Errors
    ///
    /// It fails; the cause is what it said.
    pub fn apply(&self, documents: &str) -> Result<()> {
        self.kubectl_tool().args(["apply", "--server-side", "-f", "-"]).input(documents).ask().map(drop)
    }

    fn kubectl_tool(&self) -> Tool {
        // The caller's environment must not lead elsewhere.
        Tool::new(self.programs.path(Module::Kubernetes, "kubectl"))
            .without_env("KUBECONFIG")
            .env("NO_PROXY", "*")
            .env("KUBECACHEDIR", self.layout.kubectl_cache())
            .arg(format!("--kubeconfig={}", self.layout.kubeconfig(ADMIN).display()))
    }

    /// The process of a component, while it runs.
    #[must_use]
    pub fn process(&self, component: Component) -> Option<Process> {
        clean::recorded(&self.layout, component).filter(Process::is_alive)
    }

    /// Ends a component at once, as by `kill -9`, and waits until it is gone. Containers go on without it.
    ///
    /// # Errors
    ///
    /// The cluster has no such component, or the process does not end.
    pub fn kill(&self, component: Component) -> Result<()> {
        self.must_have(component, "end")?;
        self.process(component).map_or(Ok(()), |process| process.kill())
    }

    /// Starts a component again, as it was started before; nothing happens to one that runs. What depends on it may
    /// need a while: see [`Cluster::wait_until_ready`].
    ///
    /// # Errors
    ///
    /// The cluster has no such component, or it cannot be started.
    pub fn start(&self, component: Component) -> Result<()> {
        self.must_have(component, "start")?;
        if self.process(component).is_some() {
            return Ok(());
        }
        let process = Process::start(
            &self.layout.namespace(),
            &component.program(&self.programs),
            &component.arguments(&self.layout, self.addresses, &self.programs),
            self.layout.folder(),
            &self.layout.log(component),
        )?;
        let record = serde_json::to_vec(&process)
            .map_err(|error| Error::new("cannot write down a process").with_source(error))?;
        config::file(&self.layout.process(component), &record)
    }

    fn must_have(&self, component: Component, verb: &str) -> Result<()> {
        if self.components().contains(&component) {
            return Ok(());
        }
        Err(Error::new(format!("cannot {verb} \"{component}\": \"{}\" has none", self.name)))
    }

    /// Waits until the API answers and every node is ready.
    ///
    /// # Errors
    ///
    /// A component has ended, or it takes longer than two minutes.
    pub fn wait_until_ready(&self) -> Result<()> {
        self.wait_for_api()?;
        self.wait(|| {
            let nodes = self.nodes()?;
            Ok(!nodes.is_empty() && nodes.iter().all(|node| node.is_ready))
        })
        .map_err(|error| {
            Error::new(format!("cannot see all nodes of \"{}\" ready", self.name)).with_source(error)
        })
    }

    /// The nodes, as the API tells of them.
    ///
    /// # Errors
    ///
    /// The API does not answer.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        let answer = self.kubectl(["get", "nodes", "--output=json", "--request-timeout=5s"])?;
        let answer: Value = serde_json::from_str(&answer)
            .map_err(|error| Error::new("cannot read what kubectl tells of nodes").with_source(error))?;
        let nodes = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(nodes.iter().map(node).collect())
    }

    /// Loads an image from an archive as `docker save` writes it.
    ///
    /// # Errors
    ///
    /// The archive cannot be read, or containerd does not take it.
    pub fn load_image(&self, archive: &Path) -> Result<()> {
        self.ctr().args(["images", "import", "--all-platforms"]).arg(archive).ask().map(drop).map_err(
            |error| {
                Error::new(format!("cannot load \"{}\" into \"{}\"", archive.display(), self.name))
                    .with_source(error)
            },
        )
    }

    /// Builds an image and loads it.
    ///
    /// # Errors
    ///
    /// As [`Image::write_to`] and [`Cluster::load_image`].
    pub fn load(&self, image: &Image) -> Result<()> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = self.layout.folder().join(format!("image-{}-{number}.tar", std::process::id()));
        let loaded = image.save(&path).and_then(|()| self.load_image(&path));
        // Without its archive the image is loaded all the same.
        let _ = fs::remove_file(path);
        loaded
    }

    /// The names of all images that pods can use.
    ///
    /// # Errors
    ///
    /// containerd does not answer.
    pub fn images(&self) -> Result<Vec<String>> {
        if !self.components().contains(&Component::Containerd) {
            return Ok(Vec::new());
        }
        let names = self.ctr().args(["images", "list", "--quiet"]).ask()?;
        // Each image is also there by its digest.
        Ok(names.lines().filter(|name| !name.starts_with("sha256:")).map(str::to_owned).collect())
    }

    fn ctr(&self) -> Tool {
        Tool::new("ctr")
            .arg(format!("--address={}", self.layout.containerd_socket().display()))
            .arg(format!("--namespace={IMAGE_NAMESPACE}"))
    }

    /// Has a link of this cluster lose every packet, both ways, until [`Cluster::mend`]: connections hang, as when a cable
    /// far away is cut.
    ///
    /// # Errors
    ///
    /// The cluster is not there.
    pub fn cut(&self, link: Link) -> Result<()> {
        network::cut(&self.layout, link)
    }

    /// Ends [`Cluster::cut`]; nothing happens to a link that is whole.
    ///
    /// # Errors
    ///
    /// The cluster is not there.
    pub fn mend(&self, link: Link) -> Result<()> {
        network::mend(&self.layout, link)
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How people reach it.
    pub(crate) fn access(&self) -> Result<Access> {
        config::access(&self.layout, self.addresses, &[ADMIN, NOBODY])
    }

    /// Makes its namespace and files.
    pub(crate) fn prepare(&self, progress: Progress<'_>) -> Result<()> {
        config::write(self.kind, &self.layout, self.addresses, &self.programs, progress)?;
        if self.components().contains(&Component::Kubelet) {
            groups::create(&self.layout.unique_name())?;
        }
        network::create(&self.layout, self.addresses, progress)
    }

    /// Starts all its components, and waits until it can be used.
    pub(crate) fn bring_up(&self, images: &[Image], objects: &str, progress: Progress<'_>) -> Result<()> {
        let started = Instant::now();
        for component in self.components() {
            match component {
                // They would only fail until the API answers.
                Component::ControllerManager => self.wait_for_api()?,
                // Its pods need the images at once.
                Component::Kubelet => self.load_all(images)?,
                _ => {}
            }
            self.start(*component)?;
        }
        progress(&format!("{}: the API answers after {:.1} s", self.name, started.elapsed().as_secs_f64()));
        self.apply(MANIFEST)?;
        if self.components().contains(&Component::Kubelet) {
            self.apply(&self.dns())?;
        }
        if !objects.is_empty() {
            self.apply(objects)?;
        }
        self.wait_until_ready()?;
        if self.components().contains(&Component::Kubelet) {
            self.tell_pod_range()?;
            let rollout =
                ["--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=2m"];
            self.kubectl(rollout)?;
        }
        progress(&format!("{}: ready after {:.1} s", self.name, started.elapsed().as_secs_f64()));
        Ok(())
    }

    /// Has the node tell the addresses of its pods, as those of most clusters do.
    fn tell_pod_range(&self) -> Result<()> {
        let range = self.addresses.pods();
        let patch = json!({ "spec": { "podCIDR": range, "podCIDRs": [range] } }).to_string();
        self.kubectl(["patch", "node", self.layout.node(), "--patch", &patch]).map(drop)
    }

    fn load_all(&self, images: &[Image]) -> Result<()> {
        self.wait(|| self.images().map(|_| true)).map_err(|error| {
            Error::new(format!("cannot reach containerd of \"{}\"", self.name)).with_source(error)
        })?;
        images.iter().try_for_each(|image| self.load(image))
    }

    fn dns(&self) -> String {
        let hosts: Vec<String> = (0..)
            .zip(self.kind.clusters())
            .map(|(index, name)| format!("{} {name}.iotorch.test", Addresses::of(index).node()))
            .collect();
        DNS_MANIFEST
            .replace("{domain}", DOMAIN)
            .replace("{hosts}", &hosts.join("\n            "))
            .replace("{image}", pieces::DNS)
            .replace("{dns}", &self.addresses.dns().to_string())
    }

    fn wait_for_api(&self) -> Result<()> {
        self.wait(|| self.kubectl(["get", "--raw=/readyz", "--request-timeout=5s"]).map(|_| true)).map_err(
            |error| Error::new(format!("cannot reach the API of \"{}\"", self.name)).with_source(error),
        )
    }

    /// Asks until the answer is yes; an error is an answer like no, and the last one is told.
    fn wait(&self, question: impl Fn() -> Result<bool>) -> Result<()> {
        let mut last = None;
        let mut ended = None;
        let answered = process::wait_until(PATIENCE, || {
            ended = self.ended();
            let answer = question();
            let is_yes = matches!(answer, Ok(true));
            last = answer.err();
            is_yes || ended.is_some()
        });
        if let Some(component) = ended {
            return Err(self.why_ended(component));
        }
        match (answered, last) {
            (true, _) => Ok(()),
            (false, Some(error)) => Err(error),
            (false, None) => Err(Error::new(format!("it was not so for {} s", PATIENCE.as_secs()))),
        }
    }

    /// A component that was started and has ended.
    pub(crate) fn ended(&self) -> Option<Component> {
        let mut started = self.components().iter().copied();
        started
            .find(|component| self.layout.process(*component).exists() && self.process(*component).is_none())
    }

    fn why_ended(&self, component: Component) -> Error {
        let log = self.layout.log(component);
        let error = Error::new(format!("the {component} of \"{}\" has ended", self.name))
            .with_help(format!("see the end of \"{}\"", log.display()));
        match last_lines(&log) {
            Some(lines) => error.with_source(lines),
            None => error,
        }
    }
}

fn node(node: &Value) -> Node {
    let conditions = node["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ready = json!("Ready");
    Node {
        name: node["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        is_ready: conditions
            .iter()
            .any(|condition| condition["type"] == ready && condition["status"] == "True"),
    }
}

/// The end of a log, which usually tells why there is no more of it.
fn last_lines(log: &Path) -> Option<String> {
    const BYTES: u64 = 1000;
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES))).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_if_that_condition_is_true() {
        let with = |kind: &str, status: &str| {
            node(&json!({
                "metadata": { "name": "n" },
                "status": { "conditions": [{ "type": kind, "status": status }] },
            }))
        };
        assert!(with("Ready", "True").is_ready);
        assert!(!with("Ready", "Unknown").is_ready);
        assert!(!with("DiskPressure", "True").is_ready);
    }

    #[test]
    fn a_component_that_a_cluster_does_not_have_is_neither_started_nor_ended() {
        let clusters = Cluster::all(Kind::Sim, Path::new("/state"), &Programs::at([]));
        let error = clusters[0].start(Component::Kubelet).unwrap_err();
        assert_eq!(error.to_string(), "cannot start \"kubelet\": \"sim\" has none");
        assert!(clusters[0].kill(Component::Containerd).is_err());
    }

    #[test]
    fn nothing_is_left_to_fill_in_a_manifest() {
        let programs = Programs::at([]);
        for cluster in Cluster::all(Kind::K8s, Path::new("/state"), &programs) {
            let manifest = cluster.dns();
            for word in ["{domain}", "{hosts}", "{image}", "{dns}"] {
                assert!(DNS_MANIFEST.contains(word) && !manifest.contains(word), "{word}");
            }
            assert!(manifest.contains("198.19.0.2 cloud-1.iotorch.test"));
        }
    }
}
