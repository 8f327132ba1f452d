//! What an operator wants to read about one gateway or server, in two bounded files of its data directory.
//!
//! Lines are handed to a thread of their own and left out when it cannot keep up, so that nothing waits for them.

use crate::{
    Error, Result,
    api::{Level, LogEntry, LogPage, LogQuery},
    clock,
    following::{Follower, Followers},
};
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const FILE: &str = "log.ndjson";
const OLDER: &str = "log.1.ndjson";

/// The size in bytes at which a file is set aside and the one before it forgotten.
const FULL: u64 = 1024 * 1024;

/// How many lines may wait to be written.
const WAITING: usize = 1000;

/// For how long lines of the same event and subject are counted instead of written.
const QUIET: Duration = Duration::from_secs(10);

/// How many events and subjects are told apart; subjects come from strangers. Past it only events are.
const APART: usize = 64;

/// The longest subject and message, in characters.
const SUBJECT: usize = 128;
const MESSAGE: usize = 1000;

const DEFAULT_LIMIT: usize = 100;
const LARGEST_LIMIT: usize = 1000;

/// A handle to the log; [`Log::close`] writes what waits and releases the files.
#[derive(Debug)]
pub(crate) struct Log {
    open: RwLock<Option<Open>>,
    left_out: Arc<AtomicU64>,
    followers: Arc<Followers<LogEntry>>,
    files: Arc<Mutex<Files>>,
    start: u64,
}

#[derive(Debug)]
struct Open {
    lines: SyncSender<Line>,
    writer: JoinHandle<()>,
}

#[derive(Debug)]
struct Line {
    time: f64,
    level: Level,
    event: &'static str,
    subject: String,
    message: String,
}

impl Log {
    /// Opens the log of a data directory, for one more start.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let failed = |error: io::Error| {
            Error::store(format!("cannot open the log \"{}\"", dir.join(FILE).display())).caused_by(error)
        };
        let files = Files::open(dir).map_err(failed)?;
        let last = files.entries().map_err(failed)?.pop();
        let (next, start) = last.map_or((1, 1), |last| (last.seq + 1, last.start + 1));
        let (files, followers) = (Arc::new(Mutex::new(files)), Arc::<Followers<_>>::default());
        let left_out = Arc::new(AtomicU64::new(0));
        let (lines, waiting) = mpsc::sync_channel(WAITING);
        let mut writer = Writer {
            files: Arc::clone(&files),
            followers: Arc::clone(&followers),
            left_out: Arc::clone(&left_out),
            recent: HashMap::new(),
            next,
            start,
        };
        let writer = thread::Builder::new()
            .name("iotorch-lite-log".to_owned())
            .spawn(move || writer.run(&waiting))
            .map_err(failed)?;
        Ok(Self { open: RwLock::new(Some(Open { lines, writer })), left_out, followers, files, start })
    }

    /// Something that went as it should.
    pub(crate) fn info(&self, event: &'static str, subject: &str, message: impl Into<String>) {
        self.write(Level::Info, event, subject, message.into());
    }

    /// Something that an operator may want to do something about.
    pub(crate) fn warning(&self, event: &'static str, subject: &str, message: impl Into<String>) {
        self.write(Level::Warning, event, subject, message.into());
    }

    /// Something that an operator has to do something about.
    pub(crate) fn error(&self, event: &'static str, subject: &str, message: impl Into<String>) {
        self.write(Level::Error, event, subject, message.into());
    }

    pub(crate) fn started(&self, role: &str) {
        self.info("started", "", format!("the {role} has started, version {}", env!("CARGO_PKG_VERSION")));
    }

    pub(crate) fn stopped(&self, role: &str) {
        self.info("stopped", "", format!("the {role} has stopped"));
    }

    /// Readings of a user that were rejected, if any.
    pub(crate) fn rejected(&self, user: &str, reasons: &[String]) {
        if let Some(last) = reasons.last() {
            let more =
                if reasons.len() > 1 { format!(" and {} more", reasons.len() - 1) } else { String::new() };
            self.warning("rejected", user, format!("a reading of \"{user}\"{more} rejected: {last}"));
        }
    }

    fn write(&self, level: Level, event: &'static str, subject: &str, message: String) {
        let cut = |text: &str, most: usize| text.chars().take(most).collect();
        let (subject, message) = (cut(subject, SUBJECT), cut(&message, MESSAGE));
        let line = Line { time: clock::now(), level, event, subject, message };
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|open| open.lines.try_send(line).is_err()) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads entries from the files.
    pub(crate) fn read(&self, query: &LogQuery) -> Result<LogPage> {
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=LARGEST_LIMIT).contains(&limit) {
            return Err(Error::invalid(format!("limit: use 1 to {LARGEST_LIMIT}")));
        }
        let read = self.files.lock().unwrap_or_else(PoisonError::into_inner).entries();
        let mut entries = read.map_err(|error| Error::store("cannot read the log").caused_by(error))?;
        entries.retain(|entry| query.start.is_none_or(|start| entry.start == start));
        match query.after {
            Some(after) => {
                entries.retain(|entry| entry.seq > after);
                entries.truncate(limit);
            }
            None => drop(entries.drain(..entries.len().saturating_sub(limit))),
        }
        Ok(LogPage { start: self.start, entries })
    }

    pub(crate) fn follow(&self) -> Result<Follower<LogEntry>> {
        self.followers.follow("")
    }

    /// Writes what waits and releases the files.
    pub(crate) async fn close(&self) {
        let open = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Open { lines, writer }) = open {
            drop(lines);
            // A panic of the writer has been reported by the panic hook.
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }
}

/// What became of lines of one event and subject since one of them was written.
struct Recent {
    until: Instant,
    /// The last one that was not written, and how many before it were not.
    last: Option<(Line, u64)>,
}

struct Writer {
    files: Arc<Mutex<Files>>,
    followers: Arc<Followers<LogEntry>>,
    left_out: Arc<AtomicU64>,
    recent: HashMap<(&'static str, String), Recent>,
    next: u64,
    start: u64,
}

impl Writer {
    fn run(&mut self, waiting: &mpsc::Receiver<Line>) {
        loop {
            let next = self.recent.values().map(|recent| recent.until).min();
            let pause = next.map_or(Duration::MAX, |next| next.saturating_duration_since(Instant::now()));
            match waiting.recv_timeout(pause) {
                Ok(line) => self.take(line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.summarise(None),
            }
            self.summarise(Some(Instant::now()));
            let left_out = self.left_out.swap(0, Ordering::Relaxed);
            if left_out > 0 {
                let message = "lines were left out because they came too fast".to_owned();
                let (time, level, subject) = (clock::now(), Level::Warning, String::new());
                self.append(Line { time, level, event: "log", subject, message }, left_out);
            }
        }
    }

    /// Writes a line, or counts it if one of its event and subject was written just before.
    fn take(&mut self, line: Line) {
        let mut key = (line.event, line.subject.clone());
        if self.recent.len() >= APART && !self.recent.contains_key(&key) {
            key.1.clear();
        }
        match self.recent.get_mut(&key) {
            Some(recent) => {
                let more = recent.last.take().map_or(0, |(_, more)| more + 1);
                recent.last = Some((line, more));
            }
            None => {
                self.recent.insert(key, Recent { until: Instant::now() + QUIET, last: None });
                self.append(line, 0);
            }
        }
    }

    /// Writes the last of the lines that were counted until now, or all of them.
    fn summarise(&mut self, now: Option<Instant>) {
        let over = |recent: &Recent| now.is_none_or(|now| recent.until <= now);
        let mut counted: Vec<_> =
            self.recent.extract_if(|_, recent| over(recent)).filter_map(|(_, r)| r.last).collect();
        counted.sort_by(|(one, _), (other, _)| one.time.total_cmp(&other.time));
        for (line, more) in counted {
            self.append(line, more);
        }
    }

    fn append(&mut self, line: Line, more: u64) {
        let Line { time, level, event, subject, message } = line;
        let event = event.to_owned();
        let entry =
            LogEntry { seq: self.next, start: self.start, time, level, event, subject, message, more };
        self.next += 1;
        let written = self.files.lock().unwrap_or_else(PoisonError::into_inner).append(&entry);
        if let Err(error) = written {
            tracing::error!(%error, "cannot write the log");
        }
        self.followers.tell("", &[entry]);
    }
}

/// The file that is written, and the one before it.
#[derive(Debug)]
struct Files {
    dir: PathBuf,
    file: File,
    size: u64,
}

impl Files {
    fn open(dir: &Path) -> io::Result<Self> {
        let mut file = append_to(&dir.join(FILE))?;
        let size = file.seek(SeekFrom::End(0))?;
        let mut files = Self { dir: dir.to_owned(), file, size };
        // A line that a crash cut off must not swallow the next one.
        files.write(b"\n")?;
        Ok(files)
    }

    fn append(&mut self, entry: &LogEntry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        if self.size + line.len() as u64 > FULL {
            fs::rename(self.dir.join(FILE), self.dir.join(OLDER))?;
            self.file = append_to(&self.dir.join(FILE))?;
            self.size = 0;
        }
        self.write(&line)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.size += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Everything in both files, the oldest first. What is not an entry is left out.
    fn entries(&self) -> io::Result<Vec<LogEntry>> {
        let mut entries = Vec::new();
        for name in [OLDER, FILE] {
            let mut bytes = Vec::new();
            match File::open(self.dir.join(name)) {
                Ok(file) => file.take(2 * FULL).read_to_end(&mut bytes)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let lines = bytes.split(|byte| *byte == b'\n');
            entries.extend(lines.filter_map(|line| serde_json::from_slice::<LogEntry>(line).ok()));
        }
        Ok(entries)
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(log: &Log) -> Vec<LogEntry> {
        log.read(&LogQuery { limit: Some(LARGEST_LIMIT), ..LogQuery::default() }).unwrap().entries
    }

    #[tokio::test]
    async fn repetitions_are_counted_and_numbers_go_on_over_starts() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path()).unwrap();
        for attempt in 1..=314 {
            log.warning("refused", "d1", format!("attempt {attempt}"));
        }
        log.close().await;
        log.info("stopped", "", "after the end");
        let texts: Vec<_> = all(&log).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["attempt 1", "attempt 314 … and 312 more"]);

        fs::write(
            dir.path().join(FILE),
            [fs::read(dir.path().join(FILE)).unwrap(), b"{\"se".to_vec()].concat(),
        )
        .unwrap();
        let log = Log::open(dir.path()).unwrap();
        log.info("started", "", "started");
        log.close().await;
        let numbers: Vec<_> = all(&log).iter().map(|entry| (entry.start, entry.seq)).collect();
        assert_eq!(numbers, [(1, 1), (1, 2), (2, 3)]);
        let previous = LogQuery { start: Some(1), after: Some(1), ..LogQuery::default() };
        let page = log.read(&previous).unwrap();
        assert_eq!((page.start, page.entries.len()), (2, 1));
        assert!(log.read(&LogQuery { limit: Some(0), ..LogQuery::default() }).is_err());
    }

    #[test]
    fn the_files_are_bounded_and_the_newest_entries_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::open(dir.path()).unwrap();
        let entry = |seq| LogEntry {
            seq,
            start: 1,
            time: 1.0,
            level: Level::Info,
            event: "test".to_owned(),
            subject: String::new(),
            message: "x".repeat(900),
            more: 0,
        };
        for seq in 1..=4000 {
            files.append(&entry(seq)).unwrap();
        }
        let size = |name| fs::metadata(dir.path().join(name)).unwrap().len();
        assert!(size(FILE) <= FULL && size(OLDER) <= FULL);
        let entries = files.entries().unwrap();
        assert!(entries.len() > 1000 && entries.last().unwrap().seq == 4000);
        assert!(entries.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
    }
}
