//! The devices of slices that can be acted as.
//!
//! What such a device is comes from the slice's status. A [`Connector`] connects as it, over the protocol its document names, with its own
//! credential, and to its own gateway.

pub(crate) mod typed;

use std::path::PathBuf;

use iotorch_core::{
    Result, Route,
    model::{DeviceProtocol, Labels, PartName, ProfileResource, SliceName},
    resource::{ApplicationSpec, Endpoint, KindName, Outputs, ResourceId, Spec},
    secret::SecretRef,
    status::{ResourceStatus, SliceStatus},
};
use iotorch_lite::{
    Secret,
    device::{Link, Login, Qos},
};

use crate::{installation::Session, management};

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

impl Device {
    /// What it logs in with, and the way to its gateway.
    pub(crate) async fn connector(&self, session: &Session) -> Result<Connector> {
        let route = session.route(&self.endpoint).await?;
        let password = session.secrets().fetch(&self.password).await?;
        let login = Login::builder()
            .protocol(self.protocol)
            .address(route.address().clone())
            .path(self.path.as_str())
            .user(self.user.as_str())
            .generation(self.generation)
            .password(Secret::new(password.expose()))
            .trust(self.trust.clone())
            .build();
        Ok(Connector { login, _route: route })
    }
}

/// Connects as a device, as often as is asked for, also when the state directory is let go of. It holds the way to the gateway open.
#[derive(Debug)]
pub(crate) struct Connector {
    login: Login,
    _route: Route,
}

impl Connector {
    /// Connects, and logs in.
    pub(crate) async fn connect(&self, qos: Qos) -> Result<Link> {
        Link::connect(&self.login, qos).await
    }
}

#[cfg(test)]
pub(crate) mod tests;
