//! Volumes for claims.

use serde_json::json;

use super::{endings::drop_finalizer, is_going, kinds};
use crate::fake::{state::State, store::Key};

/// Gives each claim of a class that is there a volume of its own, and lets claims go that no pod uses.
pub fn bind(state: &mut State) {
    for (key, claim) in state.store.copies(&kinds::CLAIM, None) {
        if is_going(&claim) {
            let pods = state.store.all(&kinds::POD, Some(&key.namespace)).into_iter();
            let is_used = pods.into_iter().any(|(_, pod)| {
                let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
                volumes.into_iter().any(|it| it["persistentVolumeClaim"]["claimName"] == key.name.as_str())
            });
            if !is_used {
                drop_finalizer(state, &key, "kubernetes.io/pvc-protection");
            }
            continue;
        }
        let class = claim["spec"]["storageClassName"].as_str().unwrap_or_default();
        let has_class = state.store.get(&Key::new(&kinds::STORAGE_CLASS, "", class)).is_some();
        if claim["status"]["phase"] == "Bound" || !has_class {
            continue;
        }
        let name = format!("pvc-{}", claim["metadata"]["uid"].as_str().unwrap_or_default());
        let size = claim["spec"]["resources"]["requests"]["storage"].clone();
        let modes = claim["spec"]["accessModes"].clone();
        let volume = json!({ "metadata": { "name": name }, "spec": { "capacity": { "storage": size },
            "accessModes": modes, "storageClassName": class, "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": { "namespace": key.namespace, "name": key.name, "uid": claim["metadata"]["uid"] } },
            "status": { "phase": "Bound" } });
        state.set_up(&kinds::VOLUME, "", volume);
        state.modify(&key, |claim| {
            claim["spec"]["volumeName"] = name.into();
            claim["status"] =
                json!({ "phase": "Bound", "capacity": { "storage": size }, "accessModes": modes });
        });
    }
    for (key, volume) in state.store.copies(&kinds::VOLUME, None) {
        let of = &volume["spec"]["claimRef"];
        let text = |field: &str| of[field].as_str().unwrap_or_default().to_owned();
        if state.store.get(&Key::new(&kinds::CLAIM, text("namespace"), text("name"))).is_none() {
            state.store.remove(&key);
        }
    }
}
