//! The gateway: devices log in over MQTT, HTTP or CoAP, their readings are judged by their profiles and forwarded to every export.

mod bus;
pub(crate) mod commands;
mod forward;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod management;
mod orders;
pub(crate) mod outbox;
mod readings;
mod repeats;
mod state;

use crate::{
    Bus, Limits, Listen, Ports, Result, Secret,
    access::{Access, Key, Protocol, Taken},
    broker::{Broker, Clients},
    clock,
    coap::{CoapLimits, CoapListener, Peers},
    data_dir::DataDir,
    http,
    limits::Limiter,
    listening::{Addresses, Doors, Wanted},
    log::Log,
    managing::Changes,
    metrics::Counters,
    ports::{PATIENCE, Patience},
    refusals::Refusals,
    seats::Seats,
    store::Store,
    tls, web,
};
use async_trait::async_trait;
use commands::Commands;
use forward::{Forwarders, Links};
use futures::future::join_all;
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};
use typed_builder::TypedBuilder;

/// What a gateway needs to start.
#[derive(Debug, Clone, TypedBuilder)]
#[builder(field_defaults(setter(into)))]
#[non_exhaustive]
pub struct GatewayConfig {
    /// The directory of its state. It is created where needed, and used by one gateway at a time.
    pub data_dir: PathBuf,
    /// The bearer token of the management API. It is not stored: hand it in at each start.
    pub admin_token: Secret,
    /// Where devices connect.
    #[builder(default)]
    pub listen: Listen,
    /// Where the management API is; the loopback interface without TLS if not set.
    #[builder(default)]
    pub management: Option<Listen>,
    /// The ports. With a bus, doors for devices that have none here stay closed.
    #[builder(default)]
    pub ports: Ports,
    /// The bus that it reads, if any.
    #[builder(default)]
    pub bus: Option<Bus>,
    /// How much is taken.
    #[builder(default)]
    pub limits: Limits,
    /// A PEM file of the authorities that the targets of exports with TLS are checked against, in place of those that the
    /// system trusts.
    #[builder(default)]
    pub trust: Option<PathBuf>,
    /// The most readings that wait for exports; past it the oldest are dropped and counted. So they are past the bytes of
    /// [`Limits::stored`].
    #[builder(default = 100_000)]
    pub outbox_limit: u64,
    /// How long a start waits for ports that other programs have, 3 s if not set.
    #[builder(default = PATIENCE)]
    pub patience: Duration,
}

/// A running gateway.
///
/// Dropping it ends it soon after; [`Gateway::stop`] ends it and returns when its ports and files are free.
#[derive(Debug)]
pub struct Gateway {
    addresses: Addresses,
    app: Arc<App>,
    broker: Broker,
    coap: CoapListener,
    serving: [JoinHandle<()>; 2],
    reading: Option<JoinHandle<()>>,
    stop: DropGuard,
}

/// What lives as long as messages are taken.
#[derive(Debug)]
pub(crate) struct Core {
    store: Arc<Store>,
    commands: Commands,
    refusals: Refusals,
    counters: Arc<Counters>,
    log: Arc<Log>,
    limiter: Limiter,
    links: Links,
    /// Told of each change of the outbox.
    appended: watch::Sender<()>,
    bounds: outbox::Bounds,
    bus: Option<bus::Reader>,
    trust: Option<PathBuf>,
}

/// What the management API works on.
pub(crate) struct App {
    core: Arc<Core>,
    clients: Connected,
    seats: [(&'static str, Arc<Seats>); 2],
    forwarders: Forwarders,
    changes: Changes,
    stop: CancellationToken,
}

/// The devices that are connected. Over HTTP each request logs in for itself.
pub(crate) struct Connected {
    mqtt: Arc<Clients>,
    coap: Arc<Peers>,
}

impl Connected {
    /// Ends what rests on one credential of a device, or on any of them.
    pub(crate) async fn disconnect(&self, device: &str, generation: Option<u64>) {
        self.mqtt.disconnect(device, generation).await;
        self.coap.disconnect(device, generation);
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("App").finish_non_exhaustive()
    }
}

impl Gateway {
    /// Starts a gateway, or starts it again on what its data directory holds. It needs a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Taken`](crate::ErrorKind::Taken) if the data directory is in use, or a port is and stays so,
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if the directory cannot be used, and
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a limit that lets nothing through, for a bus that cannot be read
    /// ([`Bus::check`]), for a certificate that cannot be used, and for an address beyond this host without TLS unless that is `insecure`.
    pub async fn start(config: GatewayConfig) -> Result<Self> {
        let GatewayConfig { listen, management, ports, limits, patience, .. } = config.clone();
        let closed = config.bus.is_some();
        let wanted = Wanted { data: listen, management, ports, limits, patience, closed };
        wanted.check()?;
        config.bus.iter().try_for_each(Bus::check)?;
        if let Some(trust) = &config.trust {
            tls::trusting(Some(trust))?;
        }
        let dir = DataDir::open(&config.data_dir)?;
        let store = dir.store("gateway.redb", state::setup)?;
        let core = Arc::new(Core::new(&config, store, Log::open(&config.data_dir)?));
        let started = Self::listen(&core, &dir, &wanted, config.admin_token).await;
        match &started {
            Ok(_) => core.log.started("gateway"),
            Err(error) => {
                core.log.error("failed", "", format!("the gateway did not start: {error}"));
                core.close().await;
            }
        }
        started
    }

    async fn listen(core: &Arc<Core>, dir: &DataDir, wanted: &Wanted, admin: Secret) -> Result<Self> {
        let access = Arc::clone(core) as Arc<dyn Access>;
        let patience = Patience::new(wanted.patience);
        let (Doors { mqtt, http, management }, ports) = wanted.open(dir, patience).await?;
        let limits = CoapLimits { sessions: wanted.limits.connections, packet: wanted.limits.packet };
        let at = SocketAddr::from((wanted.data.address, ports.coap));
        let coap = match ports.coap {
            0 if wanted.closed => CoapListener::closed(limits),
            _ => CoapListener::start(at, Arc::clone(&access), limits, patience).await?,
        };
        let ports = Ports { coap: coap.port(), ..ports };
        dir.record(ports)?;
        let seats = [("mqtt", mqtt.seats()), ("http", http.seats())];
        let packet = wanted.limits.packet;
        let broker = Broker::start(mqtt, packet, Arc::clone(&access));
        let stop = CancellationToken::new();
        let app = Arc::new(App {
            core: Arc::clone(core),
            clients: Connected { mqtt: broker.clients(), coap: coap.peers() },
            seats,
            forwarders: Forwarders::default(),
            changes: Changes::default(),
            stop: stop.clone(),
        });
        app.forwarders.follow(core, &stop).await?;
        let router = management::router(Arc::clone(&app), admin);
        let serving = [
            http::serve(http, "gateway", packet, access, stop.clone()),
            web::serve(management, router, stop.clone()),
        ];
        let reading = bus::read(core, stop.clone());
        let addresses = wanted.addresses(ports);
        Ok(Self { addresses, app, broker, coap, serving, reading, stop: stop.drop_guard() })
    }

    /// Where devices connect that speak MQTT; port 0 where that door is closed.
    #[must_use]
    pub const fn mqtt_address(&self) -> SocketAddr {
        self.addresses.mqtt
    }

    /// Where devices connect that speak HTTP; port 0 where that door is closed.
    #[must_use]
    pub const fn http_address(&self) -> SocketAddr {
        self.addresses.http
    }

    /// Where devices connect that speak CoAP over DTLS; port 0 where that door is closed.
    #[must_use]
    pub const fn coap_address(&self) -> SocketAddr {
        self.addresses.coap
    }

    /// Where the management API is.
    #[must_use]
    pub const fn management_address(&self) -> SocketAddr {
        self.addresses.management
    }

    /// Ends the gateway: when it returns, ports and files are free and everything acknowledged is on disk.
    pub async fn stop(self) {
        drop(self.stop);
        // A panic of the task has been reported by the panic hook.
        let _ = join_all(self.serving.into_iter().chain(self.reading)).await;
        self.broker.stop().await;
        self.coap.stop().await;
        self.app.changes.finish().await;
        self.app.forwarders.finish().await;
        self.app.core.log.stopped("gateway");
        self.app.core.close().await;
    }
}

impl Core {
    fn new(config: &GatewayConfig, store: Store, log: Log) -> Self {
        let (store, log, counters) = (Arc::new(store), Arc::new(log), Arc::<Counters>::default());
        store.report_to(Arc::clone(&log));
        Self {
            commands: Commands::new(Arc::clone(&store)),
            store,
            refusals: Refusals::new(Arc::clone(&counters), Arc::clone(&log)),
            counters,
            log,
            limiter: Limiter::new(&config.limits),
            links: Links::default(),
            appended: watch::Sender::new(()),
            bus: config.bus.clone().map(bus::Reader::new),
            bounds: outbox::Bounds { readings: config.outbox_limit, bytes: config.limits.stored },
            trust: config.trust.clone(),
        }
    }

    /// Logs that the oldest readings had to make room.
    fn tell_dropped(&self, dropped: u64) {
        if dropped > 0 {
            let message = format!("{dropped} readings were dropped because the outbox was full");
            self.log.warning("dropped", "", message);
        }
    }

    /// Releases the files.
    async fn close(&self) {
        self.store.close().await;
        self.log.close().await;
    }
}

/// The resource a topic names, if the topic is one that this device may publish to.
fn own_topic<'a>(device: &str, topic: &'a str) -> Option<Option<&'a str>> {
    let rest = topic.strip_prefix("devices/")?.strip_prefix(device)?;
    match rest.strip_prefix('/') {
        None => rest.is_empty().then_some(None),
        Some(resource) => (!resource.is_empty() && !resource.contains('/')).then_some(Some(resource)),
    }
}

#[async_trait]
impl Access for Core {
    fn login(&self, protocol: Protocol, user: &str, password: &[u8]) -> Result<u64, String> {
        self.store
            .read(|txn| state::login(txn, protocol, user, password))
            .unwrap_or_else(|error| Err(error.to_string()))
    }

    fn key(&self, identity: &str) -> Result<Key, String> {
        self.store.read(|txn| state::key(txn, identity)).unwrap_or_else(|error| Err(error.to_string()))
    }

    fn commands(&self) -> Option<&Commands> {
        Some(&self.commands)
    }

    fn may_publish(&self, user: &str, topic: &str) -> bool {
        own_topic(user, topic).is_some()
    }

    fn may_subscribe(&self, user: &str, filter: &str) -> bool {
        filter.strip_prefix("devices/").and_then(|rest| rest.strip_prefix(user)) == Some("/commands/#")
    }

    async fn publish(&self, user: &str, topic: &str, payload: &[u8]) -> Result<Taken> {
        let Some(resource) = own_topic(user, topic) else { return Ok(Taken::default()) };
        let (device, resource, payload) = (user.to_owned(), resource.map(str::to_owned), payload.to_vec());
        let bounds = self.bounds;
        let (taken, dropped) = self
            .store
            .write(move |txn| {
                state::ingest(txn, &device, resource.as_deref(), &payload, clock::now(), bounds)
            })
            .await?;
        self.appended.send_replace(());
        self.counters.message(&taken);
        self.log.rejected(user, &taken.rejected);
        self.tell_dropped(dropped);
        Ok(taken)
    }

    fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    fn limits(&self) -> &Limiter {
        &self.limiter
    }
}

#[cfg(test)]
mod tests {
    use super::own_topic;

    #[test]
    fn a_device_has_its_own_topic_and_one_for_each_resource() {
        assert_eq!(own_topic("d1", "devices/d1"), Some(None));
        assert_eq!(own_topic("d1", "devices/d1/temperature"), Some(Some("temperature")));
        for topic in
            ["devices/d12", "devices/d2", "devices/d1/", "devices/d1/commands/x", "other/d1", "devices/"]
        {
            assert_eq!(own_topic("d1", topic), None, "{topic}");
        }
    }
}
