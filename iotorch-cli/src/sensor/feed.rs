//! The sending of one device's readings.

use std::time::Duration;

use iotorch_lite::device::{Answer, Message, Qos};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::machine::Machine;
use crate::device::{Connector, Device, Link};

/// The time between two readings.
const INTERVAL: Duration = Duration::from_secs(1);

/// The pause after a failure, doubled with each further one up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Sends until it is stopped; comes back by itself after any failure.
pub(super) async fn feed(device: Device, connector: Connector, stop: CancellationToken) {
    let mut machine = Some(Machine::new());
    let mut pause = SHORTEST_PAUSE;
    loop {
        let failure = tokio::select! {
            failure = connection(&device, &connector, &mut machine, &mut pause) => failure,
            () = stop.cancelled() => return,
        };
        tracing::warn!(slice = %device.slice, device = %device.name, failure, "sending was interrupted");
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (2 * pause).min(LONGEST_PAUSE),
            () = stop.cancelled() => return,
        }
    }
}

/// Sends over one connection until it fails, and gives the reason.
async fn connection(
    device: &Device,
    connector: &Connector,
    machine: &mut Option<Machine>,
    pause: &mut Duration,
) -> String {
    match connector.connect(Qos::AtLeastOnce).await {
        Ok(link) => send(device, &link, machine, pause).await,
        Err(error) => error.to_cause().to_string(),
    }
}

async fn send(device: &Device, link: &Link, machine: &mut Option<Machine>, pause: &mut Duration) -> String {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let (mut reader, resources) = (machine.take().unwrap_or_else(Machine::new), device.resources.clone());
        // A sensor behind a slow bus must not hold up others.
        let read = tokio::task::spawn_blocking(move || {
            let readings = reader.read(&resources);
            (reader, readings)
        });
        let readings = match read.await {
            Ok((reader, readings)) => {
                *machine = Some(reader);
                readings
            }
            Err(error) => return error.to_string(),
        };
        if readings.is_empty() {
            continue;
        }
        match link.send(&Message::new(Value::Object(readings).to_string())).await {
            Ok(Answer::Rejected { rejected, .. }) => {
                tracing::warn!(slice = %device.slice, device = %device.name, ?rejected, "readings were rejected");
            }
            Ok(_) => *pause = SHORTEST_PAUSE,
            Err(error) => return error.to_cause().to_string(),
        }
    }
}
