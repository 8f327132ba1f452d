//! The memory that a process takes, as Linux counts it (`proc_pid_status(5)`, `proc_pid_clear_refs(5)`).

use std::fs;

use crate::Result;

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Now.
    pub now: u64,
    /// The most since the process began, or since [`forget_peak`].
    pub peak: u64,
}

/// Reads how much memory is resident.
///
/// # Errors
/// As [`read_of`].
pub fn read() -> Result<Resident> {
    read_of(std::process::id())
}

/// Reads how much memory of another process is resident.
///
/// # Errors
/// Where there is no `/proc/PID/status` as Linux writes it.
pub fn read_of(process: u32) -> Result<Resident> {
    let path = format!("/proc/{process}/status");
    let status =
        fs::read_to_string(&path).map_err(|error| format!("cannot read the memory in use: {error}"))?;
    parse(&status)
        .ok_or_else(|| format!("cannot read the memory in use: {path} names no VmRSS and VmHWM").into())
}

fn parse(status: &str) -> Option<Resident> {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    };
    Some(Resident { now: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}

/// Sets the peak back to what is resident now.
///
/// # Errors
/// Where there is no `/proc/self/clear_refs` that can be written to.
pub fn forget_peak() -> Result<()> {
    Ok(fs::write("/proc/self/clear_refs", "5")
        .map_err(|error| format!("cannot set the peak of memory back: {error}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kibibytes_of_the_kernel_become_bytes() {
        let status = "Name:\tplan\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t1\n";
        assert_eq!(parse(status), Some(Resident { now: 1 << 20, peak: 2 << 20 }));
        assert_eq!(parse("Name:\tplan\n"), None);
    }
}
