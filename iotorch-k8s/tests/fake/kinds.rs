//! The kinds of objects that the fake knows.

/// A kind of objects.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Empty for the core group.
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub kind: &'static str,
    pub is_namespaced: bool,
    /// Whether its status is written by way of a resource of its own.
    pub has_status: bool,
    /// Whether changes of its specification are counted (`metadata.generation`).
    pub has_generation: bool,
}

macro_rules! kinds {
    ($($name:ident = $group:literal $version:literal $plural:literal $kind:literal [$($trait:ident)*];)+) => {
        $(pub static $name: Kind = Kind {
            group: $group,
            version: $version,
            plural: $plural,
            kind: $kind,
            is_namespaced: kinds!(@has namespaced $($trait)*),
            has_status: kinds!(@has status $($trait)*),
            has_generation: kinds!(@has generation $($trait)*),
        };)+

        pub static ALL: &[&Kind] = &[$(&$name),+];
    };
    (@has $wanted:ident) => { false };
    (@has namespaced namespaced $($rest:ident)*) => { true };
    (@has status status $($rest:ident)*) => { true };
    (@has generation generation $($rest:ident)*) => { true };
    (@has $wanted:ident $other:ident $($rest:ident)*) => { kinds!(@has $wanted $($rest)*) };
}

kinds! {
    NAMESPACE = "" "v1" "namespaces" "Namespace" [status];
    NODE = "" "v1" "nodes" "Node" [status];
    CONFIG_MAP = "" "v1" "configmaps" "ConfigMap" [namespaced];
    SECRET = "" "v1" "secrets" "Secret" [namespaced];
    SERVICE = "" "v1" "services" "Service" [namespaced status];
    POD = "" "v1" "pods" "Pod" [namespaced status generation];
    EVENT = "" "v1" "events" "Event" [namespaced];
    CLAIM = "" "v1" "persistentvolumeclaims" "PersistentVolumeClaim" [namespaced status];
    VOLUME = "" "v1" "persistentvolumes" "PersistentVolume" [status];
    QUOTA = "" "v1" "resourcequotas" "ResourceQuota" [namespaced status];
    LIMITS = "" "v1" "limitranges" "LimitRange" [namespaced];
    ACCOUNT = "" "v1" "serviceaccounts" "ServiceAccount" [namespaced];
    DEPLOYMENT = "apps" "v1" "deployments" "Deployment" [namespaced status generation];
    REPLICA_SET = "apps" "v1" "replicasets" "ReplicaSet" [namespaced status generation];
    STATEFUL_SET = "apps" "v1" "statefulsets" "StatefulSet" [namespaced status generation];
    DAEMON_SET = "apps" "v1" "daemonsets" "DaemonSet" [namespaced status generation];
    JOB = "batch" "v1" "jobs" "Job" [namespaced status generation];
    INGRESS = "networking.k8s.io" "v1" "ingresses" "Ingress" [namespaced status generation];
    POLICY = "networking.k8s.io" "v1" "networkpolicies" "NetworkPolicy" [namespaced generation];
    SLICE = "discovery.k8s.io" "v1" "endpointslices" "EndpointSlice" [namespaced];
    STORAGE_CLASS = "storage.k8s.io" "v1" "storageclasses" "StorageClass" [];
}

impl Kind {
    pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Self> {
        let is_it = |kind: &&&Self| (kind.group, kind.version, kind.plural) == (group, version, plural);
        ALL.iter().find(is_it).copied()
    }

    /// The kind of an object by its `apiVersion` and `kind`.
    pub fn of(api_version: &str, kind: &str) -> Option<&'static Self> {
        ALL.iter().find(|it| it.api_version() == api_version && it.kind == kind).copied()
    }

    /// Such as `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// As it is called in refusals: `deployments.apps`.
    pub fn resource(&self) -> String {
        with_group(self.plural, self.group)
    }

    /// As it is called where an object is invalid: `Deployment.apps`.
    pub fn qualified(&self) -> String {
        with_group(self.kind, self.group)
    }
}

fn with_group(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}
