//! A release that is played.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

use crate::{
    Asked, Config, Dependency, Held, Service,
    faults::{Fault, Faults},
    mqtt, serving,
    world::World,
};

/// A release that is played, until it is dropped.
#[derive(Debug)]
pub struct Fake {
    inner: Arc<Inner>,
    addresses: BTreeMap<Service, SocketAddr>,
    listening: tokio::sync::Mutex<BTreeMap<Service, Listening>>,
}

/// What all services of a release share.
#[derive(Debug)]
pub(crate) struct Inner {
    world: Mutex<World>,
    pub(crate) asked: Mutex<Vec<Asked>>,
    pub(crate) faults: Faults,
}

impl Inner {
    /// The state of all; never held while waiting for something.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A service that takes connections, until it is dropped.
#[derive(Debug)]
struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Fake {
    /// Plays a release: all of its services.
    ///
    /// # Errors
    /// A port is taken, or the state that was kept cannot be read.
    pub async fn start(config: Config) -> io::Result<Self> {
        let world = Mutex::new(World::new(&config)?);
        let inner = Arc::new(Inner { world, asked: Mutex::default(), faults: Faults::default() });
        let (mut addresses, mut listening) = (BTreeMap::new(), BTreeMap::new());
        for service in config.release.services() {
            let port = config.ports.get(service).copied().unwrap_or_default();
            let listener = TcpListener::bind((config.bind, port)).await?;
            addresses.insert(*service, listener.local_addr()?);
            listening.insert(*service, listen(&inner, *service, listener));
        }
        inner.world().keep();
        Ok(Self { inner, addresses, listening: tokio::sync::Mutex::new(listening) })
    }

    /// Where a service listens; none if the release does not have it.
    pub fn address(&self, service: Service) -> Option<SocketAddr> {
        self.addresses.get(&service).copied()
    }

    /// The URL of a service, such as `http://127.0.0.1:8180`; empty if the release does not have it.
    pub fn url(&self, service: Service) -> String {
        let scheme = if service.is_mqtt() { "mqtt" } else { "http" };
        self.address(service).map(|address| format!("{scheme}://{address}")).unwrap_or_default()
    }

    /// Takes something away that the release needs. A service that is lost refuses connections, and ends those that it has.
    pub async fn lose(&self, what: impl Into<Dependency>) {
        let what = what.into();
        self.inner.world().lose(what);
        if let Dependency::Service(service) = what
            && let Some(mut listening) = self.listening.lock().await.remove(&service)
        {
            listening.0.abort();
            // Its end is what is waited for, so that nobody is let in any more.
            _ = (&mut listening.0).await;
        }
    }

    /// Gives it back, at the same address.
    ///
    /// # Errors
    /// Another program has taken the port.
    pub async fn mend(&self, what: impl Into<Dependency>) -> io::Result<()> {
        let what = what.into();
        if let Dependency::Service(service) = what
            && let Some(address) = self.address(service)
        {
            let mut all = self.listening.lock().await;
            if let std::collections::btree_map::Entry::Vacant(place) = all.entry(service) {
                place.insert(listen(&self.inner, service, TcpListener::bind(address).await?));
            }
        }
        self.inner.world().mend(what);
        Ok(())
    }

    /// Restarts a service: connections to it end.
    ///
    /// # Errors
    /// Another program has taken the port.
    pub async fn restart(&self, service: Service) -> io::Result<()> {
        self.lose(service).await;
        self.mend(service).await
    }

    /// Lets time pass for the services, such as until a token has expired.
    pub fn pass(&self, time: Duration) {
        self.inner.world().pass(time);
    }

    /// How long tokens are valid that are issued from now on.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.inner.world().token_lifetime = lifetime;
    }

    /// Chooses identities (and keys, where none is told) for what is made next, in the order in which it is made.
    pub fn choose_identities(&self, identities: impl IntoIterator<Item = String>) {
        self.inner.world().choose(identities);
    }

    /// Everything that was asked over HTTP so far, in the order in which it came.
    pub fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Holds the next request with this method whose path begins so, until it is let go. It then acts even if who has asked is gone:
    /// as a request does that was slow on its way.
    pub fn hold_next(&self, method: &str, path: &str) -> Held {
        let held = Held::default();
        self.inner.faults.add(method, path, Fault::Hold(held.clone()));
        held
    }

    /// Has the next request with this method whose path begins so act, but ends the connection instead of an answer.
    pub fn lose_next_answer(&self, method: &str, path: &str) {
        self.inner.faults.add(method, path, Fault::LoseAnswer);
    }

    /// Loses the next message on its way from an adapter to NATS: as one is lost that is sent before the adapter has noticed that
    /// NATS is gone. Whoever has published it is told that all is well.
    pub fn lose_next_message(&self) {
        self.inner.world().bus.lose_next();
    }

    /// Answers the next request with this method whose path begins so with this status and nothing else, and does not act.
    pub fn fail_next(&self, method: &str, path: &str, status: u16) {
        self.inner.faults.add(method, path, Fault::Answer(status));
    }
}

/// Takes connections to a service. They end with the task.
fn listen(inner: &Arc<Inner>, service: Service, listener: TcpListener) -> Listening {
    let inner = Arc::clone(inner);
    Listening(tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            while connections.try_join_next().is_some() {}
            let inner = Arc::clone(&inner);
            connections.spawn(async move {
                // That a connection ends is nothing that anybody here has to know.
                _ = stream.set_nodelay(true);
                if service.is_mqtt() {
                    _ = mqtt::serve(inner, service, stream).await;
                } else {
                    serving::serve(inner, service, stream).await;
                }
            });
        }
    }))
}
