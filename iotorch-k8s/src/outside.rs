//! What of a release would stay behind if only its namespace went.

use iotorch_core::Result;
use iotorch_helm::{ObjectRef, storage::StoredRelease};

use crate::error::of_helm;

/// The kinds of Kubernetes itself whose objects are in namespaces and need nobody to remove them: group and kind
/// (<https://kubernetes.io/docs/reference/kubernetes-api/>). Any other may be of the whole cluster.
const INSIDE: [(&str, &str); 26] = [
    ("", "ConfigMap"),
    ("", "Endpoints"),
    ("", "LimitRange"),
    ("", "PersistentVolumeClaim"),
    ("", "Pod"),
    ("", "PodTemplate"),
    ("", "ReplicationController"),
    ("", "ResourceQuota"),
    ("", "Secret"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("apps", "ControllerRevision"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("coordination.k8s.io", "Lease"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("networking.k8s.io", "Ingress"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("policy", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
];

/// Whether Helm has to uninstall a release before its namespace goes: because of an object elsewhere, or of a hook that is run when it
/// is uninstalled.
///
/// # Errors
/// Its manifests cannot be read.
pub(crate) fn has_some(stored: &StoredRelease) -> Result<bool> {
    Ok(stored.has_removal_hooks() || !objects(stored)?.is_empty())
}

/// The objects of a release that do not go with its namespace.
///
/// # Errors
/// Its manifests cannot be read.
pub(crate) fn objects(stored: &StoredRelease) -> Result<Vec<ObjectRef>> {
    let objects = stored.manifests().objects();
    let objects =
        objects.map_err(|error| of_helm(format!("cannot read release {}", stored.release()), error))?;
    let namespace = stored.release().namespace.as_str();
    Ok(objects.into_iter().filter(|object| !is_inside(object, namespace)).collect())
}

fn is_inside(object: &ObjectRef, namespace: &str) -> bool {
    let group = object.api_version.split_once('/').map_or("", |(group, _)| group);
    object.namespace.as_deref().is_none_or(|it| it == namespace) && INSIDE.contains(&(group, &object.kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn release(manifest: &str, hooks: &[&str]) -> StoredRelease {
        let chart = json!({ "metadata": { "name": "idle", "version": "0.1.0" } });
        let info = json!({ "status": "deployed", "last_deployed": "2026-01-01T00:00:00Z" });
        let release = json!({ "name": "gw", "namespace": "greenhouse", "version": 1, "info": info, "chart": chart,
            "manifest": manifest, "hooks": [{ "name": "gw", "kind": "Job", "events": hooks }] });
        StoredRelease::from_json(release.to_string().as_bytes()).unwrap()
    }

    fn object(api_version: &str, kind: &str, namespace: &str) -> String {
        format!(
            "---\napiVersion: {api_version}\nkind: {kind}\nmetadata: {{ name: gw, namespace: \"{namespace}\" }}\n"
        )
    }

    #[test]
    fn what_is_in_the_namespace_goes_with_it() {
        let manifest = [object("apps/v1", "StatefulSet", ""), object("v1", "Secret", "greenhouse")].concat();
        assert!(!has_some(&release(&manifest, &["post-install", "test"])).unwrap());
    }

    #[test]
    fn what_is_elsewhere_or_has_something_to_do_when_it_goes_is_uninstalled() {
        for object in [
            object("rbac.authorization.k8s.io/v1", "ClusterRole", ""),
            object("v1", "ConfigMap", "kube-system"),
            object("example.org/v1", "Pod", ""),
        ] {
            assert!(has_some(&release(&object, &[])).unwrap(), "{object}");
        }
        assert!(has_some(&release("", &["pre-delete"])).unwrap());
        assert!(has_some(&release("", &["post-install", "post-delete"])).unwrap());
    }
}
