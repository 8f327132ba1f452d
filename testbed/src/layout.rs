//! Where everything of a cluster lies.

use std::path::{Path, PathBuf};

use crate::component::Component;

/// For sockets, whose paths the kernel limits to 107 bytes, and for what a reboot may clear.
pub(crate) const RUN: &str = "/run/iotorch-testbed";

/// The folders and files of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    name: String,
    folder: PathBuf,
}

impl Layout {
    pub(crate) fn new(state: &Path, name: &str) -> Self {
        Self { name: name.to_owned(), folder: state.join(name) }
    }

    /// What the cluster's network namespace, CNI network and control group are called.
    pub(crate) fn unique_name(&self) -> String {
        format!("iotorch-{}", self.name)
    }

    pub(crate) fn namespace(&self) -> PathBuf {
        Path::new("/run/netns").join(self.unique_name())
    }

    /// What its node is called.
    pub(crate) fn node(&self) -> &str {
        &self.name
    }

    /// This machine's end of its link; names of links have at most 15 bytes.
    pub(crate) fn link(&self) -> String {
        format!("iot-{}", self.name)
    }

    /// On a real file system: containers' own are laid over it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn run(&self) -> PathBuf {
        Path::new(RUN).join(&self.name)
    }

    pub(crate) fn containerd_socket(&self) -> PathBuf {
        self.run().join("containerd.sock")
    }

    pub(crate) fn cni(&self) -> PathBuf {
        self.folder.join("cni")
    }

    pub(crate) fn certificates(&self) -> PathBuf {
        self.folder.join("certificates")
    }

    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.certificates().join(name)
    }

    pub(crate) fn volumes(&self) -> PathBuf {
        self.folder.join("volumes")
    }

    pub(crate) fn pod_logs(&self) -> PathBuf {
        self.folder.join("pod-logs")
    }

    /// The folder that a component keeps its data in.
    pub(crate) fn data(&self, component: Component) -> PathBuf {
        self.folder.join(component.name())
    }

    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.folder.join("config").join(name)
    }

    pub(crate) fn token(&self, user: &str) -> PathBuf {
        self.folder.join("users").join(format!("{user}.token"))
    }

    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.folder.join("users").join(format!("{user}.kubeconfig"))
    }

    /// What kubectl keeps of the API for the next time.
    pub(crate) fn kubectl_cache(&self) -> PathBuf {
        self.folder.join("kubectl")
    }

    /// Who a component is, while it runs or afterwards.
    pub(crate) fn process(&self, component: Component) -> PathBuf {
        self.folder.join("processes").join(format!("{}.json", component.name()))
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    pub(crate) fn log(&self, component: Component) -> PathBuf {
        self.logs().join(format!("{}.log", component.name()))
    }

    pub(crate) fn folders(&self, components: &[Component]) -> Vec<PathBuf> {
        let own = ["config", "users", "processes"].map(|name| self.folder.join(name));
        own.into_iter()
            .chain([
                self.run(),
                self.cni(),
                self.certificates(),
                self.volumes(),
                self.pod_logs(),
                self.logs(),
            ])
            .chain(components.iter().map(|component| self.data(*component)))
            .collect()
    }
}
