//! The testbed as a whole: up, open, down.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
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
    is_for_tests: bool,
    /// Whether everything came up; what did not can be looked at, and is made anew.
    is_complete: bool,
    /// Folders in places shared with others that were not there before.
    made: Vec<PathBuf>,
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
        Self::provide(kind, nodes, false, progress)
    }

    /// As [`Testbed::up_with`], for tests that take it down at the end ([`Testbed::is_for_tests`]); one that somebody has brought
    /// up stays theirs.
    ///
    /// # Errors
    ///
    /// As [`Testbed::up_with`].
    pub fn up_for_tests(kind: Kind, nodes: Option<u32>, progress: Progress<'_>) -> Result<Self> {
        Self::provide(kind, nodes, true, progress)
    }

    fn provide(kind: Kind, nodes: Option<u32>, is_for_tests: bool, progress: Progress<'_>) -> Result<Self> {
        if nodes.is_some() && kind != Kind::Sim {
            return Err(Error::new(format!("cannot give \"{kind}\" a number of nodes: they are real")));
        }
        requirements::check()?;
        let programs = Programs::build(kind.modules(), progress)?;
        let mut machine = Machine::lock(progress)?;
        let nodes_or_default = nodes.unwrap_or(DEFAULT_NODES);
        let mut wanted = Record {
            kind,
            nodes: nodes_or_default,
            programs,
            is_for_tests,
            is_complete: false,
            made: Vec::new(),
        };
        if let Some(mut running) = machine.running()? {
            wanted.is_for_tests &= running.is_for_tests();
            match running.usable(&wanted, nodes.is_some())? {
                Ok(()) => {
                    if running.record.is_for_tests != wanted.is_for_tests {
                        running.record.is_for_tests = wanted.is_for_tests;
                        running.write_down()?;
                    }
                    return Ok(running);
                }
                Err(why) => progress(&format!("the testbed that is there is made anew: {why}")),
            }
        }
        machine.clean(progress)?;
        wanted.made = clean::absent_folders();
        let state = state_folder()?;
        machine.remember(&state)?;
        let mut testbed = Self::new(wanted, state);
        testbed.create(progress).map_err(|error| {
            error
                .and_help("see more: cargo xtask testbed logs")
                .and_help("remove it: cargo xtask testbed down")
        })?;
        Ok(testbed)
    }

    /// Gives the testbed that is there, also one that did not come up as a whole ([`Testbed::is_complete`]).
    ///
    /// # Errors
    ///
    /// There is none, or this user may not look at it.
    pub fn open() -> Result<Self> {
        let path = Path::new(MACHINE);
        let state = existing(path, fs::read_to_string(path))?.and_then(state_in);
        let testbed = state.map_or(Ok(None), |state| Self::read(&state))?;
        testbed.ok_or_else(|| {
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

    /// Whether everything of it came up, at least once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.record.is_complete
    }

    /// Whether tests have brought it up, and nobody has asked for it since: whoever finds it may take it down.
    #[must_use]
    pub fn is_for_tests(&self) -> bool {
        self.record.is_for_tests
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

    /// The testbed of a state folder, if there is one.
    fn read(state: &Path) -> Result<Option<Self>> {
        let path = record_file(state);
        let record = existing(&path, fs::read(&path))?;
        // One of another version of this program is as good as none, and is removed with what belongs to it.
        let record = record.and_then(|record| serde_json::from_slice(&record).ok());
        Ok(record.map(|record| Self::new(record, state.to_owned())))
    }

    /// Whether what is wanted is there; if not, why not.
    fn usable(&self, wanted: &Record, has_number: bool) -> Result<std::result::Result<(), String>> {
        if !self.record.is_complete {
            return Ok(Err("it did not come up as a whole".to_owned()));
        }
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
        if !self.record.programs.are_those(&wanted.programs) {
            return Ok(Err("it has programs of other versions".to_owned()));
        }
        if has_number && self.record.nodes != wanted.nodes {
            return Ok(Err(format!("it has {} nodes", self.record.nodes)));
        }
        let unready = self.clusters.iter().find_map(|cluster| cluster.wait_until_ready().err());
        Ok(unready.map_or(Ok(()), |error| Err(error.to_string())))
    }

    fn create(&mut self, progress: Progress<'_>) -> Result<()> {
        let started = Instant::now();
        fs::create_dir_all(&self.state).map_err(|error| Error::file("make", &self.state, error))?;
        // First, so that what comes up before something fails is known.
        self.write_down()?;
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

        self.record.is_complete = true;
        self.write_down()?;
        progress(&format!(
            "the testbed \"{}\" is up after {:.1} s",
            self.record.kind,
            started.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    fn write_down(&self) -> Result<()> {
        let record = serde_json::to_value(&self.record)
            .map_err(|error| Error::new("cannot write down the testbed").with_source(error))?;
        // Whole or not at all: what is written down already is needed.
        let (path, partial) = (record_file(&self.state), self.state.join("testbed.json.partial"));
        config::file(&partial, &config::text(&record))?;
        fs::rename(&partial, &path).map_err(|error| Error::file("write", &path, error))
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

/// What a file holds, if it is there.
fn existing<T>(path: &Path, contents: io::Result<T>) -> Result<Option<T>> {
    match contents {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
            let error = Error::file("read", path, error);
            Err(if is_denied { error.with_help("look at the testbed as root, whose it is") } else { error })
        }
    }
}

/// The state folder that the machine's file names; it is empty while there is no testbed.
fn state_in(text: String) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
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
        Ok(state_in(path))
    }

    fn running(&mut self) -> Result<Option<Testbed>> {
        self.known()?.map_or(Ok(None), |state| Testbed::read(&state))
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
            // Without what was written down some empty folders stay.
            let made = Testbed::read(&state).ok().flatten().map(|testbed| testbed.record.made);
            clean::clean(&state, &made.unwrap_or_default(), progress)?;
        }
        self.remember(Path::new(""))?;
        Ok(was_there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let programs = Programs::at([(Module::Helm4, PathBuf::from("/cache/helm4/bin"))]);
        Record {
            kind: Kind::Sim,
            nodes: 7,
            programs,
            is_for_tests: true,
            is_complete: false,
            made: vec![PathBuf::from("/var/made")],
        }
    }

    #[test]
    fn what_is_written_down_of_a_testbed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Testbed::read(folder.path()).unwrap().is_none());
        let written = Testbed::new(record(), folder.path().to_owned());
        written.write_down().unwrap();
        let testbed = Testbed::read(folder.path()).unwrap().unwrap();
        assert_eq!(testbed.record, record());
        assert_eq!(testbed.helm4(), Path::new("/cache/helm4/bin/helm"));
        assert_eq!(testbed.cluster("sim").unwrap().name(), "sim");
        let error = testbed.cluster("edge-1").unwrap_err();
        assert_eq!(error.help(), Some("there are: sim"));
    }

    #[test]
    fn a_testbed_that_did_not_come_up_is_not_used() {
        let testbed = Testbed::new(record(), PathBuf::from("/state"));
        let why = testbed.usable(&record(), false).unwrap().unwrap_err();
        assert_eq!(why, "it did not come up as a whole");
    }

    #[test]
    fn a_record_that_cannot_be_understood_is_no_testbed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(record_file(folder.path()), r#"{"kind":"k8s","#).unwrap();
        assert!(Testbed::read(folder.path()).unwrap().is_none());
    }

    #[test]
    fn only_a_file_that_is_not_there_stands_for_no_testbed() {
        let answer = |kind: io::ErrorKind| existing::<()>(Path::new("/state/testbed.json"), Err(kind.into()));
        assert!(answer(io::ErrorKind::NotFound).unwrap().is_none());
        let error = answer(io::ErrorKind::PermissionDenied).unwrap_err();
        assert_eq!(error.to_string(), "cannot read \"/state/testbed.json\"");
        assert_eq!(error.help(), Some("look at the testbed as root, whose it is"));
    }

    #[test]
    fn an_empty_file_of_the_machine_names_no_folder() {
        assert_eq!(state_in(String::new()), None);
        assert_eq!(state_in("/state".to_owned()), Some(PathBuf::from("/state")));
    }

    #[test]
    fn there_are_as_many_simulated_nodes_as_were_asked_for() {
        let list: serde_json::Value = serde_json::from_str(&simulated_nodes(3)).unwrap();
        let names: Vec<_> =
            list["items"].as_array().unwrap().iter().map(|node| &node["metadata"]["name"]).collect();
        assert_eq!(names, ["sim-1", "sim-2", "sim-3"]);
    }
}
