//! The testbed as a whole: up, open, down.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clean;
use crate::cluster::Cluster;
use crate::config;
use crate::environment;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::kind::Kind;
use crate::modules::{Module, Programs};
use crate::network;
use crate::pieces;
use crate::progress::Progress;
use crate::requirements;

/// Names of namespaces and addresses are the machine's, so it has one testbed at a time. The file is locked while a testbed
/// is changed, and holds the path of its state folder while there is one.
const MACHINE: &str = "/run/iotorch-testbed.lock";

/// The longest path of a state folder: the kubelet has sockets 43 bytes below it, and the kernel allows 107.
const LONGEST: usize = 64;

/// How many nodes are simulated unless a number is given.
pub const DEFAULT_NODES: u32 = 10;

/// Clusters that run on this machine.
///
/// They outlive the process that brought them up.
#[derive(Debug, Clone)]
pub struct Testbed {
    record: Record,
    state: PathBuf,
    clusters: Vec<Cluster>,
}

/// What is written down of a testbed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    kind: Kind,
    nodes: u32,
    programs: Programs,
}

impl Testbed {
    /// Gives the testbed of this kind. One that runs and is whole is used as it is; of one that is not, what is left is
    /// removed, and it is made anew. Programs that are not there are built before.
    ///
    /// Of tests that stop components, no two should run at the same time: this would make the testbed anew for one of them.
    ///
    /// # Errors
    ///
    /// Something is missing on this machine, another kind is up, or a component does not come up.
    pub fn up(kind: Kind, progress: Progress<'_>) -> Result<Self> {
        Self::up_with(kind, None, progress)
    }

    /// As [`Testbed::up`], with this many simulated nodes; one that has another number is made anew.
    ///
    /// # Errors
    ///
    /// As [`Testbed::up`], and the kind has no simulated nodes.
    pub fn up_with(kind: Kind, nodes: Option<u32>, progress: Progress<'_>) -> Result<Self> {
        if nodes.is_some() && kind != Kind::Sim {
            return Err(Error::new(format!("cannot give \"{kind}\" a number of nodes: they are real")));
        }
        requirements::check()?;
        let programs = Programs::build(kind.modules(), progress)?;
        let mut machine = Machine::lock(progress)?;
        let wanted = Record { kind, nodes: nodes.unwrap_or(DEFAULT_NODES), programs };
        if let Some(running) = machine.running()? {
            match running.usable(&wanted, nodes.is_some())? {
                Ok(()) => return Ok(running),
                Err(why) => progress(&format!("the testbed that is there is made anew: {why}")),
            }
        }
        machine.clean(progress)?;
        let state = state_folder()?;
        machine.remember(&state)?;
        let testbed = Self::new(wanted, state);
        testbed.create(progress)?;
        Ok(testbed)
    }

    /// Gives the testbed that runs.
    ///
    /// # Errors
    ///
    /// None runs.
    pub fn open() -> Result<Self> {
        let state = fs::read_to_string(MACHINE).unwrap_or_default();
        Self::read(Path::new(&state)).ok_or_else(|| {
            Error::new("cannot find a testbed that is up")
                .with_help("bring one up: cargo xtask testbed up k8s")
        })
    }

    /// Removes every process, mount, namespace and file of the testbed, whole or not; the programs stay built.
    ///
    /// # Errors
    ///
    /// This process is not root's, or something cannot be removed.
    pub fn down(progress: Progress<'_>) -> Result<()> {
        if !requirements::is_root() {
            return Err(Error::new("cannot take down the testbed: this takes root"));
        }
        let started = Instant::now();
        let mut machine = Machine::lock(progress)?;
        let was_there = machine.clean(progress)?;
        if was_there {
            progress(&format!("the testbed is down after {:.1} s", started.elapsed().as_secs_f64()));
        } else {
            progress("there is no testbed");
        }
        Ok(())
    }

    /// What is there of a testbed, in words; empty if nothing is. For tests of [`Testbed::down`].
    ///
    /// # Errors
    ///
    /// The kernel's list of mounts cannot be read.
    pub fn remains() -> Result<Vec<String>> {
        clean::remains(&state_folder()?)
    }

    /// What it consists of.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.record.kind
    }

    /// A kubeconfig with a context for each cluster. Its users `NAME-nobody` have no rights.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.join("kubeconfig")
    }

    /// Its clusters.
    #[must_use]
    pub fn clusters(&self) -> &[Cluster] {
        &self.clusters
    }

    /// A cluster by name.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub fn cluster(&self, name: &str) -> Result<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name() == name).ok_or_else(|| {
            Error::new(format!("cannot find a cluster \"{name}\""))
                .with_help(format!("there are: {}", self.record.kind.clusters().join(", ")))
        })
    }

    /// The program `kubectl`.
    #[must_use]
    pub fn kubectl(&self) -> PathBuf {
        self.record.programs.path(Module::Kubernetes, "kubectl")
    }

    /// The program `helm`, version 4.
    #[must_use]
    pub fn helm4(&self) -> PathBuf {
        self.record.programs.path(Module::Helm4, "helm")
    }

    /// The program `helm3`, which is Helm 3.
    #[must_use]
    pub fn helm3(&self) -> PathBuf {
        self.record.programs.path(Module::Helm3, "helm3")
    }

    fn new(record: Record, state: PathBuf) -> Self {
        let clusters = Cluster::all(record.kind, &state, &record.programs);
        Self { record, state, clusters }
    }

    fn read(state: &Path) -> Option<Self> {
        let record = serde_json::from_slice(&fs::read(record_file(state)).ok()?).ok()?;
        Some(Self::new(record, state.to_owned()))
    }

    /// Whether what is wanted is there; if not, why not.
    fn usable(&self, wanted: &Record, has_number: bool) -> Result<std::result::Result<(), String>> {
        let ended = self.clusters.iter().find_map(|cluster| Some((cluster, cluster.ended()?)));
        if let Some((cluster, component)) = ended {
            return Ok(Err(format!("the {component} of \"{}\" has ended", cluster.name())));
        }
        if self.record.kind != wanted.kind {
            return Err(Error::new(format!(
                "cannot bring up the testbed \"{}\": \"{}\" is up",
                wanted.kind, self.record.kind
            ))
            .with_help("take it down first: cargo xtask testbed down"));
        }
        if self.record.programs != wanted.programs {
            return Ok(Err("it has programs of other versions".to_owned()));
        }
        if has_number && self.record.nodes != wanted.nodes {
            return Ok(Err(format!("it has {} nodes", self.record.nodes)));
        }
        let unready = self.clusters.iter().find_map(|cluster| cluster.wait_until_ready().err());
        Ok(unready.map_or(Ok(()), |error| Err(error.to_string())))
    }

    fn create(&self, progress: Progress<'_>) -> Result<()> {
        let started = Instant::now();
        for cluster in &self.clusters {
            cluster.prepare(progress)?;
        }
        if let [one, other] = self.clusters.as_slice() {
            let ends = [one, other].map(|cluster| (cluster.layout(), cluster.addresses()));
            network::join(ends, progress)?;
        }
        let accesses = self.clusters.iter().map(Cluster::access).collect::<Result<Vec<_>>>()?;
        config::file(&self.kubeconfig(), &config::text(&config::kubeconfig(&accesses)))?;

        let has_real_nodes = self.record.kind == Kind::K8s;
        let images =
            if has_real_nodes { pieces::images(&self.record.programs)?.to_vec() } else { Vec::new() };
        let objects = if has_real_nodes { String::new() } else { simulated_nodes(self.record.nodes) };
        self.bring_up_all(&images, &objects, progress)?;

        // Last: a testbed that was not written down is not one.
        let record = serde_json::to_value(&self.record)
            .map_err(|error| Error::new("cannot write down the testbed").with_source(error))?;
        config::file(&record_file(&self.state), &config::text(&record))?;
        progress(&format!(
            "the testbed \"{}\" is up after {:.1} s",
            self.record.kind,
            started.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    fn bring_up_all(&self, images: &[Image], objects: &str, progress: Progress<'_>) -> Result<()> {
        thread::scope(|scope| {
            let start = |cluster| scope.spawn(move || Cluster::bring_up(cluster, images, objects, progress));
            let running: Vec<_> = self.clusters.iter().map(start).collect();
            let results: Vec<Result<()>> = running
                .into_iter()
                .map(|thread| {
                    thread.join().unwrap_or_else(|_| Err(Error::new("cannot bring up a cluster: a defect")))
                })
                .collect();
            results.into_iter().collect()
        })
    }
}

fn record_file(state: &Path) -> PathBuf {
    state.join("testbed.json")
}

/// Where a testbed of this user lies.
fn state_folder() -> Result<PathBuf> {
    let state = environment::cache_folder()?.join("state");
    if state.as_os_str().len() > LONGEST {
        return Err(Error::new(format!(
            "cannot have clusters in \"{}\": paths of sockets below it would be too long",
            state.display()
        ))
        .with_help("set XDG_CACHE_HOME to a shorter path"));
    }
    Ok(state)
}

/// Nodes with room for a few hundred pods each.
fn simulated_nodes(count: u32) -> String {
    let resources = json!({ "cpu": "32", "memory": "128Gi", "ephemeral-storage": "1Ti", "pods": "250" });
    let nodes: Vec<_> = (1..=count)
        .map(|number| {
            let name = format!("sim-{number}");
            json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": name,
                    "labels": { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" },
                },
                "status": { "allocatable": resources, "capacity": resources },
            })
        })
        .collect();
    json!({ "apiVersion": "v1", "kind": "List", "items": nodes }).to_string()
}

/// This machine's one place for a testbed, locked.
struct Machine(File);

impl Machine {
    fn lock(progress: Progress<'_>) -> Result<Self> {
        let path = Path::new(MACHINE);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| Error::file("open", path, error))?;
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            progress("waiting for another command that changes the testbed");
        }
        file.lock().map_err(|error| Error::file("lock", path, error))?;
        Ok(Self(file))
    }

    /// The state folder of the last testbed, which another user may have brought up.
    fn known(&mut self) -> Result<Option<PathBuf>> {
        let mut path = String::new();
        self.0
            .rewind()
            .and_then(|()| self.0.read_to_string(&mut path))
            .map_err(|error| Error::file("read", Path::new(MACHINE), error))?;
        Ok((!path.is_empty()).then(|| PathBuf::from(path)))
    }

    fn running(&mut self) -> Result<Option<Testbed>> {
        Ok(self.known()?.and_then(|state| Testbed::read(&state)))
    }

    fn remember(&mut self, state: &Path) -> Result<()> {
        self.0
            .set_len(0)
            .and_then(|()| self.0.rewind())
            .and_then(|()| self.0.write_all(state.as_os_str().as_encoded_bytes()))
            .map_err(|error| Error::file("write", Path::new(MACHINE), error))
    }

    /// Removes what there is; tells whether there was anything.
    fn clean(&mut self, progress: Progress<'_>) -> Result<bool> {
        // A reboot forgets which folder it was; this user's is looked at in any case.
        let mut states = vec![state_folder()?];
        states.extend(self.known()?.filter(|known| *known != states[0]));
        let mut was_there = false;
        for state in states {
            was_there |= !clean::remains(&state)?.is_empty();
            clean::clean(&state, progress)?;
        }
        self.remember(Path::new(""))?;
        Ok(was_there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_of_a_testbed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Testbed::read(folder.path()).is_none());
        let programs = Programs::at([(Module::Helm4, PathBuf::from("/cache/helm4/bin"))]);
        let record = Record { kind: Kind::Sim, nodes: 7, programs };
        fs::write(record_file(folder.path()), serde_json::to_vec(&record).unwrap()).unwrap();
        let testbed = Testbed::read(folder.path()).unwrap();
        assert_eq!(testbed.record, record);
        assert_eq!(testbed.helm4(), Path::new("/cache/helm4/bin/helm"));
        assert_eq!(testbed.cluster("sim").unwrap().name(), "sim");
        let error = testbed.cluster("edge-1").unwrap_err();
        assert_eq!(error.help(), Some("there are: sim"));
    }

    #[test]
    fn a_record_that_was_half_written_is_no_testbed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(record_file(folder.path()), r#"{"kind":"k8s","#).unwrap();
        assert!(Testbed::read(folder.path()).is_none());
    }

    #[test]
    fn there_are_as_many_simulated_nodes_as_were_asked_for() {
        let list: serde_json::Value = serde_json::from_str(&simulated_nodes(3)).unwrap();
        let names: Vec<_> =
            list["items"].as_array().unwrap().iter().map(|node| &node["metadata"]["name"]).collect();
        assert_eq!(names, ["sim-1", "sim-2", "sim-3"]);
    }
}
