//! The thread that writes.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, mpsc},
};

use ::redb::Database;
use tokio::sync::oneshot;

use super::{
    Shared, batch_number,
    fault::{self, Cause},
    load,
    tables::{Change, META_BATCH, META_LAST_RUN, Tables},
};
use crate::{
    error::Result,
    store::{RunId, Write, state::State},
};

/// So many commits share a flush at most: enough for every caller there can be, and a bound on what one failure takes along.
const BATCH: usize = 1024;

/// Writes that somebody waits for.
pub(super) struct Commit {
    pub(super) writes: Vec<Write>,
    /// The same writes as changes of the file.
    pub(super) changes: Vec<Change>,
    pub(super) done: oneshot::Sender<Result<()>>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    /// What is durable and what the batch at hand does on top of it. The readers' state follows when that is durable too.
    state: State,
    /// Where the journals of open runs end.
    positions: HashMap<RunId, u64>,
    /// How many batches are in the file.
    batch: u64,
}

/// A batch that is in memory and not in the file yet.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    /// The writes that the readers' state has to follow.
    writes: Vec<Vec<Write>>,
    /// Runs that ended, whose plans need not stay in memory.
    closed: Vec<RunId>,
    /// Who waits, with what to tell them when the batch is durable.
    outcomes: Vec<(oneshot::Sender<Result<()>>, Result<()>)>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, state: State, batch: u64) -> Self {
        Self { shared, state, positions: HashMap::new(), batch }
    }

    /// Writes until nobody can send any more. It does not wait for more commits to come: those that come during a flush share the
    /// next one, and waiting longer was measured to bring nothing, with 1 as with 256 callers.
    pub(super) fn run(mut self, waiting: &mpsc::Receiver<Commit>) {
        while let Ok(first) = waiting.recv() {
            let commits: Vec<Commit> =
                std::iter::once(first).chain(waiting.try_iter().take(BATCH - 1)).collect();
            self.write(commits);
        }
    }

    fn write(&mut self, commits: Vec<Commit>) {
        let mut batch = Batch::default();
        if let Err(error) = self.ensure_open() {
            batch.outcomes.extend(commits.into_iter().map(|commit| (commit.done, Ok(()))));
            return batch.tell(Some((&self.shared.name, &Cause::again(&error))));
        }
        for commit in commits {
            self.admit(commit, &mut batch);
        }
        if batch.writes.is_empty() {
            return batch.tell(None);
        }
        match self.persist(&batch) {
            Ok(()) => {
                self.publish(&mut batch);
                batch.tell(None);
            }
            Err(cause) => self.recover(batch, &cause),
        }
    }

    /// Checks a commit against everything before it and adds it to the batch. A refusal too is told only when what it rests on is
    /// durable.
    fn admit(&mut self, commit: Commit, batch: &mut Batch) {
        let follow: Vec<Write> =
            commit.writes.iter().filter(|write| !matches!(write, Write::Append(..))).cloned().collect();
        let outcome = self.state.apply(commit.writes).map(|applied| {
            batch.changes.extend(commit.changes);
            batch.changes.extend(applied.vanished.into_iter().map(Change::Vanish));
            batch.closed.extend(applied.closed);
            batch.writes.push(follow);
        });
        batch.outcomes.push((commit.done, outcome));
    }

    /// Puts a batch into the file, all of it or nothing.
    fn persist(&mut self, batch: &Batch) -> Result<(), Cause> {
        let database = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else { return Err(Cause::of(::redb::Error::DatabaseClosed)) };
        let last_run = self.state.last_run();
        put(database, &batch.changes, &mut self.positions, self.batch + 1, last_run).map_err(Cause::of)?;
        self.batch += 1;
        Ok(())
    }

    /// Lets the readers see a batch that is durable.
    fn publish(&mut self, batch: &mut Batch) {
        let mut published = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        for writes in batch.writes.drain(..) {
            if let Err(error) = published.apply(writes) {
                // The same writes passed on the same state a moment ago.
                debug_assert!(false, "{error}");
                tracing::error!(%error, "the state in memory is not that of the file");
            }
        }
        for id in batch.closed.drain(..) {
            published.leave_to_file(id);
            self.state.leave_to_file(id);
            self.positions.remove(&id);
        }
    }

    /// After a failed write the database refuses everything until it is opened again. It is then known whether the batch got into
    /// the file in spite of the failure, which is the case when all was written and only the flush failed.
    fn recover(&mut self, mut batch: Batch, cause: &Cause) {
        tracing::warn!(store = self.shared.name, cause = ?cause, "a write failed; the store is opened again");
        let before = self.batch;
        self.close();
        // When it cannot be opened now, the next commit tries again.
        if self.ensure_open().is_ok() && self.batch > before {
            return batch.tell(None);
        }
        batch.writes.clear();
        batch.tell(Some((&self.shared.name, cause)));
    }

    fn close(&mut self) {
        *self.shared.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Opens the database again if it is not open, and takes over what the file holds.
    fn ensure_open(&mut self) -> Result<()> {
        let mut database = self.shared.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_some() {
            return Ok(());
        }
        self.shared.disk.settle().map_err(|error| fault::open(&self.shared.name, error))?;
        let (opened, _, state) = load(&self.shared.name, &self.shared.disk, self.shared.formats)?;
        self.batch = batch_number(&self.shared.name, &opened)?;
        self.positions.clear();
        self.state = state.clone();
        *self.shared.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        *database = Some(opened);
        Ok(())
    }
}

fn put(
    database: &Database,
    changes: &[Change],
    positions: &mut HashMap<RunId, u64>,
    batch: u64,
    last_run: Option<RunId>,
) -> Result<(), ::redb::Error> {
    let transaction = database.begin_write()?;
    let mut tables = Tables::open(&transaction)?;
    for change in changes {
        tables.make(change, positions)?;
    }
    tables.set_meta(META_BATCH, &batch.to_string())?;
    if let Some(last) = last_run {
        tables.set_meta(META_LAST_RUN, &last.0.to_string())?;
    }
    drop(tables);
    transaction.commit()?;
    Ok(())
}

impl Batch {
    /// Tells everybody who waits: what was decided, or that it could not be written.
    fn tell(self, failure: Option<(&str, &Cause)>) {
        for (done, outcome) in self.outcomes {
            // Whoever does not wait any more does not want to know.
            let _ = done.send(match failure {
                Some((name, cause)) => Err(fault::write(name, cause)),
                None => outcome,
            });
        }
    }
}
