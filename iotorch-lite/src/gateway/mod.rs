//! The gateway: devices log in over MQTT, their readings are judged by their profiles and forwarded to every export.

mod forward;
mod management;
pub(crate) mod outbox;
mod readings;
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
use forward::{Forwarders, Links};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};
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
    /// The MQTT port. With 0, the one used before in this directory, or at first any free one.
    #[builder(default)]
    pub mqtt_port: u16,
    /// The port of the management API, chosen like the MQTT port.
    #[builder(default)]
    pub management_port: u16,
    /// The most readings that wait for exports; past it the oldest are dropped and counted.
    #[builder(default = 100_000)]
    pub outbox_limit: u64,
    /// The largest MQTT packet in bytes, at least 1024.
    #[builder(default = 64 * 1024)]
    pub packet_limit: usize,
}

/// A running gateway. It listens on the loopback interface only.
///
/// Dropping it ends it soon after; [`Gateway::stop`] ends it and returns when its ports and files are free.
#[derive(Debug)]
pub struct Gateway {
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
    links: Links,
    /// Told of each change of the outbox.
    appended: watch::Sender<()>,
    outbox_limit: u64,
}

/// What the management API works on.
pub(crate) struct App {
    core: Arc<Core>,
    clients: Arc<Clients>,
    forwarders: Forwarders,
    changes: Changes,
    stop: CancellationToken,
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
    /// [`ErrorKind::Taken`](crate::ErrorKind::Taken) if a port or the data directory is in use, and
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if the directory cannot be used.
    pub async fn start(config: GatewayConfig) -> Result<Self> {
        let dir = DataDir::open(&config.data_dir)?;
        let store = dir.store("gateway.redb", state::setup)?;
        let core = Arc::new(Core {
            store,
            refusals: Refusals::default(),
            links: Links::default(),
            appended: watch::Sender::new(()),
            outbox_limit: config.outbox_limit,
        });
        let started = Self::listen(&core, &dir, config).await;
        if started.is_err() {
            core.store.close().await;
        }
        started
    }

    async fn listen(core: &Arc<Core>, dir: &DataDir, config: GatewayConfig) -> Result<Self> {
        let configured = Ports { mqtt: config.mqtt_port, management: config.management_port };
        let access = Arc::clone(core) as Arc<dyn Access>;
        let Listening { ports, management, broker } =
            Listening::open(dir, configured, config.packet_limit, access).await?;
        let stop = CancellationToken::new();
        let app = Arc::new(App {
            core: Arc::clone(core),
            clients: broker.clients(),
            forwarders: Forwarders::default(),
            changes: Changes::default(),
            stop: stop.clone(),
        });
        app.forwarders.follow(core, &stop).await?;
        let router = management::router(Arc::clone(&app), config.admin_token);
        let serving = web::serve(management, router, stop.clone());
        Ok(Self { ports, app, broker, serving, stop: stop.drop_guard() })
    }

    /// Where devices connect.
    #[must_use]
    pub fn mqtt_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.mqtt).into()
    }

    /// Where the management API is.
    #[must_use]
    pub fn management_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.management).into()
    }

    /// Ends the gateway: when it returns, ports and files are free and everything acknowledged is on disk.
    pub async fn stop(self) {
        drop(self.stop);
        // A panic of the task has been reported by the panic hook.
        let _ = self.serving.await;
        self.broker.stop().await;
        self.app.changes.finish().await;
        self.app.forwarders.finish().await;
        self.app.core.store.close().await;
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
    fn login(&self, user: &str, password: &[u8]) -> Result<u64, String> {
        self.store
            .read(|txn| state::login(txn, user, password))
            .unwrap_or_else(|error| Err(error.to_string()))
    }

    fn may_publish(&self, user: &str, topic: &str) -> bool {
        own_topic(user, topic).is_some()
    }

    fn may_subscribe(&self, user: &str, filter: &str) -> bool {
        filter.strip_prefix("devices/").and_then(|rest| rest.strip_prefix(user)) == Some("/commands/#")
    }

    async fn publish(&self, user: &str, topic: &str, payload: &[u8]) -> Result<()> {
        let Some(resource) = own_topic(user, topic) else { return Ok(()) };
        let (device, resource, payload) = (user.to_owned(), resource.map(str::to_owned), payload.to_vec());
        let limit = self.outbox_limit;
        self.store
            .write(move |txn| state::ingest(txn, &device, resource.as_deref(), &payload, clock::now(), limit))
            .await?;
        self.appended.send_replace(());
        Ok(())
    }

    fn refusals(&self) -> &Refusals {
        &self.refusals
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
