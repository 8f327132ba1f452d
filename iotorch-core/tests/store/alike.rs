//! The embedded store and the one in memory do the same, whatever is committed, and so does the file when it is opened again.

use std::sync::Arc;

use iotorch_core::{
    driver::Claim,
    store::{Export, JournalEvent, MemoryStore, RedbStore, RunId, RunState, Store, Write},
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::{contents, document, entry, run, status};

fn record(slice: &str, run: RunId) -> Write {
    let record = serde_json::json!({
        "id": format!("{slice}/edge/space"),
        "driver": "local",
        "spec": { "space": { "name": slice } },
        "inputs": { "space": {} },
        "outputs": { "space": { "namespace": slice } },
        "changedAt": "2026-01-01T00:00:00Z",
        "run": run,
    });
    Write::PutRecord(Arc::new(serde_json::from_value(record).unwrap()))
}

fn sighting(slice: &str) -> Write {
    let sighting = serde_json::json!({
        "root": format!("{slice}/edge/space"), "since": "2026-01-01T00:00:00Z", "seen": { "known": {} },
    });
    Write::PutSighting(Arc::new(serde_json::from_value(sighting).unwrap()))
}

fn claims(amounts: &[(bool, u64)]) -> Vec<Claim> {
    let of = |(memory, amount): &(bool, u64)| Claim {
        resource: if *memory { "edge/memory" } else { "edge/port" }.into(),
        amount: *amount,
        capacity: if *memory { 10 } else { 1 },
    };
    amounts.iter().map(of).collect()
}

/// Few names, so that writes meet.
fn write() -> impl Strategy<Value = Write> {
    let slice = prop::sample::select(vec!["a", "b", "c"]);
    let id = (1_u64..5).prop_map(RunId);
    let state = prop::sample::select(vec![
        RunState::Running,
        RunState::Stuck,
        RunState::Succeeded,
        RunState::RolledBack,
    ]);
    let amounts = prop::collection::vec((any::<bool>(), 0_u64..7), 0..3);
    let space = |slice: &str| format!("{slice}/edge/space").parse().unwrap();
    prop_oneof![
        slice.clone().prop_map(|slice| Write::PutSlice(document(slice))),
        slice.clone().prop_map(|slice| Write::DropSlice(slice.parse().unwrap())),
        (slice.clone(), id.clone()).prop_map(|(slice, id)| record(slice, id)),
        slice.clone().prop_map(move |slice| Write::DropRecord(space(slice))),
        (id.clone(), slice.clone()).prop_map(|(id, slice)| Write::OpenRun(run(id, slice))),
        (id.clone(), state).prop_map(|(id, state)| Write::SetRunStatus(id, status(state))),
        id.clone().prop_map(|id| Write::Append(id, entry(JournalEvent::Committed))),
        id.prop_map(Write::DropRun),
        (slice.clone(), amounts)
            .prop_map(move |(slice, amounts)| Write::Reserve(space(slice), claims(&amounts))),
        slice.clone().prop_map(move |slice| Write::Release(space(slice))),
        slice.clone().prop_map(sighting),
        slice.prop_map(move |slice| Write::DropSighting(space(slice))),
    ]
}

async fn play(commits: Vec<Vec<Write>>) -> Result<(), TestCaseError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.redb");
    let memory = MemoryStore::with_installation("plant-7");
    let embedded = RedbStore::open(&path).unwrap();
    let same = |mut export: Export| {
        export.installation.clear();
        export
    };
    for writes in commits {
        let (ours, theirs) = (memory.commit(writes.clone()).await, embedded.commit(writes).await);
        prop_assert_eq!(ours.map_err(|error| error.to_cause()), theirs.map_err(|error| error.to_cause()));
    }
    let expected = same(contents(&memory).await);
    prop_assert_eq!(&same(contents(&embedded).await), &expected);
    // What is held is never more than there is, however it came about.
    for (resource, capacity) in [("edge/memory", 10), ("edge/port", 1)] {
        let claims = expected.reservations.values().flatten();
        let held: u64 = claims.filter(|claim| claim.resource == resource).map(|claim| claim.amount).sum();
        prop_assert!(held <= capacity, "{} of {} {} is held", held, capacity, resource);
    }
    let (before, next) = (contents(&embedded).await, embedded.allocate_run());
    drop(embedded);
    let again = RedbStore::open(&path).unwrap();
    prop_assert_eq!(contents(&again).await, before);
    prop_assert!(again.allocate_run() <= next);
    Ok(())
}

#[test]
fn both_stores_and_the_file_are_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    let commits = prop::collection::vec(prop::collection::vec(write(), 1..5), 1..20);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner.run(&commits, |commits| runtime.block_on(play(commits))).unwrap();
}
