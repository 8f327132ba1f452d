//! Removal of a testbed, whole or half made, running or after a crash.
//!
//! Nothing here asks a component for anything, so it does not matter which of them still run: everything is found by what
//! the kernel knows, ended, and removed.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::component::Component;
use crate::error::{Error, Result};
use crate::groups;
use crate::kind::Kind;
use crate::layout::{Layout, RUN};
use crate::mounts;
use crate::network;
use crate::process::{self, Process};
use crate::progress::{Progress, SILENT};

/// Where the CNI library notes what it set up, as JSON.
const CNI_RESULTS: &str = "/var/lib/cni/results";

/// Where the kubelet links containers' logs to, as earlier versions of it kept them.
const CONTAINER_LOGS: &str = "/var/log/containers";

/// Where containerd has the sockets of its containers' keepers.
const SHIM_SOCKETS: &str = "/run/containerd/s";

/// Containers are ended after what would start them anew.
const FIRST: [Component; 2] = [Component::Kubelet, Component::Containerd];

/// Where every kubelet listens for plugins, whatever folder it has.
const KUBELET_SOCKET: &str = "/var/lib/kubelet/device-plugins/kubelet.sock";

/// What components make beside their own folders, what is below before it.
const SHARED_FOLDERS: [&str; 5] =
    [CNI_RESULTS, "/var/lib/cni", CONTAINER_LOGS, "/var/lib/kubelet/device-plugins", "/var/lib/kubelet"];

/// The folders that a testbed is going to make in places that it shares with others.
pub(crate) fn absent_folders() -> Vec<PathBuf> {
    SHARED_FOLDERS.map(PathBuf::from).into_iter().filter(|folder| !folder.exists()).collect()
}

/// Removes every process, mount, namespace and file of clusters of any kind, and of the folders that they made in shared
/// places ([`absent_folders`]) those that are empty.
pub(crate) fn clean(state: &Path, made: &[PathBuf], progress: Progress<'_>) -> Result<()> {
    for layout in layouts(state) {
        end_processes(&layout)?;
        for folder in [layout.folder(), &layout.run()] {
            mounts::remove_below(folder)?;
        }
        groups::remove(&layout.unique_name())?;
        // Its commands are worth telling only if there is something to remove.
        network::remove(&layout, if network::remains(&layout) { progress } else { SILENT })?;
        remove_notes(&layout)?;
    }
    for folder in [state, Path::new(RUN)] {
        mounts::remove_folder(folder)?;
    }
    entries(Path::new(SHIM_SOCKETS)).iter().for_each(|socket| remove_if_dead(socket));
    remove_if_dead(Path::new(KUBELET_SOCKET));
    for folder in made {
        // One that is not empty has somebody else's by now.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

/// What is there of clusters, in words; empty if nothing is.
pub(crate) fn remains(state: &Path) -> Result<Vec<String>> {
    let mut remains = Vec::new();
    for layout in layouts(state) {
        let processes = processes(&layout);
        if !processes.is_empty() {
            remains.push(format!("{} process(es) of \"{}\"", processes.len(), layout.node()));
        }
        if network::remains(&layout) {
            remains.push(format!("the network of \"{}\"", layout.node()));
        }
        let groups = groups::existing(&layout.unique_name())?;
        remains.extend(groups.iter().map(|group| format!("the control group \"{}\"", group.display())));
        remains.extend(notes(&layout).iter().map(|note| format!("the file \"{}\"", note.display())));
        for folder in [layout.folder(), &layout.run()] {
            let mounts = mounts::below(folder)?;
            remains.extend(mounts.iter().map(|mount| format!("the mount \"{}\"", mount.display())));
        }
    }
    if is_dead(Path::new(KUBELET_SOCKET)) {
        remains.push(format!("the socket \"{KUBELET_SOCKET}\""));
    }
    let folders = [state, Path::new(RUN)].into_iter().filter(|folder| folder.exists());
    remains.extend(folders.map(|folder| format!("the folder \"{}\"", folder.display())));
    Ok(remains)
}

fn layouts(state: &Path) -> Vec<Layout> {
    let names = Kind::ALL.into_iter().flat_map(Kind::clusters);
    names.map(|name| Layout::new(state, name)).collect()
}

fn end_processes(layout: &Layout) -> Result<()> {
    for component in FIRST {
        if let Some(process) = recorded(layout, component) {
            process.kill()?;
        }
    }
    // New ones may come while they are ended.
    let ended = process::wait_until(Duration::from_secs(30), || {
        let processes = processes(layout);
        processes.iter().for_each(Process::signal_kill);
        processes.is_empty()
    });
    if ended {
        return Ok(());
    }
    let numbers: Vec<String> = processes(layout).iter().map(|process| process.pid().to_string()).collect();
    Err(Error::new(format!("cannot end the processes {} of \"{}\"", numbers.join(", "), layout.node())))
}

fn processes(layout: &Layout) -> Vec<Process> {
    let mut processes = process::belonging_to(&layout.unique_name(), &layout.namespace());
    processes.extend(Component::ALL.into_iter().filter_map(|component| recorded(layout, component)));
    processes.retain(Process::is_alive);
    processes
}

/// The process that a component was started as.
pub(crate) fn recorded(layout: &Layout, component: Component) -> Option<Process> {
    // A file that was half written is as good as none: the process is found by its namespace.
    serde_json::from_slice(&fs::read(layout.process(component)).ok()?).ok()
}

/// What programs noted of the cluster in places that all clusters of a machine share.
fn notes(layout: &Layout) -> Vec<PathBuf> {
    // Each tells the network namespace that it is about, which is below this folder.
    let mark = format!("\"{}/", layout.run().display());
    let is_ours = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains(&mark));
    let results = entries(Path::new(CNI_RESULTS)).into_iter().filter(is_ours);
    let leads_here = |path: &PathBuf| fs::read_link(path).is_ok_and(|to| to.starts_with(layout.pod_logs()));
    let logs = entries(Path::new(CONTAINER_LOGS)).into_iter().filter(leads_here);
    results.chain(logs).collect()
}

fn remove_notes(layout: &Layout) -> Result<()> {
    notes(layout)
        .into_iter()
        .try_for_each(|note| fs::remove_file(&note).map_err(|error| Error::file("remove", &note, error)))
}

/// Whether this is a socket that nobody listens at any more, whoever did.
fn is_dead(socket: &Path) -> bool {
    fs::metadata(socket).is_ok_and(|metadata| metadata.file_type().is_socket())
        && UnixStream::connect(socket).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn remove_if_dead(socket: &Path) {
    if is_dead(socket) {
        // It does no harm where it is.
        let _ = fs::remove_file(socket);
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_sockets_that_nobody_listens_at_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (dead, live) = (folder.path().join("dead"), folder.path().join("live"));
        drop(UnixListener::bind(&dead).unwrap());
        let _listener = UnixListener::bind(&live).unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        [&dead, &live, &file].into_iter().for_each(|socket| remove_if_dead(socket));
        assert!(file.exists());
        assert!(!dead.exists());
        assert!(live.exists());
    }

    #[test]
    fn a_record_that_was_half_written_is_none() {
        let state = tempfile::tempdir().unwrap();
        let layout = Layout::new(state.path(), "edge-1");
        let path = layout.process(Component::Etcd);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert_eq!(recorded(&layout, Component::Etcd), None);
        fs::write(&path, r#"{"pid":4"#).unwrap();
        assert_eq!(recorded(&layout, Component::Etcd), None);
        let own = Process::with(i32::try_from(std::process::id()).unwrap()).unwrap();
        fs::write(&path, serde_json::to_vec(&own).unwrap()).unwrap();
        assert_eq!(recorded(&layout, Component::Etcd), Some(own));
    }
}
