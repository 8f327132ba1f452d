//! What documents can set of a gateway or server: the `settings` of one whose application is `lite`.

use crate::{GatewayConfig, Secret, ServerConfig};
use iotorch_core::{Issue, model::Settings, resource::Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU16, path::Path};

/// The least packet limit of a server, in bytes: gateways send packs of up to 60 KiB.
const SERVER_PACKET_LIMIT: u32 = 64 * 1024;

/// What documents can set of a gateway or server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LiteSettings {
    /// The MQTT port; without it any free one, kept from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mqtt_port: Option<NonZeroU16>,
    /// The port of the management API; without it any free one, kept from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management_port: Option<NonZeroU16>,
    /// The most readings of a gateway that wait for exports, 100,000 if not set; past it the oldest are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub outbox_limit: Option<u64>,
    /// The largest MQTT packet in bytes, 64 KiB if not set; at least that for a server, and 1024 for a gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 268_435_455))]
    pub packet_limit: Option<u32>,
}

impl LiteSettings {
    /// Reads the settings of a gateway or server; pointers of issues are into its specification.
    pub(crate) fn read(settings: &Settings, role: Role) -> Result<Self, Vec<Issue>> {
        let read: Self = serde_json::from_value(serde_json::Value::Object(settings.clone()))
            .map_err(|error| vec![Issue::new("/settings", error.to_string())])?;
        let mut issues = Vec::new();
        if read.outbox_limit.is_some() && role == Role::Server {
            issues.push(Issue::new("/settings/outboxLimit", "a server has no outbox"));
        }
        if read.outbox_limit == Some(0) {
            issues.push(Issue::new("/settings/outboxLimit", "an outbox holds at least 1 reading"));
        }
        let least = if role == Role::Server { SERVER_PACKET_LIMIT } else { 1024 };
        if read.packet_limit.is_some_and(|limit| limit < least) {
            let message = format!("the packet limit of a {role} is at least {least} bytes");
            issues.push(Issue::new("/settings/packetLimit", message));
        }
        if read.mqtt_port.is_some() && read.mqtt_port == read.management_port {
            issues.push(Issue::new("/settings/managementPort", "the MQTT port is the same"));
        }
        if issues.is_empty() { Ok(read) } else { Err(issues) }
    }

    pub(crate) fn gateway(&self, data_dir: &Path, admin_token: Secret) -> GatewayConfig {
        let mut config = GatewayConfig::builder().data_dir(data_dir).admin_token(admin_token).build();
        config.mqtt_port = self.mqtt_port.map_or(0, NonZeroU16::get);
        config.management_port = self.management_port.map_or(0, NonZeroU16::get);
        config.outbox_limit = self.outbox_limit.unwrap_or(config.outbox_limit);
        config.packet_limit = self.packet_limit.map_or(config.packet_limit, |limit| limit as usize);
        config
    }

    pub(crate) fn server(&self, data_dir: &Path, admin_token: Secret) -> ServerConfig {
        let mut config = ServerConfig::builder().data_dir(data_dir).admin_token(admin_token).build();
        config.mqtt_port = self.mqtt_port.map_or(0, NonZeroU16::get);
        config.management_port = self.management_port.map_or(0, NonZeroU16::get);
        config.packet_limit = self.packet_limit.map_or(config.packet_limit, |limit| limit as usize);
        config
    }
}
