//! Applications, and the accounts on them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DeviceOutputs, Endpoint, Role};
use crate::{
    model::{DriverName, External, Settings},
    secret::SecretRef,
};

/// Gateway or server software that answers and is ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationSpec {
    /// The part of the slice it is.
    pub name: String,
    /// What it is for: gateway or server.
    pub role: Role,
    /// The software.
    pub application: DriverName,
    /// An instance outside of iotorch, shared with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// The secret that manages it.
    pub admin: SecretRef,
    /// What its driver needs to know beyond the model.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
}

/// What an Application tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationOutputs {
    /// The version it reports.
    pub version: String,
    /// Where it listens, by the names that its driver knows (`management`, `mqtt`, `http`).
    pub endpoints: BTreeMap<String, Endpoint>,
    /// The secret that manages it: that of its specification.
    pub admin: SecretRef,
}

/// Inputs of what lives in an application and needs nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InApplication {
    /// The application.
    pub application: ApplicationOutputs,
}

/// The slice's user, domain or account on a server application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantSpec {
    /// Its name: the slice's.
    pub name: String,
    /// Its password or token; minted by core.
    pub secret: SecretRef,
    /// What somebody has done to it, as it was seen, where to make it again mends that; a document never has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_outside: Option<String>,
}

impl TenantSpec {
    /// An account that nobody else has touched.
    pub fn new(name: impl Into<String>, secret: SecretRef) -> Self {
        Self { name: name.into(), secret, changed_outside: None }
    }
}

/// What a Tenant tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantOutputs {
    /// Its identity at the server.
    pub id: String,
    /// Its password or token: the secret of its specification.
    pub secret: SecretRef,
}

/// A gateway's identity and channel at a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentSpec {
    /// Its name at the server: the gateway's, qualified by the slice where the server is shared.
    pub name: String,
    /// What somebody has done to it, as it was seen, where to make it again mends that; a document never has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_outside: Option<String>,
}

impl AttachmentSpec {
    /// An attachment that nobody else has touched.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), changed_outside: None }
    }
}

/// What an Attachment needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentInputs {
    /// The server.
    pub application: ApplicationOutputs,
    /// The slice's account there.
    pub tenant: TenantOutputs,
}

/// What an Attachment tells: where and how the gateway publishes its SenML packs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentOutputs {
    /// The gateway's identity.
    pub thing: String,
    /// The channel it publishes to.
    pub channel: String,
    /// The topic, where it is not the usual one of the channel ([`Self::topic`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The version of MQTT that the server speaks.
    #[serde(default, skip_serializing_if = "MqttVersion::is_newest")]
    pub mqtt: MqttVersion,
}

impl AttachmentOutputs {
    /// An attachment at a server that speaks MQTT 5 and names topics as Mainflux does.
    ///
    /// # Examples
    /// ```
    /// use iotorch_core::resource::AttachmentOutputs;
    ///
    /// assert_eq!(AttachmentOutputs::new("t-1", "c-1").topic(), "channels/c-1/messages");
    /// ```
    pub fn new(thing: impl Into<String>, channel: impl Into<String>) -> Self {
        Self { thing: thing.into(), channel: channel.into(), topic: None, mqtt: MqttVersion::V5 }
    }

    /// The topic that takes SenML packs: `channels/CHANNEL/messages`, unless the server has another one.
    #[must_use]
    pub fn topic(&self) -> String {
        self.topic.clone().unwrap_or_else(|| format!("channels/{}/messages", self.channel))
    }
}

/// A version of MQTT, by the OASIS standard that it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MqttVersion {
    /// MQTT 5.0.
    #[default]
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1.
    #[serde(rename = "3.1.1")]
    V3_1_1,
}

impl MqttVersion {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
    const fn is_newest(&self) -> bool {
        matches!(self, Self::V5)
    }
}

/// A generation of a secret of an attachment or device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialSpec {
    /// The generation, counted from 1; a rotation makes the next one.
    pub generation: u32,
    /// The secret; minted by core.
    pub secret: SecretRef,
}

/// What a Credential needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialInputs {
    /// The application the holder is on.
    pub application: ApplicationOutputs,
    /// Whose credential it is.
    pub holder: CredentialHolder,
}

/// Whose credential it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CredentialHolder {
    /// A gateway's at a server.
    Attachment {
        /// The account the attachment is under.
        tenant: TenantOutputs,
        /// The attachment.
        attachment: AttachmentOutputs,
    },
    /// A device's at a gateway.
    Device(DeviceOutputs),
}

/// What a Credential tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialOutputs {
    /// The user name to log in with.
    pub user_name: String,
    /// The password: the secret of its specification.
    pub secret: SecretRef,
}
