//! A bus: a broker that a gateway reads, in place of devices that come to its own doors.
//!
//! The session there is a lasting one of MQTT 3.1.1, which every broker has: what is said at QoS 1 while nobody listens waits
//! at the broker. A message is acknowledged when its readings are durable, so one whose acknowledgement was lost comes again, and is
//! known. What cannot be read is counted, in the log, and acknowledged: it would come again for ever.

mod edgex;
mod kept;

pub(super) use kept::setup;

use super::{Core, outbox};
use crate::{
    Result,
    api::BusStatus,
    clock,
    config::Bus,
    mqtt::{self, Broker, v3},
};
use redb::ReadTransaction;
use rumqttc_v4::{AckMode, AsyncClient, Event, EventLoop, Packet, Publish, QoS, SubscribeFilter};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The pause after a failure, doubled with each further one up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The most messages that are kept together.
const TOGETHER: usize = 256;

/// Room for acknowledgements on their way: for those of what is being kept, of what waits, and as much again, so that none waits
/// for the one who reads while that one waits for room.
const ACKNOWLEDGEMENTS: usize = 4 * TOGETHER;

/// A bus, and how its connection is doing.
#[derive(Debug)]
pub(super) struct Reader {
    bus: Bus,
    link: Mutex<Link>,
}

#[derive(Debug, Clone, Default)]
struct Link {
    connected: bool,
    last_error: Option<String>,
}

impl Reader {
    pub(super) fn new(bus: Bus) -> Self {
        Self { bus, link: Mutex::default() }
    }

    pub(super) fn status(&self, txn: &ReadTransaction) -> Result<BusStatus> {
        let Link { connected, last_error } = self.link().clone();
        Ok(BusStatus { connected, last_error, ..kept::status(txn)? })
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the bus of a gateway, if it has one, until `stop`.
pub(super) fn read(core: &Arc<Core>, stop: CancellationToken) -> Option<JoinHandle<()>> {
    core.bus.as_ref()?;
    let core = Arc::clone(core);
    Some(tokio::spawn(async move {
        if let Some(reader) = &core.bus {
            follow(&core, reader, &stop).await;
        }
    }))
}

async fn follow(core: &Core, reader: &Reader, stop: &CancellationToken) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        let failure = tokio::select! {
            failure = connection(core, reader, &mut pause) => failure,
            () = stop.cancelled() => return,
        };
        tracing::warn!(failure, "reading the bus was interrupted");
        core.log.warning("bus-interrupted", "", format!("reading the bus was interrupted: {failure}"));
        *reader.link() = Link { connected: false, last_error: Some(failure) };
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (2 * pause).min(LONGEST_PAUSE),
            () = stop.cancelled() => return,
        }
    }
}

/// Reads over one connection until it fails, and gives the reason.
async fn connection(core: &Core, reader: &Reader, pause: &mut Duration) -> String {
    let (client, events) = match log_in(core, &reader.bus).await {
        Ok(connected) => connected,
        Err(failure) => return failure,
    };
    let (sender, receiver) = mpsc::channel(TOGETHER);
    let (host, port) = (reader.bus.host.as_str(), reader.bus.port);
    tokio::select! {
        failure = listen(events, sender, host, port) => failure,
        failure = keep(core, reader, &client, receiver, pause) => failure,
    }
}

async fn log_in(core: &Core, bus: &Bus) -> Result<(AsyncClient, EventLoop), String> {
    let Bus { host, port, tls, login, .. } = bus;
    let tls = mqtt::trusting(*tls, core.trust.as_deref()).map_err(|error| error.to_string())?;
    // The session at the broker is the one of this outbox.
    let origin = core.store.read(outbox::origin).map_err(|error| error.to_string())?;
    let login = login.as_ref().and_then(|login| login.expose().split_once(':'));
    let broker = Broker { host, port: *port, tls, login, client_id: format!("iotorch-{origin}") };
    let mut options = v3::options(broker);
    options.set_clean_session(false).set_ack_mode(AckMode::Manual);
    let built = AsyncClient::builder(options).capacity(ACKNOWLEDGEMENTS).try_build();
    let (client, mut events) = built.map_err(|error| error.to_string())?;
    events.set_network_options(mqtt::undelayed());
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => return Ok((client, events)),
            Ok(_) => {}
            Err(error) => return Err(v3::unconnected(host, *port, &error).reason),
        }
    }
}

/// Hands messages on until the connection breaks, and gives the reason.
async fn listen(mut events: EventLoop, messages: mpsc::Sender<Publish>, host: &str, port: u16) -> String {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(message))) => {
                if messages.send(message).await.is_err() {
                    return "the gateway is stopping".to_owned();
                }
            }
            Ok(_) => {}
            Err(error) => return v3::broken(host, port, &error),
        }
    }
}

/// Subscribes, and keeps what comes, in its order, until that fails.
async fn keep(
    core: &Core,
    reader: &Reader,
    client: &AsyncClient,
    mut messages: mpsc::Receiver<Publish>,
    pause: &mut Duration,
) -> String {
    // What waited at the broker comes before it has answered.
    let (subscribed, mut together) = (subscribe(core, &reader.bus, client), Vec::with_capacity(TOGETHER));
    tokio::pin!(subscribed);
    let mut is_subscribed = false;
    loop {
        tokio::select! {
            result = &mut subscribed, if !is_subscribed => match result {
                Ok(()) => {
                    is_subscribed = true;
                    *pause = SHORTEST_PAUSE;
                    *reader.link() = Link { connected: true, last_error: None };
                    let (host, port) = (&reader.bus.host, reader.bus.port);
                    core.log.info("bus-connected", "", format!("the bus is read at {host}:{port}"));
                }
                Err(failure) => return failure,
            },
            count = messages.recv_many(&mut together, TOGETHER) => {
                if count == 0 {
                    return "the connection has ended".to_owned();
                }
                if let Err(failure) = take(core, reader, client, &mut together).await {
                    return failure;
                }
            }
        }
    }
}

/// Subscribes to the topics, and to none that the session has from earlier settings.
async fn subscribe(core: &Core, bus: &Bus, client: &AsyncClient) -> Result<(), String> {
    let note = async |only| {
        let topics = bus.topics.clone();
        let noted = core.store.write(move |txn| kept::note_topics(txn, &topics, only));
        noted.await.map_err(|error| error.to_string())
    };
    let refused = |error: &dyn std::error::Error| format!("the bus refused the subscription: {error}");
    let others = core.store.read(|txn| kept::other_topics(txn, &bus.topics));
    let others = others.map_err(|error| error.to_string())?;
    note(false).await?;
    let filters = bus.topics.iter().map(|topic| SubscribeFilter::new(topic.clone(), QoS::AtLeastOnce));
    let notice = client.subscribe_many_tracked(filters).await.map_err(|error| refused(&error))?;
    notice.wait_completion_async().await.map_err(|error| refused(&error))?;
    if !others.is_empty() {
        let notice = client.unsubscribe_many_tracked(others).await.map_err(|error| refused(&error))?;
        notice.wait_completion_async().await.map_err(|error| refused(&error))?;
    }
    note(true).await
}

/// Keeps messages durably and then acknowledges them.
async fn take(
    core: &Core,
    reader: &Reader,
    client: &AsyncClient,
    messages: &mut Vec<Publish>,
) -> Result<(), String> {
    let (format, bounds) = (reader.bus.format, core.bounds);
    let payloads: Vec<_> = messages.iter().map(|message| message.payload.to_vec()).collect();
    let kept = core.store.write(move |txn| kept::take(txn, format, &payloads, clock::now(), bounds));
    let (all, dropped) = kept.await.map_err(|error| error.to_string())?;
    core.appended.send_replace(());
    core.tell_dropped(dropped);
    for (message, taken) in messages.drain(..).zip(all) {
        core.counters.message(&taken);
        if let Some(why) = taken.rejected.last() {
            let topic = String::from_utf8_lossy(&message.topic);
            let more = taken.rejected.len() - 1;
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let message = format!("of a message on \"{}\" was refused: {why}{more}", topic.escape_debug());
            core.log.warning("bus-refused", &topic, message);
        }
        client.ack(&message).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}
