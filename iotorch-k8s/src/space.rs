//! Spaces: the slice's namespace, with its quota, limits and network policy.

use std::{collections::BTreeMap, fmt::Debug};

use iotorch_core::{
    Context, Error, ErrorKind, Result,
    model::Capacity,
    resource::{Job, Outputs, Ownership, ResourceId, Space, SpaceOutputs, SpaceSpec},
};
use k8s_openapi::{
    api::core::v1::{
        LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, PersistentVolumeClaim, Pod, ResourceQuota,
        ResourceQuotaSpec,
    },
    api::networking::v1::NetworkPolicy,
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, PostParams},
    core::NamespaceResourceScope,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    cluster::Cluster,
    error::{failed, is_conflict},
    mark::{self, ADOPTED, IOTORCH, MANAGED_BY, MARK, Owner, SPEC, annotation, labels},
    objects::{gone, put, remove_this},
    place,
    policy::{PodRanges, policy},
    quantity,
};

/// The label by which Pod Security admission knows the level.
const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";

/// What a container is taken to need that does not say so, where a quota counts it.
const DEFAULT_CPU: &str = "100m";
const DEFAULT_MEMORY: &str = "128Mi";

pub(crate) fn outputs(spec: &SpaceSpec) -> Outputs {
    SpaceOutputs { namespace: spec.name.clone() }.into()
}

/// What a namespace was made from. One that was found bears no such thing.
pub(crate) fn spec_of(namespace: &Namespace) -> SpaceSpec {
    let recorded = annotation(&namespace.metadata, SPEC).and_then(|spec| serde_json::from_str(spec).ok());
    let name = namespace.metadata.name.clone().unwrap_or_default();
    recorded.unwrap_or_else(|| SpaceSpec { name, quota: Capacity::default() })
}

/// Brings a namespace to what a step wants.
pub(crate) async fn apply(cluster: &Cluster, cx: &Context, job: &Job<Space>) -> Result<Outputs> {
    let client = &cluster.client().await?;
    match (job.ownership, job.change.after()) {
        (Ownership::Release, _) => {
            let spec = job.change.after().or_else(|| job.change.before());
            let Some(spec) = spec else { return Ok(Outputs::Removed { residue: Vec::new() }) };
            release(cluster, client, cx, &job.id, spec).await
        }
        (_, Some(after)) => ensure(cluster, client, cx, &job.id, after, job.ownership).await,
        (_, None) => match job.change.before() {
            Some(before) => remove(client, cx, &job.id, &before.name).await,
            None => Ok(Outputs::Removed { residue: Vec::new() }),
        },
    }
}

async fn ensure(
    cluster: &Cluster,
    client: &Client,
    cx: &Context,
    id: &ResourceId,
    spec: &SpaceSpec,
    ownership: Ownership,
) -> Result<Outputs> {
    let what = || format!("cannot set up namespace \"{}\"", spec.name);
    let namespaces = Api::<Namespace>::all(client.clone());
    let found = namespaces.get_opt(&spec.name).await.map_err(|error| failed(what(), error))?;
    let adopted = match &found {
        None => None,
        Some(found) if is_terminating(found) => {
            return Err(Error::new(ErrorKind::NotReady, what()).with_source(Error::new(
                ErrorKind::NotReady,
                "a namespace of that name is still being removed",
            )));
        }
        Some(found) => match (mark::owner(cx, id, &found.metadata), ownership) {
            (Owner::Ours, _) => annotation(&found.metadata, ADOPTED).map(str::to_owned),
            (Owner::Foreign(_), Ownership::Adopt) => Some(Before::of(&found.metadata).to_text()),
            (Owner::Foreign(owner), _) => return Err(mark::taken(what(), "the namespace", &owner)),
        },
    };
    let mut namespace =
        namespace(cx, id, spec, adopted, cluster.config.pod_security.unwrap_or_default().as_str())?;
    // Of this very namespace, so that what comes late does not make it again.
    namespace.metadata.uid = found.as_ref().and_then(|found| found.metadata.uid.clone());
    let (done, quicker) = match found {
        // Made, not applied: somebody else may have been quicker.
        None => (
            namespaces.create(&PostParams::default(), &namespace).await.map(drop),
            "somebody else has just made it",
        ),
        Some(_) => (put(&namespaces, &namespace).await, "somebody else has just removed it"),
    };
    match done {
        Ok(()) => {}
        Err(error) if is_conflict(&error) => {
            return Err(
                Error::new(ErrorKind::NotReady, what()).with_source(Error::new(ErrorKind::NotReady, quicker))
            );
        }
        Err(error) => return Err(failed(what(), error)),
    }
    furnish(cluster, client, spec).await.map_err(|error| failed(what(), error))?;
    Ok(outputs(spec))
}

fn namespace(
    cx: &Context,
    id: &ResourceId,
    spec: &SpaceSpec,
    adopted: Option<String>,
    level: &str,
) -> Result<Namespace> {
    let text = serde_json::to_string(spec).map_err(|error| {
        Error::new(ErrorKind::Unexpected, "cannot write down what a namespace is made from")
            .with_source(error)
    })?;
    let mut annotations = vec![(MARK.to_owned(), cx.mark(id).to_string()), (SPEC.to_owned(), text)];
    annotations.extend(adopted.map(|before| (ADOPTED.to_owned(), before)));
    let mut labels = labels();
    labels.insert(POD_SECURITY.to_owned(), level.to_owned());
    Ok(Namespace {
        metadata: ObjectMeta {
            name: Some(spec.name.clone()),
            labels: Some(labels),
            annotations: Some(annotations.into_iter().collect()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    })
}

/// Puts quota, limits and policy into the namespace.
async fn furnish(cluster: &Cluster, client: &Client, spec: &SpaceSpec) -> kube::Result<()> {
    let within = ObjectMeta {
        name: Some(IOTORCH.to_owned()),
        namespace: Some(spec.name.clone()),
        labels: Some(labels()),
        ..ObjectMeta::default()
    };
    let quotas = Api::<ResourceQuota>::namespaced(client.clone(), &spec.name);
    let limits = Api::<LimitRange>::namespaced(client.clone(), &spec.name);
    let policies = Api::<NetworkPolicy>::namespaced(client.clone(), &spec.name);
    let pods = PodRanges::of(&place::nodes(client).await?, &cluster.config.pod_ranges);
    put(&policies, &policy(&spec.name, &pods)).await?;
    if spec.quota.is_empty() {
        gone(quotas.delete(IOTORCH, &DeleteParams::default()).await)?;
        return gone(limits.delete(IOTORCH, &DeleteParams::default()).await);
    }
    let counted = [
        ("cpu", DEFAULT_CPU, spec.quota.cpu.is_some()),
        ("memory", DEFAULT_MEMORY, spec.quota.memory.is_some()),
    ];
    let counted = counted.into_iter().filter(|(.., is_counted)| *is_counted);
    let asked = counted.map(|(resource, amount, _)| (resource.to_owned(), Quantity(amount.to_owned())));
    let item = LimitRangeItem {
        type_: "Container".to_owned(),
        default_request: Some(asked.collect()),
        ..LimitRangeItem::default()
    };
    let limit = LimitRange { metadata: within.clone(), spec: Some(LimitRangeSpec { limits: vec![item] }) };
    put(&limits, &limit).await?;
    let quota = ResourceQuotaSpec { hard: Some(quantity::hard(&spec.quota)), ..ResourceQuotaSpec::default() };
    put(&quotas, &ResourceQuota { metadata: within, spec: Some(quota), status: None }).await
}

async fn remove(client: &Client, cx: &Context, id: &ResourceId, name: &str) -> Result<Outputs> {
    let what = || format!("cannot remove namespace \"{name}\"");
    let removed = Outputs::Removed { residue: Vec::new() };
    let namespaces = Api::<Namespace>::all(client.clone());
    let Some(found) = namespaces.get_opt(name).await.map_err(|error| failed(what(), error))? else {
        return Ok(removed);
    };
    if let Owner::Foreign(owner) = mark::owner(cx, id, &found.metadata) {
        return Err(mark::taken(what(), "the namespace", &owner));
    }
    if !is_terminating(&found) {
        remove_this(&namespaces, &found.metadata).await.map_err(|error| failed(what(), error))?;
    }
    if let Err(error) =
        tokio::try_join!(empty::<Pod>(client, name), empty::<PersistentVolumeClaim>(client, name))
    {
        tracing::debug!(%error, "the removal of what is in a namespace is left to its controller");
    }
    match namespaces.get_opt(name).await.map_err(|error| failed(what(), error))? {
        None => Ok(removed),
        Some(left) => Err(Error::new(ErrorKind::NotReady, what())
            .with_source(Error::new(ErrorKind::NotReady, remains(&left)))),
    }
}

/// Has objects removed that take their time, in a namespace that ends. Its controller does so too, but begins only after 5 s, and looks
/// again only after half of the longest time that a pod may take
/// (<https://github.com/kubernetes/kubernetes/blob/v1.33.0/pkg/controller/namespace/namespace_controller.go>); if pods and volumes are
/// gone by then, it is done at once.
async fn empty<K>(client: &Client, namespace: &str) -> kube::Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let objects = Api::<K>::namespaced(client.clone(), namespace);
    for object in objects.list_metadata(&ListParams::default()).await? {
        if object.metadata.deletion_timestamp.is_none() {
            remove_this(&objects, &object.metadata).await?;
        }
    }
    Ok(())
}

/// Why a namespace is not gone yet, in the words of its conditions.
fn remains(namespace: &Namespace) -> String {
    let conditions = namespace.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let remaining =
        conditions.filter(|condition| condition.status == "True").filter_map(|it| it.message.clone());
    let remaining: Vec<_> = remaining.collect();
    match remaining.as_slice() {
        [] => "its contents are being removed".to_owned(),
        remaining => remaining.join("; "),
    }
}

/// Takes our mark, and what was put in, from a namespace that was there before.
async fn release(
    cluster: &Cluster,
    client: &Client,
    cx: &Context,
    id: &ResourceId,
    spec: &SpaceSpec,
) -> Result<Outputs> {
    let what = || format!("cannot give back namespace \"{}\"", spec.name);
    let namespaces = Api::<Namespace>::all(client.clone());
    let found = namespaces.get_opt(&spec.name).await.map_err(|error| failed(what(), error))?;
    let Some(found) = found else { return Ok(outputs(spec)) };
    if mark::owner(cx, id, &found.metadata) != Owner::Ours {
        return Ok(outputs(spec));
    }
    let before = Before::read(&found.metadata);
    let bare = Namespace {
        metadata: ObjectMeta {
            name: Some(spec.name.clone()),
            labels: Some(before.labels),
            annotations: Some(before.annotations.clone()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let recorded = before.annotations.get(SPEC).and_then(|spec| serde_json::from_str(spec).ok());
    let give_back = async {
        match &recorded {
            Some(recorded) => furnish(cluster, client, recorded).await?,
            None => unfurnish(client, &spec.name).await?,
        }
        // An apply without fields that were applied before takes them away.
        put(&namespaces, &bare).await
    };
    give_back.await.map_err(|error| failed(what(), error))?;
    Ok(outputs(spec))
}

async fn unfurnish(client: &Client, namespace: &str) -> kube::Result<()> {
    let delete = DeleteParams::default();
    gone(Api::<NetworkPolicy>::namespaced(client.clone(), namespace).delete(IOTORCH, &delete).await)?;
    gone(Api::<ResourceQuota>::namespaced(client.clone(), namespace).delete(IOTORCH, &delete).await)?;
    gone(Api::<LimitRange>::namespaced(client.clone(), namespace).delete(IOTORCH, &delete).await)
}

/// What a namespace bore, before it was adopted, under the names that are set here.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Before {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl Before {
    fn of(metadata: &ObjectMeta) -> Self {
        let pick = |from: &Option<BTreeMap<String, String>>, names: [&str; 2]| {
            let all = from.iter().flatten().filter(|(name, _)| names.contains(&name.as_str()));
            all.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        Self {
            labels: pick(&metadata.labels, [MANAGED_BY, POD_SECURITY]),
            annotations: pick(&metadata.annotations, [MARK, SPEC]),
        }
    }

    fn read(metadata: &ObjectMeta) -> Self {
        annotation(metadata, ADOPTED).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    fn to_text(&self) -> String {
        json!(self).to_string()
    }
}

pub(crate) fn is_terminating(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_some()
}
