//! When messages arrive at servers.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use futures::{StreamExt, stream::BoxStream};
use iotorch_core::Result;
use iotorch_lite::{api::Followed, device::Reading, senml};
use serde_json::Value;
use tokio::time::Instant;

use super::Tally;
use crate::{device::Device, readings::Message};

/// What a message is found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Who sent it, and of which time it is, in microseconds since the Unix epoch.
    Time(String, i64),
    /// Who sent it, one of its resources, and the value of that: for messages to which others give a time.
    Value(String, String, Told),
}

/// A value, so that it can be compared whatever way it went.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Told {
    Number(u64),
    Text(String),
    Bool(bool),
}

/// The messages that are on their way, with when each was due. Of messages with the same value the first that was sent arrives first.
#[derive(Debug, Default)]
pub(crate) struct Pending(Mutex<HashMap<Key, VecDeque<Instant>>>);

impl Pending {
    /// A message of `device` with this time is on its way.
    pub(crate) fn add(&self, device: &Device, micros: i64, due: Instant) {
        self.insert(Key::Time(sender(device.slice.as_str(), device.name.as_str()), micros), due);
    }

    /// A message of `device` with these readings and no time is on its way.
    pub(crate) fn add_values(&self, device: &Device, readings: &[Reading], due: Instant) {
        let Some(Reading { resource, value }) = readings.iter().rev().max_by_key(|it| distinct(&it.value))
        else {
            return;
        };
        let told = match value {
            Value::Bool(on) => Told::Bool(*on),
            Value::Number(number) => Told::Number(number.as_f64().unwrap_or_default().to_bits()),
            Value::String(text) => Told::Text(text.clone()),
            other => Told::Text(other.to_string()),
        };
        let sender = sender(device.slice.as_str(), device.name.as_str());
        self.insert(Key::Value(sender, resource.clone(), told), due);
    }

    fn insert(&self, key: Key, due: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().push_back(due);
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

/// Counts how long messages took until they were stored, as long as the server tells.
pub(crate) async fn follow(
    mut arriving: BoxStream<'static, Result<Followed<Message>>>,
    pending: Arc<Pending>,
    tally: Arc<Mutex<Tally>>,
) {
    while let Some(arrived) = arriving.next().await {
        match arrived {
            Ok(Followed::Item(reading)) => {
                if let Some(due) = pending.take(&reading) {
                    tally.lock().unwrap_or_else(PoisonError::into_inner).stored(due.elapsed());
                }
            }
            Ok(Followed::Skipped { skipped }) => {
                tracing::warn!(skipped, "messages came faster than their times could be taken");
            }
            Err(error) => {
                tracing::warn!(cause = %error.to_cause(), "cannot follow a server's messages");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use iotorch_lite::senml::Record;

    use super::*;
    use crate::device::tests::bench;

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
        let message = arrived("bench-1:temperature", 1_700_000_000.25, senml::Value::Number(21.5));
        assert_eq!((pending.take(&message), pending.take(&message)), (Some(due), None));
        assert!(pending.is_empty());
    }

    #[test]
    fn a_message_without_a_time_is_found_by_a_value_and_equal_ones_in_their_order() {
        let (pending, due) = (Pending::default(), Instant::now());
        let later = due + std::time::Duration::from_secs(1);
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
}
