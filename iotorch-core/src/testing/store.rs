//! What every [`Store`] has to do.

mod commits;
mod reservations;
mod runs;

use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{Failure, Trial};
use crate::{
    driver::Claim,
    error::{Cause, Error, ErrorKind, Result},
    model::{FailurePolicy, Infrastructure, InfrastructureSpec, Offline, Slice, SliceName, SliceSpec, Tier},
    plan::{SlicePlan, StepId},
    resource::{Change, Inputs, NoInputs, Outputs, Ownership, ResourceId, SpaceOutputs, SpaceSpec, Spec},
    store::{Entry, JournalEvent, RUN_FORMAT, Record, Run, RunId, RunState, RunStatus, Store, Write},
};

type Subject = Arc<dyn Store>;

/// The trials of a store. `make` gives an empty one each time.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use iotorch_core::{
///     store::{RedbStore, Store},
///     testing::{self, Failures},
/// };
///
/// async fn the_embedded_store_behaves() -> Result<(), Failures> {
///     let folder = tempfile::tempdir().unwrap();
///     let path = folder.path().to_owned();
///     let trials = testing::store::trials(move || {
///         let folder = tempfile::tempdir_in(&path).unwrap();
///         Box::pin(async move { Arc::new(RedbStore::open(folder.keep().join("store.redb")).unwrap()) as Arc<dyn Store> })
///     });
///     testing::run(trials).await
/// }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(the_embedded_store_behaves()).unwrap();
/// ```
pub fn trials(make: impl Fn() -> BoxFuture<'static, Subject> + Send + Sync + 'static) -> Vec<Trial> {
    let make = Arc::new(make);
    macro_rules! list {
        ($($module:ident::$body:ident),* $(,)?) => {
            vec![$({
                let make = Arc::clone(&make);
                Trial::new(stringify!($body).replace('_', " "), move || async move {
                    $module::$body(make().await).await
                })
            }),*]
        };
    }
    list![
        commits::a_new_store_is_empty_and_has_an_identity,
        commits::what_was_committed_is_read_back,
        commits::what_was_committed_again_replaces_what_was_there,
        commits::what_was_dropped_is_gone_and_dropping_it_again_succeeds,
        commits::a_slice_of_which_nothing_is_left_is_gone_with_its_sightings,
        commits::a_commit_that_is_refused_changes_nothing,
        commits::a_snapshot_stays_as_it_was,
        commits::commits_at_the_same_time_are_all_done,
        commits::numbers_are_read_back_exactly,
        runs::run_numbers_are_never_given_out_twice,
        runs::a_run_is_read_back_with_its_status,
        runs::a_journal_keeps_its_order,
        runs::a_second_run_on_a_slice_is_a_conflict_that_names_the_first,
        runs::a_run_that_is_over_makes_room_for_the_next,
        runs::of_many_runs_opened_at_the_same_time_one_wins,
        runs::a_run_that_goes_on_again_closes_the_slice_to_others,
        runs::writes_of_one_commit_see_each_other,
        runs::a_run_number_is_opened_once,
        runs::an_unknown_run_is_not_found,
        runs::an_open_run_cannot_be_dropped,
        runs::a_dropped_run_is_gone_with_its_journal,
        runs::runs_are_listed_newest_first,
        reservations::claims_are_admitted_up_to_the_capacity,
        reservations::a_refusal_names_the_numbers_and_the_holders,
        reservations::a_claim_replaces_the_one_before,
        reservations::what_is_released_in_a_commit_can_be_reserved_in_it,
        reservations::the_claims_of_one_commit_count_together,
        reservations::dropping_a_record_releases_what_it_holds,
        reservations::a_refused_claim_refuses_the_whole_commit,
        reservations::of_claims_made_at_the_same_time_as_many_as_fit_are_admitted,
        reservations::a_capacity_that_shrank_keeps_nobody_from_taking_less,
    ]
}

fn slice_name(name: &str) -> Result<SliceName> {
    name.parse()
}

fn space(slice: &str) -> Result<ResourceId> {
    format!("{slice}/edge/space").parse()
}

fn moment(second: i64) -> Result<Timestamp> {
    Timestamp::from_second(1_700_000_000 + second)
        .map_err(|error| Error::new(ErrorKind::Unexpected, "cannot make a time").with_source(error))
}

fn infrastructure(name: &str) -> Result<Arc<Infrastructure>> {
    let spec = InfrastructureSpec::builder().driver("local".parse()?).tier(Tier::Edge).build();
    Ok(Arc::new(Infrastructure { name: name.parse()?, spec }))
}

fn document(name: &str) -> Result<Arc<Slice>> {
    Ok(Arc::new(Slice { name: slice_name(name)?, spec: SliceSpec::default() }))
}

fn space_spec(name: &str) -> Arc<Spec> {
    Arc::new(Spec::Space(SpaceSpec { name: name.into(), quota: crate::model::Capacity::default() }))
}

fn record(id: &ResourceId, run: RunId) -> Result<Arc<Record>> {
    Ok(Arc::new(Record {
        id: id.clone(),
        driver: "local".parse()?,
        spec: space_spec("data"),
        uses: Vec::new(),
        inputs: Inputs::Space(NoInputs {}),
        outputs: Outputs::Space(SpaceOutputs { namespace: "data".into() }),
        uncertain_until: None,
        tainted: None,
        changed_at: moment(1)?,
        run,
    }))
}

/// A run that makes the slice's space.
fn run(id: RunId, slice: &str) -> Result<Arc<Run>> {
    let step = crate::plan::Step {
        resource: space(slice)?,
        driver: "local".parse()?,
        phase: crate::plan::Phase::Build,
        change: Change::Create { after: space_spec("data") },
        condition: crate::plan::Condition::Always,
        ownership: Ownership::Ours,
        uses: Vec::new(),
        after: Vec::new(),
        reason: crate::plan::Reason::New,
        basis: crate::plan::Basis::Observed,
        takes_along: Vec::new(),
    };
    let plan = SlicePlan {
        slice: slice_name(slice)?,
        document: Some(document(slice)?),
        document_changed: true,
        on_failure: FailurePolicy::Rollback,
        offline: Offline::default(),
        placements: Vec::new(),
        steps: vec![step],
        base: Default::default(),
        claims: Default::default(),
        held: Default::default(),
        secrets: Vec::new(),
        warnings: Vec::new(),
        unchanged: 0,
    };
    Ok(Arc::new(Run { format: RUN_FORMAT, id, plan: Arc::new(plan), started_at: moment(0)? }))
}

fn status(state: RunState) -> Result<RunStatus> {
    Ok(RunStatus { state, since: moment(60)?, cause: None, failed: None, residue: Vec::new() })
}

fn cause() -> Cause {
    Error::new(ErrorKind::Unavailable, "cannot create space \"data\"")
        .with_context("host", "edge")
        .with_help("start it")
        .with_source("connection refused")
        .to_cause()
}

fn entry(second: i64, event: JournalEvent) -> Result<Entry> {
    Ok(Entry { at: moment(second)?, event })
}

fn skipped(step: u32) -> Result<Entry> {
    entry(i64::from(step), JournalEvent::Skipped { step: StepId(step) })
}

fn claim(resource: &str, amount: u64, capacity: u64) -> Claim {
    Claim { resource: resource.into(), amount, capacity }
}

/// Opens a new run on `slice`.
async fn open_run(store: &Subject, slice: &str) -> Result<RunId> {
    let id = store.allocate_run();
    store.commit(vec![Write::OpenRun(run(id, slice)?)]).await?;
    Ok(id)
}

async fn end_run(store: &Subject, id: RunId) -> Result<()> {
    store.commit(vec![Write::SetRunStatus(id, status(RunState::Succeeded)?)]).await
}

fn expect_kind<T>(result: Result<T>, kind: ErrorKind, what: &str) -> Result<Error, Failure> {
    match result {
        Ok(_) => Err(Failure::new(format!("{what} succeeded; expected {kind}"))),
        Err(error) if error.kind() == kind => Ok(error),
        Err(error) => {
            Err(Failure::new(format!("{what} is {}; expected {kind}: {}", error.kind(), error.to_cause())))
        }
    }
}
