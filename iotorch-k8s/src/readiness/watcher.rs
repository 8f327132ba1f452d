//! One watch, kept up.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use iotorch_core::{Error, ErrorKind, Result};
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject, GroupVersionKind},
    discovery::{Scope, pinned_kind, verbs},
    error::DiscoveryError,
    runtime::watcher::{self, DefaultBackoff, watcher},
};
use tokio::sync::watch;

use super::{
    contents::{Contents, Watched},
    kinds::{Kind, Watch},
};
use crate::error::{failed, is_not_found};

/// The longest pause before a watch that is broken off is begun again. An API server is back within seconds of its start.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Watches the objects of a kind for as long as there is a view.
pub(super) struct Watcher {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) watch: Watch,
    pub(super) told: Arc<watch::Sender<Contents>>,
}

impl Watcher {
    /// Begins anew with a list whenever the watch is broken off, so that what was missed meanwhile is seen, also when the API server does
    /// not know any more what has changed since (410 Gone).
    pub(super) async fn run(self) {
        let mut pauses = DefaultBackoff::default();
        loop {
            match self.find().await.map_err(|error| failed(self.what(), error)) {
                Ok(Found::Here(resource, is_namespaced)) => {
                    if let Err(error) = self.follow(self.api(&resource, is_namespaced)).await {
                        self.is_in_trouble(error);
                    }
                }
                Ok(Found::Mute) => {
                    return self.tell(|watched| {
                        watched.is_mute = true;
                        watched.has_nothing()
                    });
                }
                Ok(Found::Nowhere) => self.tell(|watched| watched.has_nothing()),
                Err(error) => self.is_in_trouble(error),
            }
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)).await;
        }
    }

    /// Follows the objects until the watch is broken off.
    async fn follow(&self, api: Api<DynamicObject>) -> Result<()> {
        let config = match &self.watch.name {
            Some(name) => watcher::Config::default().fields(&format!("metadata.name={name}")),
            None => watcher::Config::default(),
        };
        self.tell(|watched| {
            watched.api = Some(api.clone());
            false
        });
        let mut events = std::pin::pin!(watcher(api, config));
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| broken_off(self.what(), error))?;
            self.tell(|watched| watched.take(event));
        }
        Ok(())
    }

    fn is_in_trouble(&self, error: Error) {
        tracing::debug!(%error, cause = %error.to_cause(), "a watch was broken off");
        self.tell(|watched| watched.is_in_trouble(error));
    }

    fn what(&self) -> String {
        let Watch { kind, name } = &self.watch;
        match (name, kind.resource()) {
            (Some(name), _) => format!("cannot watch {kind} \"{name}\""),
            (None, Some((_, false))) => format!("cannot watch the objects of kind {kind}"),
            (None, _) => format!("cannot watch the objects of kind {kind} in \"{}\"", self.namespace),
        }
    }

    fn tell(&self, change: impl FnOnce(&mut Watched) -> bool) {
        self.told.send_if_modified(|contents| contents.of_watch(&self.watch).is_some_and(change));
    }

    /// Where the API server has this kind.
    async fn find(&self) -> kube::Result<Found> {
        let (resource, is_namespaced) = match &self.watch.kind {
            Kind::Custom { api_version, kind } => {
                let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
                match pinned_kind(&self.client, &GroupVersionKind::gvk(group, version, kind)).await {
                    Ok((_, can)) if !can.supports_operation(verbs::WATCH) => return Ok(Found::Mute),
                    Ok((resource, can)) => (resource, can.scope == Scope::Namespaced),
                    Err(kube::Error::Discovery(DiscoveryError::MissingKind(_))) => return Ok(Found::Nowhere),
                    Err(error) if is_not_found(&error) => return Ok(Found::Nowhere),
                    Err(error) => return Err(error),
                }
            }
            own => match own.resource() {
                Some(found) => found,
                None => return Ok(Found::Mute),
            },
        };
        Ok(Found::Here(resource, is_namespaced))
    }

    fn api(&self, resource: &ApiResource, is_namespaced: bool) -> Api<DynamicObject> {
        match is_namespaced {
            true => Api::namespaced_with(self.client.clone(), &self.namespace, resource),
            false => Api::all_with(self.client.clone(), resource),
        }
    }
}

/// Where the API server has a kind.
enum Found {
    /// There, and whether its objects are in namespaces.
    Here(ApiResource, bool),
    /// It has it, and does not tell how objects change.
    Mute,
    /// It has none such, and so no objects of it.
    Nowhere,
}

fn broken_off(what: String, error: watcher::Error) -> Error {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => failed(what, error),
        watcher::Error::WatchError(status) => failed(what, kube::Error::Api(status)),
        other => Error::new(ErrorKind::Unexpected, what).with_source(other),
    }
}
