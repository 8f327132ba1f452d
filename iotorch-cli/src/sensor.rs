//! This machine as a device: `iotorch run` feeds devices that bear a label with this machine's own readings.
//!
//! A device with the label `iotorch.dev/sensor: host` gets those of its profile's resources that this machine knows: `load` (the
//! average of one minute), `memory` (what is in use: bytes where the unit is `By` or `B`, a ratio for `/`, else percent),
//! `temperature` (degrees Celsius, where the machine has a sensor) and `uptime` (seconds). They go to the device's own gateway over
//! MQTT with the device's own credential, as those of any other device would.

mod feed;
mod machine;

use std::{collections::BTreeMap, sync::Arc};

use iotorch_core::{
    model::{DeviceProtocol, ProfileResource},
    resource::{Endpoint, KindName, Outputs, ResourceId, Spec},
    secret::{SecretRef, SecretStore},
    status::{ResourceStatus, SliceStatus},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::screen::Screen;

/// The label that asks for readings, and the one value it has.
const LABEL: (&str, &str) = ("iotorch.dev/sensor", "host");

/// What a device needs to send.
#[derive(Clone, Debug, PartialEq)]
struct Device {
    gateway: (String, u16),
    topic: String,
    user: String,
    password: SecretRef,
    resources: Vec<ProfileResource>,
}

/// The devices that are fed.
pub(crate) struct Sensors {
    secrets: Arc<dyn SecretStore>,
    screen: Screen,
    feeds: BTreeMap<ResourceId, Feed>,
}

#[derive(Debug)]
struct Feed {
    device: Device,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Sensors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sensors").field("feeds", &self.feeds.keys()).finish_non_exhaustive()
    }
}

impl Sensors {
    /// Nothing is fed yet.
    pub(crate) const fn new(secrets: Arc<dyn SecretStore>, screen: Screen) -> Self {
        Self { secrets, screen, feeds: BTreeMap::new() }
    }

    /// Feeds the devices of these slices that bear the label, as they are now, and no other.
    pub(crate) async fn follow<'a>(&mut self, slices: impl IntoIterator<Item = &'a SliceStatus>) {
        let wanted: BTreeMap<ResourceId, Device> = slices.into_iter().flat_map(labelled).collect();
        let outdated: Vec<_> =
            self.feeds.extract_if(.., |id, feed| wanted.get(id) != Some(&feed.device)).collect();
        for (_, feed) in outdated {
            feed.end().await;
        }
        for (id, device) in wanted {
            if self.feeds.contains_key(&id) {
                continue;
            }
            match self.secrets.fetch(&device.password).await {
                Ok(password) => {
                    let stop = CancellationToken::new();
                    let feeding = feed::feed(id.clone(), device.clone(), password, stop.clone());
                    self.feeds.insert(id, Feed { device, stop, task: tokio::spawn(feeding) });
                }
                Err(error) => {
                    self.screen.complain(format!("warning: {id} sends nothing: {}", error.to_cause()))
                }
            }
        }
    }

    /// Ends all feeds.
    pub(crate) async fn stop(self) {
        for feed in self.feeds.into_values() {
            feed.end().await;
        }
    }
}

impl Feed {
    async fn end(self) {
        self.stop.cancel();
        // A panic of the task has been reported by the panic hook.
        let _ = self.task.await;
    }
}

/// The devices of a slice that bear the label and are there.
fn labelled(slice: &SliceStatus) -> Vec<(ResourceId, Device)> {
    let device = |resource: &ResourceStatus| {
        let (Some(Spec::Device(spec)), Some(Outputs::Device(there))) = (&resource.spec, &resource.outputs)
        else {
            return None;
        };
        let asked = spec.labels.get(LABEL.0).is_some_and(|value| value == LABEL.1);
        if !asked || spec.protocol != DeviceProtocol::Mqtt {
            return None;
        }
        let (Some(Endpoint::Net(address)), Some(topic)) = (&there.endpoint, &there.path) else { return None };
        // The newest generation: an older one is about to be deleted.
        let credential = slice
            .resources
            .iter()
            .filter(|other| other.id.kind() == KindName::Credential && resource.id.contains(&other.id))
            .filter_map(|other| match &other.outputs {
                Some(Outputs::Credential(credential)) => {
                    Some((other.id.name().parse::<u32>().ok(), credential))
                }
                _ => None,
            })
            .max_by_key(|(generation, _)| *generation)?
            .1;
        let resources = slice.resources.iter().find_map(|other| match &other.spec {
            Some(Spec::Profile(profile))
                if profile.name == spec.profile && other.id.host() == resource.id.host() =>
            {
                Some(profile.resources.clone())
            }
            _ => None,
        })?;
        let device = Device {
            gateway: (address.host.clone(), address.port),
            topic: topic.clone(),
            user: credential.user_name.clone(),
            password: credential.secret.clone(),
            resources,
        };
        Some((resource.id.clone(), device))
    };
    slice.resources.iter().filter_map(device).collect()
}

#[cfg(test)]
mod tests;
