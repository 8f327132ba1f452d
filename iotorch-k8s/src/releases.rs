//! Releases as Helm keeps them, read from the cluster without asking Helm.

use std::collections::BTreeMap;

use iotorch_core::{Error, ErrorKind, Result};
use iotorch_helm::{
    Release, ReleaseStatus,
    storage::{DATA_KEY, OWNER, StoredRelease, Written},
};
use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};

use crate::error::{failed, is_conflict, of_helm};

/// The newest revision of a release, and the Secret that holds it.
#[derive(Debug)]
pub(crate) struct Latest {
    pub(crate) stored: StoredRelease,
    secret: Secret,
}

fn api(client: &Client, namespace: &str) -> Api<Secret> {
    Api::namespaced(client.clone(), namespace)
}

/// The newest revision of a release.
pub(crate) async fn latest(client: &Client, release: &Release) -> Result<Option<Latest>> {
    let what = || format!("cannot read release {release}");
    let (owner, helm) = OWNER;
    let secrets = ListParams::default().labels(&format!("{owner}={helm},name={}", release.name));
    let secrets = api(client, release.namespace.as_str())
        .list(&secrets)
        .await
        .map_err(|error| failed(what(), error))?;
    match newest(secrets.items).into_values().next() {
        Some(secret) => {
            let stored = stored(&secret).map_err(|error| of_helm(what(), error))?;
            Ok(Some(Latest { stored, secret }))
        }
        None => Ok(None),
    }
}

/// Where the newest revisions of all releases in a namespace are, by name.
pub(crate) async fn list(client: &Client, namespace: &str) -> kube::Result<BTreeMap<String, Secret>> {
    let (owner, helm) = OWNER;
    let secrets =
        api(client, namespace).list(&ListParams::default().labels(&format!("{owner}={helm}"))).await?;
    Ok(newest(secrets.items))
}

/// The revision in a Secret that was listed.
pub(crate) fn open(name: &str, secret: &Secret) -> Result<StoredRelease> {
    stored(secret).map_err(|error| of_helm(format!("cannot read release \"{name}\""), error))
}

fn newest(secrets: Vec<Secret>) -> BTreeMap<String, Secret> {
    let mut newest: BTreeMap<String, (u32, Secret)> = BTreeMap::new();
    for secret in secrets {
        let label = |name: &str| secret.metadata.labels.as_ref()?.get(name).cloned();
        let (Some(name), Some(version)) = (label("name"), label("version").and_then(|it| it.parse().ok()))
        else {
            continue;
        };
        if newest.get(&name).is_none_or(|(known, _)| *known < version) {
            newest.insert(name, (version, secret));
        }
    }
    newest.into_iter().map(|(name, (_, secret))| (name, secret)).collect()
}

fn stored(secret: &Secret) -> iotorch_helm::Result<StoredRelease> {
    let data = secret.data.as_ref().and_then(|data| data.get(DATA_KEY));
    StoredRelease::decode(data.map_or(&[][..], |ByteString(bytes)| bytes))
}

/// Whether a release was uninstalled and its history kept, or that was broken off.
pub(crate) fn is_removed(stored: &StoredRelease) -> bool {
    matches!(stored.status(), ReleaseStatus::Uninstalled | ReleaseStatus::Uninstalling)
}

/// Marks an operation as failed that was broken off, so that Helm takes the release up again.
pub(crate) async fn give_up(client: &Client, latest: Latest) -> Result<()> {
    let Latest { stored, mut secret } = latest;
    let release = stored.release().clone();
    let stored = stored.with_status(ReleaseStatus::Failed, "broken off");
    let labels = secret.metadata.labels.get_or_insert_default();
    labels.remove("createdAt");
    labels.extend(stored.labels(Written::Modified(Timestamp::now())));
    secret.data = Some(BTreeMap::from([(DATA_KEY.to_owned(), ByteString(stored.encode()))]));
    // With the version that was read, so that whoever has changed it since goes first.
    let put = api(client, release.namespace.as_str())
        .replace(&stored.secret_name(), &PostParams::default(), &secret)
        .await;
    let what = || format!("cannot take up release {release}");
    put.map(drop).map_err(|error| match is_conflict(&error) {
        true => Error::new(ErrorKind::NotReady, what())
            .with_source(Error::new(ErrorKind::NotReady, "somebody else has just changed it")),
        false => failed(what(), error),
    })
}
