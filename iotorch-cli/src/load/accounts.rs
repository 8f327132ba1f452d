//! What gateways and servers themselves say of the devices that send.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use iotorch_core::{
    Result,
    model::{DeviceProtocol, PartName, SliceName},
};
use iotorch_lite::api::GatewayStatus;
use tokio::time::Instant;

use crate::{
    bridge::own_exports,
    device::Device,
    management::{Gateway, failed},
    readings::Channel,
};

/// The pause between two looks at what waits for servers.
const LOOKS: Duration = Duration::from_millis(50);

/// The gateways of the devices that send, and the channels of these gateways.
#[derive(Debug, Default)]
pub(crate) struct Accounts(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    gateway: Option<Gateway>,
    channels: Vec<Channel>,
    devices: Vec<Device>,
}

/// What is on account of the devices at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// Readings that gateways took; of EdgeX, those that it has handed to its bridge, of whatever device.
    pub(crate) accepted: u64,
    /// Readings, or messages as a whole, that gateways did not take.
    pub(crate) rejected: u64,
    /// Of each device that is not told why readings were rejected how many were, and why the last one.
    untold: BTreeMap<(SliceName, PartName), (u64, String)>,
    /// Where the bridges are whose readings are among these: slices that share a gateway of EdgeX share its bridge.
    bridges: BTreeSet<String>,
    /// Readings that are stored; at each of several servers, if their gateway sends to several.
    pub(crate) stored: u64,
    /// Readings that wait for servers.
    pub(crate) waiting: u64,
}

impl Accounts {
    /// Adds devices of one gateway.
    pub(crate) fn add(&mut self, gateway: Option<Gateway>, channels: Vec<Channel>, devices: Vec<Device>) {
        self.0.push(Entry { gateway, channels, devices });
    }

    /// Whether all gateways tell what they took.
    pub(crate) fn knows_accepted(&self) -> bool {
        self.0.iter().all(|entry| entry.gateway.is_some())
    }

    /// Whether a gateway does not tell when it has handed on all that it has.
    pub(crate) fn are_silent(&self) -> bool {
        self.0.iter().any(|entry| entry.gateway.as_ref().is_none_or(|gateway| gateway.is_bridge))
    }

    /// Whether there are servers that tell what they stored.
    pub(crate) fn knows_stored(&self) -> bool {
        self.0.iter().all(|entry| !entry.channels.is_empty())
    }

    /// One channel of each gateway.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.0.iter().filter_map(|entry| entry.channels.first())
    }

    /// What is on account now.
    pub(crate) async fn read(&self) -> Result<Account> {
        let mut account = Account::default();
        for entry in &self.0 {
            if let (Some(gateway), Some(status)) = (&entry.gateway, entry.status().await?) {
                account.add(gateway.client.base_url(), &status, &entry.devices);
            }
            account.stored += entry.stored().await?;
        }
        Ok(account)
    }

    /// Waits until nothing waits for servers, but no longer than until `deadline`.
    pub(crate) async fn settle(&self, deadline: Instant) -> Result<()> {
        loop {
            let waiting = futures::future::try_join_all(self.0.iter().map(Entry::status)).await?;
            let waiting: u64 = waiting.iter().flatten().map(waiting_at).sum();
            if waiting == 0 || Instant::now() + LOOKS > deadline {
                return Ok(());
            }
            tokio::time::sleep(LOOKS).await;
        }
    }
}

impl Entry {
    /// What the gateway says of itself, with the exports of the slice alone.
    async fn status(&self) -> Result<Option<GatewayStatus>> {
        let Some(gateway) = &self.gateway else { return Ok(None) };
        let status = gateway.client.status().await;
        let mut status = status.map_err(|error| failed("cannot ask a gateway what it took", error))?;
        if let (true, Some(device)) = (gateway.is_shared, self.devices.first()) {
            own_exports(&device.slice, &mut status.exports);
        }
        Ok(Some(status))
    }

    /// What all servers of the gateway have: the least of what each has.
    async fn stored(&self) -> Result<u64> {
        let names = self.names();
        let mut least = None;
        for channel in &self.channels {
            let count = channel.count(&names).await?;
            least = Some(least.map_or(count, |least: u64| least.min(count)));
        }
        Ok(least.unwrap_or_default())
    }

    /// The names that readings of these devices have at servers.
    fn names(&self) -> BTreeSet<String> {
        let names = |device: &Device| {
            let user = device.user.clone();
            let resources = device.resources.clone().into_iter();
            resources.map(move |resource| format!("{user}:{}", resource.name))
        };
        self.devices.iter().flat_map(names).collect()
    }
}

fn waiting_at(status: &GatewayStatus) -> u64 {
    status.exports.values().map(|export| export.pending).max().unwrap_or_default()
}

impl Account {
    /// Adds what the gateway or bridge at `url` says.
    fn add(&mut self, url: &str, status: &GatewayStatus, devices: &[Device]) {
        // A bridge knows no devices: what it has taken is of all that its gateway has.
        if let Some(bus) = &status.bus
            && self.bridges.insert(url.to_owned())
        {
            self.accepted += bus.taken;
            self.rejected += bus.refused;
        }
        for device in devices {
            let Some(told) = status.devices.get(&device.user) else { continue };
            self.accepted += told.accepted;
            self.rejected += told.rejected;
            if let (Some(reason), DeviceProtocol::Mqtt) = (&told.last_rejection, device.protocol) {
                let device = (device.slice.clone(), device.name.clone());
                self.untold.insert(device, (told.rejected, reason.clone()));
            }
        }
        self.waiting += waiting_at(status);
    }

    /// Why readings of devices that were not told so were rejected, and how many: the last reason of each device stands for all.
    pub(crate) fn reasons(&self) -> BTreeMap<&str, u64> {
        let mut reasons = BTreeMap::new();
        for (times, reason) in self.untold.values() {
            *reasons.entry(reason.as_str()).or_default() += times;
        }
        reasons
    }

    /// What came on account since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let untold = self.untold.iter().filter_map(|(device, (times, reason))| {
            let before = before.untold.get(device).map_or(0, |(times, _)| *times);
            (*times > before).then(|| (device.clone(), (times - before, reason.clone())))
        });
        Self {
            accepted: self.accepted.saturating_sub(before.accepted),
            rejected: self.rejected.saturating_sub(before.rejected),
            untold: untold.collect(),
            bridges: self.bridges.clone(),
            stored: self.stored.saturating_sub(before.stored),
            waiting: self.waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use iotorch_lite::api::{BusStatus, DeviceStatus, OutboxStatus};

    use super::*;
    use crate::device::tests::bench;

    fn status(devices: BTreeMap<String, DeviceStatus>, bus: Option<BusStatus>) -> GatewayStatus {
        let outbox = OutboxStatus::default();
        GatewayStatus { devices, exports: BTreeMap::new(), outbox, bus, refused: BTreeMap::new() }
    }

    #[test]
    fn what_was_rejected_before_does_not_count_whatever_the_last_reason_was() {
        let devices = ["bench-1", "bench-2"].map(|name| {
            let name = PartName::new(name).unwrap();
            Device { user: name.to_string(), name, ..bench() }
        });
        let account = |told: [(u64, &str); 2]| {
            let told = devices.iter().zip(told).map(|(device, (rejected, reason))| {
                let last_rejection = Some(reason.to_owned());
                (device.user.clone(), DeviceStatus { rejected, last_rejection, ..DeviceStatus::default() })
            });
            let mut account = Account::default();
            account.add("http://gw", &status(told.collect(), None), &devices);
            account
        };
        let before = account([(3000, "too hot"), (7, "too hot")]);
        let new = account([(3005, "too cold"), (7, "too hot")]).since(&before);
        assert_eq!((new.rejected, new.reasons()), (5, BTreeMap::from([("too cold", 5)])));
        let new = account([(3001, "too hot"), (9, "too hot")]).since(&before);
        assert_eq!((new.rejected, new.reasons()), (3, BTreeMap::from([("too hot", 3)])));
    }

    #[test]
    fn a_bridge_that_slices_share_counts_once() {
        let bus = BusStatus { taken: 10, refused: 1, ..BusStatus::default() };
        let told = status(BTreeMap::new(), Some(bus));
        let mut account = Account::default();
        for url in ["http://a", "http://b", "http://a"] {
            account.add(url, &told, &[bench()]);
        }
        assert_eq!((account.accepted, account.rejected), (20, 2));
    }
}
