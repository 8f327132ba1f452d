//! When messages arrive at servers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{StreamExt, stream::BoxStream};
use iotorch_core::Result;
use iotorch_lite::api::Followed;
use tokio::time::Instant;

use super::Tally;
use crate::{device::Device, readings::Message};

/// Who sent a message and of which time it is, in microseconds since the Unix epoch.
type Key = (String, i64);

/// The messages that are on their way, with when each was due.
#[derive(Debug, Default)]
pub(crate) struct Pending(Mutex<HashMap<Key, Instant>>);

impl Pending {
    /// A message of `device` with this time is on its way.
    pub(crate) fn add(&self, device: &Device, micros: i64, due: Instant) {
        let key = (sender(device.slice.as_str(), device.name.as_str()), micros);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, due);
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// When the message was due that this reading is of; none the second time.
    fn take(&self, reading: &Message) -> Option<Instant> {
        let (user, _resource) = reading.record.name.split_once(':')?;
        #[allow(clippy::cast_possible_truncation, reason = "a time in microseconds is below 2^63")]
        let micros = (reading.record.time * 1e6).round() as i64;
        let key = (sender(reading.slice.as_str(), user), micros);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key)
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
