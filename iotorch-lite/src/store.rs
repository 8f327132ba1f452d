//! One embedded store with one writing thread. Changes that wait at the same time are committed together, so one
//! flush to disk serves many of them.

use crate::{Error, Result, log::Log, metrics::commit_seconds};
use prometheus_client::metrics::histogram::Histogram;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::{
    fmt, iter,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    thread::{self, JoinHandle},
    time::Instant,
};
use tokio::sync::{mpsc, oneshot};

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// The format of what is stored: 1 has no index of messages by time and no usage of tenants, 2 has no bytes of the outbox. Who
/// sets up the tables brings a store of an older format up to date; one of a newer format is refused.
const FORMAT: u64 = 3;

/// The most changes in one commit, and the most that may wait. Past it, writers wait for their turn.
const GROUP: usize = 256;

type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;
type Change = Box<dyn FnOnce(&WriteTransaction) -> (bool, Answer) + Send>;

/// A handle to the store; [`Store::close`] releases the file.
pub(crate) struct Store {
    open: RwLock<Option<Open>>,
    watched: Arc<Watched>,
}

/// What is seen of the writer's work.
struct Watched {
    commits: Histogram,
    log: OnceLock<Arc<Log>>,
}

struct Open {
    database: Arc<Database>,
    changes: mpsc::Sender<Change>,
    writer: JoinHandle<()>,
}

impl fmt::Debug for Store {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Store")
    }
}

impl Store {
    /// Checks the format, lets `setup` create the tables, and starts the writer.
    pub(crate) fn start(database: Database, setup: fn(&WriteTransaction) -> Result<()>) -> Result<Self> {
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
        let database = Arc::new(database);
        let watched = Arc::new(Watched { commits: commit_seconds(), log: OnceLock::new() });
        let (changes, waiting) = mpsc::channel(GROUP);
        let writer = thread::Builder::new()
            .name("iotorch-lite-store".to_owned())
            .spawn({
                let (database, watched) = (Arc::clone(&database), Arc::clone(&watched));
                move || write_groups(&database, waiting, &watched)
            })
            .map_err(|error| Error::store("cannot start the store's thread").caused_by(error))?;
        Ok(Self { open: RwLock::new(Some(Open { database, changes, writer })), watched })
    }

    /// Lets the log know of failures from now on.
    pub(crate) fn report_to(&self, log: Arc<Log>) {
        // There is one log for a store.
        let _ = self.watched.log.set(log);
    }

    /// How long commits took, in seconds.
    pub(crate) fn commits(&self) -> &Histogram {
        &self.watched.commits
    }

    /// Reads in one consistent view.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&ReadTransaction) -> Result<T>) -> Result<T> {
        let database = self.handle(|open| Arc::clone(&open.database))?;
        work(&database.begin_read()?)
    }

    /// Carries out a change and returns when it is durable.
    ///
    /// `work` decides before it writes: an error other than [`ErrorKind::Store`](crate::ErrorKind::Store) must
    /// leave no write behind, because the changes of others are in the same commit.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let changes = self.handle(|open| open.changes.clone())?;
        let (sender, answer) = oneshot::channel();
        let change: Change = Box::new(move |txn| {
            let result = work(txn);
            let broken = matches!(&result, Err(error) if error.kind() == crate::ErrorKind::Store);
            let answer: Answer = Box::new(move |committed| {
                // Nobody waits any more if the caller was dropped; the change holds all the same.
                let _ = sender.send(match committed {
                    Ok(()) => result,
                    Err(why) => {
                        result.and_then(|_| Err(Error::store(format!("cannot commit to the store: {why}"))))
                    }
                });
            });
            (broken, answer)
        });
        if cfg!(fuzzing) {
            // To wake a thread takes longer than an input, and time that only passes when nothing is to be done must not pass.
            let database = self.handle(|open| Arc::clone(&open.database))?;
            write_group(&database, iter::once(change), &self.watched);
        } else {
            changes.send(change).await.map_err(|_| closed())?;
        }
        answer.await.map_err(|_| closed())?
    }

    /// Waits for the changes under way and releases the file.
    pub(crate) async fn close(&self) {
        let open = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Open { database, changes, writer }) = open {
            drop(changes);
            // A panic of the writer has been reported by the panic hook and answered to every caller.
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
            drop(database);
        }
    }

    fn handle<T>(&self, pick: impl FnOnce(&Open) -> T) -> Result<T> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(pick).ok_or_else(closed)
    }
}

fn closed() -> Error {
    Error::store("the store is closed")
}

fn write_groups(database: &Database, mut waiting: mpsc::Receiver<Change>, watched: &Watched) {
    let mut group = Vec::with_capacity(GROUP);
    while waiting.blocking_recv_many(&mut group, GROUP) > 0 {
        write_group(database, group.drain(..), watched);
    }
}

fn write_group(database: &Database, group: impl ExactSizeIterator<Item = Change>, watched: &Watched) {
    let mut answers = Vec::with_capacity(group.len());
    let begun = Instant::now();
    let committed = commit(database, group, &mut answers);
    watched.commits.observe(begun.elapsed().as_secs_f64());
    if let Err(error) = &committed {
        tracing::error!(%error, "a commit to the store failed");
        if let Some(log) = watched.log.get() {
            log.error("store", "", format!("cannot commit to the store: {error}"));
        }
    }
    for answer in answers {
        answer(committed.clone());
    }
}

fn commit(
    database: &Database,
    group: impl Iterator<Item = Change>,
    answers: &mut Vec<Answer>,
) -> Result<(), String> {
    let txn = database.begin_write().map_err(|error| error.to_string())?;
    let mut broken = false;
    for change in group {
        let (this_broke, answer) = change(&txn);
        broken |= this_broke;
        answers.push(answer);
    }
    if broken {
        txn.abort().map_err(|error| error.to_string())?;
        return Err("a change of the same commit failed".to_owned());
    }
    txn.commit().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use redb::{ReadableTableMetadata, backends::InMemoryBackend};

    const ROWS: TableDefinition<&str, u64> = TableDefinition::new("rows");

    fn start(prepare: fn(&WriteTransaction) -> Result<()>) -> Result<Store> {
        let database = Database::builder().create_with_backend(InMemoryBackend::new())?;
        let txn = database.begin_write()?;
        prepare(&txn)?;
        txn.commit()?;
        Store::start(database, |txn| txn.open_table(ROWS).map(|_| ()).map_err(Error::from))
    }

    fn insert(row: &'static str) -> impl FnOnce(&WriteTransaction) -> Result<()> + Send {
        move |txn| {
            txn.open_table(ROWS)?.insert(row, 1)?;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_refused_change_does_not_touch_those_committed_with_it() {
        let store = start(|_| Ok(())).unwrap();
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
        let store = start(|_| Ok(())).unwrap();
        store.close().await;
        assert_eq!(store.write(insert("a")).await.unwrap_err().to_string(), "the store is closed");
        assert_eq!(store.read(|_| Ok(())).unwrap_err().kind(), ErrorKind::Store);
    }

    #[test]
    fn a_store_of_a_newer_format_is_refused() {
        let newer = start(|txn| {
            txn.open_table(META)?.insert("format", FORMAT + 1)?;
            Ok(())
        });
        assert_eq!(newer.unwrap_err().to_string(), "it has format 4, newer than 3");
    }
}
