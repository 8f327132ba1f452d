//! Kubernetes clusters as infrastructures: the feature `kubernetes`, which programs for small boards leave out.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use iotorch_core::{ChartResolver, Drivers, Error};

/// How clusters are reached and worked on where documents say nothing.
#[derive(Clone, Debug, Default)]
#[cfg_attr(not(feature = "kubernetes"), allow(dead_code, reason = "nobody works on clusters"))]
pub(crate) struct Clusters {
    /// The kubeconfig of clusters that name none: that of the command line, or of the environment.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of clusters that name neither a context nor a kubeconfig.
    pub(crate) context: Option<String>,
    /// The kubeconfig that the command line names.
    pub(crate) named: Option<PathBuf>,
    /// The program `helm`.
    pub(crate) helm: PathBuf,
}

/// What finds the charts of documents, if anything does.
pub(crate) type Charts = Option<Arc<dyn ChartResolver>>;

impl Clusters {
    /// Whether the command line says how clusters are reached.
    pub(crate) const fn are_named(&self) -> bool {
        self.named.is_some() || self.context.is_some()
    }

    /// Adds the driver of clusters, which keeps what it needs in `folder`.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn join(&self, drivers: Drivers, folder: &Path) -> Result<(Drivers, Charts), Error> {
        use iotorch_k8s::{HelmCharts, HelmPrograms, KubernetesDriver};
        let charts = HelmCharts::new(folder.join("charts"))?;
        let helm = HelmPrograms::new(&self.helm, folder);
        let kubernetes = KubernetesDriver::new(charts.clone(), helm);
        let kubernetes = match &self.kubeconfig {
            Some(kubeconfig) => kubernetes.with_kubeconfig(kubeconfig),
            None => kubernetes,
        };
        let kubernetes = match &self.context {
            Some(context) => kubernetes.with_context(context),
            None => kubernetes,
        };
        Ok((drivers.with(kubernetes), Some(Arc::new(charts))))
    }

    /// There is no driver of clusters.
    #[cfg(not(feature = "kubernetes"))]
    pub(crate) fn join(&self, drivers: Drivers, _: &Path) -> Result<(Drivers, Charts), Error> {
        Ok((drivers, None))
    }
}
