//! What cannot be shown from outside: failing disks and older formats.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use ::redb::{
    ReadableTable as _, StorageBackend, TableDefinition, WriteTransaction, backends::InMemoryBackend,
};

use super::{
    disk::Disk,
    format::{FORMATS, Formats},
    tables::{META, META_FORMAT, META_INSTALLATION, RUN_SLICES, RUN_STATUSES},
    *,
};
use crate::{
    model::{Slice, SliceSpec},
    store::{JournalEvent, Run, RunState},
};

/// Where something was written, and what.
type Written = (u64, Vec<u8>);

/// A disk in memory that fails when it is told to. As with a real one, what is read is what was written, and what is there after
/// a power failure is what was flushed.
#[derive(Clone, Debug, Default)]
struct Faulty {
    kept: Arc<InMemoryBackend>,
    durable: Arc<InMemoryBackend>,
    unflushed: Arc<Mutex<Vec<Written>>>,
    fault: Arc<Mutex<Option<Fault>>>,
    flushes: Arc<AtomicU64>,
    /// While set, flushes wait.
    held: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// No write is taken.
    Full,
    /// Writes are taken, but the next flush fails, and what it should have written never gets to the disk.
    LostFlush,
}

impl Faulty {
    fn set(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap() = fault;
    }

    /// The disk after a power failure.
    fn after_power_failure(&self) -> Self {
        let durable = InMemoryBackend::new();
        let mut bytes = vec![0; self.durable.len().unwrap() as usize];
        self.durable.read(0, &mut bytes).unwrap();
        durable.set_len(bytes.len() as u64).unwrap();
        durable.write(0, &bytes).unwrap();
        let kept = InMemoryBackend::new();
        kept.set_len(bytes.len() as u64).unwrap();
        kept.write(0, &bytes).unwrap();
        Self { kept: Arc::new(kept), durable: Arc::new(durable), ..Self::default() }
    }

    fn writable(&self) -> io::Result<()> {
        match *self.fault.lock().unwrap() {
            Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.kept.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.kept.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writable()?;
        self.durable.set_len(len)?;
        self.kept.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        while self.held.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.writable()?;
        let mut fault = self.fault.lock().unwrap();
        let unflushed = std::mem::take(&mut *self.unflushed.lock().unwrap());
        if *fault == Some(Fault::LostFlush) {
            *fault = None;
            return Err(io::Error::other("the controller was reset"));
        }
        let length = self.durable.len()?;
        for (offset, data) in unflushed.iter().filter(|(offset, data)| offset + data.len() as u64 <= length) {
            self.durable.write(*offset, data)?;
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.writable()?;
        self.unflushed.lock().unwrap().push((offset, data.to_vec()));
        self.kept.write(offset, data)
    }
}

fn document(name: &str) -> Write {
    Write::PutSlice(Arc::new(Slice { name: name.parse().unwrap(), spec: SliceSpec::default() }))
}

fn run(id: RunId, slice: &str) -> Arc<Run> {
    let run = serde_json::json!({
        "format": 1,
        "id": id,
        "plan": { "slice": slice, "onFailure": "rollback", "steps": [], "unchanged": 0 },
        "startedAt": "2026-01-01T00:00:00Z",
    });
    Arc::new(serde_json::from_value(run).unwrap())
}

fn open(disk: &Faulty) -> RedbStore {
    RedbStore::start("test.redb", Disk::new(disk.clone()), FORMATS).unwrap()
}

async fn slices(store: &RedbStore) -> Vec<String> {
    store.snapshot().await.unwrap().slices.keys().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_full_disk_refuses_commits_until_there_is_space_again() {
    let disk = Faulty::default();
    let store = open(&disk);
    store.commit(vec![document("before"), Write::OpenRun(run(RunId(1), "before"))]).await.unwrap();

    disk.set(Some(Fault::Full));
    for _ in 0..3 {
        let refused = store.commit(vec![document("lost"), Write::OpenRun(run(RunId(2), "lost"))]).await;
        let cause = refused.unwrap_err().to_cause();
        assert_eq!(cause.kind, ErrorKind::Unavailable);
        assert_eq!(cause.to_string(), "cannot write to the store \"test.redb\": no space left on device");
        assert_eq!(slices(&store).await, ["before"]);
    }

    disk.set(None);
    let entry = Entry { at: jiff::Timestamp::UNIX_EPOCH, event: JournalEvent::Committed };
    store.commit(vec![document("after"), Write::Append(RunId(1), entry.clone())]).await.unwrap();
    store.commit(vec![Write::OpenRun(run(RunId(2), "lost"))]).await.unwrap();
    assert_eq!(store.journal(RunId(1)).await.unwrap(), [entry]);
    assert_eq!(slices(&store).await, ["after", "before", "lost"]);
    drop(store);
    assert_eq!(slices(&open(&disk)).await, ["after", "before", "lost"]);
}

#[tokio::test]
async fn every_commit_of_a_batch_that_cannot_be_written_is_told() {
    let disk = Faulty::default();
    let store = open(&disk);
    disk.set(Some(Fault::Full));
    let commits = (0..8).map(|n| store.commit(vec![Write::OpenRun(run(RunId(n + 1), "plant"))]));
    for refused in futures::future::join_all(commits).await {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    disk.set(None);
    store.commit(vec![Write::OpenRun(run(RunId(9), "plant"))]).await.unwrap();
}

#[tokio::test]
async fn a_batch_whose_flush_failed_is_done_only_when_it_is_on_the_disk() {
    let disk = Faulty::default();
    let store = open(&disk);
    store.commit(vec![document("before")]).await.unwrap();
    disk.set(Some(Fault::LostFlush));
    // All of it was written, so that the database finds it when it is opened again.
    store.commit(vec![document("flushed-again")]).await.unwrap();
    assert_eq!(slices(&store).await, ["before", "flushed-again"]);
    assert_eq!(slices(&open(&disk.after_power_failure())).await, ["before", "flushed-again"]);
    store.commit(vec![document("after")]).await.unwrap();
    assert_eq!(slices(&open(&disk.after_power_failure())).await, ["after", "before", "flushed-again"]);
}

#[tokio::test]
async fn what_was_committed_outlasts_a_power_failure() {
    let disk = Faulty::default();
    let store = open(&disk);
    for n in 0..20 {
        store.commit(vec![document(&format!("s{n}"))]).await.unwrap();
        assert_eq!(slices(&open(&disk.after_power_failure())).await.len(), n + 1);
    }
}

#[tokio::test]
async fn readers_see_a_commit_only_when_it_is_durable() {
    let disk = Faulty::default();
    let store = open(&disk);
    disk.held.store(true, Ordering::Release);
    let commit = store.commit(vec![document("plant")]);
    tokio::pin!(commit);
    assert!(futures::poll!(&mut commit).is_pending());
    assert!(slices(&store).await.is_empty());
    disk.held.store(false, Ordering::Release);
    commit.await.unwrap();
    assert_eq!(slices(&store).await, ["plant"]);
}

#[tokio::test]
async fn commits_that_wait_share_a_flush() {
    let disk = Faulty::default();
    let store = open(&disk);
    disk.held.store(true, Ordering::Release);
    let mut commits = Vec::new();
    for n in 0..100 {
        let mut commit = Box::pin(store.commit(vec![document(&format!("s{n}"))]));
        assert!(futures::poll!(&mut commit).is_pending());
        commits.push(commit);
    }
    let before = disk.flushes.load(Ordering::Relaxed);
    disk.held.store(false, Ordering::Release);
    futures::future::try_join_all(commits).await.unwrap();
    let flushes = disk.flushes.load(Ordering::Relaxed) - before;
    // The first may have gone alone; all others were there when it was done.
    assert!(flushes <= 4, "100 commits took {flushes} flushes");
}

#[tokio::test]
async fn the_writing_thread_ends_with_the_store() {
    let disk = Faulty::default();
    let store = open(&disk);
    store.commit(vec![document("plant")]).await.unwrap();
    let kept = Arc::downgrade(&disk.kept);
    drop(disk);
    drop(store);
    assert!(kept.upgrade().is_none(), "somebody still holds the disk");
}

/// The layout before the first: one row for a run, with its slice and status in it.
const RUNS_AND_STATUSES: TableDefinition<'static, u64, &str> = TableDefinition::new("runs-and-statuses");

fn from_format_0(transaction: &WriteTransaction) -> Result<(), ::redb::Error> {
    let old = transaction.open_table(RUNS_AND_STATUSES)?;
    let mut runs = transaction.open_table(tables::RUNS)?;
    let mut slices = transaction.open_table(RUN_SLICES)?;
    let mut statuses = transaction.open_table(RUN_STATUSES)?;
    for row in old.iter()? {
        let (id, row) = row?;
        let row: serde_json::Value = serde_json::from_str(row.value()).unwrap();
        runs.insert(id.value(), row["run"].to_string().as_bytes())?;
        slices.insert(id.value(), row["run"]["plan"]["slice"].as_str().unwrap())?;
        statuses.insert(id.value(), row["status"].to_string().as_bytes())?;
    }
    drop(old);
    transaction.delete_table(RUNS_AND_STATUSES)?;
    Ok(())
}

const WITH_FORMAT_0: Formats = Formats { current: 1, upgrades: &[(0, from_format_0)] };

fn make_format_0(disk: &Faulty) {
    let database = open_database("test.redb", &Disk::new(disk.clone())).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut meta = transaction.open_table(META).unwrap();
    meta.insert(META_FORMAT, "0").unwrap();
    meta.insert(META_INSTALLATION, "plant-7").unwrap();
    drop(meta);
    let row = serde_json::json!({
        "run": *run(RunId(3), "plant"),
        "status": { "state": "paused", "since": "2026-01-01T00:00:00Z" },
    });
    let mut runs = transaction.open_table(RUNS_AND_STATUSES).unwrap();
    runs.insert(3, row.to_string().as_str()).unwrap();
    drop(runs);
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_file_of_an_older_format_is_brought_up_to_date() {
    let disk = Faulty::default();
    make_format_0(&disk);
    let store = RedbStore::start("test.redb", Disk::new(disk.clone()), WITH_FORMAT_0).unwrap();
    assert_eq!(&*store.installation(), "plant-7");
    let row = store.run(RunId(3)).await.unwrap().unwrap();
    assert_eq!((row.run, row.status.state), (run(RunId(3), "plant"), RunState::Paused));
    assert_eq!(store.slice(&"plant".parse().unwrap()).await.unwrap().open_run, Some(RunId(3)));
    drop(store);
    // From here on no upgrade is needed.
    assert!(open(&disk).run(RunId(3)).await.unwrap().is_some());
}

#[tokio::test]
async fn an_upgrade_that_cannot_be_written_leaves_the_older_file() {
    let disk = Faulty::default();
    make_format_0(&disk);
    fn fails(transaction: &WriteTransaction) -> Result<(), ::redb::Error> {
        from_format_0(transaction)?;
        Err(::redb::Error::Corrupted("a row cannot be understood".into()))
    }
    const FAILING: Formats = Formats { current: 1, upgrades: &[(0, fails)] };
    let refused = RedbStore::start("test.redb", Disk::new(disk.clone()), FAILING).unwrap_err();
    assert!(refused.to_cause().to_string().contains("a row cannot be understood"), "{refused:?}");
    let store = RedbStore::start("test.redb", Disk::new(disk.clone()), WITH_FORMAT_0).unwrap();
    assert!(store.run(RunId(3)).await.unwrap().is_some());
}

#[test]
fn a_format_that_no_upgrade_starts_from_is_refused() {
    let disk = Faulty::default();
    make_format_0(&disk);
    let refused = RedbStore::start("test.redb", Disk::new(disk), FORMATS).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.to_cause().root().contains("format 0 is too old"), "{refused:?}");
}

#[tokio::test]
async fn what_is_peeked_at_is_what_was_committed_and_nothing_is_made_or_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    assert_eq!(RedbStore::peek(&path).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!path.exists());

    let store = RedbStore::open(&path).unwrap();
    let slice = Slice { name: "greenhouse".parse().unwrap(), spec: SliceSpec::default() };
    store.commit(vec![Write::PutSlice(Arc::new(slice.clone()))]).await.unwrap();
    assert_eq!(RedbStore::peek(&path).unwrap_err().kind(), ErrorKind::Conflict);
    drop(store);

    let before = std::fs::read(&path).unwrap();
    let seen = RedbStore::peek(&path).unwrap();
    assert_eq!(seen.slices[&slice.name].document.as_deref(), Some(&slice));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(RedbStore::open(&path).is_ok());
}
