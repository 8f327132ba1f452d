//! Real Kubernetes clusters and a real helm, as the environment names them to tests and benchmarks alike.

use std::{env, fs, path::PathBuf, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Config,
    api::{DeleteParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{conditions::is_deleted, wait::await_condition},
};
use serde_json::{Value, json};

use crate::Result;

/// How long a namespace with all that is in it may take to go.
const PATIENCE: Duration = Duration::from_secs(120);

/// What there is to measure with.
#[derive(Clone, Debug)]
pub struct Clusters {
    /// The kubeconfig of all clusters; each is a context in it (`IOTORCH_KUBECONFIG`).
    pub kubeconfig: PathBuf,
    /// The program helm, version 4 (`IOTORCH_HELM4`).
    pub helm: PathBuf,
    /// The program kubectl (`IOTORCH_KUBECTL`).
    pub kubectl: PathBuf,
}

impl Clusters {
    /// What the environment names.
    ///
    /// # Errors
    /// When it does not name something; the error says how to have it.
    pub fn find() -> Result<Self> {
        let path = |name| set(name).map(PathBuf::from);
        Ok(Self {
            kubeconfig: path("IOTORCH_KUBECONFIG")?,
            helm: path("IOTORCH_HELM4")?,
            kubectl: set("IOTORCH_KUBECTL").unwrap_or_else(|_| "kubectl".to_owned()).into(),
        })
    }

    /// The image of iotorch that the clusters have (`IOTORCH_LITE_IMAGE`), as its name and its tag.
    ///
    /// # Errors
    /// As [`find`](Self::find), and for an image without a tag.
    pub fn image() -> Result<(String, String)> {
        let image = set("IOTORCH_LITE_IMAGE")?;
        let (name, tag) = image.rsplit_once(':').ok_or("cannot use IOTORCH_LITE_IMAGE: it has no tag")?;
        Ok((name.to_owned(), tag.to_owned()))
    }

    /// The values of the charts of EdgeX and Mainflux, which say by which images they run (files that `IOTORCH_EDGEX_VALUES` and
    /// `IOTORCH_MAINFLUX_VALUES` name). Without these the official images are measured.
    ///
    /// # Errors
    /// For a file that cannot be read.
    pub fn platforms() -> Result<[Value; 2]> {
        let values = |variable| -> Result<Value> {
            let Ok(path) = set(variable) else { return Ok(json!({})) };
            Ok(serde_saphyr::from_str(&fs::read_to_string(path)?)?)
        };
        Ok([values("IOTORCH_EDGEX_VALUES")?, values("IOTORCH_MAINFLUX_VALUES")?])
    }

    /// A client of a cluster.
    ///
    /// # Errors
    /// When the kubeconfig has no such context.
    pub async fn client(&self, context: &str) -> Result<Client> {
        let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        Ok(Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &options).await?)?)
    }

    /// A cluster as a document, named as its context; `lite` are values of the charts of `lite`.
    #[must_use]
    pub fn document(&self, context: &str, tier: &str, lite: &Value) -> Value {
        self.document_with(context, tier, json!({ "lite": lite }))
    }

    /// The same with other settings.
    #[must_use]
    pub fn document_with(&self, context: &str, tier: &str, mut settings: Value) -> Value {
        settings["kubeconfig"] = json!(self.kubeconfig);
        settings["context"] = json!(context);
        json!({
            "apiVersion": "iotorch.dev/v1alpha1",
            "kind": "Infrastructure",
            "metadata": { "name": context },
            "spec": { "driver": "kubernetes", "tier": tier, "settings": settings },
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is told by the environment what there is")]
fn set(name: &str) -> Result<String> {
    let value = env::var(name).ok().filter(|value| !value.is_empty());
    Ok(value.ok_or_else(|| {
        format!(
            "cannot find the clusters: {name} is not set (`cargo xtask testbed up k8s` brings up such clusters, and \
             benches/README.md says what to set)"
        )
    })?)
}

/// Makes a namespace.
///
/// # Errors
/// When the cluster refuses.
pub async fn make(client: &Client, namespace: &str) -> Result<()> {
    let metadata = ObjectMeta { name: Some(namespace.to_owned()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    Ok(())
}

/// Removes a namespace, and waits until it is gone with all that was in it, so that what is measured next has the cluster for itself.
///
/// # Errors
/// When that takes minutes.
pub async fn remove(client: &Client, namespace: &str) -> Result<()> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let Some(found) = namespaces.get_opt(namespace).await? else { return Ok(()) };
    let uid = found.metadata.uid.ok_or("cannot remove a namespace that has no identity")?;
    // It may be on its way already.
    let _ = namespaces.delete(namespace, &DeleteParams::background()).await;
    tokio::time::timeout(PATIENCE, await_condition(namespaces, namespace, is_deleted(&uid))).await??;
    Ok(())
}
