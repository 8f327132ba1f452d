//! What the management APIs of gateway and server speak, in JSON.
//!
//! | path | methods | settings | secret |
//! |---|---|---|---|
//! | `/health` | GET, without a token | – | – |
//! | `/openapi.json` | GET, without a token | – | – |
//! | `/objects`, `/status`, `/metrics` | GET | – | – |
//! | `/log`, `/log/stream` | GET | – | – |
//! | gateway: `/profiles/{name}` | PUT GET DELETE | [`Profile`] | – |
//! | gateway: `/devices/{name}` | PUT GET DELETE | [`Device`] | – |
//! | gateway: `/devices/{name}/credentials` | GET | – | – |
//! | gateway: `/devices/{name}/credentials/{generation}` | PUT GET DELETE | [`Nothing`] | the password |
//! | gateway: `/devices/{name}/commands` | POST GET | – | – |
//! | gateway: `/devices/{name}/commands/{id}` | GET DELETE | – | – |
//! | gateway: `/exports/{name}` | PUT GET DELETE | [`Export`] | the password at the target, see there |
//! | server: `/tenants/{tenant}` | PUT GET DELETE | [`Nothing`] | the token for reading, optional |
//! | server: `/tenants/{tenant}/attachments/{name}` | PUT GET DELETE | [`Nothing`], answers [`Attachment`] | – |
//! | server: `/tenants/{tenant}/attachments/{name}/credentials` | GET | – | – |
//! | server: `/tenants/{tenant}/attachments/{name}/credentials/{generation}` | PUT GET DELETE | [`Nothing`] | the key |
//! | server: `/tenants/{tenant}/channels/{channel}/messages` | GET | – | – |
//! | server: `/tenants/{tenant}/channels/{channel}/messages/stream` | GET | – | – |
//! | server: `/tenants/{tenant}/channels/{channel}/stats` | GET | – | – |
//!
//! `POST …/commands` takes a [`NewCommand`] and answers 201 with the [`Command`], which waits until the device has
//! acknowledged it, it expires, or it is withdrawn; `GET …/commands` lists those that wait and the last ones that have
//! ended, the oldest first. `GET …/commands/{id}` with the query `wait=<seconds>`, at most 60, answers as soon as the
//! command has ended or the time is over. DELETE withdraws it and answers what became of it: one that had ended before
//! stays as it was. At most 100 commands wait for a device.
//!
//! `GET …/credentials` lists generations. PUT takes a [`Put`] and answers a [`Managed`]; repeated, it changes nothing.
//! An object with the mark of somebody else answers 409 unless the query says `adopt=true`; what was there is then
//! remembered, secret included. DELETE of what is not there answers 204; with the query `mark=…` it answers 409 if the
//! object carries another mark. DELETE with `mark=…&release=true` deletes nothing: an object with this mark becomes
//! what it was before it was adopted, or loses its mark if it never was; any other is left alone. Every other call than
//! `/health` and `/openapi.json` needs `Authorization: Bearer <token>`.
//!
//! Messages are read by a [`MessageQuery`] as a [`Page`] or, if the request accepts `application/senml+json` or
//! `application/senml+cbor`, as a SenML pack, with the next page as a `Link` with `rel="next"` (RFC 8288). A `stream` answers
//! what is new from now on, a line of JSON for each message or [`LogEntry`], and what a slow reader missed, see
//! [`Followed`]. Empty lines only show that the connection is alive.
//!
//! An answer that is an error has a [`Failure`] as its body, whose [`FailureKind`] says what the caller can do.

mod failure;
mod log;
mod messages;
mod status;

pub use failure::{Failure, FailureDetail, FailureKind};
pub use log::{Level, LogEntry, LogPage, LogQuery};
pub(crate) use messages::SenmlRecord;
pub use messages::{Aggregate, ChannelStats, Interval, MessageQuery, NameStats, Order, Page, Usage};
pub use status::{BusStatus, DeviceStatus, ExportStatus, GatewayStatus, OutboxStatus, Refused, ServerStatus};

use crate::Secret;
pub use iotorch_core::model::{Access, DeviceProtocol, ValueType};
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;

/// What `GET /health` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Always `iotorch-lite`.
    pub application: String,
    /// `gateway` or `server`.
    pub role: String,
    /// The version of this crate.
    pub version: String,
}

/// The kinds of managed objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = with_secret)]
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
    #[schemars(skip)]
    pub secret: Option<Secret>,
}

fn expose<S: Serializer>(secret: &Option<Secret>, out: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(out)
}

/// Clients send the secret, but nothing here reads it into a [`Put`].
fn with_secret(schema: &mut Schema) {
    if let Some(fields) = schema.get_mut("properties").and_then(|fields| fields.as_object_mut()) {
        let about = "The secret of the object, for the kinds that have one. It is never given back.";
        let secret = json_schema!({ "type": ["string", "null"], "writeOnly": true, "description": about });
        fields.insert("secret".to_owned(), secret.into());
    }
}

/// An object as it is, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// What devices of one sort can say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Resources by name.
    pub resources: BTreeMap<String, Resource>,
}

/// One resource of a [`Profile`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// The type of its values. An integer lies between -2^53 and 2^53, both not included, so that JSON carries it
    /// exactly; a text has at most 16 KiB.
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

/// A device of a gateway. It logs in with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// The profile its readings are checked against.
    pub profile: String,
    /// The one protocol it speaks; over any other its login is refused.
    #[serde(default)]
    pub protocol: DeviceProtocol,
}

/// A command that shall be sent to a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCommand {
    /// The resource, one that can be written.
    pub resource: String,
    /// The value it shall take: a number, `true` or `false`, or a text, as the resource's type says.
    pub value: serde_json::Value,
    /// How long it may wait for the device, in seconds, more than 0 and at most 30 days; an hour if absent.
    #[serde(default = "an_hour")]
    pub expires_in: f64,
}

const fn an_hour() -> f64 {
    3600.0
}

/// A command and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// Its number, counted for each device from 1.
    pub id: u64,
    /// The resource.
    pub resource: String,
    /// The value it shall take.
    pub value: serde_json::Value,
    /// When it was taken, in seconds since the Unix epoch.
    pub created: f64,
    /// When it stops waiting, in seconds since the Unix epoch.
    pub expires: f64,
    /// When it stopped waiting, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<f64>,
    /// What became of it.
    pub state: CommandState,
}

impl Command {
    /// Whether it still waits for the device.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.state == CommandState::Waiting
    }
}

/// What became of a [`Command`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CommandState {
    /// It waits for the device.
    Waiting,
    /// The device has acknowledged it; over MQTT with any reason code, also one that says that it could not take it.
    Delivered,
    /// The device did not acknowledge it in time.
    Expired,
    /// It was withdrawn before the device had acknowledged it: by a call, or because the device's profile changed and
    /// does not allow it any more.
    Withdrawn,
}

/// A destination of a gateway's readings: a topic of an MQTT broker, or a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// What it is, and so what is sent there.
    #[serde(default, skip_serializing_if = "ExportKind::is_usual")]
    pub kind: ExportKind,
    /// Its host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it speaks TLS; its certificate must be from an authority that the gateway trusts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
    /// The user name to log in with; the secret is the password. Without it the secret is both, with a colon between,
    /// or there is none and nobody logs in. InfluxDB also takes a secret without a colon, as a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// The topic that takes SenML packs; of InfluxDB, the database.
    pub topic: String,
    /// The MQTT client identifier; if absent the user name or, where the secret holds it or there is none, a random one
    /// for each connection (with `mqtt-3.1.1` always the same one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// What an [`Export`] leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub enum ExportKind {
    /// A server of this crate, or a plain broker: MQTT 5, or 3.1.1 where the broker refuses that. The records of its SenML packs
    /// carry the fields by which a server of this crate knows what it has.
    #[default]
    #[serde(rename = "mqtt")]
    Mqtt,
    /// A server such as Mainflux or SuperMQ: MQTT 3.1.1, and SenML packs that hold nothing but resolved records with a value and
    /// an absolute time. A pack comes again where its acknowledgement was lost.
    #[serde(rename = "mqtt-3.1.1")]
    Mqtt3,
    /// InfluxDB: line protocol over HTTP, in `/write` of its API (1.x and those later ones that have it).
    #[serde(rename = "influxdb")]
    Influxdb,
}

impl ExportKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// The identifiers a server has chosen for an attachment. They stay the same as long as it exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// What a stream gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Followed<T> {
    /// The reader was too slow, and so many were left out here.
    Skipped {
        /// How many.
        skipped: u64,
    },
    /// The next one.
    Item(T),
}
