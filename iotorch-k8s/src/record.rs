//! What iotorch notes of a workload beside its release: whose it is, and what it was made from.
//!
//! It is a ConfigMap in the slice's namespace, written before Helm is called and removed after all else, so that a release that was
//! begun is known as ours whatever happened then.

use std::collections::BTreeMap;

use iotorch_core::{
    Context, Error, ErrorKind, Result,
    resource::{ResourceId, WorkloadSpec},
};
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::failed,
    mark::{self, IOTORCH, MANAGED_BY, MARK, Owner, labels},
    objects::{gone, put},
};

const KEY: &str = "workload";

/// What is noted of a workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// What it was made from.
    pub(crate) spec: WorkloadSpec,
    /// What it is being changed to, or was when that was broken off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coming: Option<WorkloadSpec>,
    /// What was there before it was adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) adopted: Option<Adopted>,
}

/// What was there before a workload was adopted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Adopted {
    /// The revision of the release.
    pub(crate) revision: u32,
    /// The record of somebody else, with its mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) record: Option<(String, Box<Record>)>,
}

/// A record as it was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// None for one that cannot be read, or has a newer form.
    pub(crate) record: Option<Record>,
    pub(crate) metadata: ObjectMeta,
}

impl Found {
    pub(crate) fn owner(&self, cx: &Context, id: &ResourceId) -> Owner {
        mark::owner(cx, id, &self.metadata)
    }

    /// The record with its mark, where it has one.
    pub(crate) fn of_somebody_else(&self) -> Option<(String, Box<Record>)> {
        let mark = mark::annotation(&self.metadata, MARK)?.to_owned();
        Some((mark, Box::new(self.record.clone()?)))
    }

    /// The release that it is about.
    pub(crate) fn release(&self) -> Option<&str> {
        self.metadata.name.as_deref()?.strip_prefix(PREFIX)
    }
}

/// Names of releases have no dot, so that no other ConfigMap of a chart is called so.
const PREFIX: &str = "iotorch.";

fn api(client: &Client, namespace: &str) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), namespace)
}

fn found(map: ConfigMap) -> Found {
    let text = map.data.as_ref().and_then(|data| data.get(KEY));
    Found { record: text.and_then(|text| serde_json::from_str(text).ok()), metadata: map.metadata }
}

pub(crate) async fn read(client: &Client, namespace: &str, release: &str) -> Result<Option<Found>> {
    let map = api(client, namespace).get_opt(&format!("{PREFIX}{release}")).await;
    let map = map.map_err(|error| failed(format!("cannot read what is noted of \"{release}\""), error))?;
    Ok(map.map(found))
}

/// All records in a namespace.
pub(crate) async fn list(client: &Client, namespace: &str) -> kube::Result<Vec<Found>> {
    let ours = ListParams::default().labels(&format!("{MANAGED_BY}={IOTORCH}"));
    let maps = api(client, namespace).list(&ours).await?;
    Ok(maps.items.into_iter().map(found).filter(|found| found.release().is_some()).collect())
}

pub(crate) async fn write(client: &Client, mark: &str, namespace: &str, record: &Record) -> Result<()> {
    let what = || format!("cannot note what \"{}\" is made from", record.spec.name);
    let text = serde_json::to_string(record)
        .map_err(|error| Error::new(ErrorKind::Unexpected, what()).with_source(error))?;
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(format!("{PREFIX}{}", record.spec.name)),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels()),
            annotations: Some(BTreeMap::from([(MARK.to_owned(), mark.to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(KEY.to_owned(), text)])),
        ..ConfigMap::default()
    };
    put(&api(client, namespace), &map).await.map_err(|error| failed(what(), error))
}

pub(crate) async fn remove(client: &Client, namespace: &str, release: &str) -> Result<()> {
    let removed =
        api(client, namespace).delete(&format!("{PREFIX}{release}"), &DeleteParams::default()).await;
    gone(removed).map_err(|error| failed(format!("cannot remove what is noted of \"{release}\""), error))
}
