//! Places: what planning needs to know of an infrastructure, and how to reach what runs there.

use std::{any::Any, collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind, Result},
    inspection::Inspection,
    model::{Capacity, InfrastructureName},
    resource::{Endpoint, NetAddress},
};

/// What a survey of a place found: an input of planning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The version of the system that runs workloads.
    pub version: String,
    /// What all workloads of slices together can take: without what belongs to others, where that is known.
    #[serde(default)]
    pub capacity: Capacity,
    /// The addresses of the nodes, for tunnels between places.
    #[serde(default)]
    pub nodes: Vec<IpAddr>,
}

/// A way from this process to an endpoint. It closes when dropped and is never recorded.
pub struct Route {
    address: NetAddress,
    _guard: Option<Box<dyn Any + Send + Sync>>,
}

impl Route {
    /// A route that needs nothing held open.
    #[must_use]
    pub fn direct(address: NetAddress) -> Self {
        Self { address, _guard: None }
    }

    /// A route that lives as long as `guard`, such as a port-forward.
    pub fn guarded(address: NetAddress, guard: impl Any + Send + Sync) -> Self {
        Self { address, _guard: Some(Box::new(guard)) }
    }

    /// The address to connect to from here.
    #[must_use]
    pub const fn address(&self) -> &NetAddress {
        &self.address
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Route").field(&self.address).finish()
    }
}

/// A place workloads run: one for each infrastructure.
///
/// # Contract
/// [`survey`](Self::survey) and [`inspect`](Self::inspect) only read. [`open`](Self::open) gives a route that works for as long as
/// it is held. A survey fails where an inspection finds something missing.
///
/// # Guarantees
/// Core surveys every place once a plan, and each place that something is made or changed on once more before it is applied. It
/// opens routes only for endpoints that name this place.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the place cannot be reached, which may pass: a run waits for it by its policy.
/// [`ErrorKind::Denied`] when credentials or permissions do not suffice, which are all named, [`ErrorKind::Invalid`] for settings that
/// cannot work, and [`ErrorKind::Unsupported`] for a system that is too old: these end an apply before it changes anything.
/// [`ErrorKind::NotFound`] for an endpoint that is not there.
///
/// # Examples
/// The simulated place of [`crate::sim`] answers from memory.
#[async_trait]
pub trait Place: Send + Sync {
    /// Version, capacity and node addresses.
    async fn survey(&self) -> Result<Facts>;

    /// What a person who looks after the place wants to know: what is missing, and how its nodes are.
    async fn inspect(&self) -> Result<Inspection> {
        Ok(self.survey().await?.into())
    }

    /// A route from this process to an endpoint in this place.
    async fn open(&self, to: &Endpoint) -> Result<Route>;
}

/// The places of an installation, by the name of their infrastructure.
#[derive(Clone, Default)]
pub struct Places {
    by_name: Arc<BTreeMap<InfrastructureName, Arc<dyn Place>>>,
}

impl Places {
    /// These places.
    #[must_use]
    pub fn new(by_name: BTreeMap<InfrastructureName, Arc<dyn Place>>) -> Self {
        Self { by_name: Arc::new(by_name) }
    }

    /// The place of an infrastructure.
    #[must_use]
    pub fn find(&self, name: &InfrastructureName) -> Option<&Arc<dyn Place>> {
        self.by_name.get(name)
    }

    /// Opens a route: direct for an address that everyone can reach, through its place for a service.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the infrastructure is not known, else what the place says.
    pub async fn open(&self, endpoint: &Endpoint) -> Result<Route> {
        match endpoint {
            Endpoint::Net(address) => Ok(Route::direct(address.clone())),
            Endpoint::Service { infrastructure, .. } => match self.find(infrastructure) {
                Some(place) => place.open(endpoint).await,
                None => Err(Error::new(
                    ErrorKind::NotFound,
                    format!(
                        "cannot open a route to {endpoint}: there is no infrastructure \"{infrastructure}\""
                    ),
                )),
            },
        }
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_name.keys()).finish()
    }
}
