//! The kinds of objects that a release consists of, and what is watched for each.

use std::{collections::BTreeSet, fmt};

use kube::core::{ApiResource, GroupVersionKind};

/// A kind of objects, as far as readiness tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Claim,
    DaemonSet,
    Definition,
    Deployment,
    Event,
    Ingress,
    IngressClass,
    Job,
    Pod,
    ReplicaSet,
    Service,
    StatefulSet,
    /// One that a CustomResourceDefinition, or another API server, has brought.
    Custom {
        api_version: String,
        kind: String,
    },
    /// Another one of Kubernetes itself, of which objects only have to be there. That the release has seen to.
    Plain(String),
}

/// How the API server calls a kind of its own.
struct Own {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    is_namespaced: bool,
}

impl Own {
    const fn new(group: &'static str, kind: &'static str, plural: &'static str) -> Self {
        Self { group, kind, plural, is_namespaced: true }
    }

    const fn of_the_cluster(self) -> Self {
        Self { is_namespaced: false, ..self }
    }
}

/// The API groups of Kubernetes itself that have a dot, as all groups of others do:
/// <https://kubernetes.io/docs/reference/kubernetes-api/>.
const OWN_GROUPS: [&str; 17] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

impl Kind {
    pub(crate) fn new(api_version: &str, kind: &str) -> Self {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let known = [
            Self::Claim,
            Self::DaemonSet,
            Self::Definition,
            Self::Deployment,
            Self::Ingress,
            Self::Job,
            Self::Pod,
            Self::ReplicaSet,
            Self::Service,
            Self::StatefulSet,
        ];
        let is_it = |known: &Self| known.own().is_some_and(|own| (own.group, own.kind) == (group, kind));
        if let Some(known) = known.into_iter().find(is_it) {
            return known;
        }
        match group.contains('.') && !OWN_GROUPS.contains(&group) {
            true => Self::Custom { api_version: api_version.to_owned(), kind: kind.to_owned() },
            false => Self::Plain(kind.to_owned()),
        }
    }

    const fn own(&self) -> Option<Own> {
        Some(match self {
            Self::Claim => Own::new("", "PersistentVolumeClaim", "persistentvolumeclaims"),
            Self::DaemonSet => Own::new("apps", "DaemonSet", "daemonsets"),
            Self::Definition => {
                Own::new("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions")
                    .of_the_cluster()
            }
            Self::Deployment => Own::new("apps", "Deployment", "deployments"),
            Self::Event => Own::new("", "Event", "events"),
            Self::Ingress => Own::new("networking.k8s.io", "Ingress", "ingresses"),
            Self::IngressClass => {
                Own::new("networking.k8s.io", "IngressClass", "ingressclasses").of_the_cluster()
            }
            Self::Job => Own::new("batch", "Job", "jobs"),
            Self::Pod => Own::new("", "Pod", "pods"),
            Self::ReplicaSet => Own::new("apps", "ReplicaSet", "replicasets"),
            Self::Service => Own::new("", "Service", "services"),
            Self::StatefulSet => Own::new("apps", "StatefulSet", "statefulsets"),
            Self::Custom { .. } | Self::Plain(_) => return None,
        })
    }

    /// Where the API server has a kind of its own, and whether its objects are in namespaces.
    pub(super) fn resource(&self) -> Option<(ApiResource, bool)> {
        let own = self.own()?;
        let kind = GroupVersionKind::gvk(own.group, "v1", own.kind);
        Some((ApiResource::from_gvk_with_plural(&kind, own.plural), own.is_namespaced))
    }

    /// Whether objects of this kind count their changes (`metadata.generation`).
    pub(super) const fn has_generation(&self) -> bool {
        !matches!(self, Self::Claim | Self::Service | Self::Plain(_))
    }

    /// What else tells why an object of this kind is not ready.
    const fn witnesses(&self) -> &'static [Self] {
        match self {
            Self::Deployment => &[Self::ReplicaSet, Self::Pod, Self::Event],
            Self::StatefulSet | Self::Claim => &[Self::Claim, Self::Pod, Self::Event],
            Self::DaemonSet | Self::ReplicaSet | Self::Job => &[Self::Pod, Self::Event],
            Self::Ingress => &[Self::IngressClass, Self::Event],
            Self::Pod | Self::Service | Self::Custom { .. } => &[Self::Event],
            Self::Definition | Self::Event | Self::IngressClass | Self::Plain(_) => &[],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Custom { kind, .. } | Self::Plain(kind) => kind,
            own => own.own().map_or("", |own| own.kind),
        })
    }
}

/// An object of a release.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Part {
    pub(crate) kind: Kind,
    pub(crate) name: String,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\"", self.kind, self.name)
    }
}

/// What is watched: the objects of a kind, or one of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Watch {
    pub(crate) kind: Kind,
    pub(crate) name: Option<String>,
}

impl Watch {
    pub(crate) const fn all(kind: Kind) -> Self {
        Self { kind, name: None }
    }

    /// What has to be watched to tell of each of these parts whether it is ready.
    pub(super) fn of(parts: &[Part]) -> BTreeSet<Self> {
        parts.iter().flat_map(Self::of_part).collect()
    }

    fn of_part(part: &Part) -> Vec<Self> {
        let own = match &part.kind {
            Kind::Plain(_) => return Vec::new(),
            // Clusters have hundreds of them, and large ones.
            Kind::Definition => Self { kind: Kind::Definition, name: Some(part.name.clone()) },
            kind => Self::all(kind.clone()),
        };
        [own].into_iter().chain(part.kind.witnesses().iter().cloned().map(Self::all)).collect()
    }
}
