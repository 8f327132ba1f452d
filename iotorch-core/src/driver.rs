//! Drivers: what iotorch knows of a kind of system before it is connected to one.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    domain::Domain,
    error::{Error, ErrorKind, Result},
    model::{DriverName, Infrastructure},
    place::Place,
    resource::{ApplicationSpec, DeviceSpec, KindName, Objective, Role, Spec},
};

/// What a driver is and can do.
#[derive(Clone, Debug)]
pub struct DriverInfo {
    /// Its name, as documents write it.
    pub name: DriverName,
    /// What it serves.
    pub serves: Serves,
    /// The resource kinds it handles. A plan makes device credentials, for instance, only where the gateway's driver lists
    /// [`KindName::Credential`] and [`Driver::logs_in`] says so.
    pub kinds: Vec<KindName>,
    /// The JSON Schema of its `settings`; `true` accepts anything.
    pub settings_schema: serde_json::Value,
    /// The number of the format of its `settings`, raised with every incompatible change.
    pub settings_format: u32,
    /// The most resources of a kind in one call; a kind that is not here takes one.
    pub batch_limits: BTreeMap<KindName, usize>,
    /// The shortest time between two calls that the other system asks for.
    pub pause: Duration,
}

/// What a driver serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serves {
    /// Infrastructures: spaces and the workloads in them.
    Infrastructure,
    /// Applications in these roles, and what lives in them.
    Applications(Vec<Role>),
    /// Segments and ports.
    Network,
}

impl DriverInfo {
    /// How many resources of `kind` one call takes.
    #[must_use]
    pub fn batch_limit(&self, kind: KindName) -> usize {
        self.batch_limits.get(&kind).copied().unwrap_or(1).max(1)
    }

    /// Whether the driver serves applications in `role`.
    #[must_use]
    pub fn serves_role(&self, role: Role) -> bool {
        matches!(&self.serves, Serves::Applications(roles) if roles.contains(&role))
    }
}

/// What a domain is connected to.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// An infrastructure and everything on it.
    Infrastructure(Infrastructure),
    /// Applications that run outside of iotorch; their addresses come with each step's inputs.
    External,
    /// The network; settings come with each segment.
    Network,
}

/// A fault that a driver finds in a specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    /// Where, as a JSON pointer (RFC 6901) into the serialised specification.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// The way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Issue {
    /// A fault at `pointer`.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into(), help: None }
    }

    /// Adds the way out.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What has to happen to get from one specification to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: they are the same to the other system.
    Same,
    /// A change in place.
    Update,
    /// Removing and making it again.
    Replace {
        /// Why it cannot be changed in place.
        because: String,
    },
}

/// A demand on something that slices share, such as a link's rate, a port or an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// What is shared, such as `edge-1/memory`.
    pub resource: String,
    /// How much is taken.
    pub amount: u64,
    /// How much there is; an exclusive thing has 1.
    pub capacity: u64,
}

/// A kind of system that iotorch can manage.
///
/// # Contract
/// All methods but [`connect`](Self::connect) and [`place`](Self::place) are pure, quick and without I/O; those two make a handle
/// and leave the first network call to its use.
///
/// # Guarantees
/// Core calls [`check`](Self::check) before anything is planned, and hands `apply` only specifications that passed it.
/// [`compare`](Self::compare) gets what [`Domain::observe`] returned as `have`: defaults that the other system fills in must
/// compare as [`Verdict::Same`], else a plan after an apply would not be empty.
///
/// # Errors
/// `connect` fails with [`ErrorKind::Invalid`] for settings that cannot work, never because the system is away.
///
/// # Examples
/// [`crate::declared::DeclaredDriver`] is the smallest; `docs/writing-a-domain.md` builds one step by step.
pub trait Driver: Send + Sync {
    /// What it is and can do.
    fn info(&self) -> DriverInfo;

    /// The faults of a specification.
    fn check(&self, spec: &Spec) -> Vec<Issue>;

    /// What has to happen to get from `have` to `want`.
    fn compare(&self, have: &Spec, want: &Spec) -> Verdict {
        if have == want { Verdict::Same } else { Verdict::Update }
    }

    /// What the resource takes of things that slices share.
    fn claims(&self, spec: &Spec) -> Vec<Claim> {
        let _ = spec;
        Vec::new()
    }

    /// Whether a device logs in at its gateway, so that it needs a [`KindName::Credential`]. Only a driver that lists this kind is asked.
    fn logs_in(&self, device: &DeviceSpec, gateway: &ApplicationSpec) -> bool {
        let _ = (device, gateway);
        true
    }

    /// The objectives of a segment that it enforces; any other is only written down, and the plan says so.
    fn enforces(&self) -> Vec<Objective> {
        Vec::new()
    }

    /// A connected domain.
    fn connect(&self, to: &Target) -> Result<Arc<dyn Domain>>;

    /// The place that an infrastructure is; only for drivers that serve [`Serves::Infrastructure`].
    fn place(&self, infrastructure: &Infrastructure) -> Result<Arc<dyn Place>> {
        Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "cannot use driver \"{}\" for infrastructure \"{}\"",
                self.info().name,
                infrastructure.name
            ),
        ))
    }
}

/// The drivers an installation has.
#[derive(Clone, Default)]
pub struct Drivers {
    by_name: BTreeMap<DriverName, (DriverInfo, Arc<dyn Driver>)>,
}

impl Drivers {
    /// Adds a driver; a later one of the same name takes its place.
    #[must_use]
    pub fn with(mut self, driver: impl Driver + 'static) -> Self {
        self.add(Arc::new(driver));
        self
    }

    /// Adds a driver that others hold as well.
    pub fn add(&mut self, driver: Arc<dyn Driver>) {
        let info = driver.info();
        self.by_name.insert(info.name.clone(), (info, driver));
    }

    /// The driver called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`], naming the drivers there are.
    pub fn find(&self, name: &DriverName) -> Result<&Arc<dyn Driver>> {
        self.by_name.get(name).map(|(_, driver)| driver).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("cannot find driver \"{name}\"")).with_help(format!(
                "the drivers of this installation are: {}",
                self.names().map(DriverName::as_str).collect::<Vec<_>>().join(", ")
            ))
        })
    }

    /// What the driver called `name` can do.
    #[must_use]
    pub fn info(&self, name: &DriverName) -> Option<&DriverInfo> {
        self.by_name.get(name).map(|(info, _)| info)
    }

    /// The names of all drivers, in order.
    pub fn names(&self) -> impl Iterator<Item = &DriverName> {
        self.by_name.keys()
    }

    /// What each driver can do, in order of their names.
    pub fn infos(&self) -> impl Iterator<Item = &DriverInfo> {
        self.by_name.values().map(|(info, _)| info)
    }
}

impl fmt::Debug for Drivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
