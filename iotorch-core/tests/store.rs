//! The stores do what every store has to do, and what only they promise.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "store/alike.rs"]
mod alike;

use std::{fs, path::Path, sync::Arc};

use iotorch_core::{
    Error, ErrorKind,
    model::{Slice, SliceSpec},
    store::{
        Entry, Export, JournalEvent, MemoryStore, RedbStore, Run, RunId, RunState, RunStatus, Store, Write,
        export,
    },
    testing::{self, Failures},
};
use jiff::Timestamp;
use redb::{Database, ReadableDatabase as _, TableDefinition};
use tempfile::TempDir;

const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

#[tokio::test]
async fn the_memory_store_does_what_every_store_does() -> Result<(), Failures> {
    let make = || Arc::new(MemoryStore::new()) as Arc<dyn Store>;
    testing::run(testing::store::trials(move || Box::pin(async move { make() }))).await
}

#[tokio::test]
async fn the_embedded_store_does_what_every_store_does() -> Result<(), Failures> {
    let folder = Arc::new(TempDir::new().unwrap());
    let inside = Arc::clone(&folder);
    let trials = testing::store::trials(move || {
        let path = tempfile::Builder::new().tempdir_in(inside.path()).unwrap().keep().join("store.redb");
        Box::pin(async move { Arc::new(RedbStore::open(path).unwrap()) as Arc<dyn Store> })
    });
    testing::run(trials).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_embedded_store_does_so_on_many_threads() -> Result<(), Failures> {
    let folder = Arc::new(TempDir::new().unwrap());
    let inside = Arc::clone(&folder);
    let trials = testing::store::trials(move || {
        let path = tempfile::Builder::new().tempdir_in(inside.path()).unwrap().keep().join("store.redb");
        Box::pin(async move { Arc::new(RedbStore::open(path).unwrap()) as Arc<dyn Store> })
    });
    testing::run(trials).await
}

fn document(name: &str) -> Arc<Slice> {
    Arc::new(Slice { name: name.parse().unwrap(), spec: SliceSpec::default() })
}

/// A run of a plan without steps.
fn run(id: RunId, slice: &str) -> Arc<Run> {
    let run = serde_json::json!({
        "format": 1,
        "id": id,
        "plan": { "slice": slice, "onFailure": "rollback", "steps": [], "unchanged": 0 },
        "startedAt": "2026-01-01T00:00:00Z",
    });
    Arc::new(serde_json::from_value(run).unwrap())
}

fn status(state: RunState) -> RunStatus {
    RunStatus { state, since: Timestamp::UNIX_EPOCH, cause: None, failed: None, residue: Vec::new() }
}

fn entry(event: JournalEvent) -> Entry {
    Entry { at: Timestamp::UNIX_EPOCH, event }
}

/// Fills a store with something of everything: a run that is over, one that is open, a record with what it holds, a sighting.
async fn fill(store: &dyn Store) -> (RunId, RunId) {
    let (over, open) = (store.allocate_run(), store.allocate_run());
    let record = serde_json::json!({
        "id": "plant/edge/space",
        "driver": "local",
        "spec": { "space": { "name": "plant" } },
        "inputs": { "space": {} },
        "outputs": { "space": { "namespace": "plant" } },
        "changedAt": "2026-01-01T00:00:00Z",
        "run": over,
    });
    let sighting = serde_json::json!({
        "root": "plant/edge/space",
        "since": "2026-01-01T00:00:00Z",
        "seen": { "unknown": { "cause": { "kind": "unavailable", "message": "cannot reach it" } } },
    });
    let infrastructure = serde_json::json!({ "name": "edge", "spec": { "driver": "local", "tier": "edge" } });
    let claims = serde_json::json!([{ "resource": "edge/memory", "amount": 3, "capacity": 10 }]);
    store
        .commit(vec![
            Write::PutInfrastructure(Arc::new(serde_json::from_value(infrastructure).unwrap())),
            Write::PutSlice(document("plant")),
            Write::OpenRun(run(over, "plant")),
            Write::Append(over, entry(JournalEvent::Committed)),
            Write::PutRecord(Arc::new(serde_json::from_value(record).unwrap())),
            Write::Reserve("plant/edge/space".parse().unwrap(), serde_json::from_value(claims).unwrap()),
            Write::SetRunStatus(over, status(RunState::Succeeded)),
            Write::PutSighting(Arc::new(serde_json::from_value(sighting).unwrap())),
            Write::OpenRun(run(open, "other")),
            Write::Append(open, entry(JournalEvent::Unwinding)),
            Write::Append(open, entry(JournalEvent::Committed)),
            Write::SetRunStatus(open, status(RunState::Paused)),
        ])
        .await
        .unwrap();
    (over, open)
}

/// All there is in a store, but for the number of the next run.
async fn contents(store: &dyn Store) -> Export {
    Export { next_run: RunId(0), ..export(store).await.unwrap() }
}

fn chain(error: &Error) -> String {
    error.to_cause().to_string()
}

#[tokio::test]
async fn a_store_is_as_it_was_when_it_is_opened_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.redb");
    let store = RedbStore::open(&path).unwrap();
    let (over, open) = fill(&store).await;
    let before = contents(&store).await;
    drop(store);

    let store = RedbStore::open(&path).unwrap();
    assert_eq!(contents(&store).await, before);
    assert_eq!(store.slice(&"other".parse().unwrap()).await.unwrap().open_run, Some(open));
    store.commit(vec![Write::Append(open, entry(JournalEvent::Committed))]).await.unwrap();
    assert_eq!(store.journal(open).await.unwrap().len(), 3);
    store.commit(vec![Write::Append(over, entry(JournalEvent::Unwinding))]).await.unwrap();
    assert_eq!(store.journal(over).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_run_number_is_not_given_out_again_after_its_run_was_dropped() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.redb");
    let store = RedbStore::open(&path).unwrap();
    let id = RunId(41);
    store
        .commit(vec![Write::OpenRun(run(id, "plant")), Write::SetRunStatus(id, status(RunState::Kept))])
        .await
        .unwrap();
    store.commit(vec![Write::DropRun(id)]).await.unwrap();
    drop(store);
    assert_eq!(RedbStore::open(&path).unwrap().allocate_run(), RunId(42));
}

#[tokio::test]
async fn a_slice_that_was_emptied_stays_gone_with_its_sightings() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.redb");
    let store = RedbStore::open(&path).unwrap();
    fill(&store).await;
    let space = "plant/edge/space".parse().unwrap();
    store.commit(vec![Write::DropRecord(space), Write::DropSlice("plant".parse().unwrap())]).await.unwrap();
    drop(store);
    let store = RedbStore::open(&path).unwrap();
    store.commit(vec![Write::PutSlice(document("plant"))]).await.unwrap();
    let slice = store.slice(&"plant".parse().unwrap()).await.unwrap();
    assert!(slice.sightings.is_empty());
    assert!(slice.records.is_empty());
    assert!(store.snapshot().await.unwrap().reservations.is_empty());
}

#[tokio::test]
async fn a_fork_of_a_memory_store_goes_its_own_way() {
    let store = MemoryStore::with_installation("plant-7");
    let (_, open) = fill(&store).await;
    let before = contents(&store).await;
    let copy = store.fork();
    assert_eq!(&*copy.installation(), "plant-7");
    copy.commit(vec![Write::Append(open, entry(JournalEvent::Committed))]).await.unwrap();
    copy.commit(vec![Write::DropSlice("plant".parse().unwrap())]).await.unwrap();
    assert_eq!(contents(&store).await, before);
    assert_ne!(contents(&copy).await, before);
}

#[tokio::test]
async fn two_stores_have_different_installations() {
    let folder = TempDir::new().unwrap();
    let one = RedbStore::open(folder.path().join("one.redb")).unwrap();
    let two = RedbStore::open(folder.path().join("two.redb")).unwrap();
    assert_ne!(one.installation(), two.installation());
    assert_ne!(MemoryStore::new().installation(), MemoryStore::new().installation());
}

#[tokio::test]
async fn a_copy_of_the_closed_file_is_a_backup() {
    let folder = TempDir::new().unwrap();
    let (path, backup) = (folder.path().join("store.redb"), folder.path().join("backup.redb"));
    let store = RedbStore::open(&path).unwrap();
    fill(&store).await;
    let before = contents(&store).await;
    drop(store);
    fs::copy(&path, &backup).unwrap();
    let store = RedbStore::open(&path).unwrap();
    store.commit(vec![Write::DropSlice("plant".parse().unwrap())]).await.unwrap();

    assert_eq!(contents(&RedbStore::open(&backup).unwrap()).await, before);
}

#[tokio::test]
async fn an_export_makes_the_same_store_again() {
    let folder = TempDir::new().unwrap();
    let store = RedbStore::open(folder.path().join("store.redb")).unwrap();
    fill(&store).await;
    let text = serde_json::to_string(&export(&store).await.unwrap()).unwrap();
    let read: Export = serde_json::from_str(&text).unwrap();
    let copy = RedbStore::create_from_export(folder.path().join("copy.redb"), &read).unwrap();
    assert_eq!(copy.installation(), store.installation());
    assert_eq!(contents(&copy).await, contents(&store).await);
    assert!(copy.allocate_run() >= read.next_run);

    let refused = RedbStore::create_from_export(folder.path().join("copy.redb"), &read).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(chain(&refused).ends_with("there is a file of this name already"), "{}", chain(&refused));
}

#[tokio::test]
async fn a_store_in_memory_is_exported_into_a_file() {
    let folder = TempDir::new().unwrap();
    let store = MemoryStore::new();
    fill(&store).await;
    let exported = export(&store).await.unwrap();
    let copy = RedbStore::create_from_export(folder.path().join("copy.redb"), &exported).unwrap();
    assert_eq!(contents(&copy).await, contents(&store).await);
}

#[tokio::test]
async fn an_export_that_cannot_be_right_leaves_no_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("copy.redb");
    let store = MemoryStore::new();
    let (over, _) = fill(&store).await;
    let exported = export(&store).await.unwrap();

    let newer = Export { format: 9, ..exported.clone() };
    let refused = RedbStore::create_from_export(&path, &newer).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(!path.exists());

    let mut twice_open = exported.clone();
    twice_open.runs.push(iotorch_core::store::ExportedRun {
        run: run(RunId(over.0 + 2), "other"),
        status: status(RunState::Running),
        journal: Vec::new(),
    });
    twice_open.next_run = RunId(over.0 + 3);
    let refused = RedbStore::create_from_export(&path, &twice_open).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unexpected);
    assert!(chain(&refused).contains("are open on one slice"), "{}", chain(&refused));
    assert!(!path.exists());
}

#[test]
fn a_store_that_somebody_holds_cannot_be_opened() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.redb");
    let store = RedbStore::open(&path).unwrap();
    let refused = RedbStore::open(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().starts_with("cannot open the store \""), "{refused}");
    assert!(chain(&refused).ends_with("another process holds it"), "{}", chain(&refused));
    drop(store);
    RedbStore::open(&path).unwrap();
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_a_new_store() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.redb");
    drop(RedbStore::open(&path).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(&text, "not a store\n".repeat(1000)).unwrap();
    let refused = RedbStore::open(&text).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unexpected);
    assert!(chain(&refused).contains("it is not a store of iotorch"), "{}", chain(&refused));
    assert!(fs::read_to_string(&text).unwrap().starts_with("not a store"));

    let other = folder.path().join("other.redb");
    let database = Database::create(&other).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("numbers")).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let refused = RedbStore::open(&other).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unexpected);
    assert!(chain(&refused).contains("not a store of iotorch"), "{}", chain(&refused));
    let database = Database::open(&other).unwrap();
    assert_eq!(database.begin_read().unwrap().list_tables().unwrap().count(), 1);
}

#[test]
fn a_place_that_cannot_be_used_is_told_as_what_it_is() {
    let folder = TempDir::new().unwrap();
    let missing = RedbStore::open(folder.path().join("no/such/store.redb")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let directory = RedbStore::open(folder.path()).unwrap_err();
    assert!(chain(&directory).contains("it is a directory"), "{}", chain(&directory));
}

fn edit(path: &Path, edit: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    edit(&transaction);
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_and_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.redb");
    drop(RedbStore::open(&path).unwrap());
    edit(&path, |transaction| {
        transaction.open_table(META).unwrap().insert("format", "9").unwrap();
    });
    let refused = RedbStore::open(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert_eq!(
        chain(&refused),
        format!(
            "cannot open the store \"{}\": it was written by a newer iotorch (format 9, this one reads up to 1)",
            path.display()
        )
    );
    assert_eq!(RedbStore::open(&path).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_damaged_value_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.redb");
    let store = RedbStore::open(&path).unwrap();
    fill(&store).await;
    drop(store);
    edit(&path, |transaction| {
        let mut records = transaction.open_table(RECORDS).unwrap();
        records.insert("plant/edge/space", b"{\"id\":".as_slice()).unwrap();
    });
    let refused = RedbStore::open(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unexpected);
    assert!(chain(&refused).contains("\"plant/edge/space\""), "{}", chain(&refused));
    assert!(refused.help().unwrap_or_default().contains("backup"), "{refused:?}");
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.redb");
    let store = RedbStore::open(&path).unwrap();
    fill(&store).await;
    drop(store);
    let length = fs::metadata(&path).unwrap().len();
    fs::File::options().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    let refused = RedbStore::open(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unexpected, "{}", chain(&refused));
}

#[test]
fn a_file_whose_making_was_cut_short_is_made_anew() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.redb");
    drop(RedbStore::open(&path).unwrap());
    // The database makes the file as long as it will be, writes its header without the magic number, and that number last.
    let mut bytes = fs::read(&path).unwrap();
    bytes[..9].fill(0);
    bytes[4096..].fill(0);
    fs::write(&path, &bytes).unwrap();
    drop(RedbStore::open(&path).unwrap());

    // With anything behind the header it is a damaged store, not a new one.
    bytes[5000] = 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(RedbStore::open(&path).unwrap_err().kind(), ErrorKind::Unexpected);
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn a_commit_that_nobody_waits_for_is_done_whole_or_not_at_all() {
    let folder = TempDir::new().unwrap();
    let store = RedbStore::open(folder.path().join("store.redb")).unwrap();
    let writes = vec![Write::PutSlice(document("a")), Write::PutSlice(document("b"))];
    let commit = store.commit(writes);
    tokio::select! {
        biased;
        _ = commit => {}
        () = std::future::ready(()) => {}
    }
    store.commit(vec![Write::PutSlice(document("c"))]).await.unwrap();
    let known = store.snapshot().await.unwrap().slices.len();
    assert!(known == 1 || known == 3, "{known} of 3 slices are there");
}
