//! When pods were made and when they were ready.
//!
//! Kubernetes notes the times of a pod's conditions in whole seconds, which is too coarse here. So its pods are watched, and the time of
//! each condition is that at which it was seen to be true.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::task::JoinSet;

use crate::{Result, note};

/// When a pod was what.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Made.
    pub created: Instant,
    /// Given to a node, which is after its volumes were found (`PodScheduled`).
    pub scheduled: Option<Instant>,
    /// Ready (`Ready`).
    pub ready: Option<Instant>,
}

impl Times {
    /// How long it took from being made to being ready.
    #[must_use]
    pub fn chain(&self) -> Option<Duration> {
        Some(self.ready? - self.created)
    }
}

/// The pods of a namespace, which need not be there yet; they are watched until this is dropped.
#[derive(Debug)]
pub struct Pods {
    seen: Arc<Mutex<BTreeMap<String, Times>>>,
    _watching: JoinSet<()>,
}

impl Pods {
    /// Begins to watch.
    ///
    /// # Errors
    /// When the pods cannot be listed.
    pub async fn watch(client: &Client, namespace: &str) -> Result<Self> {
        let api = Api::<Pod>::namespaced(client.clone(), namespace);
        let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        while !matches!(events.try_next().await?, Some(watcher::Event::InitDone)) {}
        let seen = Arc::default();
        let mut watching = JoinSet::new();
        watching.spawn(follow(events, Arc::clone(&seen)));
        Ok(Self { seen, _watching: watching })
    }

    /// The times of the pods so far, by name.
    #[must_use]
    pub fn times(&self) -> BTreeMap<String, Times> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn follow(
    mut events: impl Stream<Item = watcher::Result<watcher::Event<Pod>>> + Unpin,
    seen: Arc<Mutex<BTreeMap<String, Times>>>,
) {
    while let Some(event) = events.next().await {
        let now = Instant::now();
        match event {
            Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                let name = pod.metadata.name.clone().unwrap_or_default();
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let times = seen.entry(name).or_insert(Times { created: now, scheduled: None, ready: None });
                for (condition, time) in [("PodScheduled", &mut times.scheduled), ("Ready", &mut times.ready)]
                {
                    if time.is_none() && is_true(&pod, condition) {
                        *time = Some(now);
                    }
                }
            }
            Ok(_) => {}
            Err(error) => note(&format!("the pods cannot be watched just now: {error}")),
        }
    }
}

fn is_true(pod: &Pod, condition: &str) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|one| one.type_ == condition && one.status == "True")
}
