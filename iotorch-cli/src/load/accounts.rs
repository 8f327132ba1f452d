//! What gateways and servers themselves say of the devices that send.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use iotorch_core::{Result, model::DeviceProtocol};
use iotorch_lite::api::GatewayStatus;
use tokio::time::Instant;

use crate::{
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
    /// Why readings of devices that were not told so were rejected: the last reason of each device stands for all.
    pub(crate) reasons: BTreeMap<String, u64>,
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
            if let Some(status) = entry.status().await? {
                account.add(&status, &entry.devices);
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
    async fn status(&self) -> Result<Option<GatewayStatus>> {
        match &self.gateway {
            Some(gateway) => {
                let status = gateway.client.status().await;
                status.map(Some).map_err(|error| failed("cannot ask a gateway what it took", error))
            }
            None => Ok(None),
        }
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
    fn add(&mut self, status: &GatewayStatus, devices: &[Device]) {
        // A bridge knows no devices: what it has taken is of all that its gateway has.
        if let Some(bus) = &status.bus {
            self.accepted += bus.taken;
            self.rejected += bus.refused;
        }
        for device in devices {
            let Some(told) = status.devices.get(&device.user) else { continue };
            self.accepted += told.accepted;
            self.rejected += told.rejected;
            if let (Some(reason), DeviceProtocol::Mqtt) = (&told.last_rejection, device.protocol) {
                *self.reasons.entry(reason.clone()).or_default() += told.rejected;
            }
        }
        self.waiting += waiting_at(status);
    }

    /// What came on account since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let reasons = self.reasons.iter().filter_map(|(reason, times)| {
            let new = times.saturating_sub(before.reasons.get(reason).copied().unwrap_or_default());
            (new > 0).then(|| (reason.clone(), new))
        });
        Self {
            accepted: self.accepted.saturating_sub(before.accepted),
            rejected: self.rejected.saturating_sub(before.rejected),
            reasons: reasons.collect(),
            stored: self.stored.saturating_sub(before.stored),
            waiting: self.waiting,
        }
    }
}
