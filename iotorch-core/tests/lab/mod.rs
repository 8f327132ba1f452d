//! A laboratory: a simulated world, a store that can be cut off, and an engine that can die and come back.

#![allow(dead_code, reason = "each test program uses its own part of the laboratory")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up fails")]

pub(crate) mod corpus;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use iotorch_core::{
    ApplyError, Clock, Direction, Drivers, Engine, Intent, Limits, Orchestrator, Report, Result, RunOptions,
    model::SliceName,
    orchestrator::{RunFilter, RunSummary},
    plan::Plan,
    resource::{Outputs, ResourceId, Spec},
    secret::{MemorySecretStore, SecretStore},
    sim::World,
    store::{Entry, MemoryStore, RunId, RunRow, SliceState, Snapshot, Store, Write},
};
use jiff::Timestamp;
use tokio::sync::Notify;

/// Where a cut-off store stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The commit is not in the store.
    Before,
    /// The commit is in the store, and nobody hears of it.
    After,
}

/// A store whose process dies at a chosen commit: from then on nothing is answered.
pub(crate) struct CutStore {
    inner: Arc<MemoryStore>,
    left: AtomicUsize,
    cut: Cut,
    dead: Arc<Notify>,
}

impl CutStore {
    pub(crate) fn new(inner: Arc<MemoryStore>, commits: usize, cut: Cut) -> Self {
        Self { inner, left: AtomicUsize::new(commits), cut, dead: Arc::default() }
    }

    pub(crate) fn dead(&self) -> Arc<Notify> {
        Arc::clone(&self.dead)
    }
}

#[async_trait]
impl Store for CutStore {
    fn installation(&self) -> Arc<str> {
        self.inner.installation()
    }

    fn allocate_run(&self) -> RunId {
        self.inner.allocate_run()
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<()> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() {
            return self.inner.commit(writes).await;
        }
        // Only the first commit past the end may still reach the disk: after it the process is gone.
        if self.cut == Cut::After && self.left.swap(usize::MAX / 2, Ordering::SeqCst) == 0 {
            let _ = self.inner.commit(writes).await;
            self.left.store(0, Ordering::SeqCst);
        }
        self.dead.notify_one();
        std::future::pending().await
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        self.inner.snapshot().await
    }

    async fn slice(&self, name: &SliceName) -> Result<Arc<SliceState>> {
        self.inner.slice(name).await
    }

    async fn finished(&self, slice: &SliceName) -> Result<Vec<(RunId, Timestamp)>> {
        self.inner.finished(slice).await
    }

    async fn runs(&self) -> Result<Vec<RunRow>> {
        self.inner.runs().await
    }

    async fn run(&self, id: RunId) -> Result<Option<RunRow>> {
        self.inner.run(id).await
    }

    async fn journal(&self, run: RunId) -> Result<Vec<Entry>> {
        self.inner.journal(run).await
    }
}

/// A world with an engine on it.
pub(crate) struct Lab {
    pub(crate) world: World,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) secrets: Arc<MemorySecretStore>,
    pub(crate) clock: Clock,
    pub(crate) drivers: Drivers,
    pub(crate) engine: Engine,
}

/// Runs `test` with virtual time.
pub(crate) fn in_virtual_time<F: Future>(test: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(test)
}

impl Lab {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let drivers = corpus::drivers(&world);
        Self::with(world, drivers)
    }

    pub(crate) fn with(world: World, drivers: Drivers) -> Self {
        let store = Arc::new(MemoryStore::with_installation("lab"));
        let secrets = Arc::new(MemorySecretStore::default());
        let clock = Clock::starting_at("2026-01-01T12:00:00Z".parse().unwrap());
        let engine = engine(Arc::clone(&store) as _, &secrets, clock, &drivers);
        Self { world, store, secrets, clock, drivers, engine }
    }

    /// A lab with the drivers of the simulation's own documents.
    pub(crate) fn with_sim() -> Self {
        let world = World::new();
        let drivers = world.drivers();
        Self::with(world, drivers)
    }

    /// The engine of the process that comes after one that died.
    pub(crate) fn reopen(&mut self) {
        self.engine = engine(Arc::clone(&self.store) as _, &self.secrets, self.clock, &self.drivers);
    }

    pub(crate) async fn plan_and_apply(&self, intent: &Intent) -> Result<Report, ApplyError> {
        let plan = self.engine.plan(intent).await.map_err(ApplyError::before_start)?;
        self.engine.apply(plan, RunOptions::default()).await
    }

    /// Applies `intent` in a process that dies at commit number `commits`; true when it did not get that far.
    pub(crate) async fn apply_and_die(&self, intent: &Intent, commits: usize, cut: Cut) -> bool {
        let plan = self.engine.plan(intent).await.expect("the intent can be planned");
        self.die_while_applying(plan, commits, cut).await
    }

    /// Applies a plan in a process that dies at commit number `commits`; true when it did not get that far.
    pub(crate) async fn die_while_applying(&self, plan: Plan, commits: usize, cut: Cut) -> bool {
        let store = Arc::new(CutStore::new(Arc::clone(&self.store), commits, cut));
        let dead = store.dead();
        let engine = engine(store, &self.secrets, self.clock, &self.drivers);
        tokio::select! {
            biased;
            () = dead.notified() => false,
            _ = engine.apply(plan, RunOptions::default()) => true,
        }
    }

    pub(crate) async fn open_runs(&self) -> Vec<RunSummary> {
        self.engine.runs(&RunFilter { open: true, ..RunFilter::default() }).await.unwrap()
    }

    /// Resumes every open run, and gives how each ended.
    pub(crate) async fn resume_all(&self, direction: Direction) -> Vec<Result<Report, ApplyError>> {
        let mut ended = Vec::new();
        for run in self.open_runs().await {
            ended.push(self.engine.resume(run.id, direction, RunOptions::default()).await);
        }
        ended
    }

    /// What is there: what each object is like, without what the other system chose by itself.
    pub(crate) fn specs(&self) -> BTreeMap<ResourceId, Spec> {
        self.world.objects().into_iter().map(|(id, object)| (id, object.spec)).collect()
    }

    /// What is there with what it tells.
    pub(crate) fn things(&self) -> BTreeMap<ResourceId, (Spec, Outputs, String)> {
        let objects = self.world.objects().into_iter();
        objects.map(|(id, object)| (id, (object.spec, object.outputs, object.owner))).collect()
    }

    /// The invariant that holds at every rest: every object is in a record or in an open run, and no secret is without a use.
    pub(crate) async fn check_nothing_is_orphaned(&self) {
        let snapshot = self.store.snapshot().await.unwrap();
        let mut known: BTreeSet<ResourceId> =
            snapshot.slices.values().flat_map(|state| state.records.keys().cloned()).collect();
        let open = self.open_runs().await;
        for run in &open {
            let row = self.store.run(run.id).await.unwrap().unwrap();
            known.extend(row.run.plan.steps.iter().map(|step| step.resource.clone()));
        }
        let orphans: Vec<_> =
            self.world.objects().into_iter().filter(|(_, object)| object.owner.starts_with("lab/")).collect();
        let orphans: Vec<_> = orphans.iter().map(|(id, _)| id).filter(|id| !known.contains(*id)).collect();
        assert!(orphans.is_empty(), "orphans: {orphans:?}");
        if open.is_empty() {
            let records: Vec<_> = snapshot.slices.values().flat_map(|state| state.records.values()).collect();
            let named = serde_json::to_string(&records).unwrap();
            for secret in self.secrets.list("").await.unwrap() {
                assert!(named.contains(&secret.to_string()), "the secret {secret} is left over");
            }
            for holder in snapshot.reservations.keys() {
                assert!(
                    records.iter().any(|record| record.id == *holder),
                    "{holder} holds a reservation and is gone"
                );
            }
        }
    }
}

fn engine(
    store: Arc<dyn Store>,
    secrets: &Arc<MemorySecretStore>,
    clock: Clock,
    drivers: &Drivers,
) -> Engine {
    let secrets: Arc<dyn SecretStore> = Arc::clone(secrets) as _;
    Engine::builder()
        .store(store)
        .secrets(secrets)
        .drivers(drivers.clone())
        .clock(clock)
        .limits(limits())
        .build()
}

fn limits() -> Limits {
    Limits { history: 5, ..Limits::default() }
}

pub(crate) fn slice(name: &str) -> SliceName {
    SliceName::new(name).unwrap()
}

pub(crate) fn id(text: &str) -> ResourceId {
    text.parse().unwrap()
}
