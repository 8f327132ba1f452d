//! Devices, profiles and what else core-metadata keeps, as API version 3 writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a device is reached by: for each protocol its properties.
pub(crate) type Protocols = BTreeMap<String, BTreeMap<String, Value>>;

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeviceObject {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) admin_state: String,
    pub(crate) operating_state: String,
    #[serde(deserialize_with = "or_none")]
    pub(crate) labels: Vec<String>,
    pub(crate) service_name: String,
    pub(crate) profile_name: String,
    #[serde(deserialize_with = "or_none")]
    pub(crate) protocols: Protocols,
}

/// A device profile. What iotorch has no word for is kept as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ProfileObject {
    pub(crate) name: String,
    pub(crate) manufacturer: String,
    pub(crate) model: String,
    pub(crate) description: String,
    #[serde(deserialize_with = "or_none")]
    pub(crate) labels: Vec<String>,
    #[serde(deserialize_with = "or_none")]
    pub(crate) device_resources: Vec<ResourceObject>,
    #[serde(deserialize_with = "or_none")]
    pub(crate) device_commands: Vec<Value>,
}

/// A resource of a device profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ResourceObject {
    pub(crate) name: String,
    pub(crate) is_hidden: bool,
    pub(crate) properties: Properties,
    #[serde(flatten)]
    pub(crate) others: Map<String, Value>,
}

/// What a resource's values are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Properties {
    pub(crate) value_type: String,
    pub(crate) read_write: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) units: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) minimum: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) maximum: Option<serde_json::Number>,
    #[serde(flatten)]
    pub(crate) others: Map<String, Value>,
}

/// What is `null`, as Go writes an empty list or map, is empty.
fn or_none<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
