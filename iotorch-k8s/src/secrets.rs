//! Secrets in a namespace of a cluster.

use std::collections::BTreeMap;

use async_trait::async_trait;
use iotorch_core::{
    Error, ErrorKind, Result,
    secret::{SecretRef, SecretStore, SecretValue},
};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
};
use sha2::{Digest, Sha256};

use crate::{
    error::{failed, is_conflict},
    mark::{MANAGED_BY, annotation, labels},
    objects::gone,
};

/// The annotation with the reference that a Secret holds the value of: names of Secrets allow less than references.
const REFERENCE: &str = "iotorch.dev/secret";

const KEY: &str = "value";

/// Keeps each secret as a Secret of one namespace, such as that of the pod that iotorch runs in.
///
/// A Secret is called `iotorch-` and 32 hexadecimal digits of the SHA-256 of its reference, which is in its annotation
/// `iotorch.dev/secret`, and is immutable. Who may read Secrets in the namespace can read them all.
#[derive(Clone)]
pub struct KubernetesSecretStore {
    secrets: Api<Secret>,
    namespace: String,
}

impl KubernetesSecretStore {
    /// A store in this namespace, which has to exist.
    #[must_use]
    pub fn new(client: Client, namespace: impl Into<String>) -> Self {
        let namespace = namespace.into();
        Self { secrets: Api::namespaced(client, &namespace), namespace }
    }

    fn what(&self, verb: &str, secret: &SecretRef) -> String {
        format!("cannot {verb} secret \"{secret}\" in namespace \"{}\"", self.namespace)
    }

    async fn read(&self, verb: &str, secret: &SecretRef) -> Result<Option<SecretValue>> {
        let what = || self.what(verb, secret);
        let found = self.secrets.get_opt(&name_of(secret)).await.map_err(|error| failed(what(), error))?;
        let Some(mut found) = found else { return Ok(None) };
        let value = found.data.as_mut().and_then(|data| data.remove(KEY));
        let value = value.and_then(|ByteString(bytes)| String::from_utf8(bytes).ok());
        match (reference(&found), value) {
            (Some(reference), Some(value)) if reference == *secret => Ok(Some(SecretValue::new(value))),
            _ => {
                let why = format!("Secret \"{}\" is not one of iotorch", name_of(secret));
                Err(Error::new(ErrorKind::Conflict, what()).with_source(Error::new(ErrorKind::Conflict, why)))
            }
        }
    }
}

fn name_of(secret: &SecretRef) -> String {
    let digest = Sha256::digest(secret.to_string().as_bytes());
    let digits: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("iotorch-{digits}")
}

fn reference(secret: &Secret) -> Option<SecretRef> {
    annotation(&secret.metadata, REFERENCE)?.parse().ok()
}

#[async_trait]
impl SecretStore for KubernetesSecretStore {
    async fn fetch(&self, secret: &SecretRef) -> Result<SecretValue> {
        let missing = || Error::new(ErrorKind::NotFound, self.what("find", secret));
        self.read("read", secret).await?.ok_or_else(missing)
    }

    async fn put(&self, secret: &SecretRef, value: SecretValue) -> Result<()> {
        let object = Secret {
            metadata: ObjectMeta {
                name: Some(name_of(secret)),
                labels: Some(labels()),
                annotations: Some(BTreeMap::from([(REFERENCE.to_owned(), secret.to_string())])),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(value.expose().as_bytes().to_vec()))])),
            immutable: Some(true),
            ..Secret::default()
        };
        match self.secrets.create(&PostParams::default(), &object).await {
            Ok(_) => Ok(()),
            Err(error) if is_conflict(&error) => match self.read("store", secret).await? {
                Some(there) if there == value => Ok(()),
                _ => Err(Error::new(ErrorKind::Conflict, self.what("store", secret))
                    .with_source(Error::new(ErrorKind::Conflict, "another value is there"))),
            },
            Err(error) => Err(failed(self.what("store", secret), error)),
        }
    }

    async fn remove(&self, secret: &SecretRef) -> Result<()> {
        let removed = self.secrets.delete(&name_of(secret), &DeleteParams::default()).await;
        gone(removed).map_err(|error| failed(self.what("remove", secret), error))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<SecretRef>> {
        let ours = ListParams::default().labels(&format!("{MANAGED_BY}={}", crate::mark::IOTORCH));
        let what = || format!("cannot list the secrets in namespace \"{}\"", self.namespace);
        let listed = self.secrets.list_metadata(&ours).await.map_err(|error| failed(what(), error))?;
        let references =
            listed.items.iter().filter_map(|secret| annotation(&secret.metadata, REFERENCE)?.parse().ok());
        let mut references: Vec<SecretRef> =
            references.filter(|secret: &SecretRef| secret.name().starts_with(prefix)).collect();
        references.sort_unstable();
        Ok(references)
    }
}

impl std::fmt::Debug for KubernetesSecretStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubernetesSecretStore").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
