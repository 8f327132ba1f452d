//! Profiles, devices and exports: what a gateway is told.

use serde::{Deserialize, Serialize};

use super::{ApplicationOutputs, AttachmentOutputs, CredentialOutputs, Endpoint, PortOutputs};
use crate::model::{DeviceProtocol, Labels, ProfileResource, Settings, Sink};

/// A device profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileSpec {
    /// Its name on the gateway, qualified by the slice where the gateway is shared.
    pub name: String,
    /// Its resources.
    pub resources: Vec<ProfileResource>,
}

/// What a Profile tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileOutputs {
    /// Its name on the gateway.
    pub name: String,
}

/// A device on a gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceSpec {
    /// Its name on the gateway, qualified by the slice where the gateway is shared.
    pub name: String,
    /// How it speaks.
    pub protocol: DeviceProtocol,
    /// The name of its profile on the gateway.
    pub profile: String,
    /// Free labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// What the gateway's driver needs to know beyond the model.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
}

/// What a Device needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceInputs {
    /// The gateway.
    pub application: ApplicationOutputs,
    /// Its profile.
    pub profile: ProfileOutputs,
}

/// What a Device tells: where it has to send to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceOutputs {
    /// Its name on the gateway, which is also its user name.
    pub name: String,
    /// Where the gateway listens for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// The topic or path under which it sends, without the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The topic under which it takes commands, where that is not the usual one of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<String>,
}

/// A gateway's north side sending to an attachment or sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportSpec {
    /// Its name on the gateway: the server's or sink's, qualified by the slice where the gateway is shared.
    pub name: String,
    /// Where it sends.
    pub target: ExportTarget,
}

/// Where an export sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExportTarget {
    /// To the gateway's attachment at a server of the slice.
    Server,
    /// To another system.
    Sink(Sink),
}

/// What an Export needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportInputs {
    /// The gateway.
    pub application: ApplicationOutputs,
    /// The server's side; none for a sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ExportServer>,
}

/// The server's side of an export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportServer {
    /// The server.
    pub application: ApplicationOutputs,
    /// The gateway's identity and channel there.
    pub attachment: AttachmentOutputs,
    /// What it logs in with.
    pub credential: CredentialOutputs,
    /// The server's port on the transport segment between the two, whose address goes before the server's own endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PortOutputs>,
}

/// What an Export tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportOutputs {
    /// Where it sends, in words for status.
    pub destination: String,
}
