//! The sending of one device's readings.

use std::time::Duration;

use iotorch_core::{resource::ResourceId, secret::SecretValue};
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Packet, PublishOptions};
use tokio_util::sync::CancellationToken;

use super::{Device, machine::Machine};

/// The time between two readings.
const INTERVAL: Duration = Duration::from_secs(1);

/// The pause after a failure, doubled with each further one up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long the gateway may take to acknowledge a message before the connection is given up.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);

const KEEP_ALIVE_SECONDS: u16 = 20;

/// Sends until it is stopped; comes back by itself after any failure.
pub(super) async fn feed(id: ResourceId, device: Device, password: SecretValue, stop: CancellationToken) {
    let mut machine = Some(Machine::new());
    let mut pause = SHORTEST_PAUSE;
    loop {
        let failure = tokio::select! {
            failure = connection(&device, &password, &mut machine, &mut pause) => failure,
            () = stop.cancelled() => return,
        };
        tracing::warn!(device = %id, failure, "sending was interrupted");
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (2 * pause).min(LONGEST_PAUSE),
            () = stop.cancelled() => return,
        }
    }
}

/// Sends over one connection until it fails, and gives the reason.
async fn connection(
    device: &Device,
    password: &SecretValue,
    machine: &mut Option<Machine>,
    pause: &mut Duration,
) -> String {
    let (host, port) = &device.gateway;
    let mut options = MqttOptions::new(format!("{}:host", device.user), (host.as_str(), *port));
    options.set_credentials(device.user.as_str(), password.expose().to_owned());
    options.set_keep_alive(KEEP_ALIVE_SECONDS);
    let (client, mut events) = match AsyncClient::builder(options).capacity(1).try_build() {
        Ok(built) => built,
        Err(error) => return error.to_string(),
    };
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => break,
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
    }
    *pause = SHORTEST_PAUSE;
    tokio::select! {
        error = drive(events) => error.to_string(),
        failure = send(device, &client, machine) => failure,
    }
}

async fn drive(mut events: EventLoop) -> ConnectionError {
    loop {
        if let Err(error) = events.poll().await {
            return error;
        }
    }
}

async fn send(device: &Device, client: &AsyncClient, machine: &mut Option<Machine>) -> String {
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
        let message = serde_json::Value::Object(readings).to_string();
        let notice =
            match client.publish_tracked(&device.topic, message, PublishOptions::at_least_once()).await {
                Ok(notice) => notice,
                Err(error) => return error.to_string(),
            };
        match tokio::time::timeout(ACKNOWLEDGED_WITHIN, notice.wait_completion_async()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return format!("no acknowledgement within {} s", ACKNOWLEDGED_WITHIN.as_secs()),
        }
    }
}
