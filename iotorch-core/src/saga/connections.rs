//! Connections to domains, made once and shared by all runs.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

use super::{Limits, belief::believe};
use crate::{
    domain::{Context, Domain, Observed, Scope},
    driver::{Driver, DriverInfo, Drivers, Target},
    error::{Error, ErrorKind, Result},
    model::{DriverName, Infrastructure, InfrastructureName},
    place::{Place, Places},
    resource::{Location, ResourceId},
};

/// A connected domain with what its driver declares.
pub(crate) struct Connection {
    pub(crate) domain: Arc<dyn Domain>,
    pub(crate) info: DriverInfo,
    calls: Semaphore,
    /// When the next call may begin, for a driver that declares a pause.
    next_call: tokio::sync::Mutex<Option<Instant>>,
}

impl Connection {
    /// Waits for a free place among the calls to this host, then for the pause that its driver declares.
    pub(crate) async fn admit(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let permit = self.calls.acquire().await.ok();
        if self.info.pause > Duration::ZERO {
            let mut next_call = self.next_call.lock().await;
            if let Some(at) = *next_call {
                tokio::time::sleep_until(at).await;
            }
            *next_call = Some(Instant::now() + self.info.pause);
        }
        permit
    }

    /// What the domain sees of `scope`, with no secret in it that is another's.
    pub(crate) async fn observe(&self, cx: &Context, scope: &Scope) -> Result<Vec<(ResourceId, Observed)>> {
        let mut seen = self.domain.observe(cx, scope).await?;
        for (id, observed) in &mut seen {
            believe(id, scope.recorded.get(id).map(AsRef::as_ref), observed)?;
        }
        Ok(seen)
    }
}

type Infrastructures = BTreeMap<InfrastructureName, Arc<Infrastructure>>;

/// All connections of an engine.
pub(crate) struct Connections {
    drivers: Drivers,
    calls_per_host: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    infrastructures: Infrastructures,
    domains: HashMap<(DriverName, Location), Arc<Connection>>,
    places: BTreeMap<InfrastructureName, Arc<dyn Place>>,
    shared_places: Places,
}

impl Connections {
    pub(crate) fn new(drivers: Drivers, limits: &Limits) -> Self {
        Self { drivers, calls_per_host: limits.calls_per_host, known: Mutex::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the infrastructures there are; connections to one that changed are made anew.
    pub(crate) fn update(&self, infrastructures: &Infrastructures) {
        let mut known = self.known();
        if known.infrastructures == *infrastructures {
            return;
        }
        let changed =
            |name: &InfrastructureName| known.infrastructures.get(name) != infrastructures.get(name);
        let stale: Vec<_> = known
            .infrastructures
            .keys()
            .chain(infrastructures.keys())
            .filter(|name| changed(name))
            .cloned()
            .collect();
        known.domains.retain(
            |(_, location), _| !matches!(location, Location::Infrastructure(name) if stale.contains(name)),
        );
        known.places.retain(|name, _| !stale.contains(name));
        known.infrastructures.clone_from(infrastructures);
        for (name, infrastructure) in infrastructures {
            if !known.places.contains_key(name)
                && let Ok(place) = self
                    .drivers
                    .find(&infrastructure.spec.driver)
                    .and_then(|driver| driver.place(infrastructure))
            {
                known.places.insert(name.clone(), place);
            }
        }
        known.shared_places = Places::new(known.places.clone());
    }

    /// The driver called `name`.
    pub(crate) fn driver(&self, name: &DriverName) -> Option<&Arc<dyn Driver>> {
        self.drivers.find(name).ok()
    }

    /// The places of all infrastructures.
    pub(crate) fn places(&self) -> Places {
        self.known().shared_places.clone()
    }

    /// The place of an infrastructure.
    pub(crate) fn place(&self, name: &InfrastructureName) -> Result<Arc<dyn Place>> {
        let known = self.known();
        if let Some(place) = known.places.get(name) {
            return Ok(Arc::clone(place));
        }
        let infrastructure = known.infrastructures.get(name).cloned();
        drop(known);
        let infrastructure = infrastructure.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("cannot reach infrastructure \"{name}\": there is none of that name"),
            )
        })?;
        self.drivers.find(&infrastructure.spec.driver)?.place(&infrastructure)
    }

    /// The domain that `driver` has where `id` lives.
    pub(crate) fn domain(&self, driver: &DriverName, id: &ResourceId) -> Result<Arc<Connection>> {
        let location = id.location();
        let key = (driver.clone(), location);
        let mut known = self.known();
        if let Some(connection) = known.domains.get(&key) {
            return Ok(Arc::clone(connection));
        }
        let target = match &key.1 {
            Location::Infrastructure(name) => {
                let infrastructure = known.infrastructures.get(name).ok_or_else(|| {
                    Error::new(
                        ErrorKind::NotFound,
                        format!("cannot reach \"{id}\": there is no infrastructure \"{name}\""),
                    )
                    .with_help("add its document again, or forget what was on it: iotorch forget")
                })?;
                Target::Infrastructure(Infrastructure::clone(infrastructure))
            }
            Location::External => Target::External,
            Location::Network | Location::Physical => Target::Network,
        };
        let found = self.drivers.find(driver)?;
        let connection = Arc::new(Connection {
            domain: found.connect(&target)?,
            info: found.info(),
            calls: Semaphore::new(self.calls_per_host),
            next_call: tokio::sync::Mutex::new(None),
        });
        known.domains.insert(key, Arc::clone(&connection));
        Ok(connection)
    }
}
