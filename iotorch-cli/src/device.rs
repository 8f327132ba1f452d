//! Acting as a device: over the protocol its document names, with its own credential, at its own gateway.
//!
//! What such a device is comes from the slice's status; the [`Link`] to its gateway proves who it is and says what became of each
//! message, as far as the protocol can tell.

mod coap;
mod http;
mod message;
mod mqtt;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use iotorch_core::{
    Error, ErrorKind, Result,
    model::{DeviceProtocol, Labels, PartName, ProfileResource, SliceName},
    resource::{ApplicationSpec, Endpoint, KindName, NetAddress, Outputs, ResourceId, Spec},
    secret::{SecretRef, SecretValue},
    status::{ResourceStatus, SliceStatus},
};
use serde::Deserialize;

use crate::management;

pub(crate) use message::{Message, Reading, number};

/// How long a gateway may take to let a device in, and to answer a message.
const PATIENCE: Duration = Duration::from_secs(10);

/// A device of a slice, and what it needs to send.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Device {
    /// The slice.
    pub(crate) slice: SliceName,
    /// Its name in the document.
    pub(crate) name: PartName,
    /// Its gateway.
    pub(crate) gateway: PartName,
    /// How it speaks.
    pub(crate) protocol: DeviceProtocol,
    /// Where its gateway listens for it.
    pub(crate) endpoint: Endpoint,
    /// The topic or path it sends to, without a slash in front.
    pub(crate) path: String,
    /// The user name to log in with, which is also its name on the gateway.
    pub(crate) user: String,
    /// The newest generation of its credential.
    pub(crate) generation: u32,
    /// What holds the password of that generation.
    pub(crate) password: SecretRef,
    /// What its profile says it can measure and be told.
    pub(crate) resources: Vec<ProfileResource>,
    /// The labels of its document.
    pub(crate) labels: Labels,
    /// The authorities to check its gateway by, in a PEM file, in place of those that the system trusts.
    pub(crate) trust: Option<PathBuf>,
}

/// The devices of a slice that are there and can be acted as, by name.
pub(crate) fn devices(status: &SliceStatus) -> Vec<Device> {
    status.resources.iter().filter_map(|resource| device(status, resource)).collect()
}

fn device(status: &SliceStatus, resource: &ResourceStatus) -> Option<Device> {
    let (Some(Spec::Device(spec)), Some(Outputs::Device(there))) = (&resource.spec, &resource.outputs) else {
        return None;
    };
    let (generation, credential) = newest_credential(status, &resource.id)?;
    let resources = status.resources.iter().find_map(|other| match &other.spec {
        Some(Spec::Profile(profile))
            if profile.name == spec.profile && other.id.host() == resource.id.host() =>
        {
            Some(profile.resources.clone())
        }
        _ => None,
    });
    Some(Device {
        slice: status.slice.clone(),
        name: PartName::new(resource.id.name()).ok()?,
        gateway: PartName::new(resource.id.part()?).ok()?,
        protocol: spec.protocol,
        endpoint: there.endpoint.clone()?,
        path: there.path.clone()?,
        user: credential.0,
        generation,
        password: credential.1,
        resources: resources.unwrap_or_default(),
        labels: spec.labels.clone(),
        trust: application(status, &resource.id).and_then(management::trust),
    })
}

fn application<'a>(status: &'a SliceStatus, device: &ResourceId) -> Option<&'a ApplicationSpec> {
    let gateway = device.host()?;
    status.resources.iter().find_map(|other| match &other.spec {
        Some(Spec::Application(spec)) if other.id == gateway => Some(spec),
        _ => None,
    })
}

/// The newest generation: an older one is about to be deleted.
fn newest_credential(status: &SliceStatus, device: &ResourceId) -> Option<(u32, (String, SecretRef))> {
    let generations = status
        .resources
        .iter()
        .filter(|other| other.id.kind() == KindName::Credential && device.contains(&other.id))
        .filter_map(|other| match &other.outputs {
            Some(Outputs::Credential(credential)) => Some((
                other.id.name().parse().ok()?,
                (credential.user_name.clone(), credential.secret.clone()),
            )),
            _ => None,
        });
    generations.max_by_key(|(generation, _)| *generation)
}

/// What a gateway said of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing: it has left this process (MQTT at QoS 0).
    Sent,
    /// It has the message; MQTT has no room for more.
    Acknowledged,
    /// It took all of it.
    Accepted,
    /// It took some readings, or none.
    Rejected {
        /// How many it took.
        accepted: u64,
        /// Why it did not take each of the others.
        rejected: Vec<String>,
    },
}

/// The body of an answer over HTTP or CoAP that rejects readings.
#[derive(Debug, Deserialize)]
struct Judgement {
    accepted: u64,
    rejected: Vec<String>,
}

impl Answer {
    /// What a body that a gateway sent with its success says.
    fn of_success(body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(Judgement { accepted, rejected }) if !rejected.is_empty() => {
                Self::Rejected { accepted, rejected }
            }
            _ => Self::Accepted,
        }
    }

    /// What a body that a gateway sent with its refusal says; none where it is not about readings.
    fn of_refusal(body: &[u8]) -> Option<Self> {
        let Judgement { accepted, rejected } = serde_json::from_slice(body).ok()?;
        Some(Self::Rejected { accepted, rejected })
    }
}

/// The words of a refusal: what the gateway wrote, if it is an error of its API.
fn reason(body: &[u8]) -> Option<String> {
    let failure: iotorch_lite::api::Failure = serde_json::from_slice(body).ok()?;
    Some(failure.error.message)
}

/// What MQTT promises of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Qos {
    /// At most once (QoS 0): it is sent, and nothing more is known.
    AtMostOnce,
    /// At least once (QoS 1): the gateway has it on disk when it acknowledges.
    #[default]
    AtLeastOnce,
}

/// A device's connection to its gateway.
///
/// Messages can be sent side by side; a protocol that has to send one after the other does so.
#[async_trait]
pub(crate) trait Link: Send + Sync {
    /// Sends a message and waits for what the gateway says. After an error of a kind that may pass, connect anew.
    async fn send(&self, message: &Message) -> Result<Answer>;

    /// Says good-bye, as far as the protocol has words for it.
    async fn close(&self);
}

/// Connects to `address` as this device.
pub(crate) async fn connect(
    device: &Device,
    address: &NetAddress,
    password: &SecretValue,
    qos: Qos,
) -> Result<Arc<dyn Link>> {
    Ok(match device.protocol {
        DeviceProtocol::Mqtt => Arc::new(mqtt::MqttLink::connect(device, address, password, qos).await?),
        DeviceProtocol::Http => Arc::new(http::HttpLink::new(device, address, password)?),
        DeviceProtocol::Coap => Arc::new(coap::CoapLink::connect(device, address, password).await?),
        other => {
            return Err(Error::new(ErrorKind::Unsupported, format!("cannot speak {other}")));
        }
    })
}

/// What a gateway that speaks TLS is checked by.
fn tls(device: &Device) -> Result<rustls::ClientConfig> {
    let checked = iotorch_lite::client::tls(device.trust.as_deref());
    checked.map_err(|error| management::failed("cannot check a gateway that speaks TLS", error))
}

fn refused_login(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Denied, "the gateway refuses the login").with_source(source)
}

fn unreachable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Unavailable, "the gateway cannot be reached").with_source(source)
}

fn no_answer() -> Error {
    Error::new(ErrorKind::Timeout, format!("the gateway did not answer within {} s", PATIENCE.as_secs()))
}

fn too_fast(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::RateLimited, "the gateway asks to send more slowly").with_source(source)
}

fn too_large() -> Error {
    Error::new(ErrorKind::Invalid, "the message is larger than the gateway takes")
}

#[cfg(test)]
pub(crate) mod tests;
