//! Going back: undoing what a run did, in reverse.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    Connection,
    caller::{Caller, Halt, describe},
    forward::{Completed, PhaseEnd},
    run::Saga,
    tally::{Given, StepState, Way},
};
use crate::{
    error::{Error, ErrorKind, Result},
    observer::Progress,
    plan::{Phase, Step, StepId},
    resource::{Change, KindName, Location, Outputs, Ownership, ResourceId, Work, resolve_inputs},
    store::{JournalEvent, Record, Write},
};

/// One undoing: a step, and those that are gone with it.
struct Undo {
    step: StepId,
    given: Given,
    carried: Vec<(StepId, Given)>,
    /// Until when a call of the step, whose answer never came, may still act.
    uncertain_until: Option<Timestamp>,
    /// What is recorded of the root of the step's scope.
    root: Option<Arc<Record>>,
    /// The slice's records; only for undoing a delete, which has to look inputs up.
    records: BTreeMap<ResourceId, Arc<Record>>,
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
                    let connection = self.caller.connection(plan.step(step))?;
                    let again = self.repeats_at_once(step, Way::Back, &connection, None);
                    let again = again.then_some((step, Way::Back));
                    let uncertain_until = self.tally.uncertain_until(&plan, &plan.step(step).resource, again);
                    let is_delete = plan.step(step).change.is_delete();
                    let records = if is_delete { self.records.clone() } else { BTreeMap::new() };
                    let root = self.records.get(&plan.step(step).resource.scope()).cloned();
                    let undo = Undo { step, given, carried, uncertain_until, root, records };
                    let caller = self.caller.clone();
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
        let mut made = BTreeMap::new();
        let mut halted = None;
        let mut uncertain_until = None;
        for record in in_order(undo.returning(step)) {
            let work = self.reversed(&undo, &record, &made)?;
            let connection = self.shared.connections.domain(&record.driver, &record.id)?;
            for answer in self.perform(&connection, vec![work.clone()], span, &restart).await {
                uncertain_until = uncertain_until.max(answer.uncertain_until);
                match answer.result {
                    Ok(Outputs::Removed { .. }) => {}
                    Ok(outputs) => {
                        let again = Record {
                            inputs: work.inputs(),
                            outputs,
                            uncertain_until,
                            ..Record::clone(&record)
                        };
                        made.insert(record.id.clone(), Arc::new(again));
                    }
                    Err(Halt::Failed(error)) if self.has_made_nothing(&undo, &connection, &error).await => {}
                    Err(halt) => halted = Some(halt),
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
                completed.writes = restored(step.resource.clone(), &undo.given, &made);
                completed.writes.extend(undo.left_stale(&made).map(Write::PutRecord));
                completed
                    .entries
                    .push(self.journal(JournalEvent::UndoFinished { step: undo.step, uncertain_until }));
                completed.steps.push(undo.step);
                for (carried, given) in &undo.carried {
                    let resource = self.step(*carried).resource.clone();
                    completed.writes.extend(restored(resource, given, &BTreeMap::new()));
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
                let event = JournalEvent::UndoStopped { step: undo.step, uncertain_until };
                completed.entries.push(self.journal(event));
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

    /// Whether a create whose undoing is refused has made nothing, because somebody else's object is in its place: then that was
    /// the reason why it failed.
    async fn has_made_nothing(&self, undo: &Undo, connection: &Connection, refusal: &Error) -> bool {
        let step = self.step(undo.step);
        let was_made = matches!(step.change, Change::Create { .. })
            && step.ownership == Ownership::Ours
            && undo.given.prior.is_empty();
        was_made
            && refusal.kind() == ErrorKind::Conflict
            && self.is_foreign(connection, step, undo.root.as_ref()).await.unwrap_or(false)
    }

    /// What has to be done to bring `record` back, or to take back what was made where nothing was.
    fn reversed(&self, undo: &Undo, record: &Record, made: &Made) -> Result<Work> {
        let step = self.step(undo.step);
        let (change, inputs, ownership) = if record.id == step.resource {
            let change = step.change.clone().map(|spec| (*spec).clone()).inverse();
            (change, record.inputs.clone(), step.ownership.inverse())
        } else {
            // What went along with a delete is made in a host that was made again, and may tell other things than before.
            let outputs_of = |id: &ResourceId| {
                let record = made.get(id).or_else(|| undo.records.get(id))?;
                Some(record.outputs.clone())
            };
            let inputs = resolve_inputs(&record.id, &record.spec, &record.uses, &outputs_of)?;
            (Change::Create { after: (*record.spec).clone() }, inputs, Ownership::Ours)
        };
        Work::new(record.id.clone(), change, inputs, ownership).ok_or_else(|| {
            let message = format!("cannot undo \"{}\": its journal does not fit", step.resource);
            Error::new(ErrorKind::Unexpected, message)
        })
    }
}

/// What was made again by an undo, with what it tells now.
type Made = BTreeMap<ResourceId, Arc<Record>>;

impl Undo {
    /// What comes back: what was recorded before the step, or the step's own resource as the step left it.
    fn returning(&self, step: &Step) -> Vec<Arc<Record>> {
        let mut returning = self.given.prior.clone();
        if !returning.iter().any(|record| record.id == step.resource)
            && let Change::Create { after: spec }
            | Change::Update { after: spec, .. }
            | Change::Delete { before: spec } = &step.change
        {
            returning.push(Arc::new(Record {
                id: step.resource.clone(),
                driver: step.driver.clone(),
                spec: Arc::clone(spec),
                uses: step.uses.clone(),
                inputs: (*self.given.inputs).clone(),
                outputs: Outputs::Removed { residue: Vec::new() },
                uncertain_until: None,
                tainted: None,
                changed_at: jiff::Timestamp::UNIX_EPOCH,
                run: crate::store::RunId(0),
            }));
        }
        returning
    }

    /// Records of what uses something that tells other things since it was made again: the next plan looks after them.
    fn left_stale(&self, made: &Made) -> impl Iterator<Item = Arc<Record>> {
        let moved = |id: &ResourceId| {
            let before =
                self.records.get(id).or_else(|| self.given.prior.iter().find(|record| record.id == *id));
            made.get(id).is_some_and(|now| before.is_none_or(|before| before.outputs != now.outputs))
        };
        let others = self.records.values().filter(|record| !made.contains_key(&record.id));
        let stale = others.filter(move |record| record.uses.iter().chain(&record.id.host()).any(moved));
        stale.map(|record| {
            let message = "what it uses was made again while a run was undone";
            let cause = Error::new(ErrorKind::Unexpected, message).to_cause();
            Arc::new(Record { tainted: Some(cause), ..Record::clone(record) })
        })
    }
}

/// The records as they were before a step, those that were made again with what they tell now.
fn restored(resource: ResourceId, given: &Given, made: &Made) -> Vec<Write> {
    if given.prior.is_empty() {
        return vec![Write::DropRecord(resource)];
    }
    let now = |record: &Arc<Record>| Arc::clone(made.get(&record.id).unwrap_or(record));
    given.prior.iter().map(|record| Write::PutRecord(now(record))).collect()
}

/// Hosts and what is used before those that need them.
fn in_order(records: Vec<Arc<Record>>) -> Vec<Arc<Record>> {
    let mut open = records;
    let mut ordered: Vec<Arc<Record>> = Vec::with_capacity(open.len());
    while !open.is_empty() {
        let needs_open = |record: &Arc<Record>| {
            let needs = |id: &ResourceId| open.iter().any(|other| other.id == *id);
            record.id.hosts().any(|host| needs(&host)) || record.uses.iter().any(needs)
        };
        let (later, next): (Vec<_>, Vec<_>) = open.iter().cloned().partition(|record| needs_open(record));
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
