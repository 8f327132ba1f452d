//! Workloads: releases of charts, made by Helm and waited for by watches.

use std::{collections::BTreeMap, fmt};

use iotorch_core::{
    Context, Error, ErrorKind, Health, Result,
    resource::{
        Endpoint, Job, Outputs, Ownership, ResourceId, Role, Workload, WorkloadOutputs, WorkloadSpec,
    },
};
use iotorch_helm::{
    Call, Install, Namespace, ObjectRef, RESOURCE_POLICY, Release, ReleaseName, ReleaseStatus, Rollback,
    Uninstall, Upgrade, Values, chart::ResolvedChart, keeps, storage::StoredRelease,
};
use k8s_openapi::{
    ByteString,
    api::{
        core::v1::{PersistentVolumeClaim, Secret, Service},
        networking::v1::Ingress,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams},
};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    charts::merge,
    domain::KubernetesDomain,
    drift,
    endpoints::{self, Surroundings},
    error::{failed, of_helm},
    mark::{self, Owner, labels},
    objects::{gone, put, remove_this},
    own_charts::{self, OwnChart},
    place,
    readiness::{self, Kind, Part, Readiness},
    record::{self, Adopted, Found, Record},
    releases,
};

/// The label that charts give all objects of a release.
const INSTANCE: &str = "app.kubernetes.io/instance";

/// The entry of the Secret with the token of the management API.
const TOKEN: &str = "token";

/// The entry of it with what the services of an application use among themselves, as at their database.
const INNER: &str = "inner";

/// A workload of a slice on a cluster.
pub(crate) struct Here<'a> {
    pub(crate) domain: &'a KubernetesDomain,
    pub(crate) cx: &'a Context,
    pub(crate) client: &'a Client,
    pub(crate) id: &'a ResourceId,
    pub(crate) release: Release,
}

/// The release that a workload is, in a namespace.
pub(crate) fn release(namespace: &str, name: &str) -> Result<Release> {
    let what = || format!("cannot use the name \"{name}\" in namespace \"{namespace}\"");
    Ok(Release {
        name: ReleaseName::new(name).map_err(|error| of_helm(what(), error))?,
        namespace: Namespace::new(namespace).map_err(|error| of_helm(what(), error))?,
    })
}

/// What the services of an application use among themselves. It follows from the token, so that it is the same whenever a step is
/// repeated, and the token does not follow from it, so that none of them can manage the application.
fn inner_secret(token: &str) -> String {
    let digest = Sha256::digest(format!("iotorch inner secret\0{token}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Here<'_> {
    fn what(&self, verb: &str, role: Role) -> String {
        format!("cannot {verb} {role} \"{}\"", self.release.name)
    }

    fn namespace(&self) -> &str {
        self.release.namespace.as_str()
    }

    fn name(&self) -> &str {
        self.release.name.as_str()
    }

    fn call(&self) -> Call {
        Call { cancelled: self.cx.cancelled.clone(), deadline: self.cx.deadline }
    }

    /// Brings a release to what a step wants.
    pub(crate) async fn apply(&self, job: &Job<Workload>) -> Result<Outputs> {
        let noted = record::read(self.client, self.namespace(), self.name()).await?;
        match (job.ownership, job.change.after()) {
            (Ownership::Release, _) => self.give_back(noted).await,
            (_, Some(after)) => {
                // To undo the mending of what somebody has changed is to leave it mended.
                let mut after = after.clone();
                after.settings.remove(drift::SETTING);
                self.ensure(&after, noted, job.ownership).await
            }
            (_, None) => {
                let role = job.change.before().map_or(Role::Gateway, |before| before.role);
                self.remove(role, noted).await
            }
        }
    }

    async fn ensure(
        &self,
        after: &WorkloadSpec,
        noted: Option<Found>,
        ownership: Ownership,
    ) -> Result<Outputs> {
        let what = || self.what("start", after.role);
        self.quiet(after.role).await?;
        let latest = releases::latest(self.client, &self.release).await?;
        let adopts = ownership == Ownership::Adopt;
        let is_ours = match noted.as_ref().map(|noted| noted.owner(self.cx, self.id)) {
            Some(Owner::Foreign(owner)) if !adopts => {
                return Err(mark::taken(what(), "a workload of that name", &owner));
            }
            None if latest.is_some() && !adopts => {
                return Err(mark::taken(what(), "a release of that name", "nobody (no mark)"));
            }
            owner => owner == Some(Owner::Ours),
        };
        let noted = noted.as_ref();
        let record = noted.and_then(|noted| noted.record.clone());
        let adopted = if is_ours {
            record.as_ref().and_then(|record| record.adopted.clone())
        } else {
            latest.as_ref().map(|latest| Adopted {
                revision: latest.stored.revision().number,
                record: noted.and_then(Found::of_somebody_else),
            })
        };
        let chart = self.chart(after).await?;
        let values = self.values(after)?;
        let done = Record { spec: after.clone(), coming: None, adopted };
        // The mark comes before the release, so that there never is one that nobody knows. What a release is like is noted when it is.
        let begun = match &record {
            Some(record) if latest.is_some() => {
                Record { spec: record.spec.clone(), coming: Some(after.clone()), ..done.clone() }
            }
            _ => done.clone(),
        };
        if !is_ours || record.as_ref().is_none_or(|record| *record != done && *record != begun) {
            self.note(&begun).await?;
        }
        if let Some(token) = &after.admin {
            let token = self.cx.secret(token).await?;
            let inner = own_charts::has_inner_secret(after.application.as_ref());
            self.give_token(token.expose(), inner).await.map_err(|error| failed(what(), error))?;
        }
        let stored = match latest {
            Some(latest) if latest.stored.status().is_pending() => {
                releases::give_up(self.client, latest).await?;
                releases::latest(self.client, &self.release).await?.map(|latest| latest.stored)
            }
            // Helm takes up no release whose removal was begun: the rest of it goes first.
            Some(latest) if releases::is_removed(&latest.stored) => {
                self.uninstall(after.role).await?;
                None
            }
            latest => latest.map(|latest| latest.stored),
        };
        // Another content can have the same version.
        let same_chart =
            record.as_ref().is_some_and(|record| record.coming.is_none() && record.spec.chart == after.chart);
        let stored = match self.submit(after, stored, chart, values, same_chart).await {
            Ok(stored) => stored,
            Err(error) => {
                // Helm has refused it before it did anything.
                if let Some(record) = record.filter(|_| is_ours && error.kind() == ErrorKind::Invalid) {
                    self.note(&record).await?;
                }
                return Err(error);
            }
        };
        if begun != done && record.as_ref() != Some(&done) {
            self.note(&done).await?;
        }
        self.wait(after, &stored).await?;
        let outputs = self.outputs(&stored).await.map_err(|error| failed(what(), error))?;
        Ok(outputs.into())
    }

    async fn note(&self, record: &Record) -> Result<()> {
        record::write(self.client, &self.cx.mark(self.id).to_string(), self.namespace(), record).await
    }

    /// Waits, by being called again, until no helm of an earlier call or process works on the release.
    async fn quiet(&self, role: Role) -> Result<()> {
        let engine = self.domain.engine().await?;
        match engine.is_idle(&self.release).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::new(ErrorKind::NotReady, self.what("work on", role)).with_source(
                Error::new(ErrorKind::NotReady, "an earlier helm is still at work on its release"),
            )),
            Err(error) => Err(of_helm(self.what("work on", role), error)),
        }
    }

    async fn chart(&self, spec: &WorkloadSpec) -> Result<ResolvedChart> {
        match &spec.chart {
            Some(chart) => self.domain.charts().archive(chart).await,
            None => self.domain.charts().own(self.own_chart(spec)?).await,
        }
    }

    fn own_chart(&self, spec: &WorkloadSpec) -> Result<&'static OwnChart> {
        own_charts::of(spec.application.as_ref(), spec.role).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, self.what("start", spec.role))
                .with_help(own_charts::HELP)
                .with_source(Error::new(ErrorKind::Unsupported, "it has no chart"))
        })
    }

    /// The values of a chart: what the document says or, for a chart that comes with iotorch, what it needs to know.
    fn values(&self, spec: &WorkloadSpec) -> Result<Values> {
        if let Some(chart) = &spec.chart {
            return Ok(chart.values.clone().into());
        }
        let mut values = self.own_chart(spec)?.values(self.domain.config());
        let own = json!({ "adminSecret": { "name": self.token_secret(), "key": TOKEN }, "settings": spec.settings });
        if let serde_json::Value::Object(own) = own {
            merge(&mut values, own);
        }
        Ok(values.into())
    }

    fn token_secret(&self) -> String {
        format!("{}-iotorch", self.name())
    }

    async fn give_token(&self, token: &str, with_inner: bool) -> kube::Result<()> {
        let mut entries = BTreeMap::from([(TOKEN.to_owned(), ByteString(token.as_bytes().to_vec()))]);
        if with_inner {
            entries.insert(INNER.to_owned(), ByteString(inner_secret(token).into_bytes()));
        }
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(self.token_secret()),
                namespace: Some(self.namespace().to_owned()),
                labels: Some(labels()),
                ..ObjectMeta::default()
            },
            data: Some(entries),
            ..Secret::default()
        };
        put(&Api::namespaced(self.client.clone(), self.namespace()), &secret).await
    }

    async fn take_token(&self) -> kube::Result<()> {
        let secrets = Api::<Secret>::namespaced(self.client.clone(), self.namespace());
        gone(secrets.delete(&self.token_secret(), &DeleteParams::default()).await)
    }

    /// Has Helm make the release as it shall be, unless it is.
    async fn submit(
        &self,
        after: &WorkloadSpec,
        stored: Option<StoredRelease>,
        chart: ResolvedChart,
        values: Values,
        same_chart: bool,
    ) -> Result<StoredRelease> {
        let engine = self.domain.engine().await?;
        let failed = |error| of_helm(self.what("start", after.role), error);
        let is_same = |stored: &StoredRelease| {
            same_chart
                && stored.status() == ReleaseStatus::Deployed
                && stored.values() == values
                && (&stored.revision().chart.name, &stored.revision().chart.version)
                    == (&chart.name, &chart.version)
        };
        match stored {
            Some(stored) if is_same(&stored) && !self.has_drifted(&stored).await? => return Ok(stored),
            Some(stored) => {
                let release = self.release.clone();
                let upgrade = Upgrade::builder()
                    .release(release)
                    .chart(chart)
                    .values(values)
                    .takes_back(stored.is_applied_by_server())
                    .build();
                engine.upgrade(&self.call(), &upgrade).await.map_err(failed)?;
            }
            None => {
                let install =
                    Install::builder().release(self.release.clone()).chart(chart).values(values).build();
                engine.install(&self.call(), &install).await.map_err(failed)?;
            }
        }
        let latest = releases::latest(self.client, &self.release).await?;
        latest.map(|latest| latest.stored).ok_or_else(|| {
            Error::new(ErrorKind::NotReady, self.what("start", after.role))
                .with_source(Error::new(ErrorKind::NotReady, "somebody else has just removed its release"))
        })
    }

    async fn has_drifted(&self, stored: &StoredRelease) -> Result<bool> {
        Ok(self.domain.drift(self.client, stored).await?.is_some())
    }

    async fn wait(&self, after: &WorkloadSpec, stored: &StoredRelease) -> Result<()> {
        let parts = parts(stored).map_err(|error| of_helm(self.what("start", after.role), error))?;
        let view = self.domain.views().open(self.client, self.namespace());
        let waited =
            readiness::wait(self.cx, self.client, self.namespace(), self.name(), &parts, &view).await;
        waited.map_err(|error| {
            let failed = Error::new(error.kind(), self.what("start", after.role));
            let failed = match error.retry_after() {
                Some(pause) => failed.with_retry_after(pause),
                None => failed,
            };
            failed.with_source(error)
        })
    }

    /// Where the release listens.
    pub(crate) async fn outputs(&self, stored: &StoredRelease) -> kube::Result<WorkloadOutputs> {
        let parts = parts(stored).unwrap_or_default();
        let listens = parts.iter().any(|part| matches!(part.kind, Kind::Service | Kind::Ingress));
        let endpoints = if listens { self.endpoints(&parts).await? } else { BTreeMap::new() };
        let chart = &stored.revision().chart;
        Ok(WorkloadOutputs { release: format!("{chart} revision {}", stored.revision().number), endpoints })
    }

    async fn endpoints(&self, parts: &[Part]) -> kube::Result<BTreeMap<String, Endpoint>> {
        let named = |kind: Kind, name: &Option<String>| {
            parts.iter().any(|part| part.kind == kind && Some(&part.name) == name.as_ref())
        };
        let all = ListParams::default();
        let services =
            Api::<Service>::namespaced(self.client.clone(), self.namespace()).list(&all).await?.items;
        let services: Vec<_> =
            services.into_iter().filter(|service| named(Kind::Service, &service.metadata.name)).collect();
        let ingresses = match parts.iter().any(|part| part.kind == Kind::Ingress) {
            true => Api::<Ingress>::namespaced(self.client.clone(), self.namespace()).list(&all).await?.items,
            false => Vec::new(),
        };
        let ingresses: Vec<_> =
            ingresses.into_iter().filter(|ingress| named(Kind::Ingress, &ingress.metadata.name)).collect();
        let nodes = place::nodes(self.client).await?;
        let node_address = endpoints::node_address(self.domain.config().node_address.as_deref(), &nodes);
        let around = Surroundings {
            infrastructure: self.domain.infrastructure(),
            namespace: self.namespace(),
            node_address: node_address.as_deref(),
        };
        Ok(endpoints::of(&services, &ingresses, &around))
    }

    /// Removes a release and what it leaves behind.
    async fn remove(&self, role: Role, noted: Option<Found>) -> Result<Outputs> {
        let removed = Outputs::Removed { residue: Vec::new() };
        let Some(noted) = noted else { return Ok(removed) };
        let what = || self.what("remove", role);
        if let Owner::Foreign(owner) = noted.owner(self.cx, self.id) {
            return Err(mark::taken(what(), "a workload of that name", &owner));
        }
        if let Some(latest) = releases::latest(self.client, &self.release).await? {
            let objects = latest.stored.manifests().objects();
            let objects = objects.map_err(|error| of_helm(what(), error))?;
            let kept = objects.iter().filter(|object| object.is_kept);
            self.domain.keep(self.id, kept.map(|object| self.told(object)));
        }
        self.uninstall(role).await?;
        self.remove_claims().await.map_err(|error| failed(what(), error))?;
        let view = self.domain.views().open(self.client, self.namespace());
        let left = readiness::gone(self.cx, (INSTANCE, self.name()), &view).await;
        left.map_err(|error| Error::new(error.kind(), what()).with_source(error))?;
        self.take_token().await.map_err(|error| failed(what(), error))?;
        record::remove(self.client, self.namespace(), self.name()).await?;
        Ok(removed)
    }

    /// Removes the claims that a StatefulSet of the release has made, which Helm knows nothing of.
    async fn remove_claims(&self) -> kube::Result<()> {
        let claims = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), self.namespace());
        let own = ListParams::default().labels(&format!("{INSTANCE}={}", self.name()));
        for claim in claims.list_metadata(&own).await? {
            if mark::annotation(&claim.metadata, RESOURCE_POLICY).is_some_and(keeps) {
                let name = claim.metadata.name.as_deref().unwrap_or_default();
                let told = self.told(&format_args!("PersistentVolumeClaim \"{name}\""));
                self.domain.keep(self.id, [told].into_iter());
            } else {
                remove_this(&claims, &claim.metadata).await?;
            }
        }
        Ok(())
    }

    /// An object that stays behind, in words.
    pub(crate) fn told(&self, object: &impl fmt::Display) -> String {
        format!("{object} of release {} on {}", self.release, self.domain.infrastructure())
    }

    /// Has Helm remove a release, if it is there.
    pub(crate) async fn uninstall(&self, role: Role) -> Result<()> {
        self.quiet(role).await?;
        let engine = self.domain.engine().await?;
        let uninstall = Uninstall::builder().release(self.release.clone()).build();
        match engine.uninstall(&self.call(), &uninstall).await {
            Err(error) if error.kind() != iotorch_helm::ErrorKind::NotFound => {
                Err(of_helm(self.what("remove", role), error))
            }
            _ => Ok(()),
        }
    }

    /// Gives a release back that was there before.
    async fn give_back(&self, noted: Option<Found>) -> Result<Outputs> {
        let removed = Outputs::Removed { residue: Vec::new() };
        let Some(noted) = noted.filter(|noted| noted.owner(self.cx, self.id) == Owner::Ours) else {
            return Ok(removed);
        };
        let Some(record) = noted.record else { return Ok(removed) };
        let Some(found) = record.adopted else { return Ok(removed) };
        let (role, revision) = (record.spec.role, found.revision);
        self.quiet(role).await?;
        let latest = releases::latest(self.client, &self.release).await?;
        if latest.is_some_and(|latest| latest.stored.revision().number != revision) {
            let engine = self.domain.engine().await?;
            let rollback = Rollback::builder().release(self.release.clone()).to(revision).build();
            let back = engine.rollback(&self.call(), &rollback).await;
            back.map_err(|error| of_helm(self.what("give back", role), error))?;
        }
        match found.record {
            Some((mark, record)) => record::write(self.client, &mark, self.namespace(), &record).await?,
            None => {
                self.take_token().await.map_err(|error| failed(self.what("give back", role), error))?;
                record::remove(self.client, self.namespace(), self.name()).await?;
            }
        }
        Ok(removed)
    }

    /// How the release is.
    pub(crate) async fn health(&self, stored: &StoredRelease, drift: Option<&str>) -> Result<Health> {
        let status = stored.status();
        if status != ReleaseStatus::Deployed {
            let description = &stored.revision().description;
            return Ok(Health::Failed { reason: format!("its release is {status}: {description}") });
        }
        let parts = parts(stored).map_err(|error| of_helm("cannot read a release", error))?;
        let view = self.domain.views().open(self.client, self.namespace());
        Ok(match (readiness::now(&parts, &view).await?, drift) {
            (Readiness::Ready, None) => Health::Ready,
            (Readiness::Ready, Some(drift)) => {
                Health::Degraded { reason: format!("changed outside: {drift}") }
            }
            (Readiness::Waiting(reason) | Readiness::Hopeless(reason), _) => {
                Health::Failed { reason: reason.text }
            }
        })
    }
}

/// The objects of a release that are no hooks, and in no other namespace.
fn parts(stored: &StoredRelease) -> iotorch_helm::Result<Vec<Part>> {
    let here = stored.release().namespace.as_str();
    let is_here = |object: &ObjectRef| object.namespace.as_deref().is_none_or(|namespace| namespace == here);
    let objects = stored.manifests().objects()?.into_iter().filter(|object| !object.is_hook);
    let parts = objects
        .filter(is_here)
        .map(|object| Part { kind: Kind::new(&object.api_version, &object.kind), name: object.name });
    Ok(parts.collect())
}
