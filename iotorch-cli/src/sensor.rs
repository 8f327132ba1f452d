//! This machine as a device: `iotorch run` feeds devices that bear a label with this machine's own readings.
//!
//! A device with the label `iotorch.dev/sensor: host` gets those of its profile's resources that this machine knows: `load` (the
//! average of one minute), `memory` (what is in use: bytes where the unit is `By` or `B`, a ratio for `/`, else percent),
//! `temperature` (degrees Celsius, where the machine has a sensor) and `uptime` (seconds). They go to the device's own gateway over
//! its own protocol with its own credential, as those of any other device would.

mod feed;
mod machine;

use std::collections::BTreeMap;

use iotorch_core::{
    Result,
    model::{PartName, SliceName},
    status::SliceStatus,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    device::{Device, devices},
    installation::Session,
    screen::Screen,
};

/// The label that asks for readings, and the one value it has.
const LABEL: (&str, &str) = ("iotorch.dev/sensor", "host");

/// The slice and the name of a device.
type Key = (SliceName, PartName);

/// The devices that are fed.
pub(crate) struct Sensors<'a> {
    session: &'a Session,
    screen: Screen,
    feeds: BTreeMap<Key, Feed>,
}

#[derive(Debug)]
struct Feed {
    device: Device,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Sensors<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sensors").field("feeds", &self.feeds.keys()).finish_non_exhaustive()
    }
}

impl<'a> Sensors<'a> {
    /// Nothing is fed yet.
    pub(crate) const fn new(session: &'a Session, screen: Screen) -> Self {
        Self { session, screen, feeds: BTreeMap::new() }
    }

    /// Feeds the devices of these slices that bear the label, as they are now, and no other.
    pub(crate) async fn follow(&mut self, slices: impl IntoIterator<Item = &SliceStatus>) {
        let wanted: BTreeMap<Key, Device> = slices.into_iter().flat_map(labelled).collect();
        let outdated: Vec<_> =
            self.feeds.extract_if(.., |key, feed| wanted.get(key) != Some(&feed.device)).collect();
        for (_, feed) in outdated {
            feed.end().await;
        }
        for (key, device) in wanted {
            if self.feeds.contains_key(&key) {
                continue;
            }
            match self.start(device).await {
                Ok(feed) => {
                    self.feeds.insert(key, feed);
                }
                Err(error) => {
                    let (slice, name) = key;
                    let why = error.to_cause();
                    self.screen.complain(format!(
                        "warning: device \"{name}\" of slice \"{slice}\" sends nothing: {why}"
                    ));
                }
            }
        }
    }

    async fn start(&self, device: Device) -> Result<Feed> {
        let connector = device.connector(self.session).await?;
        let stop = CancellationToken::new();
        let feeding = feed::feed(device.clone(), connector, stop.clone());
        Ok(Feed { device, stop, task: tokio::spawn(feeding) })
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
fn labelled(slice: &SliceStatus) -> Vec<(Key, Device)> {
    let asks = |device: &Device| device.labels.get(LABEL.0).is_some_and(|value| value == LABEL.1);
    let asking = devices(slice).into_iter().filter(asks);
    asking.map(|device| ((device.slice.clone(), device.name.clone()), device)).collect()
}

#[cfg(test)]
mod tests;
