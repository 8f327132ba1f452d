//! What a view has to have seen before it says anything of a release: watches are behind the changes that were just made.

use std::{collections::BTreeMap, fmt::Debug};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        batch::v1::Job,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::{Part, View};

/// The objects that pods come from, as they were at some moment.
#[derive(Debug, Default)]
pub(super) struct Floor(BTreeMap<Part, Seen>);

/// An object at a moment.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    uid: Option<String>,
    generation: Option<i64>,
}

impl Seen {
    fn of(metadata: &ObjectMeta) -> Self {
        Self { uid: metadata.uid.clone(), generation: metadata.generation }
    }
}

impl Floor {
    /// The parts of a release as they are now.
    pub(super) async fn now(client: &Client, namespace: &str, parts: &[Part]) -> kube::Result<Self> {
        let mut floor = BTreeMap::new();
        for part in parts {
            let seen = match part.kind.as_str() {
                "Deployment" => see::<Deployment>(client, namespace, &part.name).await?,
                "StatefulSet" => see::<StatefulSet>(client, namespace, &part.name).await?,
                "DaemonSet" => see::<DaemonSet>(client, namespace, &part.name).await?,
                "Job" => see::<Job>(client, namespace, &part.name).await?,
                _ => None,
            };
            floor.extend(seen.map(|seen| (part.clone(), seen)));
        }
        Ok(Self(floor))
    }

    /// Whether a view has seen a part as it was then, or later.
    pub(super) fn is_reached(&self, part: &Part, view: &View) -> bool {
        let Some(floor) = self.0.get(part) else { return true };
        let seen = match part.kind.as_str() {
            "Deployment" => view.deployments.get(&part.name).map(|it| Seen::of(&it.metadata)),
            "StatefulSet" => view.stateful_sets.get(&part.name).map(|it| Seen::of(&it.metadata)),
            "DaemonSet" => view.daemon_sets.get(&part.name).map(|it| Seen::of(&it.metadata)),
            _ => view.jobs.get(&part.name).map(|it| Seen::of(&it.metadata)),
        };
        seen.is_some_and(|seen| seen.uid == floor.uid && seen.generation >= floor.generation)
    }
}

async fn see<K>(client: &Client, namespace: &str, name: &str) -> kube::Result<Option<Seen>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let found = Api::<K>::namespaced(client.clone(), namespace).get_metadata_opt(name).await?;
    Ok(found.map(|found| Seen::of(&found.metadata)))
}
