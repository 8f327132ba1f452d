//! What the API server adds to objects, and which it refuses.

use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};

use super::{
    kinds::Kind,
    refusal::{Cause, Refusal},
};

/// Sets what is left out.
pub fn set_defaults(kind: &Kind, object: &mut Value) {
    match kind.kind {
        "Namespace" => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
        }
        "Secret" => {
            or(object, "type", json!("Opaque"));
            encode(object);
        }
        "Service" => service(&mut object["spec"]),
        "PersistentVolumeClaim" => {
            or(&mut object["spec"], "volumeMode", json!("Filesystem"));
            or(&mut object["spec"], "storageClassName", json!("folders"));
        }
        "Pod" => pod_spec(&mut object["spec"]),
        "Deployment" => {
            let spec = &mut object["spec"];
            let rolling = json!({ "maxUnavailable": "25%", "maxSurge": "25%" });
            or(spec, "strategy", json!({ "type": "RollingUpdate", "rollingUpdate": rolling }));
            or(spec, "replicas", json!(1));
            or(spec, "revisionHistoryLimit", json!(10));
            or(spec, "progressDeadlineSeconds", json!(600));
            // A number that is nothing is left out.
            if spec["minReadySeconds"] == 0 {
                remove(spec, "minReadySeconds");
            }
            pod_spec(&mut spec["template"]["spec"]);
        }
        "ReplicaSet" => {
            or(&mut object["spec"], "replicas", json!(1));
            pod_spec(&mut object["spec"]["template"]["spec"]);
        }
        "StatefulSet" => {
            let spec = &mut object["spec"];
            or(spec, "replicas", json!(1));
            or(spec, "podManagementPolicy", json!("OrderedReady"));
            or(spec, "revisionHistoryLimit", json!(10));
            or(
                spec,
                "updateStrategy",
                json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0, "maxUnavailable": 1 } }),
            );
            let retention = json!({ "whenDeleted": "Retain", "whenScaled": "Retain" });
            or(spec, "persistentVolumeClaimRetentionPolicy", retention);
            pod_spec(&mut spec["template"]["spec"]);
        }
        "DaemonSet" => {
            let spec = &mut object["spec"];
            let rolling = json!({ "maxUnavailable": 1, "maxSurge": 0 });
            or(spec, "updateStrategy", json!({ "type": "RollingUpdate", "rollingUpdate": rolling }));
            or(spec, "revisionHistoryLimit", json!(10));
            pod_spec(&mut spec["template"]["spec"]);
        }
        "Job" => {
            let uid = object["metadata"]["uid"].clone();
            let spec = &mut object["spec"];
            or(spec, "parallelism", json!(1));
            or(spec, "completions", json!(1));
            or(spec, "backoffLimit", json!(6));
            or(spec, "selector", json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": uid } }));
            spec["template"]["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] = uid;
            pod_spec(&mut spec["template"]["spec"]);
        }
        _ => {}
    }
}

/// Sets what belongs to nobody who writes.
pub fn complete(kind: &Kind, object: &mut Value) {
    match kind.kind {
        "Namespace" => or(&mut object["spec"], "finalizers", json!(["kubernetes"])),
        "Service" => {
            or(&mut object["spec"], "ipFamilies", json!(["IPv4"]));
            or(&mut object["spec"], "ipFamilyPolicy", json!("SingleStack"));
        }
        _ => {}
    }
}

/// The status of a new object.
pub fn first_status(kind: &Kind) -> Option<Value> {
    match kind.kind {
        "Namespace" => Some(json!({ "phase": "Active" })),
        "Pod" => Some(json!({ "phase": "Pending" })),
        "PersistentVolumeClaim" => Some(json!({ "phase": "Pending" })),
        "Service" | "Ingress" => Some(json!({ "loadBalancer": {} })),
        "StatefulSet" => Some(json!({ "replicas": 0, "availableReplicas": 0 })),
        "ReplicaSet" => Some(json!({ "replicas": 0 })),
        "DaemonSet" => {
            Some(json!({ "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0,
            "numberReady": 0 }))
        }
        _ if kind.has_status => Some(json!({})),
        _ => None,
    }
}

fn or(object: &mut Value, field: &str, value: Value) {
    if object[field].is_null() {
        object[field] = value;
    }
}

fn remove(object: &mut Value, field: &str) {
    object.as_object_mut().and_then(|fields| fields.remove(field));
}

/// Texts of a Secret become data.
fn encode(secret: &mut Value) {
    let Some(Value::Object(texts)) = secret.as_object_mut().and_then(|fields| fields.remove("stringData"))
    else {
        return;
    };
    for (name, text) in texts {
        let bytes = ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec());
        secret["data"][name] = json!(bytes);
    }
}

fn service(spec: &mut Value) {
    or(spec, "type", json!("ClusterIP"));
    or(spec, "sessionAffinity", json!("None"));
    or(spec, "internalTrafficPolicy", json!("Cluster"));
    if ["NodePort", "LoadBalancer"].contains(&spec["type"].as_str().unwrap_or_default()) {
        or(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if spec["type"] == "LoadBalancer" {
        or(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        or(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        or(port, "targetPort", number);
    }
}

fn pod_spec(spec: &mut Value) {
    or(spec, "restartPolicy", json!("Always"));
    or(spec, "terminationGracePeriodSeconds", json!(30));
    or(spec, "dnsPolicy", json!("ClusterFirst"));
    or(spec, "securityContext", json!({}));
    or(spec, "schedulerName", json!("default-scheduler"));
    for containers in ["initContainers", "containers"] {
        for container in spec[containers].as_array_mut().into_iter().flatten() {
            let image = container["image"].as_str().unwrap_or_default();
            let is_latest =
                image.ends_with(":latest") || !image.rsplit('/').next().unwrap_or_default().contains(':');
            or(container, "resources", json!({}));
            or(container, "terminationMessagePath", json!("/dev/termination-log"));
            or(container, "terminationMessagePolicy", json!("File"));
            or(container, "imagePullPolicy", json!(if is_latest { "Always" } else { "IfNotPresent" }));
            let limits = container["resources"]["limits"].as_object().cloned().unwrap_or_default();
            for (resource, limit) in limits {
                or(&mut container["resources"]["requests"], &resource, limit);
            }
            for port in container["ports"].as_array_mut().into_iter().flatten() {
                or(port, "protocol", json!("TCP"));
            }
        }
    }
}

/// Refuses what no object of its kind may be.
pub fn check(kind: &Kind, before: Option<&Value>, object: &Value) -> Result<(), Refusal> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut causes = Vec::new();
    if !is_subdomain(name) {
        causes.push(Cause::invalid("metadata.name", &name.into(), &rule_of_names()));
    }
    if let Some(before) = before.filter(|before| !before["metadata"]["deletionTimestamp"].is_null()) {
        causes.extend(new_finalizers(before, object));
    }
    let spec = &object["spec"];
    match kind.kind {
        "Secret" | "ConfigMap" => {
            causes.extend(before.map(|before| frozen(before, object)).unwrap_or_default())
        }
        "Service" if spec["ports"].as_array().is_none_or(Vec::is_empty) => {
            causes.push(Cause::required("spec.ports", ""));
        }
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => {
            if spec["replicas"].as_i64().is_some_and(|replicas| replicas < 0) {
                let why = "must be greater than or equal to 0";
                causes.push(Cause::invalid("spec.replicas", &spec["replicas"], why));
            }
            let labels = &spec["template"]["metadata"]["labels"];
            let wanted = spec["selector"]["matchLabels"].as_object().into_iter().flatten();
            if wanted.clone().any(|(label, value)| labels.get(label) != Some(value)) {
                let why = "`selector` does not match template `labels`";
                causes.push(Cause::invalid("spec.template.metadata.labels", labels, why));
            }
            if before.is_some_and(|before| before["spec"]["selector"] != spec["selector"]) {
                causes.push(Cause::invalid("spec.selector", &spec["selector"], "field is immutable"));
            }
        }
        _ => {}
    }
    if causes.is_empty() { Ok(()) } else { Err(Refusal::invalid(kind.group, kind.kind, name, &causes)) }
}

fn new_finalizers(before: &Value, object: &Value) -> Option<Cause> {
    let had = before["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let has = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    let new: Vec<_> = has.filter(|finalizer| !had.contains(finalizer)).map(Value::to_string).collect();
    let why = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        new.join(", ")
    );
    (!new.is_empty()).then(|| Cause::forbidden("metadata.finalizers", &why))
}

fn frozen(before: &Value, object: &Value) -> Vec<Cause> {
    let why = "field is immutable when `immutable` is set";
    let is_frozen = before["immutable"] == true;
    let mut changed = Vec::new();
    if is_frozen && object["immutable"] != true {
        changed.push("immutable");
    }
    changed.extend(
        ["data", "binaryData"].iter().filter(|field| is_frozen && before[**field] != object[**field]),
    );
    changed.into_iter().map(|field| Cause::forbidden(field, why)).collect()
}

/// RFC 1123 section 2.1.
fn is_subdomain(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn rule_of_names() -> String {
    let label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
    format!(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and \
         end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{label}(\\.{label})*')"
    )
}

/// Fields that are null are not there, and neither are empty maps of texts.
pub fn without_nulls(value: Value) -> Value {
    const MAPS: [&str; 7] =
        ["data", "binaryData", "labels", "annotations", "matchLabels", "limits", "requests"];
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, without_nulls(value)));
            let is_there = |(name, value): &(String, Value)| {
                let is_empty = MAPS.contains(&name.as_str()) && *value == json!({});
                !value.is_null() && !is_empty
            };
            Value::Object(fields.filter(is_there).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}
