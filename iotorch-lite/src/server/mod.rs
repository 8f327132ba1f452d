//! The server: things publish SenML packs to their channels over MQTT, and messages are read back over HTTP.

mod management;
mod messages;
mod state;

use crate::{
    Result, Secret,
    broker::{Access, Broker, Clients},
    clock,
    data_dir::{DataDir, Ports},
    listening::Listening,
    managing::Changes,
    refusals::Refusals,
    store::Store,
    web,
};
use async_trait::async_trait;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};
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
    /// The MQTT port. With 0, the one used before in this directory, or at first any free one.
    #[builder(default)]
    pub mqtt_port: u16,
    /// The port of the management API, chosen like the MQTT port.
    #[builder(default)]
    pub management_port: u16,
    /// The largest MQTT packet in bytes, at least 1024. A gateway sends packs of up to 60 KiB.
    #[builder(default = 64 * 1024)]
    pub packet_limit: usize,
}

/// A running server. It listens on the loopback interface only.
///
/// Dropping it ends it soon after; [`Server::stop`] ends it and returns when its ports and files are free.
#[derive(Debug)]
pub struct Server {
    ports: Ports,
    app: Arc<App>,
    broker: Broker,
    serving: JoinHandle<()>,
    stop: DropGuard,
}

/// What lives as long as messages are taken.
#[derive(Debug)]
pub(crate) struct Core {
    store: Store,
    refusals: Refusals,
}

/// What the management API works on.
pub(crate) struct App {
    core: Arc<Core>,
    clients: Arc<Clients>,
    changes: Changes,
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
    /// [`ErrorKind::Taken`](crate::ErrorKind::Taken) if a port or the data directory is in use, and
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if the directory cannot be used.
    pub async fn start(config: ServerConfig) -> Result<Self> {
        let dir = DataDir::open(&config.data_dir)?;
        let store = dir.store("server.redb", state::setup)?;
        let core = Arc::new(Core { store, refusals: Refusals::default() });
        let started = Self::listen(&core, &dir, config).await;
        if started.is_err() {
            core.store.close().await;
        }
        started
    }

    async fn listen(core: &Arc<Core>, dir: &DataDir, config: ServerConfig) -> Result<Self> {
        let configured = Ports { mqtt: config.mqtt_port, management: config.management_port };
        let access = Arc::clone(core) as Arc<dyn Access>;
        let Listening { ports, management, broker } =
            Listening::open(dir, configured, config.packet_limit, access).await?;
        let stop = CancellationToken::new();
        let app =
            Arc::new(App { core: Arc::clone(core), clients: broker.clients(), changes: Changes::default() });
        let router = management::router(Arc::clone(&app), config.admin_token);
        let serving = web::serve(management, router, stop.clone());
        Ok(Self { ports, app, broker, serving, stop: stop.drop_guard() })
    }

    /// Where things connect.
    #[must_use]
    pub fn mqtt_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.mqtt).into()
    }

    /// Where the management API is.
    #[must_use]
    pub fn management_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.management).into()
    }

    /// Ends the server: when it returns, ports and files are free and everything acknowledged is on disk.
    pub async fn stop(self) {
        drop(self.stop);
        // A panic of the task has been reported by the panic hook.
        let _ = self.serving.await;
        self.broker.stop().await;
        self.app.changes.finish().await;
        self.app.core.store.close().await;
    }
}

impl Core {
    /// The channel of a topic that this thing may publish to.
    fn own_channel(&self, thing: &str, topic: &str) -> Option<String> {
        let named = topic.strip_prefix("channels/")?.strip_suffix("/messages")?;
        let channel = self.store.read(|txn| state::channel(txn, thing)).ok()??;
        (named == channel).then_some(channel)
    }
}

#[async_trait]
impl Access for Core {
    fn login(&self, user: &str, password: &[u8]) -> Result<u64, String> {
        self.store
            .read(|txn| state::login(txn, user, password))
            .unwrap_or_else(|error| Err(error.to_string()))
    }

    fn may_publish(&self, user: &str, topic: &str) -> bool {
        self.own_channel(user, topic).is_some()
    }

    fn may_subscribe(&self, _user: &str, _filter: &str) -> bool {
        false
    }

    async fn publish(&self, user: &str, topic: &str, payload: &[u8]) -> Result<()> {
        let Some(channel) = self.own_channel(user, topic) else { return Ok(()) };
        let (thing, pack) = (user.to_owned(), payload.to_vec());
        self.store.write(move |txn| state::ingest(txn, &thing, &channel, &pack, clock::now())).await
    }

    fn refusals(&self) -> &Refusals {
        &self.refusals
    }
}
