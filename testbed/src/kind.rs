//! What a testbed consists of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::component::Component;
use crate::error::Error;
use crate::modules::Module;

/// A kind of testbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// Two whole clusters, `edge-1` and `cloud-1`, with one node each.
    K8s,
    /// One control plane, `sim`, with nodes that are simulated: pods are placed on them and are said to run.
    Sim,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::K8s, Self::Sim];

    /// As it is typed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::K8s => "k8s",
            Self::Sim => "sim",
        }
    }

    /// The names of its clusters, which are the names of their contexts too.
    #[must_use]
    pub fn clusters(self) -> &'static [&'static str] {
        match self {
            Self::K8s => &["edge-1", "cloud-1"],
            Self::Sim => &["sim"],
        }
    }

    /// What each of its clusters runs, in the order of starting.
    #[must_use]
    pub fn components(self) -> &'static [Component] {
        match self {
            Self::K8s => &[
                Component::Containerd,
                Component::Etcd,
                Component::ApiServer,
                Component::ControllerManager,
                Component::Scheduler,
                Component::Volumes,
                // Before there are pods.
                Component::Policies,
                Component::Kubelet,
                Component::Proxy,
            ],
            Self::Sim => &[
                Component::Etcd,
                Component::ApiServer,
                Component::ControllerManager,
                Component::Scheduler,
                Component::Volumes,
                Component::Kwok,
            ],
        }
    }

    pub(crate) fn modules(self) -> &'static [Module] {
        match self {
            Self::K8s => &[
                Module::Helm4,
                Module::Helm3,
                Module::Parts,
                Module::Etcd,
                Module::Coredns,
                Module::Kubernetes,
            ],
            Self::Sim => {
                &[Module::Helm4, Module::Helm3, Module::Parts, Module::Etcd, Module::Kwok, Module::Kubernetes]
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            Error::new(format!("cannot find a kind of testbed \"{text}\""))
                .with_help("there are k8s (two whole clusters) and sim (simulated nodes)")
        })
    }
}
