//! The embedded store.

mod disk;
mod fault;
mod format;
mod import;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fmt,
    path::Path,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

use ::redb::{Database, ReadableDatabase as _};
use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::oneshot;

use self::{
    disk::Disk,
    format::{FORMATS, Formats},
    tables::Reader,
    writer::{Commit, Writer},
};
use super::{Entry, Export, RunId, RunRow, SliceState, Snapshot, Store, Write, state::State};
use crate::{
    error::{Error, ErrorKind, Result},
    model::SliceName,
};

/// Pages that the database keeps in memory at most. All but journals and old plans is in memory anyway.
const CACHE_BYTES: usize = 32 << 20;

/// A store in one file, for one process at a time.
///
/// Everything but journals and the plans of runs that are over is also kept in memory, so that reading is quick. One thread
/// writes: the commits that wait for it are written with one flush, and reads see a commit only when it is durable. The
/// thread ends when the store is dropped.
///
/// A future of [`Store::commit`] that is dropped leaves open whether the commit is done.
///
/// # Failing disks
/// When the disk refuses a write, every commit of that flush fails with [`ErrorKind::Unavailable`], the database is opened
/// again, and later commits work as soon as the disk takes them. Should the disk fail so that not even that is possible, then it
/// is only known whether those commits are in the file when it can be opened again, as after a crash.
///
/// # Files
/// A new file can be read and written by its owner only. It has the number of its format in it: that of an older version
/// is brought up to date when it is opened, that of a newer one is refused. A copy of the file, made while no process has it
/// open, is a backup; [`Store`]s that are open are written out by [`Export`].
///
/// # Examples
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("store.redb");
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use iotorch_core::{
///     ErrorKind,
///     model::{Slice, SliceSpec},
///     store::{RedbStore, Store, Write},
/// };
///
/// let store = RedbStore::open(&path)?;
/// let slice = Slice { name: "greenhouse".parse()?, spec: SliceSpec::default() };
/// store.commit(vec![Write::PutSlice(Arc::new(slice))]).await?;
/// assert_eq!(RedbStore::open(&path).unwrap_err().kind(), ErrorKind::Conflict);
/// drop(store);
///
/// let again = RedbStore::open(&path)?;
/// assert_eq!(again.snapshot().await?.slices.len(), 1);
/// # Ok::<(), iotorch_core::Error>(()) }).unwrap();
/// ```
pub struct RedbStore {
    installation: Arc<str>,
    next_run: AtomicU64,
    shared: Arc<Shared>,
    commits: Option<mpsc::Sender<Commit>>,
    writer: Option<JoinHandle<()>>,
}

/// What the writing thread and the readers share.
struct Shared {
    name: String,
    disk: Disk,
    formats: Formats,
    /// None while the disk does not let it be opened.
    database: RwLock<Option<Database>>,
    /// What is durable.
    state: RwLock<State>,
}

impl RedbStore {
    /// Opens the store at `path`, or makes it where there is none. The folder has to exist. It reads the file, so that asynchronous
    /// code calls it before it serves others or on a thread of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when another process has it open; [`ErrorKind::Unsupported`] when a newer version wrote it;
    /// [`ErrorKind::Unexpected`] for a damaged file and one that is no store; [`ErrorKind::NotFound`], [`ErrorKind::Denied`] and
    /// [`ErrorKind::Unavailable`] as the file system says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::start(&path.display().to_string(), Disk::open(path)?, FORMATS)
    }

    /// What is in the store at `path`, without opening it for work: nothing is made, mended, brought up to date or waited for.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no store; [`ErrorKind::Conflict`] while another process has it open;
    /// [`ErrorKind::Unsupported`] for a format that is not the present one; [`ErrorKind::Unexpected`] for a file that a crash has
    /// left to be mended by [`open`](Self::open), and else as there.
    pub fn peek(path: impl AsRef<Path>) -> Result<Snapshot> {
        let name = path.as_ref().display().to_string();
        let database = ::redb::ReadOnlyDatabase::open(path).map_err(|error| fault::open(&name, error))?;
        let transaction = database.begin_read().map_err(|error| fault::open(&name, error))?;
        let reader = Reader { transaction: &transaction, name: &name };
        if format::read(&reader, FORMATS)? < FORMATS.current {
            return Err(Error::new(ErrorKind::Unsupported, format!("cannot peek at the store \"{name}\""))
                .with_help("open it once, so that it is brought up to date")
                .with_source("it was written by an older iotorch"));
        }
        Ok(reader.state()?.snapshot())
    }

    /// Makes a store at `path` with everything that is in `export`, of the same installation.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when there is a file at `path`; [`ErrorKind::Unsupported`] when a newer version wrote the export;
    /// [`ErrorKind::Unexpected`] when the export contradicts itself; else as [`Self::open`]. The file is removed again.
    pub fn create_from_export(path: impl AsRef<Path>, export: &Export) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        export.check()?;
        let disk = Disk::create(path)?;
        let filled = open_database(&name, &disk)
            .and_then(|database| import::fill(&database, &name, export))
            .and_then(|()| Self::start(&name, disk, FORMATS));
        if filled.is_err() {
            // The first failure is the one that counts; what is left is at worst a file that says what it is.
            let _ = std::fs::remove_file(path);
        }
        filled
    }

    fn start(name: &str, disk: Disk, formats: Formats) -> Result<Self> {
        let (database, installation, state) = load(name, &disk, formats)?;
        let batch = batch_number(name, &database)?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            disk,
            formats,
            database: RwLock::new(Some(database)),
            state: RwLock::new(state.clone()),
        });
        let next_run = AtomicU64::new(state.last_run().map_or(1, |last| last.0 + 1));
        let (commits, waiting) = mpsc::channel();
        let writer = Writer::new(Arc::clone(&shared), state, batch);
        let writer = std::thread::Builder::new()
            .name("iotorch-store".into())
            .spawn(move || writer.run(&waiting))
            .map_err(|error| fault::open(name, error))?;
        let installation = installation.into();
        Ok(Self { installation, next_run, shared, commits: Some(commits), writer: Some(writer) })
    }

    fn stopped(&self) -> Error {
        Error::new(ErrorKind::Unexpected, format!("cannot write to the store \"{}\"", self.shared.name))
            .with_source("its writing thread has ended")
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared, &Reader<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        let reading = tokio::task::spawn_blocking(move || shared.read(read));
        reading.await.map_err(|error| {
            Error::new(ErrorKind::Unexpected, format!("cannot read the store \"{}\"", self.shared.name))
                .with_source(error)
        })?
    }
}

impl Shared {
    fn read<T>(&self, read: impl FnOnce(&Self, &Reader<'_>) -> Result<T>) -> Result<T> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, format!("cannot read the store \"{}\"", self.name))
                .with_source("the disk failed, and the file could not be opened again yet")
        })?;
        let transaction = database.begin_read().map_err(|error| fault::read(&self.name, error))?;
        read(self, &Reader { transaction: &transaction, name: &self.name })
    }

    fn row(&self, reader: &Reader<'_>, id: RunId) -> Result<Option<RunRow>> {
        let known = self.state.read().unwrap_or_else(PoisonError::into_inner).run(id).cloned();
        let Some(known) = known else { return Ok(None) };
        if let Some(row) = known.row() {
            return Ok(Some(row));
        }
        // A run that was dropped since is not in the file any more.
        let run = reader.run(id)?;
        Ok(run.map(|run| RunRow { run: Arc::new(run), status: known.status }))
    }
}

fn open_database(name: &str, disk: &Disk) -> Result<Database> {
    ::redb::Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(disk.clone())
        .map_err(|error| fault::open(name, error))
}

/// Opens the database and reads what is kept in memory.
fn load(name: &str, disk: &Disk, formats: Formats) -> Result<(Database, String, State)> {
    let database = open_database(name, disk)?;
    let installation = format::prepare(&database, name, formats)?;
    let transaction = database.begin_read().map_err(|error| fault::open(name, error))?;
    let state = Reader { transaction: &transaction, name }.state()?;
    drop(transaction);
    Ok((database, installation, state))
}

fn batch_number(name: &str, database: &Database) -> Result<u64> {
    let transaction = database.begin_read().map_err(|error| fault::open(name, error))?;
    Reader { transaction: &transaction, name }.meta_number(tables::META_BATCH)
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore")
            .field("name", &self.shared.name)
            .field("installation", &self.installation)
            .finish_non_exhaustive()
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        // The thread ends when nobody can send to it any more, and the lock on the file goes with the last use of it.
        drop(self.commits.take());
        if let Some(writer) = self.writer.take() {
            // A panic of the thread was printed when it happened; there is nobody left to tell.
            let _ = writer.join();
        }
    }
}

#[async_trait]
impl Store for RedbStore {
    fn installation(&self) -> Arc<str> {
        Arc::clone(&self.installation)
    }

    fn allocate_run(&self) -> RunId {
        RunId(self.next_run.fetch_add(1, Ordering::Relaxed))
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<()> {
        for write in &writes {
            if let Write::OpenRun(run) = write {
                self.next_run.fetch_max(run.id.0 + 1, Ordering::Relaxed);
            }
        }
        let changes = tables::encode(&writes)?;
        let (done, outcome) = oneshot::channel();
        let commits = self.commits.as_ref().ok_or_else(|| self.stopped())?;
        commits.send(Commit { writes, changes, done }).map_err(|_| self.stopped())?;
        outcome.await.map_err(|_| self.stopped())?
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        Ok(self.shared.state.read().unwrap_or_else(PoisonError::into_inner).snapshot())
    }

    async fn slice(&self, name: &SliceName) -> Result<Arc<SliceState>> {
        Ok(self.shared.state.read().unwrap_or_else(PoisonError::into_inner).slice(name))
    }

    async fn finished(&self, slice: &SliceName) -> Result<Vec<(RunId, Timestamp)>> {
        Ok(self.shared.state.read().unwrap_or_else(PoisonError::into_inner).finished(slice))
    }

    async fn runs(&self) -> Result<Vec<RunRow>> {
        self.read(|shared, reader| {
            let ids: Vec<RunId> = {
                let state = shared.state.read().unwrap_or_else(PoisonError::into_inner);
                state.runs().rev().map(|(id, _)| id).collect()
            };
            ids.into_iter().filter_map(|id| shared.row(reader, id).transpose()).collect()
        })
        .await
    }

    async fn run(&self, id: RunId) -> Result<Option<RunRow>> {
        self.read(move |shared, reader| shared.row(reader, id)).await
    }

    async fn journal(&self, run: RunId) -> Result<Vec<Entry>> {
        self.read(move |_, reader| reader.journal(run)).await
    }
}
