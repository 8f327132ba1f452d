//! What a slice is sold as.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use typed_builder::TypedBuilder;

use super::{MessageRate, Percent, TimeSpan};

/// The communication service: what the customer of the slice is promised (GSMA NG.116 attributes in plain words).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommunicationService {
    /// The type of service.
    #[serde(rename = "type")]
    pub service_type: ServiceType,
    /// How many devices it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub devices: Option<u32>,
    /// How many messages a device sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub rate: Option<MessageRate>,
    /// The longest time from device to server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub latency: Option<TimeSpan>,
    /// The share of time the service works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub availability: Option<Percent>,
}

/// The standard slice/service types (3GPP TS 23.501 table 5.15.2.2-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ServiceType {
    /// Enhanced mobile broadband (SST 1).
    Embb,
    /// Ultra-reliable low-latency communication (SST 2).
    Urllc,
    /// Massive Internet of Things (SST 3).
    Miot,
    /// Vehicle to everything (SST 4).
    V2x,
    /// High-performance machine-type communication (SST 5).
    Hmtc,
    /// High data rate and low latency (SST 6).
    Hdllc,
}

impl ServiceType {
    /// The standard SST value.
    #[must_use]
    pub const fn sst(self) -> u8 {
        match self {
            Self::Embb => 1,
            Self::Urllc => 2,
            Self::Miot => 3,
            Self::V2x => 4,
            Self::Hmtc => 5,
            Self::Hdllc => 6,
        }
    }
}
