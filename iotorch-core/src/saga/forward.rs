//! Going forward: building what is wanted, then reaping what is not.

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    Connection,
    caller::{Answer, Caller, Halt, describe},
    run::Saga,
    tally::{Given, Way},
};
use crate::{
    error::Result,
    model::FailurePolicy,
    observer::Progress,
    plan::{Basis, Condition, Phase, StepId},
    resource::{Change, Inputs, KindName, Outputs, ResourceId, Spec, Work, resolve_inputs},
    store::{Entry, JournalEvent, Record, Write},
};

/// How a phase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PhaseEnd {
    /// Every step is done or was not needed.
    Complete,
    /// A step failed.
    Failed,
    /// The person asked to stop.
    Stopped,
    /// The person asked to stop while a place was away.
    Waiting,
}

/// A step that is about to be done.
pub(super) struct Call {
    pub(super) step: StepId,
    pub(super) work: Work,
    pub(super) given: Given,
    /// Until when an earlier call on the resource, whose answer never came, may still act: one to wait for before this one.
    pub(super) uncertain_until: Option<Timestamp>,
    /// The same of one that was like this one, and may come late without harm until another is made.
    pub(super) repeated_until: Option<Timestamp>,
}

/// A step, done or undone or not.
pub(super) struct Completed {
    pub(super) entries: Vec<Entry>,
    pub(super) writes: Vec<Write>,
    /// The steps that are over.
    pub(super) steps: Vec<StepId>,
    pub(super) end: PhaseEnd,
}

impl Completed {
    pub(super) const fn nothing(end: PhaseEnd) -> Self {
        Self { entries: Vec::new(), writes: Vec::new(), steps: Vec::new(), end }
    }
}

impl Saga {
    /// Does the steps of a phase, as many at once as their order allows.
    pub(super) async fn forward(&mut self, phase: Phase) -> Result<PhaseEnd> {
        let plan = Arc::clone(&self.run.plan);
        let mut waits_for = vec![0_usize; plan.steps.len()];
        let mut leads_to: Vec<Vec<StepId>> = vec![Vec::new(); plan.steps.len()];
        let mut ready = Vec::new();
        for (id, step) in plan.numbered().filter(|(_, step)| step.phase == phase) {
            if self.tally.is_settled(id) {
                continue;
            }
            for before in step.after.iter().filter(|before| !self.tally.is_settled(**before)) {
                waits_for[id.index()] += 1;
                leads_to[before.index()].push(id);
            }
            if waits_for[id.index()] == 0 {
                ready.push(id);
            }
        }
        let mut end = PhaseEnd::Complete;
        let mut under_way = FuturesUnordered::new();
        let caller = Caller { cancelled: self.caller.cancelled.child_token(), ..self.caller.clone() };
        loop {
            // A delete that fails keeps nothing but what rests on it; a step of the build phase that fails ends the phase.
            let stop =
                self.caller.cancelled.is_cancelled() || (phase == Phase::Build && end != PhaseEnd::Complete);
            while !stop && !ready.is_empty() {
                let mut skipped = Vec::new();
                for (connection, calls) in self.batches(std::mem::take(&mut ready), &mut skipped)? {
                    let caller = caller.clone();
                    let unseen = self.unseen(&calls);
                    under_way.push(async move { caller.build(&connection, calls, unseen).await });
                }
                for step in skipped {
                    release(step, &leads_to, &mut waits_for, &mut ready);
                }
            }
            let Some(completed) = under_way.next().await else { break };
            let completed = completed?;
            for step in &completed.steps {
                release(*step, &leads_to, &mut waits_for, &mut ready);
            }
            if end == PhaseEnd::Complete {
                end = completed.end;
            }
            if phase == Phase::Build && end == PhaseEnd::Failed && self.policy == FailurePolicy::Rollback {
                // What others still wait for is going to be undone.
                caller.cancelled.cancel();
            }
            self.take_in(&completed);
        }
        if end == PhaseEnd::Complete
            && plan.numbered().any(|(id, step)| step.phase == phase && !self.tally.is_settled(id))
        {
            end = if self.caller.cancelled.is_cancelled() { PhaseEnd::Stopped } else { PhaseEnd::Failed };
        }
        Ok(end)
    }

    /// Puts steps together that one call can do; those that are not needed go to `skipped`.
    fn batches(
        &mut self,
        ready: Vec<StepId>,
        skipped: &mut Vec<StepId>,
    ) -> Result<Vec<(Arc<Connection>, Vec<Call>)>> {
        let plan = Arc::clone(&self.run.plan);
        let mut groups: BTreeMap<(ResourceId, KindName, bool), Vec<Call>> = BTreeMap::new();
        for id in ready {
            let step = plan.step(id);
            let record = self.records.get(&step.resource);
            let inputs = match (&step.change, record) {
                // What goes needs to know what it was made with, also when what it used is gone already.
                (Change::Delete { .. }, Some(record)) => record.inputs.clone(),
                (
                    Change::Create { after: spec }
                    | Change::Update { after: spec, .. }
                    | Change::Delete { before: spec },
                    _,
                ) => self.inputs(&step.resource, spec, &step.uses)?,
            };
            if step.condition == Condition::IfInputsChanged
                && record.is_some_and(|record| record.inputs == inputs)
            {
                self.skip(id);
                skipped.push(id);
                continue;
            }
            let mut prior: Vec<_> = record.into_iter().cloned().collect();
            prior.extend(step.takes_along.iter().filter_map(|id| self.records.get(id)).cloned());
            let change = step.change.clone().map(|spec| (*spec).clone());
            let Some(work) = Work::new(step.resource.clone(), change, inputs.clone(), step.ownership) else {
                continue;
            };
            let again = self.repeats_at_once(id, Way::There, &*self.caller.connection(step)?, Some(&work));
            let again = again.then_some((id, Way::There));
            let uncertain_until = self.tally.uncertain_until(&plan, &step.resource, again);
            let uncertain_until = uncertain_until.max(record.and_then(|record| record.uncertain_until));
            let call = Call {
                step: id,
                work,
                given: Given { inputs: Arc::new(inputs), prior },
                uncertain_until,
                repeated_until: again.and_then(|call| self.tally.doubt_of(call)),
            };
            let key = (step.resource.scope(), step.resource.kind(), step.change.is_delete());
            groups.entry(key).or_default().push(call);
        }
        let mut batches = Vec::new();
        for ((_, kind, _), calls) in groups {
            let Some(first) = calls.first() else { continue };
            let connection = self.caller.connection(plan.step(first.step))?;
            let limit = connection.info.batch_limit(kind);
            let mut calls = calls.into_iter();
            while !calls.as_slice().is_empty() {
                batches.push((Arc::clone(&connection), calls.by_ref().take(limit).collect()));
            }
        }
        Ok(batches)
    }

    fn inputs(&self, id: &ResourceId, spec: &Spec, uses: &[ResourceId]) -> Result<Inputs> {
        resolve_inputs(id, spec, uses, &|id: &ResourceId| {
            self.records.get(id).map(|record| record.outputs.clone())
        })
    }

    /// Notes that a step is not needed; it is written with whatever is written next, since a run that forgets it finds it again.
    fn skip(&mut self, step: StepId) {
        let entry = Entry { at: self.caller.shared.clock.now(), event: JournalEvent::Skipped { step } };
        self.tally.note(&entry);
        self.backlog.push(Write::Append(self.run.id, entry));
        let resource = self.run.plan.step(step).resource.clone();
        self.caller.shared.tell(&self.run, Progress::StepSkipped { resource });
    }

    /// The steps of a batch that were planned without their scope being seen, with what is recorded of that scope.
    fn unseen(&mut self, calls: &[Call]) -> Option<(Vec<StepId>, Vec<Arc<Record>>)> {
        let root = self.run.plan.step(calls.first()?.step).resource.scope();
        let is_unseen = |id: &StepId| {
            self.run.plan.step(*id).basis == Basis::Assumed || self.unseen_roots.contains(&root)
        };
        let steps: Vec<_> = calls.iter().map(|call| call.step).filter(is_unseen).collect();
        if steps.is_empty() {
            return None;
        }
        // Once one step of the scope has begun, the scope is as this run made it.
        let has_begun = |id: StepId| self.tally.given[id.index()].is_some();
        if self.run.plan.numbered().any(|(id, step)| has_begun(id) && step.resource.scope() == root) {
            return None;
        }
        let records = self.records.values().filter(|record| record.id.scope() == root).cloned().collect();
        Some((steps, records))
    }

    /// Takes in what a call came to.
    pub(super) fn take_in(&mut self, completed: &Completed) {
        for entry in &completed.entries {
            self.tally.note(entry);
        }
        for write in &completed.writes {
            match write {
                Write::PutRecord(record) => {
                    self.records.insert(record.id.clone(), Arc::clone(record));
                }
                Write::DropRecord(id) => {
                    self.records.remove(id);
                }
                _ => {}
            }
        }
    }
}

fn release(step: StepId, leads_to: &[Vec<StepId>], waits_for: &mut [usize], ready: &mut Vec<StepId>) {
    for next in &leads_to[step.index()] {
        let open = &mut waits_for[next.index()];
        *open -= 1;
        if *open == 0 {
            ready.push(*next);
        }
    }
}

impl Caller {
    fn entry(&self, event: JournalEvent) -> Entry {
        Entry { at: self.shared.clock.now(), event }
    }

    pub(super) async fn write(&self, completed: &Completed) -> Result<()> {
        let appends = completed.entries.iter().map(|entry| Write::Append(self.run.id, entry.clone()));
        self.shared.store.commit(completed.writes.iter().cloned().chain(appends).collect()).await
    }

    fn started(&self, connection: &Connection, calls: &[Call], deadline: Instant) -> Vec<Entry> {
        let now = self.shared.clock.now();
        let deadline = self.wall_time(deadline);
        let started = calls.iter().map(|call| JournalEvent::Started {
            step: call.step,
            deadline: if connection.domain.only_asks(&call.work) { now } else { deadline },
            prior: call.given.prior.clone(),
            inputs: Arc::clone(&call.given.inputs),
        });
        started.map(|event| Entry { at: now, event }).collect()
    }

    /// Does a batch: verified where it was planned unseen, journalled before and after.
    async fn build(
        &self,
        connection: &Connection,
        calls: Vec<Call>,
        unseen: Option<(Vec<StepId>, Vec<Arc<Record>>)>,
    ) -> Result<Completed> {
        if let Some((steps, records)) = unseen {
            match self.verify_once_reachable(connection, &steps, &records).await {
                Ok(()) => {}
                Err(Halt::Failed(error)) => return self.refuse(&calls, &error).await,
                Err(Halt::Stopped) => return Ok(Completed::nothing(PhaseEnd::Stopped)),
                Err(Halt::Waiting) => return Ok(Completed::nothing(PhaseEnd::Waiting)),
            }
        }
        let Some(first) = calls.first() else {
            return Ok(Completed::nothing(PhaseEnd::Complete));
        };
        for call in &calls {
            if !self.outwait(connection, call.work.id(), call.uncertain_until).await {
                return Ok(Completed::nothing(PhaseEnd::Stopped));
            }
        }
        let span = self.deadline(self.step(first.step));
        let mut entries = self.started(connection, &calls, Instant::now() + span);
        self.shared
            .store
            .commit(entries.iter().map(|entry| Write::Append(self.run.id, entry.clone())).collect())
            .await?;
        let begun = Instant::now();
        for call in &calls {
            let resource = self.step(call.step).resource.clone();
            self.shared.tell(&self.run, Progress::StepStarted { resource, undo: false });
        }
        let restart = |deadline| -> Vec<Write> {
            self.started(connection, &calls, deadline)
                .into_iter()
                .map(|entry| Write::Append(self.run.id, entry))
                .collect()
        };
        let works = calls.iter().map(|call| call.work.clone()).collect();
        let answers = self.perform(connection, works, span, &restart).await;
        let mut completed = Completed::nothing(PhaseEnd::Complete);
        let mut told = Vec::new();
        for (call, Answer { result, uncertain_until }) in calls.iter().zip(answers) {
            let step = self.step(call.step);
            let resource = step.resource.clone();
            let event = match result {
                Ok(outputs) => {
                    completed.steps.push(call.step);
                    told.push(Progress::StepSucceeded { resource, undo: false, took: begun.elapsed() });
                    let uncertain_until = uncertain_until.max(call.repeated_until);
                    self.succeed(call, outputs, uncertain_until, &mut completed.writes)
                }
                Err(Halt::Failed(error)) => {
                    completed.end = PhaseEnd::Failed;
                    let cause = describe(step, false, error).to_cause();
                    tracing::warn!(slice = %self.run.plan.slice, run = %self.run.id, step = %resource, %cause, "the step failed");
                    told.push(Progress::StepFailed { resource, undo: false, cause: cause.clone() });
                    JournalEvent::Failed { step: call.step, cause, uncertain_until }
                }
                Err(halt) => {
                    if completed.end == PhaseEnd::Complete {
                        completed.end =
                            if matches!(halt, Halt::Waiting) { PhaseEnd::Waiting } else { PhaseEnd::Stopped };
                    }
                    JournalEvent::Stopped { step: call.step, uncertain_until }
                }
            };
            completed.entries.push(self.entry(event));
        }
        if !completed.entries.is_empty() {
            self.write(&completed).await?;
        }
        for progress in told {
            self.shared.tell(&self.run, progress);
        }
        entries.append(&mut completed.entries);
        Ok(Completed { entries, ..completed })
    }

    /// What is written when a step succeeded.
    fn succeed(
        &self,
        call: &Call,
        outputs: Outputs,
        uncertain_until: Option<Timestamp>,
        writes: &mut Vec<Write>,
    ) -> JournalEvent {
        let step = self.step(call.step);
        let residue = match (&step.change, outputs) {
            (Change::Delete { .. }, outputs) => {
                writes.push(Write::DropRecord(step.resource.clone()));
                writes.extend(step.takes_along.iter().cloned().map(Write::DropRecord));
                match outputs {
                    Outputs::Removed { residue } => residue,
                    _ => Vec::new(),
                }
            }
            (Change::Create { after } | Change::Update { after, .. }, outputs) => {
                writes.push(Write::PutRecord(Arc::new(Record {
                    id: step.resource.clone(),
                    driver: step.driver.clone(),
                    spec: Arc::clone(after),
                    uses: step.uses.clone(),
                    inputs: (*call.given.inputs).clone(),
                    outputs,
                    uncertain_until,
                    tainted: None,
                    changed_at: self.shared.clock.now(),
                    run: self.run.id,
                })));
                Vec::new()
            }
        };
        JournalEvent::Succeeded { step: call.step, residue, uncertain_until }
    }

    /// Fails a batch that was never begun.
    async fn refuse(&self, calls: &[Call], error: &crate::Error) -> Result<Completed> {
        let mut completed = Completed::nothing(PhaseEnd::Failed);
        for call in calls {
            let step = self.step(call.step);
            let cause = describe(step, false, error.to_cause().into()).to_cause();
            completed.entries.push(self.entry(JournalEvent::Failed {
                step: call.step,
                cause: cause.clone(),
                uncertain_until: None,
            }));
            self.shared.tell(
                &self.run,
                Progress::StepFailed { resource: step.resource.clone(), undo: false, cause },
            );
        }
        self.write(&completed).await?;
        Ok(completed)
    }

    pub(super) fn journal(&self, event: JournalEvent) -> Entry {
        self.entry(event)
    }
}
