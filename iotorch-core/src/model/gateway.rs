//! Gateways and servers: the applications of a slice, and how they are joined.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use typed_builder::TypedBuilder;

use super::{BandwidthObjective, DriverName, PartName, Placement, Settings, TimeSpan};
use crate::{resource::NetAddress, secret::SecretRef};

/// Concentrates devices at the edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gateway {
    /// Its name, unique among the slice's gateways, servers and network functions.
    pub name: PartName,
    /// The software, by the name of its driver (`lite`, `edgex`).
    #[serde(default = "lite")]
    #[builder(default = lite())]
    pub application: DriverName,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Placement::is_default")]
    #[builder(default)]
    pub placement: Placement,
    /// The Helm chart that deploys it, where the place needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub chart: Option<Chart>,
    /// An instance that runs already and is only configured; excludes `placement` and `chart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub external: Option<External>,
    /// The servers it is attached to; without `servers` and `sinks`, the slice's only server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[builder(default)]
    pub servers: Vec<Connection>,
    /// Other systems it exports to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[builder(default)]
    pub sinks: Vec<Sink>,
    /// What its driver needs to know beyond the model.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    #[builder(default)]
    pub settings: Settings,
}

/// Receives, stores and serves the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Server {
    /// Its name, unique among the slice's gateways, servers and network functions.
    pub name: PartName,
    /// The software, by the name of its driver (`lite`, `mainflux`).
    #[serde(default = "lite")]
    #[builder(default = lite())]
    pub application: DriverName,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Placement::is_default")]
    #[builder(default)]
    pub placement: Placement,
    /// The Helm chart that deploys it, where the place needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub chart: Option<Chart>,
    /// An instance that runs already and is only configured; excludes `placement` and `chart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub external: Option<External>,
    /// What its driver needs to know beyond the model.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    #[builder(default)]
    pub settings: Settings,
}

/// The default application.
pub(super) fn lite() -> DriverName {
    DriverName::literal("lite")
}

/// A Helm chart and its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chart {
    /// A directory, an archive, `https://repository/chart` or `oci://registry/chart`.
    #[builder(setter(into))]
    pub source: String,
    /// The version or version range, for repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option, into))]
    pub version: Option<String>,
    /// The digest that pins the content, `sha256:…`; filled in when the chart is resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option, into))]
    pub digest: Option<String>,
    /// YAML files with values over the chart's own, a later one over the earlier ones; read when the chart is resolved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[builder(default)]
    pub values_files: Vec<String>,
    /// Values over the chart's own, and over those of files.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    #[builder(default)]
    pub values: Settings,
}

/// An application that runs already, outside of iotorch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "external application")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct External {
    /// Its addresses by the names its driver knows (`management`, `mqtt`, `http`).
    pub endpoints: BTreeMap<String, NetAddress>,
    /// The credentials that configure it.
    pub credentials: SecretRef,
}

/// A gateway attached to a server of the same slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Connection {
    /// The server.
    pub name: PartName,
    /// The longest time from gateway to server that is acceptable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub latency: Option<TimeSpan>,
    /// The data rate it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub bandwidth: Option<BandwidthObjective>,
}

/// Another system that a gateway exports to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sink {
    /// Its name, unique in the gateway among sinks and servers.
    pub name: PartName,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: SinkKind,
    /// Where it is.
    pub endpoint: NetAddress,
    /// The topic or database to write to.
    #[builder(setter(into))]
    pub target: String,
    /// The credentials it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub credentials: Option<SecretRef>,
}

/// The kinds of [`Sink`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SinkKind {
    /// A plain MQTT broker.
    Mqtt,
    /// InfluxDB, line protocol.
    Influxdb,
}
