//! Infrastructure: a place workloads can run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use typed_builder::TypedBuilder;

use super::{ByteSize, Cpu, DriverName, InfrastructureName, Labels, Settings};

/// A place workloads can run: a Kubernetes cluster, or this process (`driver: local`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TypedBuilder)]
pub struct Infrastructure {
    /// Its name, unique in the installation.
    pub name: InfrastructureName,
    /// What it is.
    pub spec: InfrastructureSpec,
}

/// What an [`Infrastructure`] is and how it is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[schemars(title = "infrastructure")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InfrastructureSpec {
    /// The driver that manages it, such as `local` or `kubernetes`.
    pub driver: DriverName,
    /// Where in the network it stands.
    pub tier: Tier,
    /// Free labels that a placement can ask for.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    #[builder(default)]
    pub labels: Labels,
    /// Where on Earth it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub location: Option<Location>,
    /// What it offers to slices; without it, what a survey of the place finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub capacity: Option<Capacity>,
    /// What the driver needs to know, by the driver's own schema (for `kubernetes`: kubeconfig, context).
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    #[builder(default)]
    pub settings: Settings,
}

/// How far from the devices an infrastructure stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Beside the devices: a board, an industrial PC, a site's cluster.
    Edge,
    /// A data centre.
    Cloud,
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Edge => "edge",
            Self::Cloud => "cloud",
        })
    }
}

/// A point on Earth (WGS 84).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Location {
    /// Degrees north of the equator, −90 to 90.
    #[schemars(range(min = -90, max = 90))]
    pub latitude: f64,
    /// Degrees east of Greenwich, −180 to 180.
    #[schemars(range(min = -180, max = 180))]
    pub longitude: f64,
}

impl Location {
    /// The great-circle distance to `other` in metres, on a sphere of the Earth's mean radius (6,371 km; within 0.6 %).
    #[must_use]
    pub fn metres_to(self, other: Self) -> f64 {
        let (lat_a, lat_b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_lat = (lat_b - lat_a) / 2.0;
        let half_lon = (other.longitude - self.longitude).to_radians() / 2.0;
        let h = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lon.sin().powi(2);
        2.0 * 6_371_000.0 * h.sqrt().min(1.0).asin()
    }
}

/// An amount of processor time, memory, storage and workloads: offered by an infrastructure or needed by a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Capacity {
    /// Processor time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Durable storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<ByteSize>,
}

impl Capacity {
    /// Whether nothing is asked for or said.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.cpu.is_none() && self.memory.is_none() && self.storage.is_none()
    }
}
