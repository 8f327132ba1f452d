//! Spaces and workloads in this process.

use super::{
    directory::{self, INSTANCE, Marked, SPACE, failed},
    host::{Instances, LocalHost, space_name},
    instance::{self, Instance},
};
use crate::ports::PATIENCE;
use async_trait::async_trait;
use iotorch_core::{
    Context, Domain, Error, ErrorKind, Health, Observed, Result, Scope,
    model::{Capacity, PartName},
    resource::{
        Job, KindName, Outputs, Ownership, ResourceId, Space, SpaceOutputs, SpaceSpec, Work, Workload,
        WorkloadSpec,
    },
};
use std::{path::Path, sync::Arc};
use tokio::sync::OwnedMutexGuard;

/// One infrastructure `local`.
#[derive(Debug)]
pub(crate) struct LocalDomain {
    pub(crate) host: Arc<LocalHost>,
}

fn space_outputs(id: &ResourceId) -> Outputs {
    SpaceOutputs { namespace: space_name(id) }.into()
}

#[async_trait]
impl Domain for LocalDomain {
    async fn observe(&self, cx: &Context, scope: &Scope) -> Result<Vec<(ResourceId, Observed)>> {
        let (root, dir) = (scope.root.clone(), self.host.space_dir(&scope.root));
        let (known, cx) = (scope.known.clone(), cx.clone());
        let look = async move |instances: OwnedMutexGuard<Instances>| {
            let space = if dir.exists() {
                let spec = SpaceSpec { name: root.slice().to_owned(), quota: Capacity::default() };
                let marked = SPACE.read(&dir)?;
                seen(&cx, &root, marked.as_ref(), || (spec, space_outputs(&root), Health::Ready))
            } else {
                Observed::Absent
            };
            let mut observed = vec![(root.clone(), space)];
            let mut names = directory::names(&dir)?;
            names.retain(|name| dir.join(name).exists());
            for name in &names {
                let Ok(part) = PartName::new(name) else { continue };
                let (id, dir) = (root.workload(&part), dir.join(name));
                let marked = INSTANCE.read(&dir)?;
                if !known.contains(&id) && !is_ours(&cx, &id, marked.as_ref()) {
                    continue;
                }
                observed.push((id.clone(), look_at_workload(&cx, &id, &dir, marked, &instances)?));
            }
            let gone =
                known.into_iter().filter(|id| id.kind() == KindName::Workload && !names.contains(id.name()));
            observed.extend(gone.map(|id| (id, Observed::Absent)));
            Ok(observed)
        };
        self.host.turn(space_name(&scope.root), look).await
    }

    async fn apply(&self, cx: &Context, batch: Vec<Work>) -> Vec<Result<Outputs>> {
        let mut results = Vec::with_capacity(batch.len());
        for work in batch {
            let (host, mark) = (Arc::clone(&self.host), cx.mark(work.id()).to_string());
            let space_of = space_name(work.id());
            results.push(match work {
                Work::Space(job) => {
                    self.host
                        .turn(space_of, async move |instances| space(&host, instances, &mark, job).await)
                        .await
                }
                Work::Workload(job) => {
                    self.host
                        .turn(space_of, async move |instances| workload(&host, instances, &mark, job).await)
                        .await
                }
                other => Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("cannot make a {} with driver \"local\"", other.id().kind()),
                )),
            });
        }
        results
    }

    /// What ran in a process that died has died with it, and its lock on the directory is ours. A step that this process was
    /// not waited for to finish is waited for here.
    async fn is_quiescent(&self, _: &Context, id: &ResourceId) -> bool {
        self.host.turn(space_name(id), async |_| Ok(())).await.is_ok()
    }
}

fn is_ours(cx: &Context, id: &ResourceId, marked: Option<&Marked>) -> bool {
    marked.is_some_and(|marked| marked.mark == cx.mark(id).to_string())
}

fn seen<S: Into<iotorch_core::resource::Spec>>(
    cx: &Context,
    id: &ResourceId,
    marked: Option<&Marked>,
    present: impl FnOnce() -> (S, Outputs, Health),
) -> Observed {
    let (spec, outputs, health) = present();
    let spec = spec.into();
    if is_ours(cx, id, marked) {
        return Observed::Present { spec, outputs, health };
    }
    let owner = marked.map_or_else(|| "nobody (no mark)".to_owned(), |marked| marked.mark.clone());
    Observed::Foreign { owner, spec: Some(spec) }
}

fn look_at_workload(
    cx: &Context,
    id: &ResourceId,
    dir: &Path,
    marked: Option<Marked>,
    instances: &Instances,
) -> Result<Observed> {
    let Some(marked) = marked else {
        return Ok(Observed::Foreign { owner: "nobody (no mark)".to_owned(), spec: None });
    };
    let spec: WorkloadSpec = marked.spec().map_err(|error| failed("read", dir, error))?;
    let instance = instances.get(id.name());
    let outputs = instance::outputs(instance, dir, &spec)?;
    Ok(seen(cx, id, Some(&marked), || (spec, outputs.into(), instance::health(instance))))
}

async fn space(
    host: &LocalHost,
    mut instances: OwnedMutexGuard<Instances>,
    mark: &str,
    job: Job<Space>,
) -> Result<Outputs> {
    let dir = host.space_dir(&job.id);
    if job.ownership == Ownership::Release {
        SPACE.release(&dir, mark)?;
        return Ok(space_outputs(&job.id));
    }
    if let Some(after) = job.change.after() {
        SPACE.put(&dir, mark, after, job.ownership)?;
        return Ok(space_outputs(&job.id));
    }
    SPACE.check(&dir, mark)?;
    for (_, instance) in std::mem::take(&mut *instances) {
        instance.stop().await;
    }
    remove(&dir).await?;
    Ok(Outputs::Removed { residue: Vec::new() })
}

async fn workload(
    host: &Arc<LocalHost>,
    mut instances: OwnedMutexGuard<Instances>,
    mark: &str,
    job: Job<Workload>,
) -> Result<Outputs> {
    let (within, space, name) = (space_name(&job.id), host.space_dir(&job.id), job.id.name());
    let dir = space.join(name);
    if job.ownership == Ownership::Release {
        INSTANCE.release(&dir, mark)?;
        stop(&mut instances, name).await;
        if INSTANCE.read(&dir)?.is_some() {
            let found = host.start_again(&dir, PATIENCE).await?;
            host.hold(&mut instances, &within, name, found);
        }
        return Ok(Outputs::Removed { residue: Vec::new() });
    }
    let Some(after) = job.change.after() else {
        INSTANCE.check(&dir, mark)?;
        stop(&mut instances, name).await;
        remove(&dir).await?;
        return Ok(Outputs::Removed { residue: Vec::new() });
    };
    if !space.exists() {
        let what = format!("cannot start {} \"{name}\"", after.role);
        return Err(Error::new(ErrorKind::NotFound, what).with_source("its space is not there"));
    }
    let prepared = instance::prepare(after, host.secrets()).await?;
    INSTANCE.put(&dir, mark, after, job.ownership)?;
    if !instances.get(name).is_some_and(|instance| instance.runs_as(after)) {
        stop(&mut instances, name).await;
        let instance = Instance::start(&dir, after.clone(), Ok(prepared), PATIENCE).await;
        if let Some(failure) = host.hold(&mut instances, &within, name, instance) {
            return Err(failure);
        }
    }
    Ok(instance::outputs(instances.get(name), &dir, after)?.into())
}

async fn stop(instances: &mut Instances, name: &str) {
    if let Some(instance) = instances.remove(name) {
        instance.stop().await;
    }
}

/// Removes a directory; its files may be large.
async fn remove(dir: &Path) -> Result<()> {
    let removed = dir.to_owned();
    let task = tokio::task::spawn_blocking(move || directory::remove(&removed));
    task.await.map_err(|error| failed("remove", dir, error))?
}
