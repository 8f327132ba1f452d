//! A cluster as a management domain.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use iotorch_core::{
    Context, Domain, Error, ErrorKind, Health, Observed, Result, Scope,
    model::{InfrastructureName, PartName},
    resource::{Change, KindName, Outputs, Ownership, ResourceId, Role, SpaceSpec, Spec, Work, WorkloadSpec},
};
use iotorch_helm::{HelmEngine, storage::StoredRelease};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    charts::HelmCharts,
    cluster::Cluster,
    config::KubernetesConfig,
    drift,
    driver::Engines,
    error::failed,
    mark::{self, Owner},
    outside,
    readiness::Views,
    record::{self, Found},
    releases, space,
    workload::{self, Here},
};

/// One cluster.
pub(crate) struct KubernetesDomain {
    cluster: Arc<Cluster>,
    charts: HelmCharts,
    engines: Arc<dyn Engines>,
    engine: OnceCell<Arc<dyn HelmEngine>>,
    views: Views,
    /// What charts keep of what is being removed, until that is told.
    kept: Mutex<BTreeMap<ResourceId, BTreeSet<String>>>,
}

impl std::fmt::Debug for KubernetesDomain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubernetesDomain").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl KubernetesDomain {
    pub(crate) fn new(cluster: Arc<Cluster>, charts: HelmCharts, engines: Arc<dyn Engines>) -> Self {
        Self {
            cluster,
            charts,
            engines,
            engine: OnceCell::new(),
            views: Views::default(),
            kept: Mutex::default(),
        }
    }

    pub(crate) const fn charts(&self) -> &HelmCharts {
        &self.charts
    }

    pub(crate) const fn views(&self) -> &Views {
        &self.views
    }

    pub(crate) fn config(&self) -> &KubernetesConfig {
        &self.cluster.config
    }

    pub(crate) fn infrastructure(&self) -> &InfrastructureName {
        &self.cluster.name
    }

    pub(crate) async fn engine(&self) -> Result<&Arc<dyn HelmEngine>> {
        self.engine.get_or_try_init(|| self.engines.open(&self.cluster.name, &self.cluster.config)).await
    }

    /// Notes what stays behind of what is being removed, which takes several calls.
    pub(crate) fn keep(&self, of: &ResourceId, objects: impl Iterator<Item = String>) {
        self.locked_kept().entry(of.clone()).or_default().extend(objects);
    }

    fn locked_kept(&self) -> MutexGuard<'_, BTreeMap<ResourceId, BTreeSet<String>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first thing that was changed in the objects of a release since it was made.
    pub(crate) async fn drift(&self, client: &Client, stored: &StoredRelease) -> Result<Option<String>> {
        let view = self.views.open(client, stored.release().namespace.as_str());
        drift::of_release(stored, &view).await
    }

    fn here<'a>(
        &'a self,
        cx: &'a Context,
        client: &'a Client,
        id: &'a ResourceId,
        namespace: &str,
    ) -> Result<Here<'a>> {
        let release = workload::release(namespace, id.name())?;
        Ok(Here { domain: self, cx, client, id, release })
    }

    /// Uninstalls the releases of which something would stay behind when the namespace of `space` goes.
    async fn clear_outside(&self, cx: &Context, space: &ResourceId, namespace: &str) -> Result<()> {
        let client = &self.cluster.client().await?;
        let (records, releases) = contents(client, namespace).await?;
        for found in records {
            let id = mark::resource(cx, &found.metadata).filter(|id| id.host().as_ref() == Some(space));
            let stored = found.release().and_then(|name| Some((name, releases.get(name)?)));
            let (Some(id), Some((name, stored))) = (id, stored) else { continue };
            let stored = releases::open(name, stored)?;
            if outside::has_some(&stored)? {
                let here = self.here(cx, client, &id, namespace)?;
                let kept = outside::objects(&stored)?.into_iter().filter(|object| object.is_kept);
                self.keep(space, kept.map(|object| here.told(&object)));
                let role = found.record.as_ref().map_or(Role::Gateway, |record| record.spec.role);
                here.uninstall(role).await?;
            }
        }
        Ok(())
    }

    async fn step(&self, cx: &Context, work: Work) -> Result<Outputs> {
        let id = work.id().clone();
        Ok(match self.change(cx, work).await? {
            Outputs::Removed { mut residue } => {
                residue.extend(self.locked_kept().remove(&id).into_iter().flatten());
                Outputs::Removed { residue }
            }
            outputs => outputs,
        })
    }

    async fn change(&self, cx: &Context, work: Work) -> Result<Outputs> {
        match work {
            Work::Space(job) => {
                if let (Ownership::Ours, Change::Delete { before }) = (job.ownership, &job.change) {
                    self.clear_outside(cx, &job.id, &before.name).await?;
                }
                space::apply(&self.cluster, cx, &job).await
            }
            Work::Workload(job) => {
                let client = &self.cluster.client().await?;
                let namespace = job.inputs.space.as_ref().map(|space| space.namespace.clone());
                let namespace = namespace.unwrap_or_else(|| job.id.slice().to_owned());
                self.here(cx, client, &job.id, &namespace)?.apply(&job).await
            }
            other => Err(Error::new(
                ErrorKind::Unsupported,
                format!("cannot make a {} with driver \"kubernetes\"", other.id().kind()),
            )),
        }
    }
}

/// What is noted in a namespace of workloads, and the releases that are there, by name.
async fn contents(client: &Client, namespace: &str) -> Result<(Vec<Found>, BTreeMap<String, Secret>)> {
    let contents = tokio::try_join!(record::list(client, namespace), releases::list(client, namespace));
    contents.map_err(|error| failed(format!("cannot look into namespace \"{namespace}\""), error))
}

#[async_trait]
impl Domain for KubernetesDomain {
    async fn observe(&self, cx: &Context, scope: &Scope) -> Result<Vec<(ResourceId, Observed)>> {
        let client = &self.cluster.client().await?;
        let root = &scope.root;
        let namespace = match scope.recorded.get(root).map(AsRef::as_ref) {
            Some(Spec::Space(SpaceSpec { name, .. })) => name.clone(),
            _ => root.slice().to_owned(),
        };
        let what = || format!("cannot look into namespace \"{namespace}\"");
        let found = Api::<Namespace>::all(client.clone()).get_opt(&namespace).await;
        let found = found.map_err(|error| failed(what(), error))?;
        let Some(found) = found.filter(|found| !space::is_terminating(found)) else {
            return Ok(scope.known.iter().map(|id| (id.clone(), Observed::Absent)).collect());
        };
        let spec = space::spec_of(&found);
        let seen = match mark::owner(cx, root, &found.metadata) {
            Owner::Ours => {
                let outputs = space::outputs(&spec);
                Observed::Present { spec: spec.into(), outputs, health: Health::Ready }
            }
            Owner::Foreign(owner) => Observed::Foreign { owner, spec: Some(spec.into()) },
        };
        let mut observed = vec![(root.clone(), seen)];
        let (records, releases) = contents(client, &namespace).await?;
        let mut ids: Vec<ResourceId> =
            scope.known.iter().filter(|id| id.kind() == KindName::Workload).cloned().collect();
        for record in &records {
            let id = mark::resource(cx, &record.metadata).filter(|id| id.host().as_ref() == Some(root));
            ids.extend(id.filter(|id| !scope.known.contains(id)));
        }
        let records: BTreeMap<&str, &Found> =
            records.iter().filter_map(|record| Some((record.release()?, record))).collect();
        for id in ids {
            if PartName::new(id.name()).is_err() {
                continue;
            }
            let here = self.here(cx, client, &id, &namespace)?;
            let seen = look(&here, records.get(id.name()).copied(), releases.get(id.name())).await?;
            observed.push((id.clone(), seen));
        }
        Ok(observed)
    }

    async fn apply(&self, cx: &Context, batch: Vec<Work>) -> Vec<Result<Outputs>> {
        futures::future::join_all(batch.into_iter().map(|work| self.step(cx, work))).await
    }

    /// A helm that outlives its process holds the lock of its release.
    async fn is_quiescent(&self, _: &Context, id: &ResourceId) -> bool {
        if id.kind() != KindName::Workload {
            return false;
        }
        let (Ok(engine), Ok(release)) = (self.engine().await, workload::release(id.slice(), id.name()))
        else {
            return false;
        };
        engine.is_idle(&release).await.unwrap_or(false)
    }

    /// What is set up in a namespace is put whole and for this very namespace, and only this very namespace is removed.
    fn repeats_at_once(&self, call: &Work) -> bool {
        matches!(call, Work::Space(_)) && call.ownership() == Ownership::Ours
    }
}

async fn look(here: &Here<'_>, record: Option<&Found>, stored: Option<&Secret>) -> Result<Observed> {
    let Some(record) = record else {
        return Ok(match stored {
            Some(_) => Observed::Foreign {
                owner: "nobody (a release of Helm without a mark)".to_owned(),
                spec: None,
            },
            None => Observed::Absent,
        });
    };
    let spec = record.record.as_ref().map(|record| record.spec.clone());
    let is_broken_off = record.record.as_ref().is_some_and(|record| record.coming.is_some());
    if let Owner::Foreign(owner) = record.owner(here.cx, here.id) {
        return Ok(Observed::Foreign { owner, spec: spec.map(Into::into) });
    }
    let stored = stored.map(|stored| releases::open(here.id.name(), stored)).transpose()?;
    let stored = stored.filter(|stored| !releases::is_removed(stored));
    let (Some(spec), Some(stored)) = (spec, stored) else { return Ok(Observed::Absent) };
    let drift = match is_broken_off {
        true => Some("a change of it was broken off".to_owned()),
        false => here.domain.drift(here.client, &stored).await?,
    };
    let health = here.health(&stored, drift.as_deref()).await?;
    let what = || format!("cannot look at workload \"{}\"", here.id.name());
    let outputs = here.outputs(&stored).await.map_err(|error| failed(what(), error))?;
    let spec = match drift {
        Some(drift) => WorkloadSpec {
            settings: spec
                .settings
                .into_iter()
                .chain([(drift::SETTING.to_owned(), Value::from(drift))])
                .collect(),
            ..spec
        },
        None => spec,
    };
    Ok(Observed::Present { spec: spec.into(), outputs: outputs.into(), health })
}
