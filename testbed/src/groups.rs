//! The control groups of a cluster: what its containers may use, and how they are found.
//!
//! A machine has one hierarchy of groups (version 2), one for each controller (version 1), or both (cgroups(7)). In every
//! one of them a cluster has a group, below which the kubelet makes the others.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::mounts;
use crate::process;

/// Makes the groups of this name.
pub(crate) fn create(name: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let group = hierarchy.join(name);
        fs::create_dir_all(&group).map_err(|error| Error::file("make the control group", &group, error))?;
        give_controllers(&hierarchy, &group);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            inherit(&hierarchy, &group, file)
                .map_err(|error| Error::file("set up the control group", &group, error))?;
        }
    }
    Ok(())
}

/// Version 2: what groups below may limit. The kubelet tells if something that it needs is missing.
fn give_controllers(hierarchy: &Path, group: &Path) {
    let controllers = fs::read_to_string(hierarchy.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        for folder in [hierarchy, group] {
            let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
}

/// Version 1: a new group has no processors and no memory until it is given some.
fn inherit(hierarchy: &Path, group: &Path, file: &str) -> io::Result<()> {
    let is_version_1 = !hierarchy.join("cgroup.controllers").exists();
    if is_version_1 && group.join(file).exists() {
        fs::write(group.join(file), fs::read(hierarchy.join(file))?)?;
    }
    Ok(())
}

/// The groups of this name that are there.
pub(crate) fn existing(name: &str) -> Result<Vec<PathBuf>> {
    let groups = hierarchies()?.into_iter().map(|hierarchy| hierarchy.join(name));
    Ok(groups.filter(|group| group.is_dir()).collect())
}

/// Removes the groups of this name, with those below; no process may be left in them.
pub(crate) fn remove(name: &str) -> Result<()> {
    for group in existing(name)? {
        let mut result = Ok(());
        // A group is busy until the kernel is done with the processes that were in it.
        let removed = process::wait_until(Duration::from_secs(10), || {
            result = remove_group(&group);
            result.is_ok()
        });
        if let (false, Err(error)) = (removed, result) {
            return Err(Error::file("remove the control group", &group, error));
        }
    }
    Ok(())
}

/// The files in a group cannot be removed and need not be.
fn remove_group(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_group(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = mounts::all()?.into_iter();
    Ok(mounts.filter(|mount| mount.file_system.starts_with("cgroup")).map(|mount| mount.point).collect())
}
