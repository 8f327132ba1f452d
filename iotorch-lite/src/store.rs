//! One embedded store with one writing thread. Changes that wait at the same time are committed together, so one
//! flush to disk serves many of them.
//!
//! When the disk refuses a commit, its changes fail and the store is opened again, so that it can be read, and takes changes as
//! soon as the disk does.

use crate::{Error, ErrorKind, Result, log::Log, metrics::commit_seconds};
use prometheus_client::metrics::histogram::Histogram;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::{
    error::Error as _,
    fmt, iter,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock, PoisonError, RwLock},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// The format of what is stored: 1 has no index of messages by time and no usage of tenants, 2 has no bytes of the outbox. Who
/// sets up the tables brings a store of an older format up to date; one of a newer format is refused.
const FORMAT: u64 = 3;

/// The most changes in one commit, and the most that may wait. Past it, writers wait for their turn.
const GROUP: usize = 256;

/// After a failed commit changes are refused for so long, or four times what it took to fail and to open the store again if that is
/// longer: meanwhile nobody can read.
const PAUSE: Duration = Duration::from_secs(1);

type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;
/// Gives what broke the transaction, if it did, and takes how the commit went.
type Change = Box<dyn FnOnce(&WriteTransaction) -> (Option<String>, Answer) + Send>;

/// A handle to the store; [`Store::close`] releases the file.
pub(crate) struct Store {
    shared: Arc<Shared>,
    writing: RwLock<Option<Writing>>,
}

/// What the writer and the readers share.
struct Shared {
    open: Box<dyn Fn() -> Result<Database> + Send + Sync>,
    /// Readers hold it while they read, so that nothing is open any more when the writer has taken it away.
    database: RwLock<Opened>,
    commits: Histogram,
    log: OnceLock<Arc<Log>>,
}

enum Opened {
    Yes(Database),
    /// Not since the disk failed, for this reason.
    Failed(String),
    Closed,
}

struct Writing {
    changes: mpsc::Sender<Change>,
    writer: JoinHandle<()>,
}

impl fmt::Debug for Store {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Store")
    }
}

impl Store {
    /// Opens the database, checks the format, lets `setup` create the tables, and starts the writer.
    pub(crate) fn start(
        open: impl Fn() -> Result<Database> + Send + Sync + 'static,
        setup: fn(&WriteTransaction) -> Result<()>,
    ) -> Result<Self> {
        let database = open()?;
        let txn = database.begin_write()?;
        {
            let mut meta = txn.open_table(META)?;
            let format = meta.get("format")?.map_or(FORMAT, |format| format.value());
            if format > FORMAT {
                let newer = format!("it has format {format}, newer than {FORMAT}");
                return Err(
                    Error::store(newer).with_help("use the release that has written it, or a later one")
                );
            }
            meta.insert("format", FORMAT)?;
        }
        setup(&txn)?;
        txn.commit()?;
        let shared = Arc::new(Shared {
            open: Box::new(open),
            database: RwLock::new(Opened::Yes(database)),
            commits: commit_seconds(),
            log: OnceLock::new(),
        });
        let (changes, waiting) = mpsc::channel(GROUP);
        let writer = thread::Builder::new()
            .name("iotorch-lite-store".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || write_groups(&shared, waiting)
            })
            .map_err(|error| Error::store("cannot start the store's thread").caused_by(error))?;
        Ok(Self { shared, writing: RwLock::new(Some(Writing { changes, writer })) })
    }

    /// Lets the log know of failures from now on.
    pub(crate) fn report_to(&self, log: Arc<Log>) {
        // There is one log for a store.
        let _ = self.shared.log.set(log);
    }

    /// How long commits took, in seconds.
    pub(crate) fn commits(&self) -> &Histogram {
        &self.shared.commits
    }

    /// Reads in one consistent view.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&ReadTransaction) -> Result<T>) -> Result<T> {
        match &*self.shared.database.read().unwrap_or_else(PoisonError::into_inner) {
            Opened::Yes(database) => work(&database.begin_read()?),
            Opened::Failed(why) => Err(Error::store(format!("cannot read the store: {why}"))),
            Opened::Closed => Err(closed()),
        }
    }

    /// Carries out a change and returns when it is durable. After a change that failed with a failing disk it is known only when
    /// the store is read again whether it was made.
    ///
    /// `work` decides before it writes: an error other than [`ErrorKind::Store`] must leave no write behind, because
    /// the changes of others are in the same commit.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        let change: Change = Box::new(move |txn| {
            let result = work(txn);
            let broken = result.as_ref().err().filter(|error| error.kind() == ErrorKind::Store);
            let broken =
                broken.map(|error| error.source().map_or_else(|| error.to_string(), ToString::to_string));
            let answer: Answer = Box::new(move |committed| {
                // Nobody waits any more if the caller was dropped; the change holds all the same.
                let _ = sender.send(match committed {
                    Ok(()) => result,
                    Err(why) => result.and_then(|_| Err(uncommitted(&why))),
                });
            });
            (broken, answer)
        });
        if cfg!(fuzzing) {
            // To wake a thread takes longer than an input, and time that only passes when nothing is to be done must not pass.
            write_group(&self.shared, iter::once(change));
        } else {
            let changes = {
                let writing = self.writing.read().unwrap_or_else(PoisonError::into_inner);
                writing.as_ref().ok_or_else(closed)?.changes.clone()
            };
            changes.send(change).await.map_err(|_| closed())?;
        }
        // Without an answer, the change was not even tried.
        answer.await.map_err(|_| uncommitted("the disk failed a moment ago"))?
    }

    /// Waits for the changes under way and releases the file.
    pub(crate) async fn close(&self) {
        let writing = self.writing.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Writing { changes, writer }) = writing {
            drop(changes);
            // A panic of the writer has been reported by the panic hook and answered to every caller.
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
            self.shared.set(Opened::Closed);
        }
    }
}

impl Shared {
    fn set(&self, opened: Opened) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = opened;
    }

    fn ensure_open(&self) -> Result<(), String> {
        if matches!(*self.database.read().unwrap_or_else(PoisonError::into_inner), Opened::Yes(_)) {
            return Ok(());
        }
        match (self.open)() {
            Ok(database) => {
                self.set(Opened::Yes(database));
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Makes all changes or none.
    fn commit(&self, group: impl Iterator<Item = Change>, answers: &mut Vec<Answer>) -> Result<(), String> {
        self.ensure_open()?;
        let opened = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Opened::Yes(database) = &*opened else { return Err("it is not open".to_owned()) };
        let txn = database.begin_write().map_err(|error| error.to_string())?;
        let mut broken = None;
        for change in group {
            let (failure, answer) = change(&txn);
            broken = broken.or(failure);
            answers.push(answer);
        }
        match broken {
            None => txn.commit().map_err(|error| error.to_string()),
            Some(why) => {
                txn.abort().map_err(|error| error.to_string())?;
                Err(why)
            }
        }
    }
}

fn closed() -> Error {
    Error::store("the store is closed")
}

fn uncommitted(why: &str) -> Error {
    Error::store(format!("cannot commit to the store: {why}"))
}

fn write_groups(shared: &Shared, mut waiting: mpsc::Receiver<Change>) {
    let mut group = Vec::with_capacity(GROUP);
    let mut not_before = Instant::now();
    while waiting.blocking_recv_many(&mut group, GROUP) > 0 {
        let begun = Instant::now();
        if begun < not_before {
            // Those who wait for them are told what an answer that never comes means.
            group.clear();
        } else if !write_group(shared, group.drain(..)) {
            not_before = Instant::now() + PAUSE.max(4 * begun.elapsed());
        }
    }
}

/// Commits changes together and tells whether that worked. If not, the database is opened again, as it refuses everything after
/// a failure of the disk.
fn write_group(shared: &Shared, group: impl ExactSizeIterator<Item = Change>) -> bool {
    let mut answers = Vec::with_capacity(group.len());
    let begun = Instant::now();
    // The database panics where a failing disk leaves it no other way.
    let committed = catch_unwind(AssertUnwindSafe(|| shared.commit(group, &mut answers)))
        .unwrap_or_else(|_| Err("the disk failed".to_owned()));
    shared.commits.observe(begun.elapsed().as_secs_f64());
    if let Err(why) = &committed {
        tracing::error!(why, "a commit to the store failed");
        if let Some(log) = shared.log.get() {
            log.error("store", "", format!("cannot commit to the store: {why}"));
        }
        shared.set(Opened::Failed(why.clone()));
        if let Err(why) = shared.ensure_open() {
            tracing::warn!(why, "the store cannot be opened again yet");
        }
    }
    for answer in answers {
        answer(committed.clone());
    }
    committed.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::{ReadableTableMetadata, StorageBackend, backends::InMemoryBackend};
    use std::{
        io,
        sync::atomic::{AtomicBool, Ordering},
    };

    const ROWS: TableDefinition<&str, u64> = TableDefinition::new("rows");

    /// Keeps what was written when a database on it is closed, and takes nothing more while it is full.
    #[derive(Debug, Clone, Default)]
    struct Disk(Arc<(InMemoryBackend, AtomicBool)>);

    impl Disk {
        fn fill(&self, full: bool) {
            self.0.1.store(full, Ordering::SeqCst);
        }

        fn database(&self) -> Result<Database> {
            Ok(Database::builder().create_with_backend(self.clone())?)
        }

        fn start(&self) -> Result<Store> {
            let disk = self.clone();
            let setup = |txn: &WriteTransaction| txn.open_table(ROWS).map(|_| ()).map_err(Error::from);
            Store::start(move || disk.database(), setup)
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.0.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.0.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.0.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.0.0.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            if self.0.1.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.0.write(offset, data)
        }
    }

    fn insert(row: &'static str) -> impl FnOnce(&WriteTransaction) -> Result<()> + Send {
        move |txn| {
            txn.open_table(ROWS)?.insert(row, 1)?;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_refused_change_does_not_touch_those_committed_with_it() {
        let store = Disk::default().start().unwrap();
        let refused = store.write(|_| Err::<(), _>(Error::invalid("no")));
        let (first, refused, second) =
            tokio::join!(store.write(insert("a")), refused, store.write(insert("b")));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
        assert!(first.is_ok() && second.is_ok());
        let rows = store.read(|txn| Ok(txn.open_table(ROWS)?.len()?)).unwrap();
        assert_eq!(rows, 2);
    }

    #[tokio::test]
    async fn a_closed_store_refuses_reads_and_writes() {
        let store = Disk::default().start().unwrap();
        store.close().await;
        assert_eq!(store.write(insert("a")).await.unwrap_err().to_string(), "the store is closed");
        assert_eq!(store.read(|_| Ok(())).unwrap_err().kind(), ErrorKind::Store);
    }

    #[tokio::test]
    async fn a_full_disk_fails_changes_and_not_those_after_it() {
        let disk = Disk::default();
        let store = disk.start().unwrap();
        store.write(insert("a")).await.unwrap();
        disk.fill(true);
        let failure = store.write(insert("b")).await.unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Store);
        assert!(failure.to_string().starts_with("cannot commit to the store: "), "{failure}");
        assert!(store.write(insert("c")).await.is_err());
        disk.fill(false);
        while store.write(insert("d")).await.is_err() {
            tokio::task::yield_now().await;
        }
        let rows = |txn: &ReadTransaction| {
            let rows = txn.open_table(ROWS)?;
            rows.iter()?.map(|row| Ok(row?.0.value().to_owned())).collect::<Result<Vec<_>>>()
        };
        assert_eq!(store.read(rows).unwrap(), ["a", "d"]);
        store.close().await;
        assert_eq!(disk.start().unwrap().read(rows).unwrap(), ["a", "d"]);
    }

    #[test]
    fn a_store_of_a_newer_format_is_refused() {
        let disk = Disk::default();
        let database = disk.database().unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(META).unwrap().insert("format", FORMAT + 1).unwrap();
        txn.commit().unwrap();
        drop(database);
        assert_eq!(disk.start().unwrap_err().to_string(), "it has format 4, newer than 3");
    }
}
