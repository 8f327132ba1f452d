//! What a gateway knows, and what it lacks at the moment.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Asked, Service,
    answer::Answer,
    export::App,
    keeper::Keys,
    metadata::{
        Late,
        device::{Device, DeviceService},
        profile::Profile,
    },
    outage::{Held, Laid},
    shelf::Shelf,
    v1,
};

/// What outlives a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Stored {
    pub(crate) profiles: Shelf<Profile>,
    pub(crate) devices: Shelf<Device>,
    pub(crate) services: Shelf<DeviceService>,
    pub(crate) keys: Keys,
    /// The events that core-data keeps, the oldest first.
    pub(crate) events: Vec<Value>,
    pub(crate) v1: v1::Stored,
}

/// What does not work.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    pub(crate) services: BTreeSet<Service>,
    pub(crate) database: bool,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) stored: Stored,
    pub(crate) lost: Lost,
    /// What the services were asked, the oldest first.
    pub(crate) asked: Vec<Asked>,
    /// The work that goes on after its answer.
    pub(crate) late: VecDeque<Late>,
    /// How many requests are still answered before it is done; never by itself where there is nothing.
    pub(crate) requests_until_late: Option<u32>,
    /// The answer that came too late to be one.
    pub(crate) late_answer: Option<Answer>,
    /// Whether such an answer is put before the next one on its connection.
    pub(crate) mixes: bool,
    /// So many items of the next array are done within the limit.
    pub(crate) exceed: Option<usize>,
    /// The devices that their device service has not heard of.
    pub(crate) unheard: BTreeSet<String>,
    /// What devices answer that are no clients of a broker: by device and resource.
    pub(crate) answers: HashMap<String, HashMap<String, Value>>,
    pub(crate) holds: Vec<Held>,
    pub(crate) faults: Vec<Laid>,
    /// What the registry says of services that are not simply there.
    pub(crate) health: BTreeMap<Service, &'static str>,
    pub(crate) app: App,
    /// The log-ins of secure mode, and the tokens that they were given for.
    pub(crate) logins: BTreeSet<String>,
    pub(crate) tokens: BTreeSet<String>,
}
