//! Helm as a person runs it, and as iotorch does with its times taken.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use async_trait::async_trait;
use iotorch_core::model::InfrastructureName;
use iotorch_helm::{
    Call, HelmEngine, Install, Manifests, Namespace, Release, ReleaseState, Render, Revision, Rollback,
    Uninstall, Uninstalled, Upgrade,
};
use iotorch_k8s::{Engines, HelmPrograms, KubernetesConfig};
use tokio::process::Command;

use crate::{Result, clusters::Clusters};

/// The program helm with folders of its own, for one cluster.
#[derive(Clone, Debug)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    context: String,
    home: PathBuf,
    environment: Vec<(&'static str, &'static str)>,
}

impl Helm {
    /// Keeps in `home` what it keeps, so that each call finds what an earlier one has fetched.
    #[must_use]
    pub fn new(clusters: &Clusters, context: &str, home: &Path) -> Self {
        Self {
            program: clusters.helm.clone(),
            kubeconfig: clusters.kubeconfig.clone(),
            context: context.to_owned(),
            home: home.to_owned(),
            environment: Vec::new(),
        }
    }

    /// The same, with these variables besides.
    #[must_use]
    pub fn with_environment(self, environment: &[(&'static str, &'static str)]) -> Self {
        Self { environment: environment.to_vec(), ..self }
    }

    /// `helm install NAME CHART --namespace NAMESPACE --set VALUES`.
    ///
    /// # Errors
    /// When helm does not succeed, with what it says.
    pub async fn install(&self, name: &str, chart: &Path, namespace: &str, values: &str) -> Result<()> {
        let mut helm = Command::new(&self.program);
        helm.arg("install").arg(name).arg(chart).args(["--namespace", namespace, "--set", values]);
        helm.args(["--kube-context", &self.context]).env("KUBECONFIG", &self.kubeconfig);
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "KUBECACHEDIR"] {
            helm.env(name, self.home.join(name));
        }
        helm.envs(self.environment.iter().copied());
        let ended = helm.kill_on_drop(true).output().await?;
        if ended.status.success() {
            return Ok(());
        }
        Err(format!("cannot install {name}: {}", String::from_utf8_lossy(&ended.stderr).trim()).into())
    }
}

/// From when to when helm made which release.
pub type Installed = (String, Instant, Instant);

/// The engines of iotorch's driver, whose installations are timed.
#[derive(Clone, Debug)]
pub struct Timed {
    engines: HelmPrograms,
    installed: Arc<Mutex<Vec<Installed>>>,
}

impl Timed {
    /// Times these engines.
    #[must_use]
    pub fn new(engines: HelmPrograms) -> Self {
        Self { engines, installed: Arc::default() }
    }

    /// What was installed so far.
    #[must_use]
    pub fn installed(&self) -> Vec<Installed> {
        self.installed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Engines for Timed {
    async fn open(
        &self,
        name: &InfrastructureName,
        config: &KubernetesConfig,
    ) -> iotorch_core::Result<Arc<dyn HelmEngine>> {
        let engine = self.engines.open(name, config).await?;
        Ok(Arc::new(TimedEngine { engine, installed: Arc::clone(&self.installed) }))
    }
}

struct TimedEngine {
    engine: Arc<dyn HelmEngine>,
    installed: Arc<Mutex<Vec<Installed>>>,
}

#[async_trait]
impl HelmEngine for TimedEngine {
    async fn render(&self, call: &Call, request: &Render) -> iotorch_helm::Result<Manifests> {
        self.engine.render(call, request).await
    }

    async fn install(&self, call: &Call, request: &Install) -> iotorch_helm::Result<Revision> {
        let begun = Instant::now();
        let made = self.engine.install(call, request).await;
        let installed = (request.release.name.to_string(), begun, Instant::now());
        self.installed.lock().unwrap_or_else(PoisonError::into_inner).push(installed);
        made
    }

    async fn upgrade(&self, call: &Call, request: &Upgrade) -> iotorch_helm::Result<Revision> {
        self.engine.upgrade(call, request).await
    }

    async fn rollback(&self, call: &Call, request: &Rollback) -> iotorch_helm::Result<Revision> {
        self.engine.rollback(call, request).await
    }

    async fn uninstall(&self, call: &Call, request: &Uninstall) -> iotorch_helm::Result<Uninstalled> {
        self.engine.uninstall(call, request).await
    }

    async fn status(&self, call: &Call, release: &Release) -> iotorch_helm::Result<ReleaseState> {
        self.engine.status(call, release).await
    }

    async fn history(&self, call: &Call, release: &Release) -> iotorch_helm::Result<Vec<Revision>> {
        self.engine.history(call, release).await
    }

    async fn list(
        &self,
        call: &Call,
        namespace: Option<&Namespace>,
    ) -> iotorch_helm::Result<Vec<(Release, Revision)>> {
        self.engine.list(call, namespace).await
    }

    async fn is_idle(&self, release: &Release) -> iotorch_helm::Result<bool> {
        self.engine.is_idle(release).await
    }
}
