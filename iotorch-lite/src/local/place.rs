//! This machine as a place.

use async_trait::async_trait;
use iotorch_core::{
    Error, ErrorKind, Facts, Inspection, NodeState, Place, Result, Route,
    model::{ByteSize, Capacity, Cpu},
    resource::Endpoint,
};
use std::{net::Ipv4Addr, num::NonZeroUsize, thread};

/// An infrastructure `local`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalPlace;

#[async_trait]
impl Place for LocalPlace {
    async fn survey(&self) -> Result<Facts> {
        let Machine { capacity, .. } = Machine::look();
        Ok(Facts { version: VERSION.to_owned(), capacity, nodes: vec![Ipv4Addr::LOCALHOST.into()] })
    }

    async fn inspect(&self) -> Result<Inspection> {
        let Machine { name, capacity, free } = Machine::look();
        let mut inspection = Inspection::new(VERSION);
        let architecture = architecture().to_owned();
        inspection.capacity = capacity;
        inspection.nodes = vec![NodeState { name, architecture, unready: None, capacity, free }];
        Ok(inspection)
    }

    async fn open(&self, to: &Endpoint) -> Result<Route> {
        match to {
            Endpoint::Net(address) => Ok(Route::direct(address.clone())),
            Endpoint::Service { .. } => Err(Error::new(
                ErrorKind::NotFound,
                format!("cannot open a route to {to}: the driver \"local\" has no services"),
            )),
        }
    }
}

/// The version of what runs workloads here.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// This machine. Only Linux tells of its memory and name as it is asked here; elsewhere they are not known.
struct Machine {
    name: String,
    capacity: Capacity,
    free: Capacity,
}

impl Machine {
    fn look() -> Self {
        let cores = thread::available_parallelism().ok().map(NonZeroUsize::get);
        let cpu = cores.map(|cores| Cpu::from_millis(1000 * cores as u64));
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = |field| memory(&meminfo, field);
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            name: Some(name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "localhost".into()),
            capacity: Capacity { cpu, memory: memory("MemTotal:"), storage: None },
            free: Capacity { cpu: None, memory: memory("MemAvailable:"), storage: None },
        }
    }
}

/// The processors of this machine, as images of containers name them.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A field of the machine's account of its memory (`man 5 proc_meminfo`, in KiB).
fn memory(meminfo: &str, field: &str) -> Option<ByteSize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(ByteSize::from_bytes(kibibytes * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_read_from_its_own_account() {
        let meminfo = "MemTotal:       24660052 kB\nMemAvailable:        23404424 kB\n";
        assert_eq!(memory(meminfo, "MemTotal:").map(ByteSize::bytes), Some(24_660_052 * 1024));
        assert_eq!(memory(meminfo, "MemAvailable:").map(ByteSize::bytes), Some(23_404_424 * 1024));
        assert_eq!(memory("MemFree: 1 kB", "MemTotal:"), None);
    }
}
