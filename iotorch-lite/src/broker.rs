//! The MQTT broker of a gateway or server: it takes messages from clients that have proved who they are and hands
//! them to an [`Access`], before it acknowledges them.
//!
//! Nothing is routed from client to client. The broker keeps no session past a connection, no retained message and
//! nothing on disk: what must last is stored by the `Access`.

use crate::{Error, ErrorKind, Result, listening::listen, refusals::Refusals};
use async_trait::async_trait;
use mqtt5::{
    MqttError, QoS,
    broker::{
        AuthProvider, AuthResult, BrokerConfig, BrokerEventHandler, BrokerShutdownHandle, ClientConnectEvent,
        ClientPublishEvent, MqttBroker, PublishAction, StorageBackendType, StorageConfig,
        router::MessageRouter,
    },
    packet::{connect::ConnectPacket, publish::PublishPacket},
    protocol::v5::reason_codes::ReasonCode,
};
use std::{
    collections::HashMap,
    fmt,
    future::{Future, ready},
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// Who may do what, and where messages go.
#[async_trait]
pub(crate) trait Access: Send + Sync + 'static {
    /// The generation of the credential that this password is, or why the login is refused.
    fn login(&self, user: &str, password: &[u8]) -> std::result::Result<u64, String>;

    fn may_publish(&self, user: &str, topic: &str) -> bool;

    fn may_subscribe(&self, user: &str, filter: &str) -> bool;

    /// Stores a message durably. The message is acknowledged if and only if this succeeds.
    async fn publish(&self, user: &str, topic: &str, payload: &[u8]) -> Result<()>;

    fn refusals(&self) -> &Refusals;
}

/// A running broker.
pub(crate) struct Broker {
    port: u16,
    clients: Arc<Clients>,
    shutdown: BrokerShutdownHandle,
    running: JoinHandle<()>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Broker").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Broker {
    /// Listens on a port of the loopback interface, 0 for any free one.
    ///
    /// `packet_limit` is in bytes, at least 1024; a client that sends more is disconnected.
    pub(crate) async fn start(port: u16, packet_limit: usize, access: Arc<dyn Access>) -> Result<Self> {
        // The broker reports a taken port as a text only, so the port is tried here first.
        if port != 0 {
            drop(listen(port).await?);
        }
        let clients = Arc::new(Clients { access, sessions: Mutex::default(), router: OnceLock::new() });
        let mut config = BrokerConfig::default()
            .with_bind_address(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .with_session_expiry(Duration::ZERO)
            .with_max_packet_size(packet_limit)
            .with_retain_available(false)
            .with_sys_topics_enabled(false)
            .with_storage(StorageConfig::new().with_backend(StorageBackendType::Memory));
        config.event_handler = Some(Arc::clone(&clients) as Arc<dyn BrokerEventHandler>);
        let failed =
            |error: MqttError| Error::new(ErrorKind::Taken, "cannot start the MQTT broker").caused_by(error);
        let mut broker = MqttBroker::with_config(config)
            .await
            .map_err(failed)?
            .with_auth_provider(Arc::clone(&clients) as Arc<dyn AuthProvider>);
        let port = broker.local_addr().map_or(port, |address| address.port());
        let _ = clients.router.set(Arc::downgrade(&broker.router()));
        let shutdown = broker.shutdown_handle();
        let mut ready = broker.ready_receiver();
        let running = tokio::spawn(async move {
            if let Err(error) = broker.run().await {
                tracing::error!(%error, "the MQTT broker ended");
            }
        });
        // A broker that ends before it is ready has closed its side of the channel.
        if ready.wait_for(|ready| *ready).await.is_err() {
            return Err(Error::new(ErrorKind::Taken, "cannot start the MQTT broker"));
        }
        Ok(Self { port, clients, shutdown, running })
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn clients(&self) -> Arc<Clients> {
        Arc::clone(&self.clients)
    }

    /// Closes the port and every connection, and waits until that is done.
    pub(crate) async fn stop(mut self) {
        self.shutdown.shutdown();
        // A panic of the broker has been reported by the panic hook; its port is closed either way.
        let _ = (&mut self.running).await;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shutdown.shutdown();
    }
}

/// The clients that are logged in.
pub(crate) struct Clients {
    access: Arc<dyn Access>,
    sessions: Mutex<Sessions>,
    /// Weak, because the router holds its event handler, which this is.
    router: OnceLock<Weak<MessageRouter>>,
}

#[derive(Default)]
struct Sessions {
    /// By MQTT client identifier.
    logged_in: HashMap<String, Session>,
    /// Ended sessions are removed when there are this many.
    sweep_at: usize,
}

struct Session {
    user: String,
    generation: u64,
    since: Instant,
}

/// How long a login may take until the broker knows the client; its own limit is 10 s.
const HANDSHAKE: Duration = Duration::from_secs(30);

impl Clients {
    /// Ends the sessions of a user that rest on one credential, or all of them. It is called after the credential
    /// has gone from where [`Access::login`] looks, so no new session can rest on it.
    pub(crate) async fn disconnect(&self, user: &str, generation: Option<u64>) {
        let rests = |session: &Session| {
            session.user == user && generation.is_none_or(|generation| generation == session.generation)
        };
        let gone: Vec<_> = self
            .sessions()
            .logged_in
            .extract_if(|_, session| rests(session))
            .map(|(client, _)| client)
            .collect();
        for client in gone {
            self.drop_connection(&client).await;
        }
    }

    async fn drop_connection(&self, client: &str) {
        if let Some(router) = self.router.get().and_then(Weak::upgrade) {
            router.disconnect_client(client).await;
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_logged_in(&self, client: &str) -> bool {
        self.sessions().logged_in.contains_key(client)
    }

    /// Checks a login and remembers the session.
    async fn admit(&self, connect: &ConnectPacket) -> std::result::Result<String, (ReasonCode, String)> {
        self.sweep().await;
        let user = connect.username.as_deref().unwrap_or_default();
        let client = &connect.client_id;
        // The credential is checked under the same lock that `disconnect` takes, see there.
        let mut sessions = self.sessions();
        let generation = self
            .access
            .login(user, connect.password.as_deref().unwrap_or_default())
            .map_err(|reason| (ReasonCode::BadUsernameOrPassword, reason))?;
        if !belongs(client, user) {
            let reason = format!("the client identifier must be empty, \"{user}\" or start with \"{user}:\"");
            return Err((ReasonCode::ClientIdentifierNotValid, reason));
        }
        let session = Session { user: user.to_owned(), generation, since: Instant::now() };
        sessions.logged_in.insert(client.clone(), session);
        Ok(user.to_owned())
    }

    /// Forgets sessions that have ended, now and then. The broker's own event for the end of a connection cannot
    /// be used: it names the client only, which may have come back since.
    async fn sweep(&self) {
        let old: Vec<_> = {
            let mut sessions = self.sessions();
            if sessions.logged_in.len() < sessions.sweep_at.max(64) {
                return;
            }
            sessions.sweep_at = 2 * sessions.logged_in.len();
            let old = sessions.logged_in.iter().filter(|(_, session)| session.since.elapsed() > HANDSHAKE);
            old.map(|(client, session)| (client.clone(), session.since)).collect()
        };
        let Some(router) = self.router.get().and_then(Weak::upgrade) else { return };
        for (client, since) in old {
            if !router.is_connected(&client).await {
                let mut sessions = self.sessions();
                if sessions.logged_in.get(&client).is_some_and(|session| session.since == since) {
                    sessions.logged_in.remove(&client);
                }
            }
        }
    }

    /// Whether a request is allowed; if not, it is counted.
    fn allow(&self, client: &str, user: Option<&str>, rule: bool, what: &str) -> bool {
        let reason = if !self.is_logged_in(client) {
            format!("{what}, but its credential is no longer valid")
        } else if rule {
            return true;
        } else {
            format!("{what}, which is not its own")
        };
        self.access.refusals().request(user.unwrap_or_default(), &reason);
        false
    }
}

/// Whether a client identifier can be used by this user only. Those that the broker assigned to clients without one
/// are random.
fn belongs(client: &str, user: &str) -> bool {
    let own = client.strip_prefix(user).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    let assigned = || {
        let random = client.strip_prefix("auto-");
        random.is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    own || assigned()
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AuthProvider for Clients {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _client_addr: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        Box::pin(async move {
            Ok(match self.admit(connect).await {
                Ok(user) => AuthResult::success_with_user(user),
                Err((code, reason)) => {
                    self.access.refusals().login(connect.username.as_deref().unwrap_or_default(), &reason);
                    AuthResult::fail(code)
                }
            })
        })
    }

    fn authorize_publish<'a>(
        &'a self,
        client: &str,
        user: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        let rule = user.is_some_and(|user| self.access.may_publish(user, topic));
        Box::pin(ready(self.allow(client, user, rule, &format!("published to \"{topic}\""))))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        client: &str,
        user: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        let rule = user.is_some_and(|user| self.access.may_subscribe(user, filter));
        Box::pin(ready(self.allow(client, user, rule, &format!("subscribed to \"{filter}\""))))
    }
}

impl BrokerEventHandler for Clients {
    fn on_client_connect<'a>(&'a self, event: ClientConnectEvent) -> Answer<'a, ()> {
        Box::pin(async move {
            // The credential may have been removed between the login and now, when the broker did not know the
            // connection yet.
            if !self.is_logged_in(&event.client_id) {
                self.drop_connection(&event.client_id).await;
            }
        })
    }

    fn on_client_publish<'a>(&'a self, event: ClientPublishEvent) -> Answer<'a, PublishAction> {
        Box::pin(async move {
            let user = event.user_id.as_deref().unwrap_or_default();
            match self.access.publish(user, &event.topic, &event.payload).await {
                Ok(()) => PublishAction::Handled,
                Err(error) => {
                    tracing::error!(user, %error, "cannot store a message; it stays unacknowledged");
                    self.drop_connection(&event.client_id).await;
                    // At QoS 0 the broker sends no acknowledgement, and nobody can subscribe to this topic: so the
                    // client, disconnected, knows that it has to send the message again.
                    PublishAction::Transform(PublishPacket::new(&*event.topic, Vec::new(), QoS::AtMostOnce))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, PublishOptions};
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_client_identifier_belongs_to_one_user_or_is_random() {
        assert!(belongs("d1", "d1") && belongs("d1:second", "d1"));
        assert!(belongs("auto-0123456789abcdef0123456789abcdef", "d1"));
        assert!(!belongs("d12", "d1") && !belongs("d2", "d1") && !belongs("auto-1", "d1"));
    }

    /// Admits everybody; its disk is full until it is not.
    #[derive(Default)]
    struct FullDisk(Refusals, AtomicBool);

    #[async_trait]
    impl Access for FullDisk {
        fn login(&self, _user: &str, _password: &[u8]) -> std::result::Result<u64, String> {
            Ok(1)
        }

        fn may_publish(&self, _user: &str, _topic: &str) -> bool {
            true
        }

        fn may_subscribe(&self, _user: &str, _filter: &str) -> bool {
            false
        }

        async fn publish(&self, _user: &str, _topic: &str, _payload: &[u8]) -> Result<()> {
            if self.1.load(Ordering::SeqCst) { Ok(()) } else { Err(Error::store("the disk is full")) }
        }

        fn refusals(&self) -> &Refusals {
            &self.0
        }
    }

    #[tokio::test]
    async fn a_message_that_cannot_be_stored_is_not_acknowledged_and_the_client_is_told() {
        let disk = Arc::new(FullDisk::default());
        let access = Arc::clone(&disk) as Arc<dyn Access>;
        let broker = Broker::start(0, 64 * 1024, access).await.unwrap();
        for full in [true, false] {
            disk.1.store(!full, Ordering::SeqCst);
            let mut options = MqttOptions::new("d1", ("127.0.0.1", broker.port()));
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
