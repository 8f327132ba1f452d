//! What both are asked.

mod controllers;
mod requests;

use serde_json::{Value, json};

pub(crate) use self::{controllers::*, requests::*};

const MAPS: &str = "/api/v1/namespaces/{space}/configmaps";
const PODS: &str = "/api/v1/namespaces/{space}/pods";
const SECRETS: &str = "/api/v1/namespaces/{space}/secrets";
const SERVICES: &str = "/api/v1/namespaces/{space}/services";
const CLAIMS: &str = "/api/v1/namespaces/{space}/persistentvolumeclaims";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/{space}/deployments";
const SETS: &str = "/apis/apps/v1/namespaces/{space}/statefulsets";
const JOBS: &str = "/apis/batch/v1/namespaces/{space}/jobs";
const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/{space}/networkpolicies";

const PAUSE: &str = "iotorch.test/pause:1";

fn map(name: &str, data: Value) -> Value {
    json!({ "metadata": { "name": name }, "data": data })
}

fn labelled(name: &str, value: &str) -> Value {
    json!({ "metadata": { "name": name, "labels": { "part": value } } })
}

/// A map as it is applied.
fn applied(name: &str, data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
}

/// A Deployment of pods that do nothing.
fn deployment(name: &str, image: &str, replicas: i64) -> Value {
    let labels = json!({ "app": name });
    let container = json!({ "name": "idle", "image": image, "imagePullPolicy": "Never",
        "resources": { "requests": { "cpu": "1m", "memory": "4Mi" } } });
    json!({ "metadata": { "name": name, "labels": labels }, "spec": { "replicas": replicas,
        "selector": { "matchLabels": labels },
        "template": { "metadata": { "labels": labels },
            "spec": { "terminationGracePeriodSeconds": 0, "containers": [container] } } } })
}
