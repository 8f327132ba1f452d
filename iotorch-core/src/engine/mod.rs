//! The engine: plans, applies, resumes and reports, on a store, with drivers.

mod apply;
mod observe;
mod plan;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::Semaphore;

pub use crate::saga::{Clock, Limits};
use crate::{
    chart::ChartResolver,
    driver::Drivers,
    error::{Error, ErrorKind, Result},
    model::{Infrastructure, InfrastructureName, Slice, SliceName},
    observer::Observer,
    orchestrator::{ApplyError, Direction, Intent, Orchestrator, Report, RunFilter, RunOptions, RunSummary},
    placement::{FirstFit, Placer},
    plan::{Plan, minted},
    resource::{Location, ResourceId},
    saga::{Connections, Shared},
    secret::SecretStore,
    status::SliceStatus,
    store::{RunId, Store, Write},
};

/// Turns intents into running slices; the implementation of [`Orchestrator`]. Cheap to clone.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use iotorch_core::{Drivers, Engine, Intent, Orchestrator, RunOptions, declared::DeclaredDriver};
/// use iotorch_core::{secret::MemorySecretStore, sim::{World, sim_infrastructure, sim_slice}, store::MemoryStore};
///
/// let world = World::new();
/// let engine = Engine::builder()
///     .store(Arc::new(MemoryStore::new()))
///     .secrets(Arc::new(MemorySecretStore::default()))
///     .drivers(world.drivers())
///     .build();
/// let intent = Intent {
///     infrastructures: vec![sim_infrastructure("edge-1"), sim_infrastructure("cloud-1")],
///     slices: vec![sim_slice("greenhouse")],
///     ..Intent::default()
/// };
/// let plan = engine.plan(&intent).await?;
/// let report = engine.apply(plan, RunOptions::default()).await.map_err(|failed| failed.error)?;
/// assert_eq!(report.runs.len(), 1);
/// assert!(engine.plan(&intent).await?.is_empty());
/// # Ok::<(), iotorch_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    drivers: Drivers,
    placer: Arc<dyn Placer>,
    charts: Option<Arc<dyn ChartResolver>>,
    /// The slices that have a run under way in this process.
    at_work: Arc<Mutex<BTreeSet<SliceName>>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("drivers", &self.drivers).finish_non_exhaustive()
    }
}

/// Builds an [`Engine`].
pub struct EngineBuilder<S = (), C = ()> {
    store: S,
    secrets: C,
    drivers: Drivers,
    placer: Arc<dyn Placer>,
    charts: Option<Arc<dyn ChartResolver>>,
    observers: Vec<Arc<dyn Observer>>,
    limits: Limits,
    clock: Option<Clock>,
}

impl<S, C> fmt::Debug for EngineBuilder<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder").field("drivers", &self.drivers).finish_non_exhaustive()
    }
}

impl<S, C> EngineBuilder<S, C> {
    /// Where records and journals are kept.
    pub fn store(self, store: Arc<dyn Store>) -> EngineBuilder<Arc<dyn Store>, C> {
        let Self { secrets, drivers, placer, charts, observers, limits, clock, .. } = self;
        EngineBuilder { store, secrets, drivers, placer, charts, observers, limits, clock }
    }

    /// Where secrets are kept.
    pub fn secrets(self, secrets: Arc<dyn SecretStore>) -> EngineBuilder<S, Arc<dyn SecretStore>> {
        let Self { store, drivers, placer, charts, observers, limits, clock, .. } = self;
        EngineBuilder { store, secrets, drivers, placer, charts, observers, limits, clock }
    }

    /// What can be managed.
    #[must_use]
    pub fn drivers(mut self, drivers: Drivers) -> Self {
        self.drivers = drivers;
        self
    }

    /// How places are chosen; [`FirstFit`] without it.
    #[must_use]
    pub fn placer(mut self, placer: Arc<dyn Placer>) -> Self {
        self.placer = placer;
        self
    }

    /// How charts are found; without it they are left to drivers as documents have them.
    #[must_use]
    pub fn charts(mut self, charts: Arc<dyn ChartResolver>) -> Self {
        self.charts = Some(charts);
        self
    }

    /// Adds somebody who gets the events of runs.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// How long, how often and how many at once.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The time of day; the system's without it.
    #[must_use]
    pub const fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }
}

impl EngineBuilder<Arc<dyn Store>, Arc<dyn SecretStore>> {
    /// The engine.
    #[must_use]
    pub fn build(self) -> Engine {
        let shared = Shared {
            store: self.store,
            secrets: self.secrets,
            connections: Connections::new(self.drivers.clone(), &self.limits),
            observers: self.observers,
            calls: Semaphore::new(self.limits.calls),
            limits: self.limits,
            clock: self.clock.unwrap_or_else(Clock::system),
        };
        Engine {
            shared: Arc::new(shared),
            drivers: self.drivers,
            placer: self.placer,
            charts: self.charts,
            at_work: Arc::default(),
        }
    }
}

impl Engine {
    /// Begins to build an engine; it needs a store and secrets.
    #[must_use]
    pub fn builder() -> EngineBuilder {
        EngineBuilder {
            store: (),
            secrets: (),
            drivers: Drivers::default(),
            placer: Arc::new(FirstFit),
            charts: None,
            observers: Vec::new(),
            limits: Limits::default(),
            clock: None,
        }
    }

    /// What can be managed.
    #[must_use]
    pub const fn drivers(&self) -> &Drivers {
        &self.drivers
    }

    /// Marks a slice as being worked on, until the guard is dropped.
    fn take(&self, slice: &SliceName) -> Result<AtWork> {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        if !at_work.insert(slice.clone()) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("cannot work on slice \"{slice}\": another run is under way"),
            )
            .with_help("wait until it ends; iotorch runs shows it"));
        }
        Ok(AtWork { slice: slice.clone(), at_work: Arc::clone(&self.at_work) })
    }

    fn is_at_work(&self, slice: &SliceName) -> bool {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner).contains(slice)
    }

    /// Takes in the infrastructures that are stored.
    async fn connect(&self) -> Result<crate::store::Snapshot> {
        let snapshot = self.shared.store.snapshot().await?;
        self.shared.connections.update(&snapshot.infrastructures);
        Ok(snapshot)
    }
}

/// Holds a slice while a run is under way.
struct AtWork {
    slice: SliceName,
    at_work: Arc<Mutex<BTreeSet<SliceName>>>,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.slice);
    }
}

#[async_trait]
impl Orchestrator for Engine {
    async fn plan(&self, intent: &Intent) -> Result<Plan> {
        self.make_plan(intent).await
    }

    async fn apply(&self, plan: Plan, options: RunOptions) -> Result<Report, ApplyError> {
        self.apply_plan(plan, options).await
    }

    async fn resume(
        &self,
        run: RunId,
        direction: Direction,
        options: RunOptions,
    ) -> Result<Report, ApplyError> {
        self.resume_run(run, direction, options).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunSummary>> {
        let rows = self.shared.store.runs().await?;
        let wanted = rows.into_iter().filter(|row| {
            filter.slice.as_ref().is_none_or(|slice| row.run.plan.slice == *slice)
                && (!filter.open || row.status.state.is_open())
        });
        let summaries = wanted.map(|row| RunSummary {
            id: row.run.id,
            slice: row.run.plan.slice.clone(),
            state: row.status.state,
            planned: row.run.plan.summary(),
            started_at: row.run.started_at,
            since: row.status.since,
            cause: row.status.cause,
            residue: row.status.residue,
        });
        Ok(summaries.take(filter.limit.unwrap_or(usize::MAX)).collect())
    }

    async fn status(&self, slice: &SliceName) -> Result<SliceStatus> {
        self.look_at(slice).await
    }

    async fn slices(&self) -> Result<Vec<SliceName>> {
        let snapshot = self.shared.store.snapshot().await?;
        Ok(snapshot.slices.into_iter().filter(|(_, state)| !state.is_empty()).map(|(name, _)| name).collect())
    }

    async fn infrastructures(&self) -> Result<Vec<Infrastructure>> {
        let snapshot = self.shared.store.snapshot().await?;
        Ok(snapshot.infrastructures.values().map(|place| Infrastructure::clone(place)).collect())
    }

    async fn document(&self, slice: &SliceName) -> Result<Option<Slice>> {
        Ok(self.shared.store.slice(slice).await?.document.as_ref().map(|slice| Slice::clone(slice)))
    }

    async fn forget(&self, infrastructure: &InfrastructureName) -> Result<Vec<ResourceId>> {
        let snapshot = self.connect().await?;
        let mut forgotten: BTreeMap<&SliceName, Vec<ResourceId>> = BTreeMap::new();
        for (name, state) in &snapshot.slices {
            let there = |id: &&ResourceId| matches!(id.location(), Location::Infrastructure(place) if place == *infrastructure);
            let ids: Vec<_> = state.records.keys().filter(there).cloned().collect();
            if !ids.is_empty() {
                if let Some(run) = state.open_run {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!("cannot forget infrastructure \"{infrastructure}\": run {run} of slice \"{name}\" is open"),
                    )
                    .with_help(format!("end it first: iotorch resume {run} --abandon")));
                }
                forgotten.insert(name, ids);
            }
        }
        if forgotten.is_empty() && !snapshot.infrastructures.contains_key(infrastructure) {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("cannot forget infrastructure \"{infrastructure}\": there is none of that name"),
            ));
        }
        let mut held = Vec::new();
        for name in forgotten.keys() {
            held.push(self.take(name)?);
        }
        let ids: Vec<_> = forgotten.into_values().flatten().collect();
        let mut writes: Vec<_> = ids.iter().cloned().map(Write::DropRecord).collect();
        writes.push(Write::DropInfrastructure(infrastructure.clone()));
        self.shared.store.commit(writes).await?;
        let records = snapshot.slices.values().flat_map(|state| state.records.values());
        for secret in
            records.filter(|record| ids.contains(&record.id)).filter_map(|record| minted(&record.spec))
        {
            self.shared.secrets.remove(secret).await?;
        }
        self.connect().await?;
        Ok(ids)
    }
}
