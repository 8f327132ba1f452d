//! The drivers of a simulated world.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{World, domain::SimDomain};
use crate::{
    declared::DeclaredDriver,
    domain::Domain,
    driver::{Driver, DriverInfo, Drivers, Issue, Serves, Target, Verdict},
    error::{Error, ErrorKind, Result},
    model::{DriverName, Infrastructure},
    place::{Facts, Place, Route},
    resource::{Endpoint, KindName, NetAddress, Objective, ResourceId, Role, Spec},
};

/// A driver of a [`World`], under whatever name and for whatever kinds a test needs.
#[derive(Clone, Debug)]
pub struct SimDriver {
    world: World,
    info: DriverInfo,
    replaces: Option<KindName>,
}

const IN_GATEWAY: [KindName; 5] =
    [KindName::Application, KindName::Profile, KindName::Device, KindName::Credential, KindName::Export];
const IN_SERVER: [KindName; 4] =
    [KindName::Application, KindName::Tenant, KindName::Attachment, KindName::Credential];

impl SimDriver {
    fn new(world: &World, name: &DriverName, serves: Serves, kinds: Vec<KindName>) -> Self {
        let info = DriverInfo {
            name: name.clone(),
            serves,
            batch_limits: kinds.iter().map(|kind| (*kind, 16)).collect(),
            kinds,
            settings_schema: serde_json::Value::Bool(true),
            settings_format: 1,
            pause: Duration::ZERO,
        };
        Self { world: world.clone(), info, replaces: None }
    }

    /// A driver of infrastructures.
    #[must_use]
    pub fn infrastructure(world: &World, name: &DriverName) -> Self {
        Self::new(world, name, Serves::Infrastructure, vec![KindName::Space, KindName::Workload])
    }

    /// A driver of gateways.
    #[must_use]
    pub fn gateway(world: &World, name: &DriverName) -> Self {
        Self::new(world, name, Serves::Applications(vec![Role::Gateway]), IN_GATEWAY.to_vec())
    }

    /// A driver of servers.
    #[must_use]
    pub fn server(world: &World, name: &DriverName) -> Self {
        Self::new(world, name, Serves::Applications(vec![Role::Server]), IN_SERVER.to_vec())
    }

    /// A driver of gateways and servers.
    #[must_use]
    pub fn application(world: &World, name: &DriverName) -> Self {
        let kinds = IN_GATEWAY.into_iter().chain(IN_SERVER).collect();
        Self::new(world, name, Serves::Applications(vec![Role::Gateway, Role::Server]), kinds)
    }

    /// A driver of segments, which enforces data rates.
    #[must_use]
    pub fn network(world: &World, name: &DriverName) -> Self {
        Self::new(world, name, Serves::Network, vec![KindName::Segment, KindName::Port])
    }

    /// The same without `kind`, such as a gateway whose devices have no credentials.
    #[must_use]
    pub fn without(mut self, kind: KindName) -> Self {
        self.info.kinds.retain(|other| *other != kind);
        self.info.batch_limits.remove(&kind);
        self
    }

    /// The same, unable to update `kind` in place.
    #[must_use]
    pub const fn replacing(mut self, kind: KindName) -> Self {
        self.replaces = Some(kind);
        self
    }
}

impl Driver for SimDriver {
    fn info(&self) -> DriverInfo {
        self.info.clone()
    }

    fn check(&self, spec: &Spec) -> Vec<Issue> {
        if self.info.kinds.contains(&spec.kind()) {
            return Vec::new();
        }
        vec![Issue::new("", format!("the driver \"{}\" cannot make a {}", self.info.name, spec.kind()))]
    }

    fn compare(&self, have: &Spec, want: &Spec) -> Verdict {
        match self.replaces {
            _ if have == want => Verdict::Same,
            Some(kind) if kind == want.kind() => {
                Verdict::Replace { because: format!("a {kind} cannot be changed in place") }
            }
            _ => Verdict::Update,
        }
    }

    fn enforces(&self) -> Vec<Objective> {
        match self.info.serves {
            Serves::Network => vec![Objective::BandwidthGuaranteed, Objective::BandwidthMax],
            _ => Vec::new(),
        }
    }

    fn connect(&self, _: &Target) -> Result<Arc<dyn Domain>> {
        Ok(Arc::new(SimDomain::new(self.world.clone())))
    }

    fn place(&self, infrastructure: &Infrastructure) -> Result<Arc<dyn Place>> {
        if self.info.serves != Serves::Infrastructure {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("\"{}\" is not an infrastructure driver", self.info.name),
            ));
        }
        Ok(Arc::new(SimPlace { world: self.world.clone(), infrastructure: infrastructure.clone() }))
    }
}

/// A place in a simulated world.
#[derive(Clone, Debug)]
pub struct SimPlace {
    world: World,
    infrastructure: Infrastructure,
}

impl SimPlace {
    fn reach(&self) -> Result<()> {
        let anybody = crate::model::SliceName::literal("any");
        self.world.reach(&ResourceId::space(&anybody, &self.infrastructure.name))
    }
}

#[async_trait]
impl Place for SimPlace {
    async fn survey(&self) -> Result<Facts> {
        self.reach()?;
        let capacity = self.infrastructure.spec.capacity.unwrap_or_default();
        Ok(Facts { version: "sim 1".into(), capacity, nodes: vec![[192, 0, 2, 1].into()] })
    }

    async fn open(&self, to: &Endpoint) -> Result<Route> {
        self.reach()?;
        match to {
            Endpoint::Net(address) => Ok(Route::direct(address.clone())),
            Endpoint::Service { name, .. } => {
                Ok(Route::direct(NetAddress { host: name.clone(), port: 1, tls: false }))
            }
        }
    }
}

pub(super) fn drivers(world: &World) -> Drivers {
    Drivers::default()
        .with(SimDriver::infrastructure(world, &DriverName::literal("sim")))
        .with(SimDriver::application(world, &DriverName::literal("sim-app")))
        .with(SimDriver::network(world, &DriverName::literal("sim-net")))
        .with(DeclaredDriver)
}
