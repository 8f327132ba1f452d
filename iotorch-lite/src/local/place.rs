//! This machine as a place.

use async_trait::async_trait;
use iotorch_core::{
    Error, ErrorKind, Facts, Place, Result, Route,
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
        let cores = thread::available_parallelism().ok().map(NonZeroUsize::get);
        let cpu = cores.map(|cores| Cpu::from_millis(1000 * cores as u64));
        // Only Linux tells it here; elsewhere it is not known.
        let memory = std::fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(total);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(Facts {
            version,
            capacity: Capacity { cpu, memory, storage: None },
            nodes: vec![Ipv4Addr::LOCALHOST.into()],
        })
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

/// The memory of the machine (`man 5 proc_meminfo`: `MemTotal`, in KiB).
fn total(meminfo: &str) -> Option<ByteSize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(ByteSize::from_bytes(kibibytes * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_read_from_its_own_account() {
        let memory = total("MemTotal:       24660052 kB\nMemFree:        23404424 kB\n");
        assert_eq!(memory.map(ByteSize::bytes), Some(24_660_052 * 1024));
        assert_eq!(total("MemFree: 1 kB"), None);
    }
}
