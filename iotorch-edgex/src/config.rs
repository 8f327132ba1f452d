//! What documents can set of a gateway whose application is `edgex`, and of its devices.

use std::path::PathBuf;

use iotorch_core::{
    Issue,
    model::{DeviceProtocol, Settings},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The `settings` of a gateway whose application is `edgex`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EdgexSettings {
    /// What carries readings north; `bridge` if not set.
    #[serde(skip_serializing_if = "Exporter::is_default")]
    pub export: Exporter,
    /// Whose the users of the MQTT broker are: with `managed` each device that speaks MQTT has a user of its own there, made by
    /// the broker's dynamic security plug-in. `managed` for a gateway that iotorch deploys, `others` for an external one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<BrokerUsers>,
    /// The device services that have to be registered before the gateway is ready; if not set, those that it has an
    /// endpoint for, or else `device-mqtt`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_services: Vec<String>,
    /// A PEM file of the authorities whose certificates are trusted in place of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<PathBuf>,
}

/// What carries readings north.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Exporter {
    /// A gateway of `lite` that reads the bus: SenML, exact times, several destinations, and nothing that it took is lost.
    #[default]
    Bridge,
    /// The application service of EdgeX: its own JSON, one destination, and what cannot be sent is lost.
    Edgex,
    /// Nothing: the gateway has no exports.
    None,
}

impl Exporter {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whose the users of a broker are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BrokerUsers {
    /// They are made with the devices, and removed with them.
    Managed,
    /// They are somebody else's business, if there are any.
    Others,
}

impl EdgexSettings {
    /// Reads the settings of a gateway.
    ///
    /// # Errors
    /// The fault, with a pointer into the specification of an application.
    pub fn read(settings: &Settings) -> Result<Self, Issue> {
        let read: Self = serde_json::from_value(Value::Object(settings.clone()))
            .map_err(|error| Issue::new("/settings", error.to_string()))?;
        match read.device_services.iter().position(|name| name.is_empty() || name.contains(['/', '%'])) {
            Some(at) => Err(Issue::new(
                format!("/settings/deviceServices/{at}"),
                "this is not the name of a device service",
            )),
            None => Ok(read),
        }
    }

    /// Whether the users of the broker are made here.
    #[must_use]
    pub fn manages_broker(&self, is_external: bool) -> bool {
        match self.broker {
            Some(users) => users == BrokerUsers::Managed,
            None => !is_external,
        }
    }
}

/// The `settings` of a device on such a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeviceSettings {
    /// The device service, if it is not the usual one of the protocol (`device-mqtt`, `device-rest`, `device-coap`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The topic that a device takes commands on over MQTT, `command/NAME` if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_topic: Option<String>,
    /// Where a device takes commands over HTTP; without it, it is only read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpDevice>,
    /// The IP address at which a device takes commands over CoAP; without it, it is only read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// Where a device takes commands over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpDevice {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The path in front of the name of a resource.
    pub path: String,
}

impl DeviceSettings {
    /// Reads the settings of a device that speaks `protocol`.
    ///
    /// # Errors
    /// The fault, with a pointer into the specification of a device.
    pub fn read(settings: &Settings, protocol: DeviceProtocol) -> Result<Self, Issue> {
        let read: Self = serde_json::from_value(Value::Object(settings.clone()))
            .map_err(|error| Issue::new("/settings", error.to_string()))?;
        let set = [
            ("commandTopic", read.command_topic.is_some(), DeviceProtocol::Mqtt),
            ("http", read.http.is_some(), DeviceProtocol::Http),
            ("address", read.address.is_some(), DeviceProtocol::Coap),
        ];
        if let Some((field, ..)) = set.iter().find(|(_, is_set, of)| *is_set && *of != protocol) {
            let message = format!("a device that speaks {protocol} has no \"{field}\"");
            return Err(Issue::new(format!("/settings/{field}"), message));
        }
        if read.service.as_deref().is_some_and(|name| name.is_empty() || name.contains(['/', '%'])) {
            return Err(Issue::new("/settings/service", "this is not the name of a device service"));
        }
        if read
            .command_topic
            .as_deref()
            .is_some_and(|topic| topic.is_empty() || topic.contains(['#', '+', '\0']))
        {
            return Err(Issue::new("/settings/commandTopic", "this is not a topic that can be published to"));
        }
        Ok(read)
    }
}
