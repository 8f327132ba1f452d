//! What is in a namespace, kept up to date by watches that all who wait in it share.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use futures::StreamExt as _;
use iotorch_core::{Error, ErrorKind, Result};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::Job,
        core::v1::{Event, PersistentVolumeClaim, Pod, Service},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource,
    runtime::{WatchStreamExt as _, reflector, watcher},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use crate::error::failed;

/// How long a view is kept that nobody looks at: those who wait come back at once, to tell what they wait for.
const LINGER: Duration = Duration::from_secs(10);

/// The views that somebody looks at, by namespace.
#[derive(Debug, Default)]
pub(crate) struct Views(Arc<Mutex<HashMap<String, Kept>>>);

#[derive(Debug)]
struct Kept {
    view: Arc<View>,
    _sweeper: AbortOnDropHandle<()>,
}

impl Views {
    /// The view of a namespace, made if nobody looks at it yet.
    pub(crate) fn open(&self, client: &Client, namespace: &str) -> Arc<View> {
        let mut views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = views.get(namespace) {
            return Arc::clone(&kept.view);
        }
        let view = Arc::new(View::start(client, namespace));
        let sweeper =
            AbortOnDropHandle::new(tokio::spawn(sweep(Arc::downgrade(&self.0), namespace.to_owned())));
        views.insert(namespace.to_owned(), Kept { view: Arc::clone(&view), _sweeper: sweeper });
        view
    }
}

/// Drops a view when nobody has looked at it for a while.
async fn sweep(views: Weak<Mutex<HashMap<String, Kept>>>, namespace: String) {
    let mut was_idle = false;
    loop {
        tokio::time::sleep(LINGER).await;
        let Some(views) = views.upgrade() else { return };
        let mut views = views.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = views.get(&namespace).is_none_or(|kept| Arc::strong_count(&kept.view) == 1);
        if is_idle && was_idle {
            views.remove(&namespace);
            return;
        }
        was_idle = is_idle;
    }
}

/// What is in a namespace now.
pub(crate) struct View {
    pub(super) pods: Objects<Pod>,
    pub(super) deployments: Objects<Deployment>,
    pub(super) replica_sets: Objects<ReplicaSet>,
    pub(super) stateful_sets: Objects<StatefulSet>,
    pub(super) daemon_sets: Objects<DaemonSet>,
    pub(super) jobs: Objects<Job>,
    pub(super) claims: Objects<PersistentVolumeClaim>,
    pub(super) services: Objects<Service>,
    pub(super) events: Objects<Event>,
    /// Why releases are not ready, by name.
    notes: Mutex<HashMap<String, Note>>,
    state: watch::Receiver<State>,
    _watches: JoinSet<()>,
}

/// Why a release is not ready.
#[derive(Clone, Debug)]
pub(super) struct Note {
    text: String,
    pub(super) since: Instant,
    /// Whether the person has seen it.
    pub(super) is_told: bool,
}

/// How the watches are.
#[derive(Debug, Default)]
struct State {
    /// How many kinds have been listed once.
    listed: usize,
    /// Why a kind cannot be watched now.
    trouble: HashMap<&'static str, Arc<Error>>,
}

/// The kinds that are watched.
const KINDS: usize = 9;

/// The objects of a kind.
pub(super) struct Objects<K: Resource<DynamicType = ()> + Clone + 'static>(reflector::Store<K>);

impl<K: Resource<DynamicType = ()> + Clone + 'static> Objects<K> {
    pub(super) fn get(&self, name: &str) -> Option<Arc<K>> {
        self.0.state().into_iter().find(|object| object.meta().name.as_deref() == Some(name))
    }

    fn value(&self, name: &str) -> Option<Value>
    where
        K: Serialize,
    {
        serde_json::to_value(&*self.get(name)?).ok()
    }

    pub(super) fn all(&self) -> Vec<Arc<K>> {
        self.0.state()
    }

    #[cfg(test)]
    pub(super) fn of(objects: Vec<K>) -> Self {
        let (store, mut writer) = reflector::store();
        for object in objects {
            writer.apply_watcher_event(&watcher::Event::Apply(object));
        }
        Self(store)
    }
}

impl View {
    fn start(client: &Client, namespace: &str) -> Self {
        let (told, state) = watch::channel(State::default());
        let told = Arc::new(told);
        let mut watches = JoinSet::new();
        let mut start = Start { client, namespace, told: &told, watches: &mut watches };
        Self {
            pods: start.watch("pods"),
            deployments: start.watch("deployments"),
            replica_sets: start.watch("replica sets"),
            stateful_sets: start.watch("stateful sets"),
            daemon_sets: start.watch("daemon sets"),
            jobs: start.watch("jobs"),
            claims: start.watch("claims of volumes"),
            services: start.watch("services"),
            events: start.watch("events"),
            notes: Mutex::default(),
            state,
            _watches: watches,
        }
    }

    /// Waits until everything was listed once. What cannot be listed, such as for want of a right, is an error.
    pub(crate) async fn listed(&self) -> Result<()> {
        let mut state = self.state.clone();
        let state = state.wait_for(|state| state.listed >= KINDS || !state.trouble.is_empty()).await;
        let state = state.map_err(|_| Error::new(ErrorKind::Unexpected, "cannot watch the namespace"))?;
        match state.trouble.values().next() {
            Some(error) if state.listed < KINDS => Err(error.to_cause().into()),
            _ => Ok(()),
        }
    }

    /// An object as it is, of the kinds that say how pods run and are reached: none of another kind, or none of that name.
    pub(crate) fn object(&self, kind: &str, name: &str) -> Option<Option<Value>> {
        match kind {
            "Deployment" => Some(self.deployments.value(name)),
            "StatefulSet" => Some(self.stateful_sets.value(name)),
            "DaemonSet" => Some(self.daemon_sets.value(name)),
            "Service" => Some(self.services.value(name)),
            "PersistentVolumeClaim" => Some(self.claims.value(name)),
            _ => None,
        }
    }

    /// The pods and claims of volumes with a label, in words.
    pub(super) fn labelled(&self, (label, value): (&str, &str)) -> Vec<String> {
        let bears = |metadata: &ObjectMeta| {
            metadata.labels.as_ref().and_then(|labels| labels.get(label)).is_some_and(|it| it == value)
        };
        let name = |kind: &str, metadata: &ObjectMeta| {
            format!("{kind} \"{}\"", metadata.name.clone().unwrap_or_default())
        };
        let pods = self.pods.all().into_iter().filter(|pod| bears(&pod.metadata));
        let claims = self.claims.all().into_iter().filter(|claim| bears(&claim.metadata));
        let pods = pods.map(|pod| name("pod", &pod.metadata));
        pods.chain(claims.map(|claim| name("claim", &claim.metadata))).collect()
    }

    /// Notes why a release is not ready.
    pub(super) fn note(&self, release: &str, text: &str) -> Note {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Note { text: text.to_owned(), since: Instant::now(), is_told: false };
        let note = notes.entry(release.to_owned()).or_insert_with(new);
        if note.text != text {
            *note = new();
        }
        note.clone()
    }

    /// The person has seen why the release is not ready.
    pub(super) fn told(&self, release: &str) {
        if let Some(note) = self.notes.lock().unwrap_or_else(PoisonError::into_inner).get_mut(release) {
            note.is_told = true;
        }
    }

    /// Tells each change from now on.
    pub(crate) fn changes(&self) -> Changes {
        let mut state = self.state.clone();
        state.mark_unchanged();
        Changes(state)
    }
}

/// The changes of a view.
pub(crate) struct Changes(watch::Receiver<State>);

impl Changes {
    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        // The sender lives as long as the view, which whoever waits holds.
        let _ = self.0.changed().await;
    }
}

struct Start<'a> {
    client: &'a Client,
    namespace: &'a str,
    told: &'a Arc<watch::Sender<State>>,
    watches: &'a mut JoinSet<()>,
}

impl Start<'_> {
    fn watch<K>(&mut self, kinds: &'static str) -> Objects<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + fmt::Debug
            + Send
            + Sync
            + 'static,
    {
        let (store, writer) = reflector::store();
        let api = Api::<K>::namespaced(self.client.clone(), self.namespace);
        let what = format!("cannot watch the {kinds} in \"{}\"", self.namespace);
        let told = Arc::clone(self.told);
        self.watches.spawn(async move {
            let events = watcher(api, watcher::Config::default()).default_backoff();
            let mut events = std::pin::pin!(reflector(writer, events));
            let mut listed = false;
            while let Some(event) = events.next().await {
                told.send_modify(|state| match event {
                    Ok(event) => {
                        state.trouble.remove(kinds);
                        if matches!(event, watcher::Event::InitDone) && !listed {
                            listed = true;
                            state.listed += 1;
                        }
                    }
                    Err(error) => drop(state.trouble.insert(kinds, Arc::new(unwatched(&what, error)))),
                });
            }
        });
        Objects(store)
    }
}

fn unwatched(what: &str, error: watcher::Error) -> Error {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => failed(what, error),
        other => Error::new(ErrorKind::Unavailable, what).with_source(other),
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

#[cfg(test)]
impl View {
    /// A namespace with these objects, by their `kind`.
    pub(super) fn of(objects: Vec<Value>) -> Self {
        fn pick<K: Resource<DynamicType = ()> + Clone + DeserializeOwned + 'static>(
            objects: &[Value],
        ) -> Objects<K> {
            let those = objects.iter().filter(|object| object["kind"] == *K::kind(&()));
            Objects::of(those.map(|object| serde_json::from_value(object.clone()).unwrap()).collect())
        }
        let (_, state) = watch::channel(State { listed: KINDS, ..State::default() });
        Self {
            pods: pick(&objects),
            deployments: pick(&objects),
            replica_sets: pick(&objects),
            stateful_sets: pick(&objects),
            daemon_sets: pick(&objects),
            jobs: pick(&objects),
            claims: pick(&objects),
            services: pick(&objects),
            events: pick(&objects),
            notes: Mutex::default(),
            state,
            _watches: JoinSet::new(),
        }
    }
}
