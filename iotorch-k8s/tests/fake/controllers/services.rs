//! Which pods are behind Services.

use serde_json::{Value, json};

use super::{is_ready, kinds, owner};
use crate::fake::{state::State, store::Key};

/// An EndpointSlice for each Service that selects pods.
pub fn endpoints(state: &mut State) {
    for (key, service) in state.store.copies(&kinds::SERVICE, None) {
        let Some(selector) = service["spec"]["selector"].as_object().filter(|selector| !selector.is_empty())
        else {
            continue;
        };
        let pods = state.store.all(&kinds::POD, Some(&key.namespace)).into_iter();
        let behind = pods.filter(|(_, pod)| {
            let labels = &pod["metadata"]["labels"];
            selector.iter().all(|(label, value)| labels[label] == *value) && !pod["status"]["podIP"].is_null()
        });
        let endpoints: Vec<Value> = behind
            .map(|(pod_key, pod)| {
                let is_ready = is_ready(pod) || service["spec"]["publishNotReadyAddresses"] == true;
                json!({ "addresses": [pod["status"]["podIP"]], "nodeName": pod["spec"]["nodeName"],
                    "conditions": { "ready": is_ready, "serving": is_ready, "terminating": super::is_going(pod) },
                    "targetRef": { "kind": "Pod", "namespace": pod_key.namespace, "name": pod_key.name,
                        "uid": pod["metadata"]["uid"] } })
            })
            .collect();
        let ports = service["spec"]["ports"].as_array().into_iter().flatten();
        let ports: Vec<Value> =
            ports.map(|port| json!({ "name": port["name"].as_str().unwrap_or_default(), "port": port["targetPort"], "protocol": port["protocol"] })).collect();
        let slice_key = Key::new(&kinds::SLICE, key.namespace.clone(), format!("{}-fake", key.name));
        if state.store.get(&slice_key).is_none() {
            let slice = json!({ "metadata": { "name": slice_key.name,
                "labels": { "kubernetes.io/service-name": key.name }, "ownerReferences": owner(key.kind, &service) },
                "addressType": "IPv4", "endpoints": [], "ports": [] });
            let writer = state.writer("kube-controller-manager", None);
            // The namespace may be going.
            let _ = state.create(&kinds::SLICE, &key.namespace, slice, &writer);
        }
        state.modify(&slice_key, |slice| {
            slice["endpoints"] = endpoints.into();
            slice["ports"] = ports.into();
        });
    }
}
