//! What must be on a machine before clusters can be.

use crate::environment;
use crate::error::{Error, Result};

/// A program that comes with packages of Debian (and Ubuntu).
#[derive(Debug)]
#[non_exhaustive]
pub struct Requirement {
    /// A name on the search path, or an absolute path.
    pub program: &'static str,
    /// The packages that bring it.
    pub debian_packages: &'static [&'static str],
}

/// What clusters need beside programs built from Go modules.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement { program: "containerd", debian_packages: &["containerd"] },
    Requirement { program: "runc", debian_packages: &["runc"] },
    Requirement { program: "/usr/lib/cni/bridge", debian_packages: &["containernetworking-plugins"] },
    Requirement { program: "iptables", debian_packages: &["iptables"] },
    Requirement { program: "nft", debian_packages: &["nftables"] },
    Requirement { program: "ip", debian_packages: &["iproute2"] },
    Requirement { program: "conntrack", debian_packages: &["conntrack"] },
    Requirement { program: "/bin/busybox", debian_packages: &["busybox-static"] },
    Requirement { program: "nsenter", debian_packages: &["util-linux"] },
];

/// What is missing on this machine.
#[must_use]
pub fn missing() -> Vec<&'static Requirement> {
    REQUIREMENTS.iter().filter(|requirement| !environment::has_program(requirement.program)).collect()
}

/// Whether this process may make namespaces and mounts.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn check() -> Result<()> {
    if !is_root() {
        return Err(Error::new("cannot bring up the testbed: making network namespaces takes root")
            .with_help("run it as root, by `sudo --preserve-env=PATH` for instance"));
    }
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<String> = missing.iter().map(|missing| format!("\"{}\"", missing.program)).collect();
    let packages: Vec<&str> = missing.iter().flat_map(|missing| missing.debian_packages).copied().collect();
    Err(Error::new(format!("cannot bring up the testbed: no program {}", programs.join(", ")))
        .with_help(format!("on Debian or Ubuntu: sudo apt-get install {}", packages.join(" "))))
}
