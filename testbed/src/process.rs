//! Processes that outlive the program that started them.
//!
//! A process is known by its number and the time it was started, since the kernel gives the number again; and by the
//! boot, since such times begin anew with it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use crate::environment;
use crate::error::{Error, Result};

/// A process of this machine, now or earlier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pid: i32,
    /// Clock ticks since the boot (proc_pid_stat(5), field 22).
    started: u64,
    boot: String,
}

impl Process {
    /// The one that has this number now.
    pub(crate) fn with(pid: i32) -> Option<Self> {
        let stat = Stat::of(pid)?;
        (!stat.has_ended).then(|| Self { pid, started: stat.started, boot: boot() })
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it still runs; one that has ended and was not yet waited for does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::with(self.pid).is_some_and(|process| process == *self)
    }

    /// Ends it at once, and waits until it has ended.
    pub(crate) fn kill(&self) -> Result<()> {
        self.signal_kill();
        wait_until(Duration::from_secs(10), || !self.is_alive())
            .then_some(())
            .ok_or_else(|| Error::new(format!("cannot end the process {}", self.pid)))
    }

    /// Does not wait.
    pub(crate) fn signal_kill(&self) {
        if let (true, Some(pid)) = (self.is_alive(), Pid::from_raw(self.pid)) {
            // It may end by itself just now.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }

    /// When it was started.
    #[must_use]
    pub fn since(&self) -> Option<SystemTime> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let boot: u64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(boot + self.started / ticks))
    }

    /// The memory it has to itself and with others, in bytes (VmRSS).
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
    }

    /// Starts a program in a network namespace and a session of its own, with its output added to a log file.
    pub(crate) fn start(
        namespace: &Path,
        program: &Path,
        arguments: &[String],
        folder: &Path,
        log: &Path,
    ) -> Result<Self> {
        let failed = |error| Error::file("start", program, error);
        let output =
            File::options().create(true).append(true).open(log).map_err(|e| Error::file("open", log, e))?;
        // Not `ip netns exec`, which mounts another /sys, where the kubelet would miss the control groups. Both
        // programs put the next one in their own place, so the process that is started here becomes it.
        let mut child = Command::new("setsid")
            .arg("nsenter")
            .arg(format!("--net={}", namespace.display()))
            .arg("--")
            .arg(program)
            .args(arguments)
            // The caller's environment may name proxies, which know nothing of the cluster, or another cluster.
            .env_clear()
            .env("PATH", environment::search_path())
            .env("HOME", folder)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            .spawn()
            .map_err(failed)?;
        let pid = i32::try_from(child.id()).unwrap_or_default();
        let process = Self::with(pid);
        // Where the process that started it lives on, nobody else can take note of its end.
        thread::spawn(move || child.wait());
        process.ok_or_else(|| Error::new(format!("cannot start \"{}\": it ended at once", program.display())))
    }
}

/// What `/proc/PID/stat` tells.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    has_ended: bool,
    started: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// `PID (NAME) STATE …`, where the name may hold anything, and the fields after it are counted from 3.
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // A first thread that has ended has closed nothing as long as others are on their way out, which may wait for a disk.
        let threads: u32 = fields.get(20 - 3)?.parse().ok()?;
        let has_ended = matches!(*fields.first()?, "Z" | "X") && threads <= 1;
        Some(Self { has_ended, started: fields.get(22 - 3)?.parse().ok()? })
    }
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The processes of a cluster, however they came to be: those in its network namespace, which are its components and
/// what these start, and those in its control groups, which are the containers.
pub(crate) fn belonging_to(name: &str, namespace: &Path) -> Vec<Process> {
    let namespace = identity(namespace).filter(|found| Some(*found) != identity("/proc/1/ns/net".as_ref()));
    let own = identity("/proc/self/ns/net".as_ref());
    let namespace = namespace.filter(|found| Some(*found) != own);
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let folder = Path::new("/proc").join(i32::to_string(pid));
            namespace.is_some() && identity(&folder.join("ns/net")) == namespace
                || fs::read_to_string(folder.join("cgroup")).is_ok_and(|groups| is_in_group(&groups, name))
        })
        .filter_map(Process::with)
        .collect()
}

/// What tells namespaces apart (namespaces(7)).
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Reads `/proc/PID/cgroup`: lines of `NUMBER:CONTROLLERS:PATH`.
fn is_in_group(groups: &str, name: &str) -> bool {
    groups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .any(|path| path.split('/').any(|part| part == name))
}

/// Asks again and again, for a while; tells whether the answer became yes.
pub(crate) fn wait_until(limit: Duration, mut question: impl FnMut() -> bool) -> bool {
    let started = std::time::Instant::now();
    loop {
        if question() {
            return true;
        }
        if started.elapsed() >= limit {
            return false;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes_may_hold_anything() {
        let rest = " S 1 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 4711 100 200";
        for name in ["plain", "two words", "a) Z 1", "("] {
            let stat = Stat::parse(&format!("17 ({name}){rest}"));
            assert_eq!(stat, Some(Stat { has_ended: false, started: 4711 }), "{name}");
        }
    }

    #[test]
    fn a_process_has_ended_when_its_last_thread_has() {
        for (threads, has_ended) in [(3, false), (1, true)] {
            let text = format!("17 (etcd) Z 1 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 {threads} 0 4711 100 200");
            assert_eq!(Stat::parse(&text), Some(Stat { has_ended, started: 4711 }), "{threads}");
        }
    }

    #[test]
    fn a_process_that_was_not_waited_for_has_ended() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(wait_until(Duration::from_secs(10), || Process::with(pid).is_none()));
        child.wait().unwrap();
    }

    #[test]
    fn another_process_with_the_same_number_is_not_taken_for_the_first() {
        let own = Process::with(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.is_alive());
        assert!(!Process { started: own.started + 1, ..own.clone() }.is_alive());
        assert!(!Process { boot: "another".to_owned(), ..own }.is_alive());
    }

    #[test]
    fn a_process_that_is_not_ours_is_left_alone() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let process = Process::with(i32::try_from(child.id()).unwrap()).unwrap();
        Process { started: process.started + 1, ..process.clone() }.kill().unwrap();
        assert!(process.is_alive());
        process.kill().unwrap();
        assert!(!process.is_alive());
        child.wait().unwrap();
    }

    #[test]
    fn containers_are_known_by_their_control_group() {
        assert!(is_in_group("4:memory:/iotorch-edge-1/0a1b\n0::/\n", "iotorch-edge-1"));
        assert!(is_in_group("0::/iotorch-edge-1\n", "iotorch-edge-1"));
        assert!(!is_in_group("0::/iotorch-edge-10/0a\n1:cpu:/\n", "iotorch-edge-1"));
    }
}
