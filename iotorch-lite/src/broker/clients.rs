//! The clients of the broker: who is logged in, by which credential, and what it may do.

use super::orders::Feed;
use crate::{
    access::{Access, Protocol},
    limits::REFUSED_LOGIN,
    seats::Seats,
};
use mqtt5::{
    QoS,
    broker::{
        AuthProvider, AuthResult, BrokerEventHandler, ClientConnectEvent, ClientPublishEvent,
        ClientSubscribeEvent, ClientUnsubscribeEvent, MessageDeliveredEvent, PublishAction,
        router::MessageRouter,
    },
    packet::{connect::ConnectPacket, publish::PublishPacket},
    protocol::v5::reason_codes::ReasonCode,
};
use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::{Duration, Instant},
};

/// The clients that are logged in.
pub(crate) struct Clients {
    pub(super) access: Arc<dyn Access>,
    seats: Arc<Seats>,
    sessions: Mutex<Sessions>,
    /// Weak, because the router holds its event handler, which this is.
    router: OnceLock<Weak<MessageRouter>>,
}

#[derive(Default)]
pub(super) struct Sessions {
    /// By MQTT client identifier.
    pub(super) logged_in: HashMap<String, Session>,
    /// Ended sessions are removed when there are this many.
    sweep_at: usize,
}

pub(super) struct Session {
    pub(super) user: String,
    generation: u64,
    since: Instant,
    /// The commands that are sent to it, once it has subscribed to them.
    pub(super) feed: Option<Feed>,
}

/// How long a login may take until the broker knows the client; its own limit is 10 s.
const HANDSHAKE: Duration = Duration::from_secs(30);

impl Clients {
    pub(super) fn new(access: Arc<dyn Access>, seats: Arc<Seats>) -> Self {
        Self { access, seats, sessions: Mutex::default(), router: OnceLock::new() }
    }

    pub(super) fn reach_through(&self, router: &Arc<MessageRouter>) {
        let _ = self.router.set(Arc::downgrade(router));
    }

    pub(super) fn router(&self) -> Option<Arc<MessageRouter>> {
        self.router.get().and_then(Weak::upgrade)
    }

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
        if let Some(router) = self.router() {
            router.disconnect_client(client).await;
        }
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_logged_in(&self, client: &str) -> bool {
        self.sessions().logged_in.contains_key(client)
    }

    /// Checks a login and remembers the session.
    async fn admit(&self, connect: &ConnectPacket, peer: SocketAddr) -> Result<String, (ReasonCode, String)> {
        self.sweep().await;
        let user = connect.username.as_deref().unwrap_or_default();
        let client = &connect.client_id;
        // The credential is checked under the same lock that `disconnect` takes, see there.
        let mut sessions = self.sessions();
        let generation = self
            .access
            .login(Protocol::Mqtt, user, connect.password.as_deref().unwrap_or_default())
            .map_err(|reason| (ReasonCode::BadUsernameOrPassword, reason))?;
        if !belongs(client, user) {
            let reason = format!("the client identifier must be empty, \"{user}\" or start with \"{user}:\"");
            return Err((ReasonCode::ClientIdentifierNotValid, reason));
        }
        if !self.seats.know(peer, user) {
            return Err((ReasonCode::QuotaExceeded, "it has too many connections already".to_owned()));
        }
        let session = Session { user: user.to_owned(), generation, since: Instant::now(), feed: None };
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
        let Some(router) = self.router() else { return };
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
        self.access.refusals().request(Protocol::Mqtt, user.unwrap_or_default(), &reason);
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
        peer: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        Box::pin(async move {
            Ok(match self.admit(connect, peer).await {
                Ok(user) => AuthResult::success_with_user(user),
                Err((code, reason)) => {
                    let user = connect.username.as_deref().unwrap_or_default();
                    self.access.refusals().login(Protocol::Mqtt, user, &reason);
                    tokio::time::sleep(REFUSED_LOGIN).await;
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
        let client = client.to_owned();
        Box::pin(async move {
            // Who is too quick waits, and with it its connection only.
            self.access.limits().turn(user.unwrap_or_default()).await;
            let rule = user.is_some_and(|user| self.access.may_publish(user, topic));
            self.allow(&client, user, rule, &format!("published to \"{topic}\""))
        })
    }

    fn authorize_subscribe<'a>(
        &'a self,
        client: &str,
        user: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        let client = client.to_owned();
        Box::pin(async move {
            self.access.limits().turn(user.unwrap_or_default()).await;
            let rule = user.is_some_and(|user| self.access.may_subscribe(user, filter));
            self.allow(&client, user, rule, &format!("subscribed to \"{filter}\""))
        })
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
                Ok(_) => PublishAction::Handled,
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

    fn on_client_subscribe<'a>(&'a self, event: ClientSubscribeEvent) -> Answer<'a, ()> {
        Box::pin(async move { self.subscribed(&event).await })
    }

    fn on_client_unsubscribe<'a>(&'a self, event: ClientUnsubscribeEvent) -> Answer<'a, ()> {
        Box::pin(async move { self.unsubscribed(&event) })
    }

    fn on_message_delivered<'a>(&'a self, event: MessageDeliveredEvent) -> Answer<'a, ()> {
        Box::pin(async move { self.delivered(&event.client_id).await })
    }
}

#[cfg(test)]
mod tests {
    use super::belongs;

    #[test]
    fn a_client_identifier_belongs_to_one_user_or_is_random() {
        assert!(belongs("d1", "d1") && belongs("d1:second", "d1"));
        assert!(belongs("auto-0123456789abcdef0123456789abcdef", "d1"));
        assert!(!belongs("d12", "d1") && !belongs("d2", "d1") && !belongs("auto-1", "d1"));
    }
}
