//! The network slice of a slice: segments with objectives, and network functions.

use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de};
use typed_builder::TypedBuilder;

use super::{Bandwidth, Chart, DriverName, PartName, Percent, Placement, Settings, TimeSpan};

/// The network slice: its identity and its segments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Network {
    /// The network slice's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub snssai: Option<Snssai>,
    /// From the devices to the gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub access: Option<AccessSegment>,
    /// Between parts of the slice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[builder(default)]
    pub transport: Vec<TransportSegment>,
    /// The mobile core's functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub core: Option<CoreSegment>,
    /// What to do about an objective that nobody enforces.
    #[serde(default, skip_serializing_if = "OnUnenforced::is_warn")]
    #[builder(default)]
    pub on_unenforced: OnUnenforced,
}

/// What to do when an objective of a segment would only be written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnUnenforced {
    /// Say so in the plan and go on.
    #[default]
    Warn,
    /// Refuse the plan.
    Refuse,
}

impl OnUnenforced {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_warn(&self) -> bool {
        *self == Self::Warn
    }
}

/// Single network slice selection assistance information (3GPP TS 23.003 section 28.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "S-NSSAI")]
#[serde(deny_unknown_fields)]
pub struct Snssai {
    /// Slice/service type, 0 to 255; 1 to 6 are standard.
    pub sst: u8,
    /// Slice differentiator: six hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sd: Option<SliceDifferentiator>,
}

impl fmt::Display for Snssai {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sd {
            Some(sd) => write!(f, "{}-{sd}", self.sst),
            None => write!(f, "{}", self.sst),
        }
    }
}

/// The slice differentiator of an [`Snssai`]: 24 bits, written as six hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SliceDifferentiator(u32);

impl fmt::Display for SliceDifferentiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06x}", self.0)
    }
}

impl FromStr for SliceDifferentiator {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a slice differentiator is six hexadecimal digits, as in \"00001a\"";
        if text.len() != 6 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong);
        }
        u32::from_str_radix(text, 16).map(Self).map_err(|_| wrong)
    }
}

impl Serialize for SliceDifferentiator {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SliceDifferentiator {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for SliceDifferentiator {
    fn schema_name() -> Cow<'static, str> {
        "SliceDifferentiator".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-fA-F]{6}$" })
    }
}

/// The segment between devices and gateways.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessSegment {
    /// The radio or wire.
    pub technology: AccessTechnology,
    /// Who provides it.
    #[serde(default = "declared")]
    #[builder(default = declared())]
    pub driver: DriverName,
    /// What it must achieve.
    #[serde(default, skip_serializing_if = "Objectives::is_empty")]
    #[builder(default)]
    pub objectives: Objectives,
    /// What its driver needs to know beyond the model.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    #[builder(default)]
    pub settings: Settings,
}

/// The technologies of an access segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AccessTechnology {
    /// Narrowband IoT.
    NbIot,
    /// LTE for machines.
    LteM,
    /// LTE.
    Lte,
    /// 5G New Radio.
    Nr,
    /// LoRaWAN.
    Lorawan,
    /// IEEE 802.11.
    Wifi,
    /// IEEE 802.3.
    Ethernet,
}

/// A segment between two parts of the slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransportSegment {
    /// The two gateways, servers or network functions it joins.
    pub between: [PartName; 2],
    /// Who provides it.
    #[serde(default = "declared")]
    #[builder(default = declared())]
    pub driver: DriverName,
    /// The data rate it must carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub bandwidth: Option<BandwidthObjective>,
    /// What else it must achieve.
    #[serde(default, skip_serializing_if = "Objectives::is_empty")]
    #[builder(default)]
    pub objectives: Objectives,
    /// What its driver needs to know beyond the model.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    #[builder(default)]
    pub settings: Settings,
}

impl TransportSegment {
    /// The name of the segment: its two ends, `a-b`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-{}", self.between[0], self.between[1])
    }
}

pub(super) fn declared() -> DriverName {
    DriverName::literal("declared")
}

/// A data rate to guarantee, and one not to exceed. A rate alone (`2Mbit/s`) is one to guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", from = "BandwidthForm")]
pub struct BandwidthObjective {
    /// Always available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guaranteed: Option<Bandwidth>,
    /// Never exceeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Bandwidth>,
}

/// The two ways to write a [`BandwidthObjective`].
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "BandwidthObjective")]
#[serde(untagged)]
enum BandwidthForm {
    /// Always available.
    Guaranteed(Bandwidth),
    /// Both bounds.
    Bounds(BandwidthBounds),
}

/// The bounds of a data rate.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BandwidthBounds {
    /// Always available.
    guaranteed: Option<Bandwidth>,
    /// Never exceeded.
    max: Option<Bandwidth>,
}

impl From<BandwidthForm> for BandwidthObjective {
    fn from(form: BandwidthForm) -> Self {
        match form {
            BandwidthForm::Guaranteed(rate) => Self { guaranteed: Some(rate), max: None },
            BandwidthForm::Bounds(BandwidthBounds { guaranteed, max }) => Self { guaranteed, max },
        }
    }
}

/// Service level objectives (measurable) and expectations (not directly measurable) of a segment, in the terms of the IETF
/// network slice service (RFC 9543 section 5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[schemars(title = "set of objectives")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Objectives {
    /// The longest one-way delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub delay: Option<TimeSpan>,
    /// The largest variation of the one-way delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub jitter: Option<TimeSpan>,
    /// The largest share of packets lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub loss: Option<Percent>,
    /// The smallest share of time it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub availability: Option<Percent>,
    /// How it is kept apart from other slices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub isolation: Option<Isolation>,
    /// Whether its traffic is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub encryption: Option<Encryption>,
    /// The smallest packet size it carries whole, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub mtu: Option<u16>,
}

impl Objectives {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a segment is kept apart from other slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Traffic of others cannot be seen or reached.
    Traffic,
    /// Resources are its own as well.
    Dedicated,
}

/// Whether traffic is encrypted on the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// It must be.
    Required,
    /// It need not be.
    None,
}

/// The segment of the mobile core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CoreSegment {
    /// Who provides it.
    #[serde(default = "declared")]
    #[builder(default = declared())]
    pub driver: DriverName,
    /// Its network functions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[builder(default)]
    pub functions: Vec<NetworkFunction>,
    /// What it must achieve.
    #[serde(default, skip_serializing_if = "Objectives::is_empty")]
    #[builder(default)]
    pub objectives: Objectives,
    /// What its driver needs to know beyond the model.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    #[builder(default)]
    pub settings: Settings,
}

/// A network function: virtual (deployed from a chart like any workload) or physical (only referred to).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkFunction {
    /// Its name, unique among the slice's gateways, servers and network functions.
    pub name: PartName,
    /// What it does in the core.
    #[serde(rename = "type")]
    pub function: FunctionType,
    /// Where a virtual function runs.
    #[serde(default, skip_serializing_if = "Placement::is_default")]
    #[builder(default)]
    pub placement: Placement,
    /// The Helm chart of a virtual function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub chart: Option<Chart>,
    /// A physical function: where it stands; excludes `placement` and `chart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub physical: Option<Physical>,
    /// The data network it serves for this slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub binding: Option<FunctionBinding>,
}

/// The functions of a mobile core (3GPP TS 23.501 section 6.2, TS 23.401 section 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FunctionType {
    /// User plane function.
    Upf,
    /// Session management function.
    Smf,
    /// Access and mobility management function.
    Amf,
    /// Packet data network gateway.
    Pgw,
    /// Serving gateway.
    Sgw,
    /// Gateway GPRS support node.
    Ggsn,
}

impl fmt::Display for FunctionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Upf => "UPF",
            Self::Smf => "SMF",
            Self::Amf => "AMF",
            Self::Pgw => "PGW",
            Self::Sgw => "SGW",
            Self::Ggsn => "GGSN",
        })
    }
}

/// A physical network function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "physical function")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Physical {
    /// Its address on the segment.
    pub address: IpAddr,
}

/// What a network function does for this slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FunctionBinding {
    /// The data network name (APN; 3GPP TS 23.003 section 9).
    pub dnn: String,
    /// The gateway or server that is its exit to the data network (the SGi or N6 side), or the function on the way there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sgi: Option<PartName>,
}
