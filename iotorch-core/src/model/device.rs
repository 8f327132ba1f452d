//! Devices and their profiles.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use typed_builder::TypedBuilder;

use super::{Labels, PartName, ResourceName, Settings};

/// A thing on a gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Device {
    /// Its name, unique in the slice.
    pub name: PartName,
    /// The gateway it speaks to; without it the slice's only gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub gateway: Option<PartName>,
    /// How it speaks.
    #[serde(default)]
    #[builder(default)]
    pub protocol: DeviceProtocol,
    /// The shared profile it follows; excludes `resources`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub profile: Option<PartName>,
    /// A profile of its own, written in place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[builder(default)]
    pub resources: Vec<ProfileResource>,
    /// Free labels, handed to the gateway.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    #[builder(default)]
    pub labels: Labels,
    /// What the gateway's driver needs to know beyond the model.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    #[builder(default)]
    pub settings: Settings,
}

/// The protocol between a device and its gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DeviceProtocol {
    /// MQTT 3.1.1 or 5.
    #[default]
    Mqtt,
    /// HTTP/1.1.
    Http,
    /// CoAP (RFC 7252).
    Coap,
}

impl std::fmt::Display for DeviceProtocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Mqtt => "mqtt",
            Self::Http => "http",
            Self::Coap => "coap",
        })
    }
}

/// A device profile that devices share: what such a device measures and what it can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// Its name, unique among the slice's profiles and devices with resources of their own.
    pub name: PartName,
    /// Its resources, at least one.
    #[schemars(length(min = 1))]
    pub resources: Vec<ProfileResource>,
}

/// One value of a device: a sensor's reading, or an actuator's setting (one that can be written).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[schemars(title = "resource")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileResource {
    /// Its name, unique in the profile.
    pub name: ResourceName,
    /// The type of its values.
    #[serde(rename = "type")]
    pub value_type: ValueType,
    /// Its unit, a SenML unit where there is one (`Cel`, `%RH`; RFC 8428 section 12.1, RFC 8798).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option, into))]
    pub unit: Option<String>,
    /// The lowest and highest value allowed, both inclusive; numbers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub range: Option<Range>,
    /// Whether it is read, written or both; `read` if not set.
    #[serde(default)]
    #[builder(default)]
    pub access: Access,
}

/// The type of a resource's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    /// A number (64-bit floating point).
    Float,
    /// A whole number (64-bit signed).
    Integer,
    /// True or false.
    Bool,
    /// Text.
    String,
}

/// The lowest and highest value, both inclusive; written `[low, high]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Range(pub f64, pub f64);

/// Whether a resource is read, written or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "kind of access")]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// The device reports it.
    #[default]
    Read,
    /// The device is told it.
    Write,
    /// Both, written `readwrite`.
    ReadWrite,
}

impl Access {
    /// Whether the device reports the value.
    #[must_use]
    pub const fn can_read(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    /// Whether the device can be told the value.
    #[must_use]
    pub const fn can_write(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }
}
