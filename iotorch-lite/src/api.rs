//! What the management APIs of gateway and server speak, in JSON.
//!
//! | path | methods | settings | secret |
//! |---|---|---|---|
//! | `/health` | GET, without a token | – | – |
//! | `/objects`, `/status` | GET | – | – |
//! | gateway: `/profiles/{name}` | PUT GET DELETE | [`Profile`] | – |
//! | gateway: `/devices/{name}` | PUT GET DELETE | [`Device`] | – |
//! | gateway: `/devices/{name}/credentials/{generation}` | PUT GET DELETE | [`Nothing`] | the password |
//! | gateway: `/exports/{name}` | PUT GET DELETE | [`Export`] | the password at the target, see there |
//! | server: `/tenants/{tenant}` | PUT GET DELETE | [`Nothing`] | the token for reading, optional |
//! | server: `/tenants/{tenant}/attachments/{name}` | PUT GET DELETE | [`Nothing`], answers [`Attachment`] | – |
//! | server: `/tenants/{tenant}/attachments/{name}/credentials/{generation}` | PUT GET DELETE | [`Nothing`] | the key |
//! | server: `/tenants/{tenant}/channels/{channel}/messages` | GET | – | – |
//! | server: `/tenants/{tenant}/channels/{channel}/stats` | GET | – | – |
//!
//! `GET …/credentials` lists generations. PUT takes a [`Put`] and answers a [`Managed`]; repeated, it changes nothing.
//! An object with the mark of somebody else answers 409 unless the query says `adopt=true`; what was there is then
//! remembered, secret included. DELETE of what is not there answers 204; with the query `mark=…` it answers 409 if the
//! object carries another mark. DELETE with `mark=…&release=true` deletes nothing: an object with this mark becomes
//! what it was before it was adopted, or loses its mark if it never was; any other is left alone. Every other call than
//! `/health` needs `Authorization: Bearer <token>`.

use crate::{Secret, senml::Record};
pub use iotorch_core::model::{Access, ValueType};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;

/// What `GET /health` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Always `iotorch-lite`.
    pub application: String,
    /// `gateway` or `server`.
    pub role: String,
    /// The version of this crate.
    pub version: String,
}

/// The kinds of managed objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// A device profile on a gateway.
    Profile,
    /// A device on a gateway.
    Device,
    /// One generation of a device's password, or of a thing's key.
    Credential,
    /// A destination of a gateway's readings.
    Export,
    /// A tenant of a server.
    Tenant,
    /// A thing and its channel on a server.
    Attachment,
}

impl Kind {
    /// The word a person reads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Device => "device",
            Self::Credential => "credential",
            Self::Export => "export",
            Self::Tenant => "tenant",
            Self::Attachment => "attachment",
        }
    }
}

/// The body of a PUT: the object as it shall be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Put<T> {
    /// Who owns the object, opaque to the software.
    pub mark: String,
    /// The owner's own description of the object, opaque to the software. It must hold no secret.
    #[serde(default)]
    pub spec: serde_json::Value,
    /// What the software uses.
    pub settings: T,
    /// The secret of the object, for the kinds that have one. It is never given back.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "expose", skip_deserializing)]
    pub secret: Option<Secret>,
}

fn expose<S: Serializer>(secret: &Option<Secret>, out: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(out)
}

/// An object as it is, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Managed<T> {
    /// Its kind.
    pub kind: Kind,
    /// Its path in the management API, without the slash in front.
    pub path: String,
    /// Who owns it.
    pub mark: String,
    /// The owner's description of it.
    pub spec: serde_json::Value,
    /// What the software uses.
    pub settings: T,
}

/// The settings of an object that has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// What devices of one sort can say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Resources by name.
    pub resources: BTreeMap<String, Resource>,
}

/// One resource of a [`Profile`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// The type of its values. An integer lies between -2^53 and 2^53, which JSON carries exactly; a text has at most
    /// 16 KiB.
    #[serde(rename = "type")]
    pub value_type: ValueType,
    /// The unit of its values, from the registry of RFC 8428 section 12.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The least number that is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest number that is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Whether it can be read, written or both.
    #[serde(default)]
    pub access: Access,
}

/// A device of a gateway. Its user name in MQTT is its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// The profile its readings are checked against.
    pub profile: String,
}

/// A destination of a gateway's readings: a topic of an MQTT 5 broker, reached without TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// Host name or address of the broker.
    pub host: String,
    /// Port of the broker.
    pub port: u16,
    /// The user name to log in with; the secret is the password. Without it the secret is both, with a colon between,
    /// or there is none and nobody logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// The topic that takes SenML packs.
    pub topic: String,
    /// The MQTT client identifier; if absent the user name or, where the secret holds it or there is none, a random one
    /// for each connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// The identifiers a server has chosen for an attachment. They stay the same as long as it exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The user name in MQTT.
    pub thing: String,
    /// The channel its messages are kept in.
    pub channel: String,
}

impl Attachment {
    /// The one topic the thing may publish SenML packs to.
    #[must_use]
    pub fn topic(&self) -> String {
        format!("channels/{}/messages", self.channel)
    }
}

/// What a gateway says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// Devices by name.
    pub devices: BTreeMap<String, DeviceStatus>,
    /// Exports by name.
    pub exports: BTreeMap<String, ExportStatus>,
    /// The readings that wait for exports.
    pub outbox: OutboxStatus,
    /// What was refused since the start, by user name.
    pub refused: BTreeMap<String, Refused>,
}

/// What came from one device, since it exists.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// Readings that were accepted.
    pub accepted: u64,
    /// Readings or whole messages that were rejected.
    pub rejected: u64,
    /// Why the last one was rejected.
    pub last_rejection: Option<String>,
    /// The last accepted reading of each resource.
    pub last: BTreeMap<String, Record>,
}

/// How one export is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportStatus {
    /// Whether it is logged in at its target.
    pub connected: bool,
    /// Readings its target has not acknowledged.
    pub pending: u64,
    /// Readings its target has acknowledged since the export exists.
    pub acknowledged: u64,
    /// Why the last connection or delivery failed; absent once a delivery has succeeded.
    pub last_error: Option<String>,
}

/// The outbox of a gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxStatus {
    /// Readings in it.
    pub records: u64,
    /// Readings that were dropped because it was full, the oldest first.
    pub dropped: u64,
}

/// Logins and messages of one user name that were refused since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Refused logins.
    pub logins: u64,
    /// Refused messages and subscriptions.
    pub requests: u64,
    /// Why the last one was refused.
    pub last_reason: String,
}

/// What a server says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// What was refused since the start, by user name.
    pub refused: BTreeMap<String, Refused>,
}

/// Which messages of a channel to read, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessageQuery {
    /// Only messages of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only messages of this time or later, in seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
    /// Only messages before this time, in seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<f64>,
    /// At most this many, 1 to 1000; 100 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Go on where a page ended: its [`Page::next`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One page of messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Resolved SenML records, the newest first.
    pub messages: Vec<Record>,
    /// Where the next page starts; absent on the last one.
    pub next: Option<String>,
}

/// What is in a channel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChannelStats {
    /// Messages stored.
    pub count: u64,
    /// Packs that were acknowledged but could not be read.
    pub rejected: u64,
    /// Why the last pack was rejected.
    pub last_rejection: Option<String>,
    /// The same by name.
    pub names: BTreeMap<String, NameStats>,
}

/// The messages of one name in a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NameStats {
    /// Messages stored.
    pub count: u64,
    /// The message with the latest time.
    pub last: Record,
}

/// The body of every answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub error: FailureDetail,
}

/// The content of a [`Failure`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureDetail {
    /// `invalid`, `unauthorized`, `forbidden`, `not_found`, `conflict`, `in_use` or `internal`.
    pub kind: String,
    /// The same for people.
    pub message: String,
    /// For `conflict`: the mark of the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}
