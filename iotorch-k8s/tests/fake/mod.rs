//! A Kubernetes cluster in memory, for tests that take milliseconds: an API server that a [`Client`] speaks to without a socket, and
//! the controllers that bring pods, volumes and namespaces to where they belong.
//!
//! It answers as the API server of Kubernetes 1.37 does, down to the words; `tests/likeness.rs` puts the same questions to both. What
//! takes time on a cluster takes time here, in steps of [`PACE`] of the runtime's clock, which tests pause. Nothing runs in its pods:
//! what becomes of a container is up to its image ([`Cluster::image`]). What it does not imitate is told in `docs/testbed.md`.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

mod admission;
mod controllers;
mod faults;
pub mod helm;
pub mod kinds;
mod owners;
mod refusal;
mod request;
mod rules;
mod selector;
mod server;
mod state;
mod store;
mod watching;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use kube::Client;
use serde_json::Value;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

#[allow(unused_imports, reason = "each test takes what it needs")]
pub use self::{
    controllers::Image,
    faults::{Fault, Faults},
    kinds::Kind,
    refusal::Refusal,
    state::{State, node},
    store::Key,
};

/// How long the cluster's controllers take for a step.
const PACE: Duration = Duration::from_millis(5);

/// A cluster in memory. It ends when it is dropped.
#[derive(Clone, Debug)]
pub struct Cluster {
    inner: Arc<Inner>,
    _controllers: Arc<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    /// How often all watches were broken off.
    breaks: AtomicU32,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, version: u64) {
        self.changed.send_replace(version);
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn breaks(&self) -> u32 {
        self.breaks.load(Ordering::Relaxed)
    }
}

impl Cluster {
    /// A cluster with a node, the namespace `default`, and nothing else. It needs a runtime with time.
    pub fn start() -> Self {
        let state = State::new();
        let (changed, _) = watch::channel(state.store.version());
        let inner = Arc::new(Inner { state: Mutex::new(state), changed, breaks: AtomicU32::new(0) });
        let controllers = tokio::spawn(control(Arc::clone(&inner)));
        Self { inner, _controllers: Arc::new(AbortOnDropHandle::new(controllers)) }
    }

    /// A client of its own, with rights to everything.
    pub fn client(&self) -> Client {
        let inner = Arc::clone(&self.inner);
        let service = tower::service_fn(move |request| server::serve(Arc::clone(&inner), request));
        Client::new(service, "default")
    }

    /// Changes what goes wrong.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.inner.state().faults);
        if self.inner.state().faults.is_cut_off {
            self.break_watches();
        }
    }

    /// Says what becomes of containers of an image; those of others run.
    pub fn image(&self, name: &str, image: Image) {
        let mut state = self.inner.state();
        state.images.insert(name.to_owned(), image);
        self.inner.tell(state.store.version());
    }

    /// Cuts the connections of all watches.
    pub fn break_watches(&self) {
        self.inner.breaks.fetch_add(1, Ordering::Relaxed);
        self.inner.tell(self.inner.state().store.version());
    }

    /// Forgets what happened until now: watches that begin from before are told that they are too old.
    pub fn compact(&self) {
        let mut state = self.inner.state();
        state.store.compact();
        self.inner.tell(state.store.version());
    }

    /// Changes an object behind everybody's back, as somebody else's program does.
    pub fn modify(&self, key: &Key, change: impl FnOnce(&mut Value)) {
        let mut state = self.inner.state();
        state.modify(key, change);
        self.inner.tell(state.store.version());
    }

    /// Puts an object there that is the cluster's own, or somebody else's.
    pub fn set_up(&self, kind: &'static Kind, namespace: &str, object: Value) {
        let mut state = self.inner.state();
        state.set_up(kind, namespace, object);
        self.inner.tell(state.store.version());
    }

    /// Takes an object away at once.
    pub fn remove(&self, key: &Key) {
        let mut state = self.inner.state();
        state.store.remove(key);
        self.inner.tell(state.store.version());
    }

    pub fn get(&self, key: &Key) -> Option<Value> {
        self.inner.state().store.get(key).cloned()
    }

    /// Where everything is that is in a namespace.
    pub fn inside(&self, namespace: &str) -> Vec<Key> {
        self.inner.state().store.keys().filter(|key| key.namespace == namespace).cloned().collect()
    }

    /// What was asked so far, such as `create namespaces` or `get pods orchard/gw-0`.
    pub fn asked(&self) -> Vec<String> {
        self.inner.state().asked.clone()
    }

    /// Waits until something holds of the cluster.
    pub async fn until(&self, what: &str, holds: impl Fn(&State) -> bool) {
        let mut changes = self.inner.changes();
        let wait = async {
            while !holds(&self.inner.state()) {
                changes.changed().await.expect("the cluster is there");
            }
        };
        timeout(Duration::from_secs(60), wait)
            .await
            .unwrap_or_else(|_| panic!("it does not come to it that {what}"));
    }
}

/// Has the controllers do a step each time that something has changed, or that one of them waits for.
async fn control(inner: Arc<Inner>) {
    let mut changes = inner.changes();
    loop {
        sleep(PACE).await;
        changes.mark_unchanged();
        let again = {
            let mut state = inner.state();
            let version = state.store.version();
            let again = controllers::step(&mut state);
            if state.store.version() != version {
                inner.tell(state.store.version());
            }
            again
        };
        tokio::select! {
            _ = changes.changed() => {}
            () = async { match again { Some(after) => sleep(after).await, None => std::future::pending().await } } => {}
        }
    }
}
