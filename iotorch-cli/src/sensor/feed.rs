//! The sending of one device's readings.

use std::time::Duration;

use iotorch_core::{Route, secret::SecretValue};
use tokio_util::sync::CancellationToken;

use super::machine::Machine;
use crate::device::{self, Answer, Device, Link, Message, Qos};

/// The time between two readings.
const INTERVAL: Duration = Duration::from_secs(1);

/// The pause after a failure, doubled with each further one up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Sends until it is stopped; comes back by itself after any failure.
pub(super) async fn feed(device: Device, route: Route, password: SecretValue, stop: CancellationToken) {
    let mut machine = Some(Machine::new());
    let mut pause = SHORTEST_PAUSE;
    loop {
        let failure = tokio::select! {
            failure = connection(&device, &route, &password, &mut machine, &mut pause) => failure,
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
    route: &Route,
    password: &SecretValue,
    machine: &mut Option<Machine>,
    pause: &mut Duration,
) -> String {
    match device::connect(device, route.address(), password, Qos::AtLeastOnce).await {
        Ok(link) => send(device, &*link, machine, pause).await,
        Err(error) => error.to_cause().to_string(),
    }
}

async fn send(
    device: &Device,
    link: &dyn Link,
    machine: &mut Option<Machine>,
    pause: &mut Duration,
) -> String {
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
        match link.send(&Message::of_object(readings)).await {
            Ok(Answer::Rejected { rejected, .. }) => {
                tracing::warn!(slice = %device.slice, device = %device.name, ?rejected, "readings were rejected");
            }
            Ok(_) => *pause = SHORTEST_PAUSE,
            Err(error) => return error.to_cause().to_string(),
        }
    }
}
