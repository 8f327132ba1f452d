//! Network namespaces and the links between them.
//!
//! ```text
//!              this machine
//!        iot-edge-1    iot-cloud-1
//!             |              |
//!          uplink         uplink          198.18.0.2, 198.19.0.2
//!          edge-1 direct-direct cloud-1
//! ```
//!
//! No namespace has a default route, so nothing in a cluster reaches further than this.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::addresses::Addresses;
use crate::command::Tool;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::process;
use crate::progress::Progress;

/// The link of a cluster to this machine, as it is called in the cluster.
const UPLINK: &str = "uplink";

/// The link of a cluster to the other one, as it is called in both.
const DIRECT: &str = "direct";

/// Settings of filters of bridges, which are there once the kernel has such filters.
pub(crate) const BRIDGE_FILTERS: &str = "/proc/sys/net/bridge";

/// A link of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// To this machine, where the cluster's API and node ports are used.
    Uplink,
    /// To the other cluster.
    Direct,
}

impl Link {
    fn device(self) -> &'static str {
        match self {
            Self::Uplink => UPLINK,
            Self::Direct => DIRECT,
        }
    }

    /// The table of filters that is there while the link is cut.
    fn table(self) -> String {
        format!("iotorch_cut_{}", self.device())
    }
}

/// Makes the namespace of a cluster and its link to this machine.
pub(crate) fn create(layout: &Layout, addresses: Addresses, progress: Progress<'_>) -> Result<()> {
    let name = layout.unique_name();
    let link = layout.link();
    ip(&["netns", "add", &name], progress)?;
    ip(&["-n", &name, "link", "set", "lo", "up"], progress)?;
    ip(&["link", "add", &link, "type", "veth", "peer", "name", UPLINK, "netns", &name], progress)?;
    ip(&["addr", "add", &format!("{}/24", addresses.machine()), "dev", &link], progress)?;
    ip(&["link", "set", &link, "up"], progress)?;
    ip(&["-n", &name, "addr", "add", &format!("{}/24", addresses.node()), "dev", UPLINK], progress)?;
    ip(&["-n", &name, "link", "set", UPLINK, "up"], progress)?;
    // Only so that there is a way: the proxy puts a pod's address in before a packet leaves.
    ip(&["-n", &name, "route", "add", &addresses.services(), "dev", UPLINK], progress)?;
    setting(layout, "net/ipv4/ip_forward", progress)?;
    bridge_filter(layout, progress)
}

/// Without it a pod that calls a service gets its answer from an address that it never called, when the service is on
/// the same bridge.
fn bridge_filter(layout: &Layout, progress: Progress<'_>) -> Result<()> {
    if !Path::new(BRIDGE_FILTERS).is_dir() {
        Tool::new("modprobe").arg("br_netfilter").run(progress).map_err(|error| {
            Error::new("cannot have filters see what crosses a bridge").with_source(error).with_help(
                "the kernel needs its option BRIDGE_NETFILTER, which most have as the module br_netfilter",
            )
        })?;
    }
    setting(layout, "net/bridge/bridge-nf-call-iptables", progress)
}

/// Switches on something that each network namespace has for itself.
fn setting(layout: &Layout, name: &str, progress: Progress<'_>) -> Result<()> {
    let script = format!("echo 1 > /proc/sys/{name}");
    inside(layout, "sh").args(["-c", &script]).run(progress).map(drop)
}

/// Makes the link between two clusters.
pub(crate) fn join(ends: [(&Layout, Addresses); 2], progress: Progress<'_>) -> Result<()> {
    let [one, other] = ends.map(|(layout, _)| layout.unique_name());
    let peer = ["peer", "name", DIRECT, "netns", &other];
    ip(&[&["-n", &one, "link", "add", DIRECT, "type", "veth"][..], &peer].concat(), progress)?;
    for [(near, own), (_, far)] in [ends, [ends[1], ends[0]]] {
        let name = near.unique_name();
        let own = own.node().to_string();
        // The same address as on the other link: what a node sends comes from its one address, whichever way it goes.
        ip(&["-n", &name, "addr", "add", &format!("{own}/32"), "dev", DIRECT], progress)?;
        ip(&["-n", &name, "link", "set", DIRECT, "up"], progress)?;
        let route = [&far.node().to_string(), "dev", DIRECT, "src", &own];
        ip(&[&["-n", &name, "route", "add"][..], &route].concat(), progress)?;
    }
    Ok(())
}

/// Has a link lose every packet, both ways. Addresses and routes stay, so it is as if a cable far away were cut.
pub(crate) fn cut(layout: &Layout, link: Link) -> Result<()> {
    let (table, device) = (link.table(), link.device());
    // Before everything else that looks at packets. Adding what is there is no failure, so flush first.
    let rules = format!(
        "table inet {table} {{
            chain arriving {{ type filter hook prerouting priority -400; iifname {device} drop; }}
            chain leaving {{ type filter hook postrouting priority 400; oifname {device} drop; }}
        }}"
    );
    nft(layout, &format!("table inet {table}\ndelete table inet {table}\n{rules}\n"))
}

/// Ends [`cut`]; nothing happens to a link that is whole.
pub(crate) fn mend(layout: &Layout, link: Link) -> Result<()> {
    let table = link.table();
    nft(layout, &format!("table inet {table}\ndelete table inet {table}\n"))
}

fn nft(layout: &Layout, script: &str) -> Result<()> {
    inside(layout, "nft").args(["-f", "-"]).input(script).ask().map(drop)
}

/// Removes the namespace of a cluster and its links, as far as they are there.
pub(crate) fn remove(layout: &Layout, progress: Progress<'_>) -> Result<()> {
    let name = layout.unique_name();
    if layout.namespace().exists() {
        ip(&["netns", "delete", &name], progress)?;
    }
    let link = Path::new("/sys/class/net").join(layout.link());
    if link.exists() {
        // It may vanish with the namespace just now, which is as good.
        let deleted = ip(&["link", "delete", &layout.link()], progress);
        if !process::wait_until(Duration::from_secs(10), || !link.exists()) {
            return deleted;
        }
    }
    Ok(())
}

/// The end of its link that this machine has, and its namespace, if they are there.
pub(crate) fn remains(layout: &Layout) -> bool {
    layout.namespace().exists()
        || fs::exists(Path::new("/sys/class/net").join(layout.link())).unwrap_or(false)
}

/// A program in the network of a cluster.
pub(crate) fn inside(layout: &Layout, program: &str) -> Tool {
    Tool::new("nsenter").arg(format!("--net={}", layout.namespace().display())).arg("--").arg(program)
}

fn ip(arguments: &[&str], progress: Progress<'_>) -> Result<()> {
    Tool::new("ip").args(arguments).run(progress).map(drop)
}
