//! When messages arrive at servers.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream::BoxStream};
use iotorch_lite::{
    api::{MessageQuery, Order},
    device::Reading,
    senml,
};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::Tally;
use crate::{
    device::Device,
    readings::{Arrival, Channel, Message},
};

/// How far the clock of one who gives messages their times may be behind that of this machine.
const SKEW: Duration = Duration::from_secs(60);

/// The pause before a server that cannot be read is asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// What a message is found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Who sent it, and of which time it is, in microseconds since the Unix epoch.
    Time(String, i64),
    /// Who sent it, one of its resources, and the value of that: for messages to which others give a time.
    Value(String, String, Told),
}

/// A value, so that it can be compared whatever way it went.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Told {
    Number(u64),
    Text(String),
    Bool(bool),
}

/// The messages that are on their way, with when each was due. Of messages with the same value the first that was sent arrives first.
#[derive(Debug, Default)]
pub(crate) struct Pending(Mutex<HashMap<Key, VecDeque<Instant>>>);

impl Pending {
    /// A message of `device` with this time is on its way.
    pub(super) fn add(&self, device: &Device, micros: i64, due: Instant) -> Key {
        self.insert(Key::Time(sender(device.slice.as_str(), device.name.as_str()), micros), due)
    }

    /// A message of `device` with these readings and no time is on its way.
    pub(super) fn add_values(&self, device: &Device, readings: &[Reading], due: Instant) -> Option<Key> {
        let Reading { resource, value } = readings.iter().rev().max_by_key(|it| distinct(&it.value))?;
        let told = match value {
            Value::Bool(on) => Told::Bool(*on),
            Value::Number(number) => Told::Number(number.as_f64().unwrap_or_default().to_bits()),
            Value::String(text) => Told::Text(text.clone()),
            other => Told::Text(other.to_string()),
        };
        let sender = sender(device.slice.as_str(), device.name.as_str());
        Some(self.insert(Key::Value(sender, resource.clone(), told), due))
    }

    fn insert(&self, key: Key, due: Instant) -> Key {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.entry(key.clone()).or_default().push_back(due);
        key
    }

    /// The message that was due then will never arrive.
    pub(super) fn forget(&self, key: &Key, due: Instant) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiting) = pending.get_mut(key) else { return };
        if let Some(at) = waiting.iter().position(|other| *other == due) {
            waiting.remove(at);
        }
        if waiting.is_empty() {
            pending.remove(key);
        }
    }

    /// When the message was due that is on its way for longest.
    fn oldest(&self) -> Option<Instant> {
        let pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.values().filter_map(VecDeque::front).min().copied()
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// When the message was due that this reading is of; none the second time.
    fn take(&self, reading: &Message) -> Option<Instant> {
        let (user, resource) = reading.record.name.split_once(':')?;
        let sender = sender(reading.slice.as_str(), user);
        #[allow(clippy::cast_possible_truncation, reason = "a time in microseconds is below 2^63")]
        let micros = (reading.record.time * 1e6).round() as i64;
        let told = match &reading.record.value {
            Some(senml::Value::Number(number)) => Some(Told::Number(number.to_bits())),
            Some(senml::Value::Text(text)) => Some(Told::Text(text.clone())),
            Some(senml::Value::Bool(on)) => Some(Told::Bool(*on)),
            _ => None,
        };
        let by_value = told.map(|told| Key::Value(sender.clone(), resource.to_owned(), told));
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        [Some(Key::Time(sender, micros)), by_value].into_iter().flatten().find_map(|key| {
            let waiting = pending.get_mut(&key)?;
            let due = waiting.pop_front();
            if waiting.is_empty() {
                pending.remove(&key);
            }
            due
        })
    }
}

/// How well a value tells one message from another: random fractions and texts are hardly ever the same twice.
fn distinct(value: &Value) -> u8 {
    match value {
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() != 0.0) => 3,
        Value::String(_) => 2,
        Value::Number(_) => 1,
        _ => 0,
    }
}

fn sender(slice: &str, user: &str) -> String {
    format!("{slice}/{user}")
}

/// Counts how long messages of a channel took until they were stored, each reading once. What was stored while the server was away from
/// this process, or came faster than it could be told, counts when it has been read.
pub(crate) async fn follow(
    channel: Channel,
    mut arriving: BoxStream<'static, Arrival>,
    pending: Arc<Pending>,
    tally: Arc<Mutex<Tally>>,
) {
    // By name and time: what was told already is read again after each outage, and servers are sent some readings twice.
    let mut told = HashSet::new();
    let mut found = |reading: &Message| {
        if told.insert((reading.record.name.clone(), reading.record.time.to_bits()))
            && let Some(due) = pending.take(reading)
        {
            tally.lock().unwrap_or_else(PoisonError::into_inner).stored(due.elapsed());
        }
    };
    while let Some(arrival) = arriving.next().await {
        match arrival {
            Arrival::Message(reading) => found(&reading),
            Arrival::Skipped(_) | Arrival::Back => {
                missed(&channel, &pending).await.iter().for_each(&mut found);
            }
            Arrival::Away(error) => {
                tracing::debug!(cause = %error.to_cause(), server = %channel.server, "a server is away");
            }
        }
    }
}

/// What is stored of messages that may be on their way still, as soon as the server tells.
async fn missed(channel: &Channel, pending: &Pending) -> Vec<Message> {
    loop {
        let Some(due) = pending.oldest() else { return Vec::new() };
        #[allow(clippy::cast_precision_loss, reason = "a time in microseconds is below 2^53")]
        let now = Timestamp::now().as_microsecond() as f64 / 1e6;
        let from = now - (due.elapsed() + SKEW).as_secs_f64();
        let query = MessageQuery { from: Some(from), order: Some(Order::Asc), ..MessageQuery::default() };
        match channel.messages(query, usize::MAX).await {
            Ok(messages) => return messages,
            Err(error) => {
                tracing::debug!(cause = %error.to_cause(), server = %channel.server, "a server cannot be read");
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, stream};
    use iotorch_core::{Error, ErrorKind};
    use iotorch_lite::senml::Record;

    use super::*;
    use crate::{
        device::tests::bench,
        readings::tests::{Script, channel},
    };

    fn arrived(name: &str, time: f64, value: senml::Value) -> Message {
        Message {
            slice: "greenhouse".parse().unwrap(),
            server: "hub".parse().unwrap(),
            gateway: "gw".parse().unwrap(),
            record: Record::new(name, time, value),
        }
    }

    #[test]
    fn a_message_is_found_by_its_time_once() {
        let (pending, due) = (Pending::default(), Instant::now());
        pending.add(&bench(), 1_700_000_000_250_000, due);
        assert_eq!(pending.oldest(), Some(due));
        let message = arrived("bench-1:temperature", 1_700_000_000.25, senml::Value::Number(21.5));
        assert_eq!((pending.take(&message), pending.take(&message)), (Some(due), None));
        assert!(pending.is_empty());
    }

    #[test]
    fn a_message_without_a_time_is_found_by_a_value_and_equal_ones_in_their_order() {
        let (pending, due) = (Pending::default(), Instant::now());
        let later = due + Duration::from_secs(1);
        let readings = [Reading::new("on", true), Reading::new("temperature", 21.25)];
        pending.add_values(&bench(), &readings, due);
        pending.add_values(&bench(), &readings, later);
        pending.add_values(&bench(), &readings[..1], due);
        let message = |name: &str, value| arrived(name, 5.0, value);
        let other = message("bench-2:temperature", senml::Value::Number(21.25));
        let same = message("bench-1:temperature", senml::Value::Number(21.25));
        let on = message("bench-1:on", senml::Value::Bool(true));
        assert_eq!(
            [&other, &same, &same, &same].map(|it| pending.take(it)),
            [None, Some(due), Some(later), None]
        );
        assert_eq!([&on, &on].map(|it| pending.take(it)), [Some(due), None]);
        assert!(pending.is_empty());
    }

    #[test]
    fn a_message_that_will_never_arrive_is_not_waited_for() {
        let (pending, due) = (Pending::default(), Instant::now());
        let later = due + Duration::from_secs(1);
        let key = pending.add_values(&bench(), &[Reading::new("temperature", 21.25)], due).unwrap();
        assert_eq!(
            pending.add_values(&bench(), &[Reading::new("temperature", 21.25)], later).as_ref(),
            Some(&key)
        );
        pending.forget(&key, later);
        assert_eq!(pending.oldest(), Some(due));
        pending.forget(&key, due);
        assert!(pending.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_read_after_an_outage_counts_once_and_is_read_until_the_server_tells() {
        let (pending, tally) = (Arc::new(Pending::default()), Arc::new(Mutex::new(Tally::new())));
        let reading = [Reading::new("temperature", 21.25)];
        for _ in 0..3 {
            pending.add_values(&bench(), &reading, Instant::now());
        }
        let message = |time| arrived("bench-1:temperature", time, senml::Value::Number(21.25));
        let away = || Error::new(ErrorKind::Unavailable, "away");
        let stored = |times: &[f64]| Ok(times.iter().map(|time| message(*time).record).collect());
        let script = Script::new([Err(away()), Err(away()), stored(&[1.0]), stored(&[1.0, 2.0])]);
        let arriving = [
            Arrival::Message(message(1.0)),
            Arrival::Away(away()),
            Arrival::Back,
            Arrival::Message(message(1.0)),
            Arrival::Skipped(1),
        ];
        let found = || tally.lock().unwrap().found();
        let mut following =
            follow(channel(script), stream::iter(arriving).boxed(), Arc::clone(&pending), Arc::clone(&tally))
                .boxed();
        assert!((&mut following).now_or_never().is_none(), "it waits until the server can be read");
        assert_eq!(found(), 1);
        following.await;
        assert_eq!((found(), pending.is_empty()), (2, false));
    }
}
