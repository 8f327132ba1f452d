//! The devices of slices that can be acted as.
//!
//! What such a device is comes from the slice's status. A [`Connector`] connects as it, over the protocol its document names, with its own
//! credential where its gateway asks for one, and to its own gateway.

mod edgex;
pub(crate) mod typed;

use std::path::PathBuf;

use iotorch_core::{
    Result, Route,
    model::{DeviceProtocol, Labels, PartName, ProfileResource, SliceName},
    resource::{ApplicationSpec, CredentialOutputs, Endpoint, Outputs, ResourceId, Spec},
    status::{ResourceStatus, SliceStatus},
};
use iotorch_lite::{
    Secret,
    device::{self as lite, Answer, Message, Qos},
};

use crate::{
    installation::Session,
    management::{self, EDGEX, newest_credential},
};

/// What a gateway understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Software {
    /// Messages of `lite`, which also says what became of them.
    Lite,
    /// Values by resource. EdgeX does not say whether it takes them, and gives them its own times.
    Edgex,
}

impl Software {
    /// What runs on a gateway.
    pub(crate) fn of(gateway: &ApplicationSpec) -> Self {
        if gateway.application.as_str() == EDGEX { Self::Edgex } else { Self::Lite }
    }
}

/// A device of a slice, and what it needs to send.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Device {
    /// The slice.
    pub(crate) slice: SliceName,
    /// Its name in the document.
    pub(crate) name: PartName,
    /// Its gateway.
    pub(crate) gateway: PartName,
    /// What that understands.
    pub(crate) software: Software,
    /// How it speaks.
    pub(crate) protocol: DeviceProtocol,
    /// Where its gateway listens for it.
    pub(crate) endpoint: Endpoint,
    /// The topic or path it sends to, without a slash in front.
    pub(crate) path: String,
    /// Its name on the gateway, which is also its user name.
    pub(crate) user: String,
    /// The newest generation of its credential, and which that is; none where its gateway asks for none.
    pub(crate) credential: Option<(u32, CredentialOutputs)>,
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
    let application = application(status, &resource.id);
    let software = application.map_or(Software::Lite, Software::of);
    let credential = newest_credential(status, &resource.id);
    if software == Software::Lite && credential.is_none() {
        return None;
    }
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
        software,
        protocol: spec.protocol,
        endpoint: there.endpoint.clone()?,
        path: there.path.clone()?,
        user: credential.as_ref().map_or_else(|| there.name.clone(), |(_, known)| known.user_name.clone()),
        credential,
        resources: resources.unwrap_or_default(),
        labels: spec.labels.clone(),
        trust: application.and_then(management::trust),
    })
}

/// The gateway of a device.
pub(crate) fn application<'a>(status: &'a SliceStatus, device: &ResourceId) -> Option<&'a ApplicationSpec> {
    let gateway = device.host()?;
    status.resources.iter().find_map(|other| match &other.spec {
        Some(Spec::Application(spec)) if other.id == gateway => Some(spec),
        _ => None,
    })
}

impl Device {
    /// What it logs in with, and the way to its gateway.
    pub(crate) async fn connector(&self, session: &Session) -> Result<Connector> {
        let route = session.route(&self.endpoint).await?;
        let credential = match &self.credential {
            Some((generation, known)) => {
                let password = session.secrets().fetch(&known.secret).await?;
                Some((*generation, Secret::new(password.expose())))
            }
            None => None,
        };
        let login = match (self.software, credential) {
            (Software::Edgex, credential) => Login::Edgex(edgex::Login {
                protocol: self.protocol,
                address: route.address().clone(),
                path: self.path.clone(),
                name: self.user.clone(),
                credential: credential.map(|(_, password)| (self.user.clone(), password)),
                trust: self.trust.clone(),
            }),
            (Software::Lite, credential) => {
                let (generation, password) = credential.unzip();
                let login = lite::Login::builder()
                    .protocol(self.protocol)
                    .address(route.address().clone())
                    .path(self.path.as_str())
                    .user(self.user.as_str())
                    .generation(generation)
                    .password(password.unwrap_or_else(|| Secret::new("")))
                    .trust(self.trust.clone())
                    .build();
                Login::Lite(login)
            }
        };
        Ok(Connector { login, _route: route })
    }
}

#[derive(Debug)]
enum Login {
    Lite(lite::Login),
    Edgex(edgex::Login),
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
        Ok(match &self.login {
            Login::Lite(login) => Link::Lite(lite::Link::connect(login, qos).await?),
            Login::Edgex(login) => Link::Edgex(edgex::Link::connect(login, qos).await?),
        })
    }
}

/// A device's connection to its gateway. Clones share it, and it ends when the last one is dropped.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// To a gateway of `lite`.
    Lite(lite::Link),
    /// To one of EdgeX.
    Edgex(edgex::Link),
}

impl Link {
    /// Sends a message and waits for what the gateway says of it.
    pub(crate) async fn send(&self, message: &Message) -> Result<Answer> {
        match self {
            Self::Lite(link) => link.send(message).await,
            Self::Edgex(link) => link.send(message).await,
        }
    }

    /// Says good-bye. Over MQTT and CoAP nothing can be sent afterwards.
    pub(crate) async fn close(&self) {
        match self {
            Self::Lite(link) => link.close().await,
            Self::Edgex(link) => link.close().await,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
