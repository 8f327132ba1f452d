//! Going back: undoing what a run did, in reverse.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    caller::{Caller, Halt, describe},
    forward::{Completed, PhaseEnd},
    run::Saga,
    tally::{Given, StepState},
};
use crate::{
    error::{Error, ErrorKind, Result},
    observer::Progress,
    plan::{Phase, StepId},
    resource::{Change, KindName, Location, Outputs, Ownership, ResourceId, Work},
    store::{JournalEvent, Record, Write},
};

/// One undoing: a step, and those that are gone with it.
struct Undo {
    step: StepId,
    given: Given,
    carried: Vec<(StepId, Given)>,
    /// Until when a call of the step, whose answer never came, may still act.
    uncertain_until: Option<Timestamp>,
}

impl Saga {
    /// Undoes every step that may have had an effect. One that cannot be undone keeps only what it rests on.
    pub(super) async fn unwind(&mut self) -> Result<PhaseEnd> {
        let plan = Arc::clone(&self.run.plan);
        let mut remaining: BTreeSet<StepId> = plan
            .numbered()
            .filter(|(id, step)| step.phase == Phase::Build && self.acted(*id))
            .map(|(id, _)| id)
            .collect();
        let carriers = self.carriers(&remaining);
        let mut blocked: BTreeSet<StepId> = BTreeSet::new();
        let mut under_way = FuturesUnordered::new();
        let mut busy: BTreeSet<StepId> = BTreeSet::new();
        let mut end = PhaseEnd::Complete;
        loop {
            if !self.caller.cancelled.is_cancelled() {
                for step in self.undoable(&remaining, &carriers, &busy, &blocked) {
                    busy.insert(step);
                    let carried = carriers.iter().filter(|(_, carrier)| **carrier == step).map(|(id, _)| *id);
                    let carried =
                        carried.filter_map(|id| Some((id, self.tally.given[id.index()].clone()?))).collect();
                    let Some(given) = self.tally.given[step.index()].clone() else { continue };
                    let uncertain_until = self.tally.uncertain_until(&plan, &plan.step(step).resource);
                    let (caller, undo) =
                        (self.caller.clone(), Undo { step, given, carried, uncertain_until });
                    under_way.push(async move { caller.undo(undo).await });
                }
            }
            let Some(completed) = under_way.next().await else { break };
            let (step, completed) = completed?;
            busy.remove(&step);
            for done in &completed.steps {
                remaining.remove(done);
            }
            if completed.end == PhaseEnd::Failed {
                blocked.insert(step);
            }
            if completed.end != PhaseEnd::Complete {
                end = completed.end;
            }
            self.take_in(&completed);
        }
        if remaining.is_empty() {
            return Ok(PhaseEnd::Complete);
        }
        if end == PhaseEnd::Complete {
            end = if self.caller.cancelled.is_cancelled() { PhaseEnd::Stopped } else { PhaseEnd::Failed };
        }
        self.left_behind = remaining.iter().map(|id| plan.step(*id).resource.to_string()).collect();
        Ok(end)
    }

    /// Whether a step was begun and is not undone.
    fn acted(&self, step: StepId) -> bool {
        self.tally.may_have_acted(step) && self.tally.given[step.index()].is_some()
    }

    /// The steps that need no undoing of their own: what was made in a host that this run made too goes with it.
    fn carriers(&self, remaining: &BTreeSet<StepId>) -> BTreeMap<StepId, StepId> {
        let plan = &self.run.plan;
        let made: BTreeMap<&ResourceId, StepId> = remaining
            .iter()
            .filter(|id| {
                let step = plan.step(**id);
                matches!(step.change, Change::Create { .. })
                    && step.ownership == Ownership::Ours
                    && self.was_new(**id)
            })
            .map(|id| (&plan.step(*id).resource, *id))
            .collect();
        let carrier = |id: &StepId| {
            let resource = &plan.step(*id).resource;
            if resource.kind() == KindName::Port || resource.location() == Location::External {
                return None;
            }
            resource.hosts().filter_map(|host| made.get(&host).copied()).last()
        };
        remaining.iter().filter_map(|id| Some((*id, carrier(id)?))).collect()
    }

    /// Whether nothing was recorded of the step's resource when it began.
    fn was_new(&self, step: StepId) -> bool {
        self.tally.given[step.index()].as_ref().is_some_and(|given| given.prior.is_empty())
    }

    /// The steps that nothing rests on any more.
    fn undoable(
        &self,
        remaining: &BTreeSet<StepId>,
        carriers: &BTreeMap<StepId, StepId>,
        busy: &BTreeSet<StepId>,
        blocked: &BTreeSet<StepId>,
    ) -> Vec<StepId> {
        let plan = &self.run.plan;
        let bearer = |id: StepId| carriers.get(&id).copied().unwrap_or(id);
        let mut rested_on: BTreeSet<StepId> = BTreeSet::new();
        let mut rested_on_itself: BTreeSet<StepId> = BTreeSet::new();
        for id in remaining {
            for before in &plan.step(*id).after {
                if bearer(*before) != bearer(*id) {
                    rested_on.insert(bearer(*before));
                    if bearer(*before) == *before && bearer(*id) == *id {
                        rested_on_itself.insert(*before);
                    }
                }
            }
        }
        let candidates = || {
            let own = remaining.iter().filter(|id| !carriers.contains_key(*id));
            own.filter(|id| !busy.contains(*id) && !blocked.contains(*id)).copied()
        };
        let free: Vec<_> = candidates().filter(|id| !rested_on.contains(id)).collect();
        if !free.is_empty() || !busy.is_empty() || !blocked.is_empty() {
            return free;
        }
        // Two hosts can each hold users of the other's contents. They go together, the later one first.
        candidates().rfind(|id| !rested_on_itself.contains(id)).into_iter().collect()
    }
}

impl Caller {
    /// Undoes one step, journalled before and after.
    async fn undo(&self, undo: Undo) -> Result<(StepId, Completed)> {
        let step = self.step(undo.step);
        let connection = self.connection(step)?;
        let span = self.deadline(step);
        if !self.outwait(&connection, &step.resource, undo.uncertain_until).await {
            let stopped = Completed::nothing(PhaseEnd::Stopped);
            return Ok((undo.step, stopped));
        }
        let started = |deadline: Instant| {
            self.journal(JournalEvent::UndoStarted { step: undo.step, deadline: self.wall_time(deadline) })
        };
        let entry = started(Instant::now() + span);
        self.shared.store.commit(vec![Write::Append(self.run.id, entry.clone())]).await?;
        self.shared.tell(&self.run, Progress::StepStarted { resource: step.resource.clone(), undo: true });
        let begun = Instant::now();
        let restart = |deadline| vec![Write::Append(self.run.id, started(deadline))];
        let mut entries = vec![entry];
        let mut made: Vec<(Arc<Record>, Outputs)> = Vec::new();
        let mut halted = None;
        let mut uncertain_until = None;
        for (work, record) in self.reversed(&undo)? {
            for answer in self.perform(&connection, vec![work], span, &restart).await {
                uncertain_until = uncertain_until.max(answer.uncertain_until);
                match (answer.result, &record) {
                    (Ok(outputs), Some(record)) => made.push((Arc::clone(record), outputs)),
                    (Ok(_), None) => {}
                    (Err(halt), _) => halted = Some(halt),
                }
            }
            if halted.is_some() {
                break;
            }
        }
        let mut completed = Completed::nothing(PhaseEnd::Complete);
        let resource = step.resource.clone();
        let progress = match halted {
            None => {
                completed.writes = restored(step.resource.clone(), &undo.given, made, uncertain_until);
                completed
                    .entries
                    .push(self.journal(JournalEvent::UndoFinished { step: undo.step, uncertain_until }));
                completed.steps.push(undo.step);
                for (carried, given) in &undo.carried {
                    completed.writes.extend(restored(
                        self.step(*carried).resource.clone(),
                        given,
                        Vec::new(),
                        None,
                    ));
                    completed.entries.push(
                        self.journal(JournalEvent::UndoFinished { step: *carried, uncertain_until: None }),
                    );
                    completed.steps.push(*carried);
                }
                Some(Progress::StepSucceeded { resource, undo: true, took: begun.elapsed() })
            }
            Some(Halt::Failed(error)) => {
                let cause = describe(step, true, error).to_cause();
                tracing::error!(slice = %self.run.plan.slice, run = %self.run.id, step = %resource, %cause, "the step could not be undone");
                let event =
                    JournalEvent::UndoFailed { step: undo.step, cause: cause.clone(), uncertain_until };
                completed.entries.push(self.journal(event));
                completed.end = PhaseEnd::Failed;
                Some(Progress::StepFailed { resource, undo: true, cause })
            }
            Some(halt) => {
                completed.end =
                    if matches!(halt, Halt::Waiting) { PhaseEnd::Waiting } else { PhaseEnd::Stopped };
                None
            }
        };
        if !completed.entries.is_empty() {
            self.write(&completed).await?;
        }
        if let Some(progress) = progress {
            self.shared.tell(&self.run, progress);
        }
        entries.append(&mut completed.entries);
        Ok((undo.step, Completed { entries, ..completed }))
    }

    /// What has to be done to undo a step, each with the record that it brings back.
    fn reversed(&self, undo: &Undo) -> Result<Vec<(Work, Option<Arc<Record>>)>> {
        let step = self.step(undo.step);
        let own = undo.given.prior.iter().find(|record| record.id == step.resource);
        let inputs = own.map_or_else(|| (*undo.given.inputs).clone(), |record| record.inputs.clone());
        let change = step.change.clone().map(|spec| (*spec).clone()).inverse();
        let unfit = || {
            Error::new(
                ErrorKind::Unexpected,
                format!("cannot undo \"{}\": its journal does not fit", step.resource),
            )
        };
        let work =
            Work::new(step.resource.clone(), change, inputs, step.ownership.inverse()).ok_or_else(unfit)?;
        let mut works = vec![(work, own.cloned())];
        if step.change.is_delete() {
            // What went along has to be made again, hosts and used resources first.
            for record in in_order(undo.given.prior.iter().filter(|record| record.id != step.resource)) {
                let change = Change::Create { after: (*record.spec).clone() };
                let work = Work::new(record.id.clone(), change, record.inputs.clone(), Ownership::Ours)
                    .ok_or_else(unfit)?;
                works.push((work, Some(Arc::clone(record))));
            }
        }
        Ok(works)
    }
}

/// The records as they were before a step, those that were made again with what they tell now.
fn restored(
    resource: ResourceId,
    given: &Given,
    made: Vec<(Arc<Record>, Outputs)>,
    uncertain_until: Option<Timestamp>,
) -> Vec<Write> {
    if given.prior.is_empty() {
        return vec![Write::DropRecord(resource)];
    }
    let now = |record: &Arc<Record>| {
        let outputs = made.iter().find(|(other, _)| other.id == record.id).map(|(_, outputs)| outputs);
        match outputs {
            Some(Outputs::Removed { .. }) | None => Arc::clone(record),
            Some(outputs) => {
                Arc::new(Record { outputs: outputs.clone(), uncertain_until, ..Record::clone(record) })
            }
        }
    };
    given.prior.iter().map(|record| Write::PutRecord(now(record))).collect()
}

fn in_order<'a>(records: impl Iterator<Item = &'a Arc<Record>>) -> Vec<&'a Arc<Record>> {
    let mut open: Vec<_> = records.collect();
    let mut ordered: Vec<&Arc<Record>> = Vec::with_capacity(open.len());
    while !open.is_empty() {
        let needs_open = |record: &Arc<Record>| {
            let needs = |id: &ResourceId| open.iter().any(|other| other.id == *id);
            record.id.hosts().any(|host| needs(&host)) || record.uses.iter().any(needs)
        };
        let (later, next): (Vec<_>, Vec<_>) = open.iter().copied().partition(|record| needs_open(record));
        if next.is_empty() {
            ordered.extend(later);
            break;
        }
        ordered.extend(next);
        open = later;
    }
    ordered
}

/// The cause of an undo that failed, for a run that is closed all the same.
pub(super) fn cause_of(state: &StepState) -> Option<crate::Cause> {
    match state {
        StepState::Failed(cause) | StepState::UndoFailed(cause) => Some(cause.clone()),
        _ => None,
    }
}
