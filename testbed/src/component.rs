//! The programs that a cluster consists of, and how each is started.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::addresses::Addresses;
use crate::error::Error;
use crate::layout::Layout;
use crate::modules::{Module, Programs};

/// The port of every API server.
pub(crate) const API_PORT: u16 = 6443;

/// How much the API is asked, for a second and for a moment: more than usual, or thousands of pods take minutes.
const MORE_QUERIES: &str = "--kube-api-qps=300";
const MORE_BURST: &str = "--kube-api-burst=600";

/// A program of a cluster, which runs as one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Component {
    /// Runs containers.
    Containerd,
    /// Stores everything that the API server knows.
    Etcd,
    /// The API of the cluster.
    ApiServer,
    /// Makes the world as the API says.
    ControllerManager,
    /// Places pods on nodes.
    Scheduler,
    /// The testbed's own: makes and removes folders for PersistentVolumeClaims.
    Volumes,
    /// The testbed's own: has traffic of pods pass only where NetworkPolicies let it.
    Policies,
    /// Has the pods of its node run.
    Kubelet,
    /// Leads services' addresses and node ports to pods.
    Proxy,
    /// Simulates nodes and what runs there.
    Kwok,
}

impl Component {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Containerd,
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Volumes,
        Self::Policies,
        Self::Kubelet,
        Self::Proxy,
        Self::Kwok,
    ];

    /// As it is typed, and as its log file is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Etcd => "etcd",
            Self::ApiServer => "api-server",
            Self::ControllerManager => "controller-manager",
            Self::Scheduler => "scheduler",
            Self::Volumes => "volumes",
            Self::Policies => "policies",
            Self::Kubelet => "kubelet",
            Self::Proxy => "proxy",
            Self::Kwok => "kwok",
        }
    }

    pub(crate) fn program(self, programs: &Programs) -> PathBuf {
        match self {
            Self::Containerd => PathBuf::from("containerd"),
            Self::Etcd => programs.path(Module::Etcd, "etcd"),
            Self::ApiServer => programs.path(Module::Kubernetes, "kube-apiserver"),
            Self::ControllerManager => programs.path(Module::Kubernetes, "kube-controller-manager"),
            Self::Scheduler => programs.path(Module::Kubernetes, "kube-scheduler"),
            Self::Volumes => programs.path(Module::Parts, "volumes"),
            Self::Policies => programs.path(Module::Parts, "policies"),
            Self::Kubelet => programs.path(Module::Kubernetes, "kubelet"),
            Self::Proxy => programs.path(Module::Kubernetes, "kube-proxy"),
            Self::Kwok => programs.path(Module::Kwok, "kwok"),
        }
    }

    pub(crate) fn arguments(self, layout: &Layout, addresses: Addresses, programs: &Programs) -> Vec<String> {
        let arguments = Arguments { layout, addresses, own: self };
        match self {
            Self::Containerd => arguments.containerd(),
            Self::Etcd => arguments.etcd(),
            Self::ApiServer => arguments.api_server(),
            Self::ControllerManager => arguments.controller_manager(),
            Self::Scheduler => arguments.scheduler(),
            Self::Volumes => arguments.volumes(),
            Self::Policies => arguments.policies(),
            Self::Kubelet => arguments.kubelet(),
            Self::Proxy => arguments.proxy(),
            Self::Kwok => arguments.kwok(&programs.documents(Module::Kwok)),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Component {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|component| component.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.into_iter().map(Self::name).collect();
            Error::new(format!("cannot find a component \"{text}\""))
                .with_help(format!("there are {}", names.join(", ")))
        })
    }
}

struct Arguments<'a> {
    layout: &'a Layout,
    addresses: Addresses,
    own: Component,
}

impl Arguments<'_> {
    fn containerd(&self) -> Vec<String> {
        vec![option("config", &self.layout.config("containerd.toml"))]
    }

    fn etcd(&self) -> Vec<String> {
        vec![
            option("data-dir", &self.data()),
            "--listen-client-urls=http://127.0.0.1:2379".to_owned(),
            "--advertise-client-urls=http://127.0.0.1:2379".to_owned(),
            "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
            "--initial-advertise-peer-urls=http://127.0.0.1:2380".to_owned(),
            "--initial-cluster=default=http://127.0.0.1:2380".to_owned(),
            // What is lost when the machine stops is thrown away anyway.
            "--unsafe-no-fsync".to_owned(),
        ]
    }

    fn api_server(&self) -> Vec<String> {
        vec![
            "--etcd-servers=http://127.0.0.1:2379".to_owned(),
            "--bind-address=0.0.0.0".to_owned(),
            format!("--secure-port={API_PORT}"),
            format!("--advertise-address={}", self.addresses.node()),
            format!("--service-cluster-ip-range={}", self.addresses.services()),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--allow-privileged".to_owned(),
            option("token-auth-file", &self.layout.config("tokens.csv")),
            option("tls-cert-file", &self.certificate("apiserver.crt")),
            option("tls-private-key-file", &self.certificate("apiserver.key")),
            option("kubelet-client-certificate", &self.certificate("kubelet-client.crt")),
            option("kubelet-client-key", &self.certificate("kubelet-client.key")),
            // For logs, exec and port-forward: no name server knows the node's name.
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            option("service-account-key-file", &self.certificate("service-accounts.pub")),
            option("service-account-signing-key-file", &self.certificate("service-accounts.key")),
        ]
    }

    fn controller_manager(&self) -> Vec<String> {
        vec![
            self.kubeconfig(),
            MORE_QUERIES.to_owned(),
            MORE_BURST.to_owned(),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            "--use-service-account-credentials".to_owned(),
            option("cert-dir", &self.data()),
            option("root-ca-file", &self.certificate("ca.crt")),
            option("service-account-private-key-file", &self.certificate("service-accounts.key")),
        ]
    }

    fn scheduler(&self) -> Vec<String> {
        vec![
            self.kubeconfig(),
            MORE_QUERIES.to_owned(),
            MORE_BURST.to_owned(),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            option("cert-dir", &self.data()),
        ]
    }

    fn volumes(&self) -> Vec<String> {
        [vec![self.layout.volumes().display().to_string()], self.api()].concat()
    }

    fn policies(&self) -> Vec<String> {
        [self.api(), vec![self.addresses.pods(), self.layout.unique_name()]].concat()
    }

    /// How a program of the testbed's own reaches the API.
    fn api(&self) -> Vec<String> {
        vec![
            api_url(self.addresses),
            self.certificate("ca.crt").display().to_string(),
            self.layout.token(self.own.name()).display().to_string(),
        ]
    }

    fn kubelet(&self) -> Vec<String> {
        vec![
            self.kubeconfig(),
            option("config", &self.layout.config("kubelet.json")),
            option("root-dir", &self.data()),
            option("cert-dir", &self.layout.certificates()),
            format!("--hostname-override={}", self.layout.node()),
            format!("--node-ip={}", self.addresses.node()),
        ]
    }

    fn proxy(&self) -> Vec<String> {
        vec![option("config", &self.layout.config("proxy.json"))]
    }

    fn kwok(&self, stages: &Path) -> Vec<String> {
        vec![
            self.kubeconfig(),
            option("config", stages),
            "--manage-all-nodes".to_owned(),
            format!("--cidr={}", self.addresses.pods()),
            format!("--node-ip={}", self.addresses.node()),
            "--node-lease-duration-seconds=40".to_owned(),
        ]
    }

    fn kubeconfig(&self) -> String {
        option("kubeconfig", &self.layout.kubeconfig(self.own.name()))
    }

    fn data(&self) -> PathBuf {
        self.layout.data(self.own)
    }

    fn certificate(&self, name: &str) -> PathBuf {
        self.layout.certificate(name)
    }
}

fn option(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

pub(crate) fn api_url(addresses: Addresses) -> String {
    format!("https://{}:{API_PORT}", addresses.node())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    #[test]
    fn every_component_is_part_of_some_kind_and_its_name_is_read_again() {
        for component in Component::ALL {
            assert!(Kind::ALL.into_iter().any(|kind| kind.components().contains(&component)));
            assert_eq!(component.name().parse::<Component>().unwrap(), component);
        }
        let error = "api".parse::<Component>().unwrap_err();
        assert_eq!(error.to_string(), "cannot find a component \"api\"");
    }

    #[test]
    fn a_kind_has_the_modules_of_its_components() {
        for kind in Kind::ALL {
            let modules = kind.modules().iter().map(|module| (*module, PathBuf::from("/bin")));
            let programs = Programs::at(modules);
            for component in kind.components() {
                let program = component.program(&programs);
                assert!(program.is_absolute() || *component == Component::Containerd, "{component}");
            }
        }
    }
}
