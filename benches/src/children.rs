//! What the programs that this process runs take: memory while they run, and processor time when they have ended
//! (`proc_pid_stat(5)`, `proc_pid_status(5)`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::Result;

/// How often the memory is looked at. A helm lives for longer than that.
const INTERVAL: Duration = Duration::from_millis(40);

/// Ticks a second of `/proc` (`USER_HZ`, which is 100 on every Linux).
const TICKS: f64 = 100.0;

/// The most that children took at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// Their own memory together, and that of the program, which they share, once; in bytes.
    pub bytes: u64,
    /// How many there were.
    pub at_once: usize,
}

/// Watches the children of this process that run one program.
#[derive(Debug)]
pub struct Watched {
    ended: Arc<AtomicBool>,
    watching: JoinHandle<Peak>,
}

impl Watched {
    /// Begins to watch those whose program is called `name`.
    #[must_use]
    pub fn start(name: &str) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (name, is_ended) = (name.to_owned(), Arc::clone(&ended));
        let watching = thread::spawn(move || {
            let (mut peak, mut others) = (Peak::default(), BTreeSet::new());
            while !is_ended.load(Ordering::Relaxed) {
                let now = look(&name, &mut others);
                peak = Peak { bytes: peak.bytes.max(now.bytes), at_once: peak.at_once.max(now.at_once) };
                thread::sleep(INTERVAL);
            }
            peak
        });
        Self { ended, watching }
    }

    /// Ends, and gives the most that was seen.
    ///
    /// # Errors
    /// When whoever watched has panicked.
    pub fn end(self) -> Result<Peak> {
        self.ended.store(true, Ordering::Relaxed);
        Ok(self.watching.join().map_err(|_| "cannot watch the memory of programs")?)
    }
}

/// What the children take now. `others` are processes that are known to be none, which need not be looked at again.
fn look(name: &str, others: &mut BTreeSet<u32>) -> Peak {
    let (mut own, mut shared, mut at_once) = (0, 0, 0);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if others.contains(&process) {
            continue;
        }
        // One that has just ended has no more to tell.
        let Ok(status) = fs::read_to_string(format!("/proc/{process}/status")) else { continue };
        let fields: BTreeMap<&str, &str> = status
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(key, it)| (key, it.trim()))
            .collect();
        if fields.get("PPid").and_then(|it| it.parse().ok()) != Some(std::process::id()) {
            others.insert(process);
            continue;
        }
        // Between fork and exec a child is still called as its parent.
        if fields.get("Name") != Some(&name) {
            continue;
        }
        let bytes = |key| {
            let kibibytes: Option<u64> =
                fields.get(key).and_then(|it: &&str| it.strip_suffix(" kB")?.trim().parse().ok());
            kibibytes.unwrap_or_default() * 1024
        };
        own += bytes("RssAnon");
        shared = bytes("RssFile").max(shared);
        at_once += 1;
    }
    Peak { bytes: own + shared, at_once }
}

/// Processor time in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// Of this process.
    pub own: f64,
    /// Of its children that have ended and were waited for.
    pub children: f64,
}

impl Spent {
    /// What was spent until now.
    ///
    /// # Errors
    /// Where there is no `/proc/self/stat` as Linux writes it.
    pub fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        Ok(parse(&stat).ok_or("cannot read the processor time in /proc/self/stat")?)
    }

    /// What was spent since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self { own: self.own - earlier.own, children: self.children - earlier.children }
    }
}

fn parse(stat: &str) -> Option<Spent> {
    // The name, in brackets, can hold anything; what follows begins with field 3.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let seconds = |field: usize| Some(fields.get(field - 3)?.parse::<f64>().ok()? / TICKS);
    Some(Spent { own: seconds(14)? + seconds(15)?, children: seconds(16)? + seconds(17)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_a_name_with_brackets() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4 100 200 0 0 150 50 1000 25 20 0 1 0";
        assert_eq!(parse(stat), Some(Spent { own: 2.0, children: 10.25 }));
        assert_eq!(parse("7 (a) S 1"), None);
    }
}
