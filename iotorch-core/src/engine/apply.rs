//! Applying plans and resuming runs.

use std::{collections::BTreeSet, sync::Arc};

use tokio::task::JoinSet;
use tracing::Instrument;

use super::{AtWork, Engine};
use crate::{
    error::{Error, ErrorKind, Result},
    model::InfrastructureName,
    orchestrator::{ApplyError, Direction, Report, RunOptions, RunReport, StepFailure},
    plan::{
        Base, PLAN_FORMAT, Phase, Plan, SlicePlan, Summary, moved, recorded_scopes,
        unusable::{self, Unusable},
    },
    resource::{Change, Location, ResourceId},
    saga::{Ended, Saga},
    store::{RUN_FORMAT, Run, RunId, RunState, SliceState, Write},
};

/// A slice's plan that may begin.
struct Prepared {
    plan: Arc<SlicePlan>,
    state: Arc<SliceState>,
    unseen: BTreeSet<ResourceId>,
    at_work: AtWork,
}

impl Engine {
    pub(super) async fn apply_plan(&self, plan: Plan, options: RunOptions) -> Result<Report, ApplyError> {
        let prepared = self.prepare(plan, &options).await.map_err(ApplyError::before_start)?;
        let mut runs = JoinSet::new();
        for prepared in prepared {
            let (engine, options) = (self.clone(), options.clone());
            runs.spawn(async move { engine.run_slice(prepared, &options).await });
        }
        self.collect(runs).await
    }

    /// Checks everything that can be checked before the first run begins, and stores the infrastructures.
    async fn prepare(&self, plan: Plan, options: &RunOptions) -> Result<Vec<Prepared>> {
        if plan.format != PLAN_FORMAT {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "cannot apply the plan: it has format {}, this version applies format {PLAN_FORMAT}",
                    plan.format
                ),
            )
            .with_help("plan again with this version"));
        }
        let snapshot = self.shared.store.snapshot().await?;
        let mut infrastructures = snapshot.infrastructures.clone();
        infrastructures
            .extend(plan.infrastructures.iter().map(|place| (place.name.clone(), Arc::clone(place))));
        self.shared.connections.update(&infrastructures);
        let needed = needed(&plan);
        let begin = async {
            let mut prepared = Vec::with_capacity(plan.slices.len());
            for mut slice in plan.slices.into_iter().filter(|slice| !slice.is_empty()) {
                // Kept with the run, so that a later process follows it too.
                slice.on_failure = options.on_failure.unwrap_or(slice.on_failure);
                let at_work = self.take(&slice.slice)?;
                let state = snapshot.slices.get(&slice.slice).cloned().unwrap_or_default();
                if let Some(run) = state.open_run {
                    return Err(open_run(&slice, run));
                }
                let unseen = self.check_base(&slice, &state).await?;
                prepared.push(Prepared { plan: Arc::new(slice), state, unseen, at_work });
            }
            Ok(prepared)
        };
        let ((), prepared) = futures::try_join!(self.check_places(&needed), begin)?;
        let mut writes: Vec<_> = plan.infrastructures.into_iter().map(Write::PutInfrastructure).collect();
        writes.extend(plan.removed_infrastructures.into_iter().map(Write::DropInfrastructure));
        if !writes.is_empty() {
            self.shared.store.commit(writes).await?;
        }
        Ok(prepared)
    }

    /// Refuses a plan that needs infrastructures which do not let it work. Those that cannot be reached are left to the policy of the
    /// slices.
    async fn check_places(&self, needed: &BTreeSet<InfrastructureName>) -> Result<()> {
        let surveys = self.survey(needed).await;
        let failed = surveys.into_iter().filter_map(|(name, survey)| Some((name, survey.err()?)));
        let closed: Unusable = failed.filter(|(_, cause)| !cause.kind.is_retryable()).collect();
        if closed.is_empty() {
            return Ok(());
        }
        Err(unusable::error("cannot apply the plan", closed))
    }

    /// Refuses a plan whose base has moved; returns the scopes that cannot be seen now.
    async fn check_base(&self, plan: &SlicePlan, state: &SliceState) -> Result<BTreeSet<ResourceId>> {
        let mut scopes = recorded_scopes(state);
        for step in &plan.steps {
            let root = step.resource.scope();
            // What was never made cannot be asked, but a space, a segment or what is external can be there without a record.
            if root == step.resource && !scopes.iter().any(|(_, scope)| scope.root == root) {
                scopes.extend(crate::plan::fresh_scope(&step.driver, &root, step.change.after()));
            }
        }
        for (_, scope) in &mut scopes {
            scope.known.extend(
                plan.steps.iter().map(|step| &step.resource).filter(|id| id.scope() == scope.root).cloned(),
            );
        }
        let needed =
            |root: &ResourceId| plan.base.keys().any(|touched| touched == root || root.contains(touched));
        scopes.retain(|(_, scope)| needed(&scope.root));
        let seen = self.observe(scopes).await;
        moved(&plan.base, state, &seen)?;
        let unknown = plan.base.keys().filter(|root| matches!(seen.base(root, state), Base::Unknown { .. }));
        Ok(unknown.cloned().collect())
    }

    async fn run_slice(&self, prepared: Prepared, options: &RunOptions) -> Result<RunReport> {
        let Prepared { plan, state, unseen, at_work } = prepared;
        let started_at = self.shared.clock.now();
        if plan.steps.is_empty() {
            return self.store_document(&plan).await;
        }
        let run =
            Arc::new(Run { format: RUN_FORMAT, id: self.shared.store.allocate_run(), plan, started_at });
        let mut writes = vec![Write::OpenRun(Arc::clone(&run))];
        for (holder, wanted) in &run.plan.claims {
            let mut claims = wanted.clone();
            for held in run.plan.held.get(holder).into_iter().flatten() {
                match claims.iter_mut().find(|claim| claim.resource == held.resource) {
                    Some(claim) => claim.amount = claim.amount.max(held.amount),
                    None => claims.push(held.clone()),
                }
            }
            writes.push(Write::Reserve(holder.clone(), claims));
        }
        self.shared.store.commit(writes).await?;
        let span = tracing::info_span!("run", slice = %run.plan.slice, run = %run.id);
        let tally = crate::saga::Tally::new(&run.plan);
        let mut saga = Saga::new(Arc::clone(&self.shared), run, &state, tally, options);
        saga.verify_first(unseen);
        saga.announce();
        let ended = saga.drive().instrument(span).await?;
        drop(at_work);
        self.prune(&ended).await?;
        Ok(self.report(&ended))
    }

    /// A plan without steps only changes the stored document.
    async fn store_document(&self, plan: &SlicePlan) -> Result<RunReport> {
        let write = match &plan.document {
            Some(document) => Write::PutSlice(Arc::clone(document)),
            None => Write::DropSlice(plan.slice.clone()),
        };
        self.shared.store.commit(vec![write]).await?;
        Ok(RunReport {
            slice: plan.slice.clone(),
            run: RunId(0),
            state: RunState::Succeeded,
            done: Summary::default(),
            undone: 0,
            took: std::time::Duration::ZERO,
            failure: None,
            residue: Vec::new(),
        })
    }

    pub(super) async fn resume_run(
        &self,
        id: RunId,
        direction: Direction,
        options: RunOptions,
    ) -> Result<Report, ApplyError> {
        let mut runs = JoinSet::new();
        let engine = self.clone();
        runs.spawn(async move { engine.resume_slice(id, direction, &options).await });
        self.collect(runs).await
    }

    async fn resume_slice(&self, id: RunId, direction: Direction, options: &RunOptions) -> Result<RunReport> {
        let refused = |kind, why: &str| Error::new(kind, format!("cannot resume run {id}: {why}"));
        self.connect().await?;
        let row = self.shared.store.run(id).await?.ok_or_else(|| {
            refused(ErrorKind::NotFound, "there is no such run")
                .with_help("iotorch runs lists those that are kept")
        })?;
        if !row.status.state.is_open() {
            return Err(refused(ErrorKind::Conflict, &format!("it is over ({})", row.status.state)));
        }
        if row.run.format > RUN_FORMAT {
            return Err(refused(
                ErrorKind::Unsupported,
                &format!("it was begun by a newer version (format {})", row.run.format),
            ));
        }
        if row.status.state == RunState::Paused && direction == Direction::Policy {
            return Err(refused(ErrorKind::Conflict, "it is paused and waits for a decision")
                .with_help(format!("decide: iotorch resume {id} --continue, --rollback or --abandon")));
        }
        let slice = row.run.plan.slice.clone();
        let at_work = self.take(&slice)?;
        let journal = self.shared.store.journal(id).await?;
        let state = self.shared.store.slice(&slice).await?;
        let tally = crate::saga::Tally::replay(&row.run.plan, &journal);
        let span = tracing::info_span!("run", %slice, run = %id);
        self.recall(&state);
        let mut saga = Saga::new(Arc::clone(&self.shared), row.run, &state, tally, options);
        let ended = async {
            saga.announce();
            if !saga.settle(direction).await? {
                return Err(refused(ErrorKind::Cancelled, "the wait for an earlier call was ended"));
            }
            saga.turn(direction).await?;
            match direction {
                Direction::Abandon => saga.abandon().await,
                _ => saga.drive().await,
            }
        };
        let ended = ended.instrument(span).await?;
        drop(at_work);
        self.prune(&ended).await?;
        Ok(self.report(&ended))
    }

    /// Tells the domains what is recorded of the slice, as a plan does by having them look.
    fn recall(&self, state: &SliceState) {
        for (driver, scope) in recorded_scopes(state) {
            // One that is not connected has no steps to take either.
            if let Ok(connection) = self.shared.connections.domain(&driver, &scope.root) {
                connection.domain.recall(&scope);
            }
        }
    }

    /// Drops the finished runs of a slice that are too many or too old to be kept as history.
    async fn prune(&self, ended: &Ended) -> Result<()> {
        if ended.state.is_open() {
            return Ok(());
        }
        let finished = self.shared.store.finished(&ended.run.plan.slice).await?;
        let surplus = finished.len().saturating_sub(self.shared.limits.history);
        let age = jiff::SignedDuration::try_from(self.shared.limits.history_age)
            .unwrap_or(jiff::SignedDuration::MAX);
        let now = self.shared.clock.now();
        let is_old = |ended: jiff::Timestamp| now.duration_since(ended) > age;
        let numbered = finished.into_iter().enumerate();
        let drops = numbered.filter(|(index, (_, ended))| *index < surplus || is_old(*ended));
        let drops: Vec<_> = drops.map(|(_, (run, _))| Write::DropRun(run)).collect();
        if drops.is_empty() {
            return Ok(());
        }
        self.shared.store.commit(drops).await
    }

    async fn collect(&self, mut runs: JoinSet<Result<RunReport>>) -> Result<Report, ApplyError> {
        let mut report = Report::default();
        let mut broken = None;
        while let Some(joined) = runs.join_next().await {
            match joined {
                Ok(Ok(run)) => report.runs.push(run),
                Ok(Err(error)) => broken = broken.or(Some(error)),
                Err(died) => {
                    broken = broken
                        .or_else(|| Some(Error::new(ErrorKind::Unexpected, "a run died").with_source(died)))
                }
            }
        }
        report.runs.sort_by(|a, b| a.slice.cmp(&b.slice));
        if let Some(error) = broken {
            return Err(ApplyError { error, report });
        }
        let failed = report.runs.iter().find(|run| run.state != RunState::Succeeded);
        match failed.map(failure) {
            None => Ok(report),
            Some(error) => Err(ApplyError { error, report }),
        }
    }

    fn report(&self, ended: &Ended) -> RunReport {
        let plan = &ended.run.plan;
        let mut done = Summary::default();
        let mut undone = 0;
        for (id, step) in plan.numbered() {
            match ended.tally.state(id) {
                crate::saga::StepState::Undone => undone += 1,
                crate::saga::StepState::Done => match &step.change {
                    Change::Create { .. } => done.create += 1,
                    Change::Update { .. } => done.change += 1,
                    Change::Delete { .. } => {
                        done.delete += if step.phase == Phase::Reap { 1 + step.takes_along.len() } else { 1 }
                    }
                },
                _ => {}
            }
        }
        let since = |at: jiff::Timestamp| {
            std::time::Duration::try_from(at.duration_since(ended.run.started_at)).unwrap_or_default()
        };
        RunReport {
            slice: plan.slice.clone(),
            run: ended.run.id,
            state: ended.state,
            done,
            undone,
            took: since(self.shared.clock.now()),
            failure: ended.tally.failure.as_ref().map(|(step, cause, at)| StepFailure {
                step: Some(plan.step(*step).resource.clone()),
                cause: cause.clone(),
                after: since(*at),
            }),
            residue: ended.residue.clone(),
        }
    }
}

/// The infrastructures that something is made or changed on. What is only deleted may go with fewer permissions.
fn needed(plan: &Plan) -> BTreeSet<InfrastructureName> {
    let steps = plan.slices.iter().flat_map(|slice| &slice.steps).filter(|step| !step.change.is_delete());
    steps
        .filter_map(|step| match step.resource.location() {
            Location::Infrastructure(name) => Some(name),
            _ => None,
        })
        .collect()
}

fn open_run(plan: &SlicePlan, run: RunId) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("cannot apply to slice \"{}\": its run {run} is open", plan.slice),
    )
    .with_help(format!("end it first: iotorch resume {run} --continue, --rollback or --abandon"))
}

/// What a person is told of a run that did not succeed.
fn failure(run: &RunReport) -> Error {
    let kind = match (&run.failure, run.state) {
        (_, RunState::Interrupted) => ErrorKind::Cancelled,
        (_, RunState::Waiting) => ErrorKind::Unavailable,
        (Some(failure), _) => failure.cause.kind,
        (None, _) => ErrorKind::Unexpected,
    };
    let error = Error::new(
        kind,
        format!("cannot bring slice \"{}\" to what is wanted: run {} is {}", run.slice, run.run, run.state),
    );
    let error =
        match run.state {
            RunState::Interrupted | RunState::Waiting => error.with_help(format!(
                "go on with: iotorch resume {} --continue, or undo it with --rollback",
                run.run
            )),
            RunState::Paused => error
                .with_help(format!("decide: iotorch resume {} --continue, --rollback or --abandon", run.run)),
            RunState::Stuck => error
                .with_help(format!("mend what is named as left behind, then: iotorch resume {}", run.run)),
            _ => error,
        };
    match &run.failure {
        Some(failure) => error.with_source(Error::from(failure.cause.clone())),
        None => error,
    }
}
