//! The server: things publish SenML packs to their channels over MQTT, and messages are read back over HTTP.

mod management;
mod messages;
mod reading;
mod retention;
mod state;
mod sum;
mod summary;
mod tables;

use crate::{
    Limits, Listen, Ports, Result, Secret,
    access::{Access, Key, Protocol, Taken},
    broker::{Broker, Clients},
    clock,
    data_dir::DataDir,
    following::Followers,
    gateway::commands::Commands,
    http,
    limits::Limiter,
    listening::{Addresses, Doors, Wanted},
    log::Log,
    managing::Changes,
    metrics::Counters,
    ports::{PATIENCE, Patience},
    refusals::Refusals,
    seats::Seats,
    senml::Record,
    store::Store,
    web,
};
use async_trait::async_trait;
use futures::future::join_all;
use messages::Bounds;
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use typed_builder::TypedBuilder;

/// What a server needs to start.
#[derive(Debug, Clone, TypedBuilder)]
#[builder(field_defaults(setter(into)))]
#[non_exhaustive]
pub struct ServerConfig {
    /// The directory of its state. It is created where needed, and used by one server at a time.
    pub data_dir: PathBuf,
    /// The bearer token of the management API. It is not stored: hand it in at each start.
    pub admin_token: Secret,
    /// Where things connect.
    #[builder(default)]
    pub listen: Listen,
    /// Where the management API is; the loopback interface without TLS if not set.
    #[builder(default)]
    pub management: Option<Listen>,
    /// The ports; the one for CoAP is not used.
    #[builder(default)]
    pub ports: Ports,
    /// How much is taken.
    #[builder(default)]
    pub limits: Limits,
    /// How long messages are kept; for ever if not set.
    #[builder(default)]
    pub retention: Option<Duration>,
    /// How long a start waits for ports that other programs have, 3 s if not set.
    #[builder(default = PATIENCE)]
    pub patience: Duration,
}

/// A running server.
///
/// Dropping it ends it soon after; [`Server::stop`] ends it and returns when its ports and files are free.
#[derive(Debug)]
pub struct Server {
    addresses: Addresses,
    app: Arc<App>,
    broker: Broker,
    serving: [JoinHandle<()>; 3],
    stop: DropGuard,
}

/// What lives as long as messages are taken.
#[derive(Debug)]
pub(crate) struct Core {
    store: Store,
    refusals: Refusals,
    counters: Arc<Counters>,
    log: Arc<Log>,
    limiter: Limiter,
    limits: Limits,
    retention: Option<Duration>,
    /// Who follows the messages of a channel.
    followers: Followers<Record>,
}

/// What the management API works on.
pub(crate) struct App {
    core: Arc<Core>,
    clients: Arc<Clients>,
    seats: [(&'static str, Arc<Seats>); 2],
    changes: Changes,
    stop: CancellationToken,
}

impl std::fmt::Debug for App {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("App").finish_non_exhaustive()
    }
}

impl Server {
    /// Starts a server, or starts it again on what its data directory holds. It needs a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Taken`](crate::ErrorKind::Taken) if the data directory is in use, or a port is and stays so,
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if the directory cannot be used, and
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a limit that lets nothing through, for a certificate that cannot
    /// be used, and for an address beyond this host without TLS unless that is `insecure`.
    pub async fn start(config: ServerConfig) -> Result<Self> {
        let ServerConfig { listen, management, ports, limits, patience, .. } = config.clone();
        let ports = Ports { coap: 0, ..ports };
        let wanted = Wanted { data: listen, management, ports, limits, patience, closed: false };
        wanted.check()?;
        let dir = DataDir::open(&config.data_dir)?;
        let store = dir.store("server.redb", state::setup)?;
        let (log, counters) = (Arc::new(Log::open(&config.data_dir)?), Arc::<Counters>::default());
        store.report_to(Arc::clone(&log));
        let core = Arc::new(Core {
            store,
            refusals: Refusals::new(Arc::clone(&counters), Arc::clone(&log)),
            counters,
            log,
            limiter: Limiter::new(&config.limits),
            limits: config.limits,
            retention: config.retention,
            followers: Followers::default(),
        });
        let started = Self::listen(&core, &dir, &wanted, config.admin_token).await;
        match &started {
            Ok(_) => core.log.started("server"),
            Err(error) => {
                core.log.error("failed", "", format!("the server did not start: {error}"));
                core.close().await;
            }
        }
        started
    }

    async fn listen(core: &Arc<Core>, dir: &DataDir, wanted: &Wanted, admin: Secret) -> Result<Self> {
        let access = Arc::clone(core) as Arc<dyn Access>;
        let patience = Patience::new(wanted.patience);
        let (Doors { mqtt, http, management }, ports) = wanted.open(dir, patience).await?;
        dir.record(ports)?;
        let seats = [("mqtt", mqtt.seats()), ("http", http.seats())];
        let packet = wanted.limits.packet;
        let broker = Broker::start(mqtt, packet, Arc::clone(&access));
        let stop = CancellationToken::new();
        let app = Arc::new(App {
            core: Arc::clone(core),
            clients: broker.clients(),
            seats,
            changes: Changes::default(),
            stop: stop.clone(),
        });
        let router = management::router(Arc::clone(&app), admin);
        let serving = [
            http::serve(http, "server", packet, access, stop.clone()),
            web::serve(management, router, stop.clone()),
            retention::start(Arc::clone(core), stop.clone()),
        ];
        let addresses = wanted.addresses(ports);
        Ok(Self { addresses, app, broker, serving, stop: stop.drop_guard() })
    }

    /// Where things connect that speak MQTT.
    #[must_use]
    pub const fn mqtt_address(&self) -> SocketAddr {
        self.addresses.mqtt
    }

    /// Where things connect that speak HTTP.
    #[must_use]
    pub const fn http_address(&self) -> SocketAddr {
        self.addresses.http
    }

    /// Where the management API is.
    #[must_use]
    pub const fn management_address(&self) -> SocketAddr {
        self.addresses.management
    }

    /// Ends the server: when it returns, ports and files are free and everything acknowledged is on disk.
    pub async fn stop(self) {
        drop(self.stop);
        // A panic of the task has been reported by the panic hook.
        let _ = join_all(self.serving).await;
        self.broker.stop().await;
        self.app.changes.finish().await;
        self.app.core.log.stopped("server");
        self.app.core.close().await;
    }
}

impl Core {
    /// What is kept of each tenant's messages.
    fn bounds(&self, now: f64) -> Bounds {
        let since = self.retention.map_or(f64::NEG_INFINITY, |retention| now - retention.as_secs_f64());
        Bounds { since, bytes: self.limits.stored }
    }

    /// Releases the files.
    async fn close(&self) {
        self.store.close().await;
        self.log.close().await;
    }

    /// The channel of a topic that this thing may publish to.
    fn own_channel(&self, thing: &str, topic: &str) -> Option<String> {
        let named = topic.strip_prefix("channels/")?.strip_suffix("/messages")?;
        let channel = self.store.read(|txn| state::channel(txn, thing)).ok()??;
        (named == channel).then_some(channel)
    }
}

#[async_trait]
impl Access for Core {
    fn login(&self, _: Protocol, user: &str, password: &[u8]) -> Result<u64, String> {
        self.store
            .read(|txn| state::login(txn, user, password))
            .unwrap_or_else(|error| Err(error.to_string()))
    }

    fn key(&self, _identity: &str) -> Result<Key, String> {
        Err("a server does not speak coap".to_owned())
    }

    fn commands(&self) -> Option<&Commands> {
        None
    }

    fn may_publish(&self, user: &str, topic: &str) -> bool {
        self.own_channel(user, topic).is_some()
    }

    fn may_subscribe(&self, _user: &str, _filter: &str) -> bool {
        false
    }

    async fn publish(&self, user: &str, topic: &str, payload: &[u8]) -> Result<Taken> {
        let Some(channel) = self.own_channel(user, topic) else { return Ok(Taken::default()) };
        let (thing, pack) = (user.to_owned(), payload.to_vec());
        let now = clock::now();
        let (bounds, into) = (self.bounds(now), channel.clone());
        let stored =
            self.store.write(move |txn| state::ingest(txn, &thing, &into, &pack, now, bounds)).await?;
        self.followers.tell(&channel, &stored.fresh);
        self.counters.message(&stored.taken);
        self.log.rejected(user, &stored.taken.rejected);
        if stored.dropped > 0 {
            let dropped = format!("{} older messages were dropped to make room", stored.dropped);
            self.log.warning("dropped", user, dropped);
        }
        Ok(stored.taken)
    }

    fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    fn limits(&self) -> &Limiter {
        &self.limiter
    }
}
