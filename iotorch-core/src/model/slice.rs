//! Slice: one IoT slice and all its parts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use typed_builder::TypedBuilder;

use super::{
    Capacity, Chart, CommunicationService, Device, Gateway, InfrastructureName, Network, PartName, Profile,
    Server, SliceName, Tier, TimeSpan,
};

/// One IoT slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TypedBuilder)]
pub struct Slice {
    /// Its name, unique in the installation.
    pub name: SliceName,
    /// What it consists of.
    pub spec: SliceSpec,
}

impl Slice {
    /// Whether it names this infrastructure: for all its parts or for one.
    #[must_use]
    pub fn names(&self, infrastructure: &InfrastructureName) -> bool {
        let SliceSpec { places, gateways, servers, network, .. } = &self.spec;
        let core = network.as_ref().and_then(|network| network.core.as_ref());
        let functions = core.into_iter().flat_map(|core| &core.functions);
        let placements = gateways.iter().map(|gateway| &gateway.placement);
        let placements = placements.chain(servers.iter().map(|server| &server.placement));
        let placements = placements.chain(functions.map(|function| &function.placement));
        let named = placements.filter_map(|placement| placement.infrastructure.as_ref());
        named.chain(&places.edge).chain(&places.cloud).any(|name| name == infrastructure)
    }

    /// Whether a part of it has a chart.
    pub(crate) fn has_charts(&self) -> bool {
        let SliceSpec { gateways, servers, network, .. } = &self.spec;
        let core = network.as_ref().and_then(|network| network.core.as_ref());
        gateways.iter().any(|gateway| gateway.chart.is_some())
            || servers.iter().any(|server| server.chart.is_some())
            || core.is_some_and(|core| core.functions.iter().any(|function| function.chart.is_some()))
    }

    /// The charts of its parts, each with the part in words.
    pub(crate) fn charts_mut(&mut self) -> impl Iterator<Item = (String, &mut Chart)> {
        let SliceSpec { gateways, servers, network, .. } = &mut self.spec;
        let core = network.as_mut().and_then(|network| network.core.as_mut());
        let functions = core.into_iter().flat_map(|core| &mut core.functions);
        let of = |sort: &str, name: &PartName| format!("{sort} \"{name}\"");
        let gateways = gateways.iter_mut().map(move |it| (of("gateway", &it.name), &mut it.chart));
        let servers = servers.iter_mut().map(move |it| (of("server", &it.name), &mut it.chart));
        let functions = functions.map(move |it| (of("network function", &it.name), &mut it.chart));
        gateways.chain(servers).chain(functions).filter_map(|(part, chart)| Some((part, chart.as_mut()?)))
    }
}

/// What a [`Slice`] consists of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[schemars(title = "slice")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SliceSpec {
    /// What the slice is sold as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub service: Option<CommunicationService>,
    /// What happens when a step of a run fails.
    #[serde(default)]
    #[builder(default)]
    pub on_failure: FailurePolicy,
    /// What happens when a place cannot be reached.
    #[serde(default, skip_serializing_if = "Offline::is_default")]
    #[builder(default)]
    pub offline: Offline,
    /// Where its parts go whose placement asks for nothing.
    #[serde(default, skip_serializing_if = "Places::is_empty")]
    #[builder(default)]
    pub places: Places,
    /// The most that it takes of each of its places.
    #[serde(default, skip_serializing_if = "Quota::is_empty")]
    #[builder(default)]
    pub quota: Quota,
    /// Its gateways.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[builder(default)]
    pub gateways: Vec<Gateway>,
    /// Its servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[builder(default)]
    pub servers: Vec<Server>,
    /// Device profiles that its devices share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[builder(default)]
    pub profiles: Vec<Profile>,
    /// Its devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[builder(default)]
    pub devices: Vec<Device>,
    /// Its network slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub network: Option<Network>,
}

/// The infrastructures of a slice, for the parts whose placement asks for nothing but `needs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "places of a slice")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Places {
    /// Where gateways go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<InfrastructureName>,
    /// Where servers and virtual network functions go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<InfrastructureName>,
}

impl Places {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The most that a slice takes of each infrastructure, by the tier of the infrastructure; what goes past it is refused there.
///
/// Clusters keep to it (driver `kubernetes`); the driver `local` has no quotas, and a plan says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "quota of a slice")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quota {
    /// Of each infrastructure of the tier `edge`.
    #[serde(default, skip_serializing_if = "Capacity::is_empty")]
    pub edge: Capacity,
    /// Of each infrastructure of the tier `cloud`.
    #[serde(default, skip_serializing_if = "Capacity::is_empty")]
    pub cloud: Capacity,
}

impl Quota {
    /// That of an infrastructure.
    #[must_use]
    pub const fn of(&self, tier: Tier) -> Capacity {
        match tier {
            Tier::Edge => self.edge,
            Tier::Cloud => self.cloud,
        }
    }

    const fn is_empty(&self) -> bool {
        self.edge.is_empty() && self.cloud.is_empty()
    }
}

/// What a run does after a step failed for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailurePolicy {
    /// Undo what the run did.
    #[default]
    Rollback,
    /// Stay open and wait for a decision.
    Pause,
    /// Close, keep what was made, and mark what failed.
    Keep,
}

impl std::fmt::Display for FailurePolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Rollback => "roll back",
            Self::Pause => "pause",
            Self::Keep => "keep",
        })
    }
}

/// What a run does about a place that cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "offline policy")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offline {
    /// Wait or fail.
    #[serde(default)]
    pub policy: OnOffline,
    /// How long to wait at most; without it, as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<TimeSpan>,
}

impl Offline {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The choices of [`Offline`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnOffline {
    /// The step fails.
    #[default]
    Fail,
    /// The step waits until the place is back.
    Wait,
}
