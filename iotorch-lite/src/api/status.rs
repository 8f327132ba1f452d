//! What gateways and servers say about themselves.

use super::{DeviceProtocol, SenmlRecord, Usage};
use crate::senml::Record;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a gateway says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayStatus {
    /// Devices by name.
    pub devices: BTreeMap<String, DeviceStatus>,
    /// Exports by name.
    pub exports: BTreeMap<String, ExportStatus>,
    /// The readings that wait for exports.
    pub outbox: OutboxStatus,
    /// The bus that it reads, if it reads one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus: Option<BusStatus>,
    /// What was refused since the start, by user name; `(management)` is whoever called the management API.
    pub refused: BTreeMap<String, Refused>,
}

/// What came from one device, since it exists.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceStatus {
    /// The protocol it speaks.
    #[serde(default)]
    pub protocol: DeviceProtocol,
    /// When its last message came, accepted or not, or its last acknowledgement of a command, in seconds since the Unix
    /// epoch.
    #[serde(default)]
    pub last_seen: Option<f64>,
    /// Commands that wait for it.
    #[serde(default)]
    pub commands_waiting: u64,
    /// Readings that were accepted. Those of a message that was sent again are not counted again.
    pub accepted: u64,
    /// Readings or whole messages that were rejected.
    pub rejected: u64,
    /// Why the last one was rejected.
    pub last_rejection: Option<String>,
    /// The last accepted reading of each resource.
    #[schemars(with = "BTreeMap<String, SenmlRecord>")]
    pub last: BTreeMap<String, Record>,
}

/// How one export is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExportStatus {
    /// Whether it is logged in at its target.
    pub connected: bool,
    /// Readings its target has not acknowledged.
    pub pending: u64,
    /// Readings its target has acknowledged since the export exists.
    pub acknowledged: u64,
    /// Readings that its target can never take, since the export exists: each name is in the log.
    #[serde(default)]
    pub unsendable: u64,
    /// Why the last of them could not be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_unsendable: Option<String>,
    /// Why the last connection or delivery failed; absent once a delivery has succeeded, or it is logged in again and nothing
    /// waits.
    pub last_error: Option<String>,
}

/// How the bus of a gateway is doing. What is counted is counted since its data directory exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BusStatus {
    /// Whether it is logged in at the broker and subscribed there.
    pub connected: bool,
    /// Messages that came.
    pub messages: u64,
    /// Readings that were taken.
    pub taken: u64,
    /// Those of them whose value is a text because SenML does not have it: objects, arrays, and numbers that a double does not
    /// hold exactly.
    pub as_text: u64,
    /// Readings, or whole messages that are no events, that were not taken; readings without a value are among them.
    pub refused: u64,
    /// Events that came again, and whose readings were not taken twice.
    pub repeated: u64,
    /// Why the last one was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<String>,
    /// Why the connection failed; absent while it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// The outbox of a gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutboxStatus {
    /// Readings in it.
    pub records: u64,
    /// Their bytes: records and keys. The file of the store is larger.
    #[serde(default)]
    pub bytes: u64,
    /// Readings that were dropped because it was full, the oldest first.
    pub dropped: u64,
}

/// What was refused of one user name since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// Refused logins, and calls of the management API without a valid token.
    pub logins: u64,
    /// Refused messages, subscriptions, and calls of the management API that the token is not for.
    pub requests: u64,
    /// Why the last one was refused.
    pub last_reason: String,
}

/// What a server says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerStatus {
    /// What is stored of each tenant that has attachments or had messages.
    #[serde(default)]
    pub tenants: BTreeMap<String, Usage>,
    /// What was refused since the start, by user name; `(management)` is whoever called the management API.
    pub refused: BTreeMap<String, Refused>,
}
