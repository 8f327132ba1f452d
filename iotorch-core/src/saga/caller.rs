//! Calling domains: admission, deadlines, repeats, and the word of what a step was.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Connection, Shared};
use crate::{
    domain::{Context, Observed, Scope},
    driver::Verdict,
    error::{Error, ErrorKind, Result},
    model::OnOffline,
    observer::Progress,
    plan::{Step, StepId},
    resource::{Change, Outputs, Ownership, ResourceId, Work},
    store::{Record, Run, RunState, RunStatus, Write},
};

/// Why a step came to no result.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It failed for good.
    Failed(Error),
    /// The person asked to stop before it was done.
    Stopped,
    /// The person asked to stop while its place could not be reached.
    Waiting,
}

/// What came of a step.
pub(crate) struct Answer {
    pub(crate) result: Result<Outputs, Halt>,
    /// Until when a call, whose answer never came, may still act.
    pub(crate) uncertain_until: Option<Timestamp>,
}

/// A step of a batch that has no result yet.
struct Open {
    index: usize,
    work: Work,
    uncertain_until: Option<Timestamp>,
}

/// Calls domains for one run.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) shared: Arc<Shared>,
    pub(crate) run: Arc<Run>,
    /// Cancelled when the person asks to stop, and when what is called is going to be undone.
    pub(crate) cancelled: CancellationToken,
}

impl Caller {
    pub(crate) fn step(&self, step: StepId) -> &Step {
        self.run.plan.step(step)
    }

    pub(crate) fn connection(&self, step: &Step) -> Result<Arc<Connection>> {
        self.shared.connections.domain(&step.driver, &step.resource)
    }

    pub(crate) fn context(&self, deadline: Instant) -> Context {
        Context {
            installation: self.shared.store.installation(),
            deadline,
            cancelled: self.cancelled.clone(),
            secrets: Arc::clone(&self.shared.secrets),
            places: self.shared.connections.places(),
        }
    }

    pub(crate) fn deadline(&self, step: &Step) -> Duration {
        self.shared.limits.deadline(step.resource.kind())
    }

    /// Has a domain do `works`, again and again where that may help, until each has a result.
    ///
    /// `restart` gives what is to be written, with the new deadline, before a batch is begun again after its place was away.
    pub(crate) async fn perform(
        &self,
        connection: &Connection,
        works: Vec<Work>,
        span: Duration,
        restart: &(dyn Fn(Instant) -> Vec<Write> + Send + Sync),
    ) -> Vec<Answer> {
        let begun = Instant::now();
        let mut deadline = begun + span;
        let mut answers: Vec<Option<Answer>> = works.iter().map(|_| None).collect();
        let as_open = |(index, work)| Open { index, work, uncertain_until: None };
        let mut open: Vec<Open> = works.into_iter().enumerate().map(as_open).collect();
        let mut attempt = 0;
        // How often its place was away, since it last was not.
        let mut missed = 0;
        while !open.is_empty() {
            let results = self.call(connection, &open, deadline).await;
            attempt += 1;
            let mut again = Vec::new();
            let usual = self.shared.limits.pause(attempt.max(missed + 1));
            let mut pause = Duration::ZERO;
            let mut offline = false;
            for (mut step, result) in open.into_iter().zip(results) {
                let error = match result {
                    Ok(outputs) => {
                        close(&mut answers, step, Ok(outputs));
                        continue;
                    }
                    Err(error) => error,
                };
                if error.kind() == ErrorKind::Cancelled && self.cancelled.is_cancelled() {
                    close(&mut answers, step, Err(Halt::Stopped));
                    continue;
                }
                let is_unanswered = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout);
                if is_unanswered && !connection.domain.only_asks(&step.work) {
                    step.uncertain_until = Some(self.wall_time(deadline));
                }
                let away = error.kind() == ErrorKind::Unavailable && self.waits_offline(begun);
                let passes = match error.kind() {
                    ErrorKind::NotReady => Instant::now() < deadline,
                    kind if kind.is_retryable() => {
                        attempt < self.shared.limits.attempts && Instant::now() < deadline
                    }
                    _ => false,
                };
                if !passes && !away {
                    close(&mut answers, step, Err(Halt::Failed(self.out_of_reach(error))));
                    continue;
                }
                offline |= away;
                let wanted = match error.kind() {
                    ErrorKind::NotReady => usual.min(self.shared.limits.longest_ready_pause),
                    _ => usual,
                };
                pause = pause.max(error.retry_after().unwrap_or(wanted));
                let reason = error.to_cause().root().to_owned();
                let resource = step.work.id().clone();
                tracing::debug!(%resource, attempt, reason, "the step is tried again");
                self.shared.tell(&self.run, Progress::StepRetried { resource, reason, attempt });
                again.push(step);
            }
            open = again;
            let noted = match (offline, missed) {
                (true, 0) => self.note_state(RunState::Waiting).await,
                (false, 1..) => self.note_state(RunState::Running).await,
                _ => Ok(()),
            };
            missed = if offline { missed + 1 } else { 0 };
            if let Err(error) = noted {
                fail_all(open, &mut answers, &error);
                break;
            }
            if open.is_empty() {
                break;
            }
            let wake = if offline { Instant::now() + pause } else { (Instant::now() + pause).min(deadline) };
            if !self.sleep_until(wake).await {
                for step in open {
                    close(&mut answers, step, Err(if offline { Halt::Waiting } else { Halt::Stopped }));
                }
                break;
            }
            if offline {
                deadline = Instant::now() + span;
                attempt = 0;
                if let Err(error) = self.shared.store.commit(restart(deadline)).await {
                    fail_all(open, &mut answers, &error);
                    break;
                }
            }
        }
        let stopped = || Answer { result: Err(Halt::Stopped), uncertain_until: None };
        answers.into_iter().map(|answer| answer.unwrap_or_else(stopped)).collect()
    }

    async fn call(&self, connection: &Connection, open: &[Open], deadline: Instant) -> Vec<Result<Outputs>> {
        let Some(first) = open.first() else { return Vec::new() };
        let span = tracing::info_span!("step", slice = %self.run.plan.slice, run = %self.run.id, step = %first.work.id());
        let works: Vec<_> = open.iter().map(|step| step.work.clone()).collect();
        let cx = self.context(deadline);
        let call = async {
            let _any = self.shared.calls.acquire().await;
            let _here = connection.admit().await;
            connection.domain.apply(&cx, works).await
        };
        let overdue = || Error::new(ErrorKind::Timeout, "no answer before the deadline");
        let mut results = match tokio::time::timeout_at(deadline, call.instrument(span)).await {
            Ok(results) => results,
            Err(_) => open.iter().map(|_| Err(overdue())).collect(),
        };
        // A domain outside of its contract must not make a step look done.
        let short = || Error::new(ErrorKind::Unexpected, "the domain gave no result for this step");
        results.resize_with(open.len(), || Err(short()));
        results
    }

    /// The time of day that the runtime's clock will show at `at`.
    pub(crate) fn wall_time(&self, at: Instant) -> Timestamp {
        let ahead = SignedDuration::try_from(at.saturating_duration_since(Instant::now()));
        self.shared.clock.now() + ahead.unwrap_or(SignedDuration::ZERO)
    }

    /// Waits until no call on `id` that was left without an answer can act any more: until `until`, or until the domain knows that
    /// they are over. `false` when the person asked to stop.
    pub(crate) async fn outwait(
        &self,
        connection: &Connection,
        id: &ResourceId,
        until: Option<Timestamp>,
    ) -> bool {
        let Some(until) = until else { return true };
        let mut attempt = 0;
        while !self.is_over(connection, id, until).await {
            if attempt == 0 {
                tracing::info!(step = %id, %until, "waiting until an earlier call can no longer act");
                self.shared.tell(&self.run, Progress::StepHeld { resource: id.clone(), until });
            }
            attempt += 1;
            let pause = self.shared.limits.pause(attempt).min(self.shared.limits.longest_ready_pause);
            let wake = (Instant::now() + pause).min(self.shared.clock.instant_of(until));
            if !self.sleep_until(wake).await {
                return false;
            }
        }
        true
    }

    /// Whether no call on `id` that may act until `until` can act any more, because that is past or the domain knows.
    pub(crate) async fn is_over(&self, connection: &Connection, id: &ResourceId, until: Timestamp) -> bool {
        if until <= self.shared.clock.now() {
            return true;
        }
        let observe = self.shared.limits.observe_deadline;
        let cx = self.context(Instant::now() + observe);
        tokio::time::timeout(observe, connection.domain.is_quiescent(&cx, id)).await == Ok(true)
    }

    /// Whether the slice's policy is to wait for a place that is away, and the time for that is not over.
    fn waits_offline(&self, begun: Instant) -> bool {
        let offline = self.run.plan.offline;
        offline.policy == OnOffline::Wait
            && offline.limit.is_none_or(|limit| begun.elapsed() < limit.duration())
    }

    /// Says what the slice's policy has to do with an error that its place is away.
    fn out_of_reach(&self, error: Error) -> Error {
        let offline = self.run.plan.offline;
        match (offline.policy, offline.limit) {
            _ if error.kind() != ErrorKind::Unavailable => error,
            (OnOffline::Wait, Some(limit)) => Error::new(
                ErrorKind::Unavailable,
                format!("its place could not be reached for {limit}, which is as long as the slice waits"),
            )
            .with_source(error),
            (OnOffline::Wait, None) => error,
            (OnOffline::Fail, _) if error.help().is_some() => error,
            (OnOffline::Fail, _) => error.with_help(
                "a slice waits for a place that cannot be reached if its document says: offline: { policy: wait }",
            ),
        }
    }

    async fn note_state(&self, state: RunState) -> Result<()> {
        let since = self.shared.clock.now();
        let status = RunStatus { state, since, cause: None, failed: None, residue: Vec::new() };
        self.shared.store.commit(vec![Write::SetRunStatus(self.run.id, status)]).await
    }

    /// Sleeps; `false` when it was cancelled.
    pub(crate) async fn sleep_until(&self, at: Instant) -> bool {
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => false,
            () = tokio::time::sleep_until(at) => true,
        }
    }

    /// As [`Self::verify`]; a place that is away is waited for where that is the slice's policy.
    pub(crate) async fn verify_once_reachable(
        &self,
        connection: &Connection,
        steps: &[StepId],
        records: &[Arc<Record>],
    ) -> Result<(), Halt> {
        let begun = Instant::now();
        let mut attempt = 0;
        let mut was_away = false;
        loop {
            attempt += 1;
            let error = match self.verify(connection, steps, records).await {
                Err(error) if error.kind() == ErrorKind::Unavailable && self.waits_offline(begun) => error,
                Err(error)
                    if error.kind() == ErrorKind::NotReady
                        && begun.elapsed() < self.shared.limits.ready_deadline =>
                {
                    error
                }
                verified => {
                    if was_away {
                        self.note_state(RunState::Running).await.map_err(Halt::Failed)?;
                    }
                    return verified.map_err(|error| Halt::Failed(self.out_of_reach(error)));
                }
            };
            let is_away = error.kind() == ErrorKind::Unavailable;
            let reason = error.to_cause().root().to_owned();
            for step in steps {
                let resource = self.step(*step).resource.clone();
                self.shared
                    .tell(&self.run, Progress::StepRetried { resource, reason: reason.clone(), attempt });
            }
            if is_away != was_away {
                let state = if is_away { RunState::Waiting } else { RunState::Running };
                self.note_state(state).await.map_err(Halt::Failed)?;
                was_away = is_away;
            }
            if !self.sleep_until(Instant::now() + self.shared.limits.pause(attempt)).await {
                return Err(if is_away { Halt::Waiting } else { Halt::Stopped });
            }
        }
    }

    /// Checks that what a step was planned from is still what is there; for scopes that could not be seen when the plan was made.
    async fn verify(&self, connection: &Connection, steps: &[StepId], records: &[Arc<Record>]) -> Result<()> {
        let steps: Vec<&Step> = steps.iter().map(|step| self.step(*step)).collect();
        let Some(first) = steps.first() else { return Ok(()) };
        let known = steps.iter().map(|step| step.resource.clone()).collect();
        let observed = self.observe(connection, first.resource.scope(), known, records).await?;
        for step in steps {
            let seen = observed.iter().find(|(id, _)| *id == step.resource).map(|(_, seen)| seen);
            if let Some(difference) = self.difference(connection, step, seen) {
                return Err(Error::new(
                    ErrorKind::Moved,
                    format!("\"{}\" is not as it was planned from: {difference}", step.resource),
                )
                .with_help("plan again, now that its place can be reached"));
            }
        }
        Ok(())
    }

    /// Whether an object that bears somebody else's mark is where `step` makes one; `root` is what is recorded of its scope's root.
    pub(crate) async fn is_foreign(
        &self,
        connection: &Connection,
        step: &Step,
        root: Option<&Arc<Record>>,
    ) -> Result<bool> {
        let known = BTreeSet::from([step.resource.clone()]);
        let observed = self
            .observe(connection, step.resource.scope(), known, root.map_or(&[], std::slice::from_ref))
            .await?;
        let there = |(id, seen): &(ResourceId, Observed)| {
            *id == step.resource && matches!(seen, Observed::Foreign { .. })
        };
        Ok(observed.iter().any(there))
    }

    /// Looks at `known` in the scope of `root`, of which `records` are kept.
    async fn observe(
        &self,
        connection: &Connection,
        root: ResourceId,
        known: BTreeSet<ResourceId>,
        records: &[Arc<Record>],
    ) -> Result<Vec<(ResourceId, Observed)>> {
        let application =
            records.iter().find(|record| record.id == root).and_then(|record| match &record.outputs {
                Outputs::Application(outputs) => Some(outputs.clone()),
                _ => None,
            });
        let recorded = records.iter().map(|record| (record.id.clone(), Arc::clone(&record.spec))).collect();
        let scope = Scope { root, known, recorded, application };
        let deadline = Instant::now() + self.shared.limits.observe_deadline;
        let cx = self.context(deadline);
        let observed = tokio::time::timeout_at(deadline, connection.observe(&cx, &scope)).await;
        observed.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Unavailable, format!("\"{}\" gives no answer", scope.root)))
        })
    }

    fn difference(
        &self,
        connection: &Connection,
        step: &Step,
        seen: Option<&Observed>,
    ) -> Option<&'static str> {
        match (seen, step.change.before()) {
            (Some(Observed::Foreign { .. }), _) if step.ownership != Ownership::Adopt => {
                Some("it belongs to somebody else")
            }
            (Some(Observed::Present { spec, .. }), Some(before)) => {
                let driver = self.shared.connections.driver(&connection.info.name)?;
                (driver.compare(spec, before) != Verdict::Same).then_some("it has changed")
            }
            (None | Some(Observed::Absent), Some(_)) if !step.change.is_delete() => Some("it is gone"),
            _ => None,
        }
    }
}

fn close(answers: &mut [Option<Answer>], step: Open, result: Result<Outputs, Halt>) {
    answers[step.index] = Some(Answer { result, uncertain_until: step.uncertain_until });
}

fn fail_all(open: Vec<Open>, answers: &mut [Option<Answer>], error: &Error) {
    for step in open {
        close(answers, step, Err(Halt::Failed(error.to_cause().into())));
    }
}

/// The verb for a change, undone or not.
const fn verb<S>(change: &Change<S>, ownership: Ownership) -> &'static str {
    match (change, ownership) {
        (_, Ownership::Adopt) => "adopt",
        (_, Ownership::Release) => "release",
        (Change::Create { .. }, _) => "create",
        (Change::Update { .. }, _) => "change",
        (Change::Delete { .. }, _) => "delete",
    }
}

/// Says which step failed, with what went wrong as the source.
pub(crate) fn describe(step: &Step, undo: bool, error: Error) -> Error {
    let (what, id): (_, &ResourceId) = (step.resource.kind(), &step.resource);
    let message = if undo {
        format!("cannot undo: {} {what} \"{id}\"", verb(&step.change, step.ownership))
    } else if error.kind() == ErrorKind::NotReady {
        format!("{what} \"{id}\" did not become ready in time")
    } else {
        format!("cannot {} {what} \"{id}\"", verb(&step.change, step.ownership))
    };
    let described = Error::new(error.kind(), message).with_context("step", id);
    let described = match error.help() {
        Some(help) => described.with_help(help.to_owned()),
        None => described,
    };
    described.with_source(error)
}
