//! A Helm engine for a fake cluster: it keeps releases as Helm does, and makes their objects by way of the API.
//!
//! There are no templates: what it renders ([`render`]) is what the charts of the tests and of the application `lite` would.

mod objects;
mod render;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use iotorch_core::model::InfrastructureName;
use iotorch_helm::{
    Call, Error, ErrorKind, HelmEngine, Install, Manifests, Namespace, Release, ReleaseState, ReleaseStatus,
    Render, Result, Revision, Rollback, Uninstall, Uninstalled, Upgrade,
    chart::ResolvedChart,
    storage::{StoredRelease, Written},
};
use iotorch_k8s::{Engines, KubernetesConfig};
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};

use self::objects::Objects;

/// Where an operation can be broken off, as when helm is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The revision is noted as pending, and nothing else is done.
    Noted,
    /// The objects are made, and the revision is pending still.
    Applied,
}

/// Makes releases on one fake cluster.
#[derive(Clone)]
pub struct FakeHelm {
    objects: Objects,
    busy: Arc<Mutex<BTreeSet<Release>>>,
    broken_off: Arc<Mutex<Option<Moment>>>,
}

impl FakeHelm {
    pub fn new(client: Client) -> Self {
        Self { objects: Objects::new(client), busy: Arc::default(), broken_off: Arc::default() }
    }

    /// Breaks the next operation off.
    pub fn break_off(&self, at: Moment) {
        *self.broken_off.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    fn is_broken_off(&self, at: Moment) -> Result<()> {
        let mut broken_off = self.broken_off.lock().unwrap_or_else(PoisonError::into_inner);
        match *broken_off == Some(at) {
            true => {
                *broken_off = None;
                Err(Error::new(ErrorKind::Unexpected, "cannot run helm").with_source("it was killed"))
            }
            false => Ok(()),
        }
    }

    /// Runs an operation to its end, whether its caller waits for it or not, and no other on its release meanwhile.
    async fn alone<T: Send + 'static>(
        &self,
        call: &Call,
        release: &Release,
        operation: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        if call.cancelled.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, format!("cannot change release {release}")));
        }
        let held = Held::take(&self.busy, release)?;
        let running = tokio::spawn(async move {
            let outcome = operation.await;
            drop(held);
            outcome
        });
        running
            .await
            .map_err(|error| Error::new(ErrorKind::Unexpected, "cannot run helm").with_source(error))?
    }

    async fn revisions(&self, release: &Release) -> Result<Vec<StoredRelease>> {
        self.objects.revisions(release.namespace.as_str(), Some(release.name.as_str())).await
    }

    async fn latest(&self, release: &Release) -> Result<StoredRelease> {
        let missing = || {
            Error::new(ErrorKind::NotFound, format!("cannot find release {release}"))
                .with_source("release: not found")
        };
        self.revisions(release).await?.pop().ok_or_else(missing)
    }

    /// Makes a new revision, and takes away what only `before` has.
    async fn make(&self, wanted: Wanted, before: Option<StoredRelease>) -> Result<Revision> {
        let Wanted { release, number, pending, .. } = &wanted;
        let now = Timestamp::now();
        let begun = wanted.stored(*pending, "in progress", now)?;
        self.objects.create_revision(&begun, now).await?;
        self.is_broken_off(Moment::Noted)?;
        let made = self.objects.apply(release, &wanted.objects, before.is_none(), wanted.takes_back).await;
        let made = match (made, &before) {
            (Ok(()), Some(before)) => self.objects.prune(release, &wanted.objects, before).await,
            (made, _) => made,
        };
        self.is_broken_off(Moment::Applied)?;
        if let Err(error) = made {
            let failed = begun.with_status(ReleaseStatus::Failed, error.to_string());
            self.objects.write_revision(&failed, Written::Modified(now)).await?;
            return Err(error);
        }
        let done = begun.with_status(ReleaseStatus::Deployed, wanted.done);
        self.objects.write_revision(&done, Written::Modified(now)).await?;
        for old in self.revisions(release).await? {
            if old.revision().number != *number && old.status() == ReleaseStatus::Deployed {
                let old = old.with_status(ReleaseStatus::Superseded, "superseded");
                self.objects.write_revision(&old, Written::Modified(now)).await?;
            }
        }
        self.forget(release, wanted.history_limit).await?;
        Ok(done.revision().clone())
    }

    async fn forget(&self, release: &Release, limit: u32) -> Result<()> {
        let revisions = self.revisions(release).await?;
        let too_many = revisions.len().saturating_sub(limit as usize);
        for old in revisions.iter().take(if limit == 0 { 0 } else { too_many }) {
            self.objects.delete_revision(old).await?;
        }
        Ok(())
    }

    async fn upgraded(&self, request: Upgrade) -> Result<Revision> {
        let release = &request.release;
        let revisions = self.revisions(release).await?;
        let last = self.latest(release).await?;
        let what = || format!("cannot upgrade release {release}");
        if last.status().is_pending() {
            return Err(Error::new(ErrorKind::Pending, what())
                .with_source("another operation (install/upgrade/rollback) is in progress"));
        }
        let was_deployed = |it: &&StoredRelease| {
            [ReleaseStatus::Deployed, ReleaseStatus::Superseded, ReleaseStatus::Failed].contains(&it.status())
        };
        let before = revisions.iter().rev().find(was_deployed).cloned();
        let Some(before) = before else {
            let why = format!("\"{}\" has no deployed releases", release.name);
            return Err(Error::new(ErrorKind::NotFound, what()).with_source(why));
        };
        let wanted = Wanted {
            number: last.revision().number + 1,
            pending: ReleaseStatus::PendingUpgrade,
            done: "Upgrade complete",
            objects: render::objects(release, &request.chart, &request.values)?,
            chart: chart_json(&request.chart),
            values: request.values.as_map().clone().into(),
            takes_back: request.takes_back,
            history_limit: request.history_limit,
            release: request.release,
        };
        self.make(wanted, Some(before)).await
    }

    async fn rolled_back(&self, request: Rollback) -> Result<Revision> {
        let release = &request.release;
        let last = self.latest(release).await?;
        let found = self.revisions(release).await?.into_iter().find(|it| it.revision().number == request.to);
        let missing =
            || Error::new(ErrorKind::NotFound, format!("cannot find revision {} of {release}", request.to));
        let to = found.ok_or_else(missing)?;
        let wanted = Wanted {
            number: last.revision().number + 1,
            pending: ReleaseStatus::PendingRollback,
            done: "Rollback complete",
            objects: objects::of(&to)?,
            chart: to.as_json().get("chart").cloned().unwrap_or_default(),
            values: Value::Object(to.values().into()),
            takes_back: true,
            history_limit: request.history_limit,
            release: request.release,
        };
        self.make(wanted, Some(last)).await
    }

    async fn uninstalled(&self, request: Uninstall) -> Result<Uninstalled> {
        let last = self.latest(&request.release).await?;
        let now = Written::Modified(Timestamp::now());
        let last = last.with_status(ReleaseStatus::Uninstalling, "Deletion in progress");
        self.objects.write_revision(&last, now).await?;
        self.is_broken_off(Moment::Noted)?;
        self.objects.remove(&request.release, &objects::of(&last)?).await?;
        self.is_broken_off(Moment::Applied)?;
        if request.keep_history {
            let gone = last.with_status(ReleaseStatus::Uninstalled, "Uninstallation complete");
            self.objects.write_revision(&gone, now).await?;
        } else {
            for revision in self.revisions(&request.release).await? {
                self.objects.delete_revision(&revision).await?;
            }
        }
        Ok(Uninstalled::default())
    }
}

/// A revision that shall be.
struct Wanted {
    release: Release,
    number: u32,
    pending: ReleaseStatus,
    /// What is said of it when it is through.
    done: &'static str,
    objects: Vec<Value>,
    chart: Value,
    values: Value,
    takes_back: bool,
    history_limit: u32,
}

impl Wanted {
    fn stored(&self, status: ReleaseStatus, description: &str, now: Timestamp) -> Result<StoredRelease> {
        let documents = self.objects.iter().map(|object| format!("---\n{object}\n"));
        let json = json!({
            "name": self.release.name.as_str(), "namespace": self.release.namespace.as_str(), "version": self.number,
            "apply_method": "ssa", "chart": self.chart, "config": self.values,
            "info": { "status": status.as_str(), "description": description, "notes": "",
                "first_deployed": now.to_string(), "last_deployed": now.to_string(), "deleted": "" },
            "manifest": documents.collect::<String>(),
        });
        StoredRelease::from_json(json.to_string().as_bytes())
    }
}

fn chart_json(chart: &ResolvedChart) -> Value {
    json!({ "metadata": { "apiVersion": "v2", "name": chart.name, "version": chart.version,
        "appVersion": chart.app_version.clone().unwrap_or_default() } })
}

/// A release that is being worked on.
struct Held {
    busy: Arc<Mutex<BTreeSet<Release>>>,
    release: Release,
}

impl Held {
    fn take(busy: &Arc<Mutex<BTreeSet<Release>>>, release: &Release) -> Result<Self> {
        let is_free = busy.lock().unwrap_or_else(PoisonError::into_inner).insert(release.clone());
        match is_free {
            true => Ok(Self { busy: Arc::clone(busy), release: release.clone() }),
            false => Err(Error::new(ErrorKind::Busy, format!("cannot change release {release}"))),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.release);
    }
}

#[async_trait]
impl Engines for FakeHelm {
    async fn open(
        &self,
        _: &InfrastructureName,
        _: &KubernetesConfig,
    ) -> iotorch_core::Result<Arc<dyn HelmEngine>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl HelmEngine for FakeHelm {
    async fn render(&self, _: &Call, request: &Render) -> Result<Manifests> {
        let objects = render::objects(&request.release, &request.chart, &request.values)?;
        Ok(Manifests::new(objects.iter().map(|object| format!("---\n{object}\n")).collect::<String>()))
    }

    async fn install(&self, call: &Call, request: &Install) -> Result<Revision> {
        let (helm, request) = (self.clone(), request.clone());
        let release = request.release.clone();
        let operation = async move {
            if let Some(there) = helm.revisions(&request.release).await?.pop() {
                let why = format!("cannot re-use a name that is still in use ({})", there.status());
                let what = format!("cannot install release {}", request.release);
                return Err(Error::new(ErrorKind::Conflict, what).with_source(why));
            }
            let wanted = Wanted {
                number: 1,
                pending: ReleaseStatus::PendingInstall,
                done: "Install complete",
                objects: render::objects(&request.release, &request.chart, &request.values)?,
                chart: chart_json(&request.chart),
                values: request.values.as_map().clone().into(),
                takes_back: false,
                history_limit: 0,
                release: request.release,
            };
            helm.make(wanted, None).await
        };
        self.alone(call, &release, operation).await
    }

    async fn upgrade(&self, call: &Call, request: &Upgrade) -> Result<Revision> {
        let (helm, request) = (self.clone(), request.clone());
        let release = request.release.clone();
        self.alone(call, &release, async move { helm.upgraded(request).await }).await
    }

    async fn rollback(&self, call: &Call, request: &Rollback) -> Result<Revision> {
        let (helm, request) = (self.clone(), request.clone());
        let release = request.release.clone();
        self.alone(call, &release, async move { helm.rolled_back(request).await }).await
    }

    async fn uninstall(&self, call: &Call, request: &Uninstall) -> Result<Uninstalled> {
        let (helm, request) = (self.clone(), request.clone());
        let release = request.release.clone();
        self.alone(call, &release, async move { helm.uninstalled(request).await }).await
    }

    async fn status(&self, _: &Call, release: &Release) -> Result<ReleaseState> {
        Ok(self.latest(release).await?.state())
    }

    async fn history(&self, _: &Call, release: &Release) -> Result<Vec<Revision>> {
        self.latest(release).await?;
        Ok(self.revisions(release).await?.iter().map(|stored| stored.revision().clone()).collect())
    }

    async fn list(&self, _: &Call, namespace: Option<&Namespace>) -> Result<Vec<(Release, Revision)>> {
        let revisions = self.objects.revisions(namespace.map_or("", Namespace::as_str), None).await?;
        let newest: BTreeMap<Release, Revision> =
            revisions.iter().map(|stored| (stored.release().clone(), stored.revision().clone())).collect();
        Ok(newest.into_iter().collect())
    }

    async fn is_idle(&self, release: &Release) -> Result<bool> {
        Ok(!self.busy.lock().unwrap_or_else(PoisonError::into_inner).contains(release))
    }
}
