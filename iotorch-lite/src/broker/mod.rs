//! The MQTT broker of a gateway or server: it takes messages from clients that have proved who they are and hands
//! them to an [`Access`], before it acknowledges them, and brings the commands that wait to their devices.
//!
//! Nothing is routed from client to client. The broker keeps no session past a connection, no retained message and
//! nothing on disk: what must last is stored by the `Access`. Connections are accepted here rather than by the broker's
//! own listeners, where one client that stalls in its TLS handshake keeps all others out.

mod clients;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod orders;

pub(crate) use clients::Clients;

use crate::{
    access::Access,
    listening::{Caller, Door, Stream},
};
use mqtt5::broker::{
    AuthProvider, BrokerConfig, BrokerEventHandler, ResourceLimits, ResourceMonitor,
    client_handler::ClientHandler, router::MessageRouter, sys_topics::BrokerStats,
    tls_acceptor::TlsStreamWrapper, transport::BrokerTransport,
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::{
    sync::broadcast,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What waits for one client in memory: commands are sent one at a time.
const OUTGOING: usize = 8;

/// What a client may ask of the broker's memory. A device has one filter to subscribe to, and a few topics.
const SUBSCRIPTIONS: usize = 8;
const TOPIC_ALIASES: u16 = 16;
const UNFINISHED: u16 = 1024;

/// How often what ended connections left behind is looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// A running broker.
pub(crate) struct Broker {
    clients: Arc<Clients>,
    stop: DropGuard,
    running: JoinHandle<()>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Broker")
    }
}

impl Broker {
    /// Serves MQTT at a door. A client that sends more than `packet_limit` bytes at once is disconnected.
    pub(crate) fn start(door: Door, packet_limit: usize, access: Arc<dyn Access>) -> Self {
        let clients = Arc::new(Clients::new(access, door.seats()));
        let floor = Floor::new(packet_limit, &clients);
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(door, floor, Arc::clone(&clients), stop.clone()));
        Self { clients, stop: stop.drop_guard(), running }
    }

    pub(crate) fn clients(&self) -> Arc<Clients> {
        Arc::clone(&self.clients)
    }

    /// Closes the port and every connection, and waits until that is done.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        // A panic of the broker has been reported by the panic hook; its port is closed either way.
        let _ = self.running.await;
    }
}

fn config(packet_limit: usize, events: Arc<dyn BrokerEventHandler>) -> BrokerConfig {
    let mut config = BrokerConfig::default()
        .with_session_expiry(Duration::ZERO)
        .with_max_packet_size(packet_limit)
        .with_retain_available(false)
        .with_sys_topics_enabled(false);
    config.topic_alias_maximum = TOPIC_ALIASES;
    config.max_subscriptions_per_client = SUBSCRIPTIONS;
    config.server_receive_maximum = Some(UNFINISHED);
    config.client_channel_capacity = OUTGOING;
    config.event_handler = Some(events);
    config
}

/// What all connections share.
struct Floor {
    config: Arc<BrokerConfig>,
    rules: Arc<dyn AuthProvider>,
    stats: Arc<BrokerStats>,
    monitor: Arc<ResourceMonitor>,
    router: Arc<MessageRouter>,
    /// Tells the connections that the broker ends.
    ended: broadcast::Sender<()>,
}

impl Floor {
    fn new(packet_limit: usize, clients: &Arc<Clients>) -> Self {
        let events = Arc::clone(clients) as Arc<dyn BrokerEventHandler>;
        let router = Arc::new(MessageRouter::new().with_event_handler(Arc::clone(&events)));
        clients.reach_through(&router);
        Self {
            config: Arc::new(config(packet_limit, events)),
            rules: Arc::clone(clients) as Arc<dyn AuthProvider>,
            stats: Arc::new(BrokerStats::new()),
            // The door has counted the connections, and the access counts the messages.
            monitor: Arc::new(ResourceMonitor::new(ResourceLimits {
                max_connections: usize::MAX,
                max_connections_per_ip: usize::MAX,
                max_message_rate_per_client: 0,
                max_bandwidth_per_client: 0,
                ..ResourceLimits::default()
            })),
            router,
            ended: broadcast::Sender::new(1),
        }
    }

    fn welcome(&self, Caller { stream, peer, .. }: Caller) -> ClientHandler {
        let transport = match stream {
            Stream::Plain(stream) => BrokerTransport::tcp(stream),
            Stream::Tls(stream) => BrokerTransport::tls(TlsStreamWrapper::new(*stream)),
        };
        ClientHandler::new(
            transport,
            peer,
            Arc::clone(&self.config),
            Arc::clone(&self.router),
            Arc::clone(&self.rules),
            None,
            Arc::clone(&self.stats),
            Arc::clone(&self.monitor),
            self.ended.subscribe(),
        )
    }
}

async fn run(door: Door, floor: Floor, clients: Arc<Clients>, stop: CancellationToken) {
    let (router, ended) = (Arc::clone(&floor.router), floor.ended.clone());
    let serving = door.serve(stop.clone(), move |caller| {
        let client = floor.welcome(caller);
        async move {
            if let Err(error) = client.run().await {
                tracing::debug!(%error, "an MQTT connection ended");
            }
        }
    });
    let ending = async {
        stop.cancelled().await;
        // Nobody may be connected.
        let _ = ended.send(());
    };
    let sweeping = stop.run_until_cancelled(sweep(&router));
    let bringing = stop.run_until_cancelled(clients.bring());
    tokio::join!(serving, ending, sweeping, bringing);
}

async fn sweep(router: &MessageRouter) {
    let mut turns = interval(SWEEP);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        router.sweep_sessions().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Error, Listen, Result,
        access::{Key, Protocol, Taken},
        gateway::commands::Commands,
        limits::Limiter,
        listening::Service,
        ports::Patience,
        refusals::Refusals,
    };
    use async_trait::async_trait;
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, PublishOptions};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Admits everybody; its disk is full until it is not.
    #[derive(Default)]
    struct FullDisk(Refusals, AtomicBool, Limiter);

    #[async_trait]
    impl Access for FullDisk {
        fn login(
            &self,
            _protocol: Protocol,
            _user: &str,
            _password: &[u8],
        ) -> std::result::Result<u64, String> {
            Ok(1)
        }

        fn key(&self, _identity: &str) -> std::result::Result<Key, String> {
            Err("there are no keys".to_owned())
        }

        fn commands(&self) -> Option<&Commands> {
            None
        }

        fn may_publish(&self, _user: &str, _topic: &str) -> bool {
            true
        }

        fn may_subscribe(&self, _user: &str, _filter: &str) -> bool {
            false
        }

        async fn publish(&self, _user: &str, _topic: &str, _payload: &[u8]) -> Result<Taken> {
            if self.1.load(Ordering::SeqCst) {
                Ok(Taken::default())
            } else {
                Err(Error::store("the disk is full"))
            }
        }

        fn refusals(&self) -> &Refusals {
            &self.0
        }

        fn limits(&self) -> &Limiter {
            &self.2
        }
    }

    #[tokio::test]
    async fn a_message_that_cannot_be_stored_is_not_acknowledged_and_the_client_is_told() {
        let disk = Arc::new(FullDisk::default());
        let access = Arc::clone(&disk) as Arc<dyn Access>;
        let patience = Patience::new(Duration::ZERO);
        let door = Door::open(&Listen::default(), 0, Service::MQTT, 10, patience).await.unwrap();
        let port = door.port();
        let broker = Broker::start(door, 64 * 1024, access);
        for full in [true, false] {
            disk.1.store(!full, Ordering::SeqCst);
            let mut options = MqttOptions::new("d1", ("127.0.0.1", port));
            options.set_credentials("d1", "any");
            let (client, mut events) = AsyncClient::builder(options).capacity(1).build();
            client.publish("t", "x", PublishOptions::at_least_once()).await.unwrap();
            let acknowledged = loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::PubAck(_))) => break true,
                    Ok(_) => {}
                    Err(_) => break false,
                }
            };
            assert_eq!(acknowledged, !full);
        }
        broker.stop().await;
    }
}
