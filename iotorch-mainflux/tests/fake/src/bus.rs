//! The way of a message: from an adapter over NATS to subscribers and to the writer.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use tokio::sync::broadcast;

use crate::{
    Dependency, Release,
    senml::{self, Resolved},
    state::{Message, Rule},
    world::World,
};

/// What the writer of Magistrala stores for a record without a time, as nanoseconds: Go's zero time, overflown.
const NO_TIME: f64 = -6_795_364_578_871_345_000.0;

/// A message in full.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Published {
    /// The topic as MQTT has it.
    pub(crate) topic: String,
    pub(crate) domain: String,
    pub(crate) channel: String,
    pub(crate) subtopic: String,
    pub(crate) publisher: String,
    pub(crate) protocol: &'static str,
    pub(crate) payload: Vec<u8>,
    pub(crate) at: Timestamp,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
}

/// What is on its way.
#[derive(Debug)]
pub(crate) struct Bus {
    subscribers: broadcast::Sender<Published>,
    retained: BTreeMap<String, Published>,
    /// What adapters hold as long as NATS is down.
    waiting: Vec<Published>,
    /// How many messages get lost on their way.
    lost: usize,
}

impl Bus {
    pub(crate) fn new(subscribers: broadcast::Sender<Published>) -> Self {
        Self { subscribers, retained: BTreeMap::new(), waiting: Vec::new(), lost: 0 }
    }

    /// All that MQTT subscribers may see from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Published> {
        self.subscribers.subscribe()
    }

    /// What is retained on topics.
    pub(crate) fn retained(&self) -> Vec<Published> {
        self.retained.values().cloned().collect()
    }

    pub(crate) fn show(&mut self, published: &Published) {
        if published.retain {
            let is_gone = published.payload.is_empty();
            self.retained.remove(&published.topic);
            if !is_gone {
                self.retained.insert(published.topic.clone(), published.clone());
            }
        }
        // Nobody may listen.
        _ = self.subscribers.send(Published { retain: false, ..published.clone() });
    }

    /// The next message gets lost on its way.
    pub(crate) fn lose_next(&mut self) {
        self.lost += 1;
    }

    /// What has waited.
    pub(crate) fn due(&mut self) -> Vec<Published> {
        std::mem::take(&mut self.waiting)
    }
}

impl World {
    /// Takes a message from an adapter.
    pub(crate) fn publish(&mut self, published: Published) {
        // What comes by MQTT is shown by the broker, whatever NATS does.
        if published.protocol == "mqtt" {
            self.show(&published);
        }
        if self.bus.lost > 0 {
            self.bus.lost -= 1;
        } else {
            self.bus.waiting.push(published);
        }
        self.flush();
        self.keep();
    }

    /// Hands a message on to subscribers and to what stores it.
    pub(crate) fn deliver(&mut self, published: Published) {
        if published.protocol != "mqtt" && self.has(Dependency::MqttBroker) {
            self.show(&published);
        }
        if !self.can_store() {
            return;
        }
        match self.release {
            Release::Mainflux012 | Release::Mainflux013 => {
                let Some(records) = senml::resolve(&published.payload) else { return };
                let now = seconds(published.at);
                for mut record in records {
                    if record.time == 0.0 {
                        record.time = now;
                    }
                    self.store(&published, record);
                }
            }
            // These only have what stores messages in Magistrala.
            Release::SuperMq017 | Release::SuperMq019 => {}
            Release::Magistrala030 => self.store_by_rules(&published),
        }
    }

    fn store_by_rules(&mut self, published: &Published) {
        let rules = self.state.rules.values();
        let stores = rules.filter(|rule| is_for(rule, published) && saves_senml(rule)).count();
        // A rule hands on what its logic returns, so that a single record need not be in a list.
        let Some(records) = senml::resolve(&published.payload).or_else(|| {
            let single = [b"[", published.payload.as_slice(), b"]"].concat();
            senml::resolve(&single)
        }) else {
            return;
        };
        for _ in 0..stores {
            for record in &records {
                let time = if record.time == 0.0 { NO_TIME } else { nanoseconds(record.time) };
                let record = Resolved { time, ..record.clone() };
                // The writer's key has no channel in it.
                let is_there = self.state.messages.iter().any(|it| {
                    it.record.time == record.time
                        && it.publisher == published.publisher
                        && it.subtopic == published.subtopic
                        && it.record.name == record.name
                });
                if !is_there {
                    self.store(published, record);
                }
            }
        }
    }

    fn store(&mut self, published: &Published, record: Resolved) {
        self.state.messages.push(Message {
            channel: published.channel.clone(),
            subtopic: published.subtopic.clone(),
            publisher: published.publisher.clone(),
            protocol: published.protocol.to_owned(),
            record,
        });
    }
}

/// Whether a rule is about a message: by its channel, and by its topic, of which none is the root and `#` is everything.
fn is_for(rule: &Rule, published: &Published) -> bool {
    rule.is_enabled
        && rule.domain == published.domain
        && rule.channel == published.channel
        && (rule.topic == "#" || rule.topic == published.subtopic)
}

fn saves_senml(rule: &Rule) -> bool {
    let outputs = rule.outputs.as_ref().and_then(|outputs| outputs.as_array());
    let returns = rule.logic["value"].as_str().is_some_and(|logic| logic.contains("return"));
    returns && outputs.into_iter().flatten().any(|output| output["type"] == "save_senml")
}

/// Seconds since 1970, to the microsecond as PostgreSQL keeps them.
fn seconds(at: Timestamp) -> f64 {
    Duration::try_from(at.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default().as_secs_f64()
}

/// Nanoseconds of a time that is told in seconds.
fn nanoseconds(seconds: f64) -> f64 {
    seconds * 1e9
}
