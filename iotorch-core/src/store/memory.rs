//! The store in memory.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    Entry, RunId, RunRow, SliceState, Snapshot, Store, Write, new_installation,
    state::{JournalChange, State},
};
use crate::{error::Result, model::SliceName};

/// A store that lives as long as the process: for tests, simulations and services that keep their state elsewhere.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use iotorch_core::{
///     model::{Slice, SliceSpec},
///     store::{MemoryStore, Store, Write},
/// };
///
/// let store = MemoryStore::new();
/// let name = "greenhouse".parse()?;
/// let slice = Slice { name, spec: SliceSpec::default() };
/// store.commit(vec![Write::PutSlice(Arc::new(slice))]).await?;
///
/// let copy = store.fork();
/// copy.commit(vec![Write::DropSlice("greenhouse".parse()?)]).await?;
/// assert_eq!(store.snapshot().await?.slices.len(), 1);
/// assert!(copy.snapshot().await?.slices.is_empty());
/// # Ok::<(), iotorch_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    installation: Arc<str>,
    next_run: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    state: State,
    journals: HashMap<RunId, Vec<Entry>>,
}

impl MemoryStore {
    /// An empty store of an installation of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::with_installation(&new_installation())
    }

    /// An empty store of the installation called `installation`, for tests that compare ownership marks.
    #[must_use]
    pub fn with_installation(installation: &str) -> Self {
        Self {
            installation: installation.into(),
            next_run: AtomicU64::new(1),
            kept: Mutex::new(Kept::default()),
        }
    }

    /// A copy with everything that is in this store now, of the same installation: what a process that died would find when
    /// it opens its store again.
    #[must_use]
    pub fn fork(&self) -> Self {
        let kept = self.kept().clone();
        Self {
            installation: Arc::clone(&self.installation),
            next_run: AtomicU64::new(self.next_run.load(Ordering::Relaxed)),
            kept: Mutex::new(kept),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics between the first and the last change of a commit, so what a poisoned lock guards is whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn installation(&self) -> Arc<str> {
        Arc::clone(&self.installation)
    }

    fn allocate_run(&self) -> RunId {
        RunId(self.next_run.fetch_add(1, Ordering::Relaxed))
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<()> {
        let mut kept = self.kept();
        let applied = kept.state.apply(writes)?;
        for change in applied.journals {
            match change {
                JournalChange::Append(run, entry) => kept.journals.entry(run).or_default().push(entry),
                JournalChange::Drop(run) => {
                    kept.journals.remove(&run);
                }
            }
        }
        // A run whose number came from elsewhere, such as an export, keeps that number from being given out.
        if let Some(last) = kept.state.last_run() {
            self.next_run.fetch_max(last.0 + 1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        Ok(self.kept().state.snapshot())
    }

    async fn slice(&self, name: &SliceName) -> Result<Arc<SliceState>> {
        Ok(self.kept().state.slice(name))
    }

    async fn finished(&self, slice: &SliceName) -> Result<Vec<(RunId, Timestamp)>> {
        Ok(self.kept().state.finished(slice))
    }

    async fn runs(&self) -> Result<Vec<RunRow>> {
        let kept = self.kept();
        Ok(kept.state.runs().rev().filter_map(|(_, known)| known.row()).collect())
    }

    async fn run(&self, id: RunId) -> Result<Option<RunRow>> {
        let kept = self.kept();
        Ok(kept.state.run(id).and_then(|known| known.row()))
    }

    async fn journal(&self, run: RunId) -> Result<Vec<Entry>> {
        Ok(self.kept().journals.get(&run).cloned().unwrap_or_default())
    }
}
