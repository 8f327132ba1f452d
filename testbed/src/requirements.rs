//! What must be on a machine before clusters can be.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::elf::is_static;
use crate::environment;
use crate::error::{Error, Result};
use crate::network::BRIDGE_FILTERS;
use crate::pieces::BUSYBOX_PROGRAM;

/// A program that comes with packages of Debian (and Ubuntu); shown with its name in quotes.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Requirement {
    /// A name on the search path, or an absolute path.
    pub program: &'static str,
    /// The packages that bring it.
    pub debian_packages: &'static [&'static str],
    /// Whether it also has to be linked statically, as in an image it is alone.
    pub is_static: bool,
    /// A path that shows, where it is there, that the program is not needed.
    pub unless: Option<&'static str>,
}

impl Requirement {
    /// A program, however it is linked.
    #[must_use]
    pub const fn new(program: &'static str, debian_packages: &'static [&'static str]) -> Self {
        Self { program, debian_packages, is_static: false, unless: None }
    }

    const fn linked_statically(self) -> Self {
        Self { is_static: true, ..self }
    }

    const fn unless_there_is(self, path: &'static str) -> Self {
        Self { unless: Some(path), ..self }
    }

    /// Whether it is there, on the search path or in the folders that Debian has for the system's own programs; or is not
    /// needed.
    #[must_use]
    pub fn is_met(&self) -> bool {
        if self.unless.is_some_and(|path| Path::new(path).exists()) {
            return true;
        }
        let Some(program) = environment::find_program(self.program) else { return false };
        !self.is_static || fs::read(program).is_ok_and(|contents| is_static(&contents) == Some(true))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let linked = if self.is_static { "static " } else { "" };
        write!(f, "{linked}program \"{}\"", self.program)
    }
}

/// What clusters need beside programs built from Go modules.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement::new("containerd", &["containerd"]),
    Requirement::new("runc", &["runc"]),
    Requirement::new("/usr/lib/cni/bridge", &["containernetworking-plugins"]),
    Requirement::new("iptables", &["iptables"]),
    Requirement::new("nft", &["nftables"]),
    Requirement::new("ip", &["iproute2"]),
    Requirement::new("conntrack", &["conntrack"]),
    // The package busybox has a program at the same place that needs libraries.
    Requirement::new(BUSYBOX_PROGRAM, &["busybox-static"]).linked_statically(),
    Requirement::new("nsenter", &["util-linux"]),
    Requirement::new("modprobe", &["kmod"]).unless_there_is(BRIDGE_FILTERS),
];

/// Whether this process may make namespaces and mounts.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn check() -> Result<()> {
    if !is_root() {
        return Err(Error::new("cannot bring up the testbed: making network namespaces takes root")
            .with_help("run it as root, by `sudo --preserve-env=PATH` for instance"));
    }
    let missing: Vec<_> = REQUIREMENTS.iter().filter(|requirement| !requirement.is_met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<String> = missing.iter().map(|missing| format!("no {missing}")).collect();
    let packages: Vec<&str> = missing.iter().flat_map(|missing| missing.debian_packages).copied().collect();
    Err(Error::new(format!("cannot bring up the testbed: {}", programs.join(", ")))
        .with_help(format!("on Debian or Ubuntu: sudo apt-get install {}", packages.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::tests::elf;

    #[test]
    fn a_program_that_has_to_be_static_and_is_not_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        for (contents, is_met) in
            [(elf(&[1, 1]), true), (elf(&[1, 3]), false), (b"#!/bin/sh".to_vec(), false)]
        {
            let path = folder.path().join("program");
            fs::write(&path, contents).unwrap();
            let requirement = Requirement::new(path.to_str().unwrap().to_owned().leak(), &[]);
            assert!(requirement.is_met());
            assert_eq!(requirement.linked_statically().is_met(), is_met);
        }
        let absent = Requirement::new("no-such-program", &[]).linked_statically();
        assert!(!absent.is_met());
        assert!(absent.unless_there_is("/proc/self").is_met());
        assert_eq!(absent.to_string(), "static program \"no-such-program\"");
    }
}
