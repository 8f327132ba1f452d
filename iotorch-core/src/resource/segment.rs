//! Network segments and the ports on them.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::WorkloadOutputs;
use crate::model::{
    AccessTechnology, BandwidthObjective, FunctionBinding, InfrastructureName, Objectives, OnUnenforced,
    PartName, Settings, Snssai,
};

/// An access, transport or core segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentSpec {
    /// Which part of the network slice it is.
    pub layer: Layer,
    /// The network slice's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snssai: Option<Snssai>,
    /// The parts of the slice it joins, each of which needs an address (an SDP of RFC 9543).
    pub endpoints: Vec<SegmentEndpoint>,
    /// The data rate it must carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<BandwidthObjective>,
    /// What else it must achieve.
    #[serde(default, skip_serializing_if = "Objectives::is_empty")]
    pub objectives: Objectives,
    /// What to do about an objective that would only be written down.
    #[serde(default)]
    pub on_unenforced: OnUnenforced,
    /// What its driver needs to know beyond the model.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
}

/// Which part of a network slice a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Layer {
    /// From the devices to the gateways.
    Access(AccessTechnology),
    /// Between parts of the slice.
    Transport,
    /// The mobile core.
    Core,
}

/// A part of the slice on a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentEndpoint {
    /// The gateway, server or network function.
    pub part: PartName,
    /// Where it runs; none for what is external or physical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure: Option<InfrastructureName>,
    /// The addresses of that place's nodes, by its survey: where a tunnel can end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<IpAddr>,
}

/// What a Segment tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentOutputs {
    /// Its identity on the wire, such as a VNI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<u32>,
    /// The address chosen for each part.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<PartName, IpAddr>,
    /// How each objective is met.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub assurances: BTreeMap<Objective, Assurance>,
}

/// The objectives and expectations that a segment can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// A data rate always available.
    BandwidthGuaranteed,
    /// A data rate never exceeded.
    BandwidthMax,
    /// The longest one-way delay.
    Delay,
    /// The largest variation of the delay.
    Jitter,
    /// The largest share of packets lost.
    Loss,
    /// The smallest share of time it works.
    Availability,
    /// How it is kept apart.
    Isolation,
    /// Whether it is encrypted.
    Encryption,
    /// The packet size it carries.
    Mtu,
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::BandwidthGuaranteed => "bandwidth guaranteed",
            Self::BandwidthMax => "bandwidth max",
            Self::Delay => "delay",
            Self::Jitter => "jitter",
            Self::Loss => "loss",
            Self::Availability => "availability",
            Self::Isolation => "isolation",
            Self::Encryption => "encryption",
            Self::Mtu => "mtu",
        })
    }
}

impl SegmentSpec {
    /// The objectives asked for, each with its value in words.
    #[must_use]
    pub fn wanted(&self) -> Vec<(Objective, String)> {
        let text = |value: Option<String>, objective| value.map(|value| (objective, value));
        let bandwidth = self.bandwidth.unwrap_or(BandwidthObjective { guaranteed: None, max: None });
        let wanted = &self.objectives;
        [
            text(bandwidth.guaranteed.map(|rate| rate.to_string()), Objective::BandwidthGuaranteed),
            text(bandwidth.max.map(|rate| rate.to_string()), Objective::BandwidthMax),
            text(wanted.delay.map(|span| span.to_string()), Objective::Delay),
            text(wanted.jitter.map(|span| span.to_string()), Objective::Jitter),
            text(wanted.loss.map(|share| share.to_string()), Objective::Loss),
            text(wanted.availability.map(|share| share.to_string()), Objective::Availability),
            text(wanted.isolation.map(|level| format!("{level:?}").to_lowercase()), Objective::Isolation),
            text(wanted.encryption.map(|level| format!("{level:?}").to_lowercase()), Objective::Encryption),
            text(wanted.mtu.map(|bytes| format!("{bytes} B")), Objective::Mtu),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// How an objective is met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Assurance {
    /// A mechanism enforces it.
    Enforced {
        /// Which.
        mechanism: String,
    },
    /// It is measured.
    Measured {
        /// The last value.
        value: String,
        /// When.
        at: jiff::Timestamp,
    },
    /// Somebody else has promised it.
    Delegated {
        /// Who.
        provider: String,
        /// Their name for the promise.
        reference: String,
    },
    /// It is written down and nothing enforces it.
    Declared,
    /// It cannot be met.
    Unsupported,
}

impl fmt::Display for Assurance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enforced { mechanism } => write!(f, "enforced: {mechanism}"),
            Self::Measured { value, at } => write!(f, "measured: {value} at {at}"),
            Self::Delegated { provider, reference } => write!(f, "delegated to {provider}: {reference}"),
            Self::Declared => f.write_str("declared"),
            Self::Unsupported => f.write_str("unsupported"),
        }
    }
}

/// A workload's endpoint joined to a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortSpec {
    /// The gateway, server or network function.
    pub part: PartName,
    /// For a network function: the data network it serves for this slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<FunctionBinding>,
    /// The network slice it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snssai: Option<Snssai>,
}

/// What a Port needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortInputs {
    /// The segment, with the address chosen for the part.
    pub segment: SegmentOutputs,
    /// The workload; none for an external application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadOutputs>,
    /// The exit of a network function to its data network, where the binding names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sgi: Option<WorkloadOutputs>,
}

/// What a Port tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortOutputs {
    /// The part's address on the segment; none where the segment is only declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}
