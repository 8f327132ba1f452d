//! A run, from its first step until it is over or has to stay open.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio_util::sync::CancellationToken;

use super::{
    Connection, Shared,
    caller::Caller,
    forward::PhaseEnd,
    tally::{Tally, Way},
};
use crate::{
    error::{Error, ErrorKind, Result},
    model::FailurePolicy,
    observer::Progress,
    orchestrator::{Direction, RunOptions},
    plan::{Phase, StepId},
    resource::{ResourceId, Work},
    store::{JournalEvent, Record, Run, RunState, SliceState, Write},
};

/// A run that is being worked on.
pub(crate) struct Saga {
    pub(super) run: Arc<Run>,
    pub(super) caller: Caller,
    pub(super) policy: FailurePolicy,
    pub(super) rollback_on_interrupt: bool,
    pub(super) tally: Tally,
    /// The slice's records as they are now.
    pub(super) records: BTreeMap<ResourceId, Arc<Record>>,
    /// Scopes that cannot be seen although the plan was made when they could.
    pub(super) unseen_roots: BTreeSet<ResourceId>,
    /// Writes that can wait for the next commit.
    pub(super) backlog: Vec<Write>,
    /// What could not be undone or deleted.
    pub(super) left_behind: Vec<String>,
}

/// How far a run got, and what it was.
pub(crate) struct Ended {
    pub(crate) run: Arc<Run>,
    pub(crate) state: RunState,
    pub(crate) tally: Tally,
    pub(crate) residue: Vec<String>,
}

impl Saga {
    pub(crate) fn new(
        shared: Arc<Shared>,
        run: Arc<Run>,
        state: &SliceState,
        tally: Tally,
        options: &RunOptions,
    ) -> Self {
        let caller = Caller { shared, run: Arc::clone(&run), cancelled: options.cancelled.clone() };
        Self {
            policy: options.on_failure.unwrap_or(run.plan.on_failure),
            rollback_on_interrupt: options.rollback_on_interrupt,
            caller,
            tally,
            records: state.records.clone(),
            unseen_roots: BTreeSet::new(),
            backlog: Vec::new(),
            left_behind: Vec::new(),
            run,
        }
    }

    /// Notes scopes that could not be seen when the run was about to begin: their steps verify first.
    pub(crate) fn verify_first(&mut self, roots: BTreeSet<ResourceId>) {
        self.unseen_roots = roots;
    }

    /// Turns an open run in the direction that was asked for.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the run cannot go that way any more.
    pub(crate) async fn turn(&mut self, direction: Direction) -> Result<()> {
        let refused = |why: &str, help: &str| {
            Err(Error::new(ErrorKind::Conflict, format!("cannot resume run {}: {why}", self.run.id))
                .with_help(help))
        };
        match direction {
            Direction::Rollback if self.tally.committed => {
                return refused("it is committed and only goes forward", "resume it with --continue");
            }
            Direction::Continue if self.tally.unwinding => {
                return refused("it is being undone", "resume it with --rollback, then apply again");
            }
            _ => {}
        }
        self.append(JournalEvent::Resumed { direction }, Vec::new()).await?;
        if direction == Direction::Rollback && !self.tally.unwinding {
            self.append(JournalEvent::Unwinding, Vec::new()).await?;
        }
        Ok(())
    }

    /// Waits until no call of an earlier process can act any more, but for those that are going to be made again and may be at once;
    /// `false` when the person asked to stop.
    pub(crate) async fn settle(&mut self, direction: Direction) -> Result<bool> {
        let cut_off: Vec<_> = self.tally.cut_off().collect();
        for (id, way, deadline) in cut_off {
            let step = self.caller.step(id);
            let connection = self.caller.connection(step)?;
            let is_made_again = match (way, direction) {
                (_, Direction::Abandon) | (Way::There, Direction::Rollback) => false,
                (Way::There, _) => !self.tally.unwinding,
                (Way::Back, _) => true,
            };
            if self.caller.is_over(&connection, &step.resource, deadline).await {
                self.tally.calm(id);
            } else if is_made_again && self.repeats_at_once(id, way, &connection, None) {
                tracing::debug!(step = %step.resource, "what was cut off is made again at once");
            } else if self.caller.outwait(&connection, &step.resource, Some(deadline)).await {
                self.tally.calm(id);
            } else {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the call that was made of a step last may be made again at once, which is `next` where that is known.
    pub(super) fn repeats_at_once(
        &self,
        id: StepId,
        way: Way,
        connection: &Connection,
        next: Option<&Work>,
    ) -> bool {
        let step = self.caller.step(id);
        let Some(last) = self.tally.given[id.index()].as_ref().and_then(|given| given.call(step, way)) else {
            return false;
        };
        next.is_none_or(|next| *next == last) && connection.domain.repeats_at_once(&last)
    }

    /// Tells who watches that the run begins, or goes on.
    pub(crate) fn announce(&self) {
        self.caller.shared.tell(&self.run, Progress::RunStarted { plan: Arc::clone(&self.run.plan) });
    }

    /// Goes on until the run is over or has to stay open.
    pub(crate) async fn drive(mut self) -> Result<Ended> {
        self.mint().await?;
        loop {
            let end = if self.tally.unwinding {
                match self.unwind().await? {
                    PhaseEnd::Complete => return self.close(RunState::RolledBack).await,
                    PhaseEnd::Failed => return self.stay(RunState::Stuck).await,
                    end => end,
                }
            } else if self.tally.committed {
                match self.forward(Phase::Reap).await? {
                    PhaseEnd::Complete => return self.close(RunState::Succeeded).await,
                    PhaseEnd::Failed => return self.stay(RunState::Stuck).await,
                    end => end,
                }
            } else {
                match self.forward(Phase::Build).await? {
                    PhaseEnd::Complete => {
                        self.commit().await?;
                        continue;
                    }
                    PhaseEnd::Failed => match self.policy {
                        FailurePolicy::Rollback => {
                            self.begin_unwinding().await?;
                            continue;
                        }
                        FailurePolicy::Pause => return self.stay(RunState::Paused).await,
                        FailurePolicy::Keep => return self.close(RunState::Kept).await,
                    },
                    end => end,
                }
            };
            if self.rollback_on_interrupt && !self.tally.unwinding && !self.tally.committed {
                // Undoing has to be able to wait, so the signal that stopped the run does not stop it.
                self.caller.cancelled = CancellationToken::new();
                self.rollback_on_interrupt = false;
                self.begin_unwinding().await?;
                continue;
            }
            let state = if end == PhaseEnd::Waiting { RunState::Waiting } else { RunState::Interrupted };
            return self.stay(state).await;
        }
    }

    async fn begin_unwinding(&mut self) -> Result<()> {
        self.append(JournalEvent::Unwinding, Vec::new()).await?;
        self.caller.shared.tell(&self.run, Progress::Unwinding);
        Ok(())
    }

    /// Everything is built: from here on the document is the slice's, and the run only goes forward.
    async fn commit(&mut self) -> Result<()> {
        let document = match &self.run.plan.document {
            Some(document) => Write::PutSlice(Arc::clone(document)),
            None => Write::DropSlice(self.run.plan.slice.clone()),
        };
        self.append(JournalEvent::Committed, vec![document]).await?;
        self.caller.shared.tell(&self.run, Progress::Committed);
        Ok(())
    }

    pub(super) async fn append(&mut self, event: JournalEvent, mut writes: Vec<Write>) -> Result<()> {
        let entry = self.caller.journal(event);
        writes.append(&mut self.backlog);
        writes.push(Write::Append(self.run.id, entry.clone()));
        self.caller.shared.store.commit(writes).await?;
        self.tally.note(&entry);
        Ok(())
    }
}
