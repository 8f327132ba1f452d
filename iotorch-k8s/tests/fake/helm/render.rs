//! What the charts that tests use would render.

use iotorch_helm::{Error, ErrorKind, Release, Result, Values, chart::ResolvedChart};
use serde_json::{Map, Value, json};

/// The objects of a release.
pub fn objects(release: &Release, chart: &ResolvedChart, values: &Values) -> Result<Vec<Value>> {
    match chart.name.as_str() {
        "idle" => idle(release, values.as_map()),
        "iotorch-gateway" | "iotorch-server" => Ok(lite(release, chart, values.as_map())),
        "parts" => {
            let objects = values.as_map().get("objects").and_then(Value::as_array);
            Ok(objects.cloned().unwrap_or_default())
        }
        other => {
            let what = format!("cannot render chart \"{other}\"");
            Err(Error::new(ErrorKind::InvalidChart, what).with_source("the fake knows no such chart"))
        }
    }
}

/// As `tests/charts/idle` does.
fn idle(release: &Release, values: &Map<String, Value>) -> Result<Vec<Value>> {
    let refused = |why: String| {
        let what = format!("cannot use the values for release {release}");
        Err(Error::new(ErrorKind::InvalidValues, what).with_source(why))
    };
    const KNOWN: [&str; 8] =
        ["image", "pullPolicy", "command", "memory", "replicas", "minReadySeconds", "note", "mistake"];
    if let Some(unknown) = values.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return refused(format!("additional properties '{unknown}' not allowed"));
    }
    let replicas = values.get("replicas").and_then(Value::as_i64).unwrap_or(1);
    if replicas < 0 {
        return refused(format!("at '/replicas': minimum: got {replicas}, want 0"));
    }
    let text =
        |key: &str, otherwise: &str| values.get(key).and_then(Value::as_str).unwrap_or(otherwise).to_owned();
    if let Some(mistake) = Some(text("mistake", "")).filter(|mistake| !mistake.is_empty()) {
        let what = format!("cannot render release {release}");
        return Err(Error::new(ErrorKind::InvalidChart, what).with_source(mistake));
    }
    let labels = json!({ "app.kubernetes.io/instance": release.name.as_str() });
    let memory = text("memory", "4Mi");
    let mut container = json!({ "name": "idle", "image": text("image", "iotorch.test/pause:1"),
        "imagePullPolicy": text("pullPolicy", "Never"),
        "resources": { "requests": { "cpu": "1m", "memory": memory }, "limits": { "cpu": "100m", "memory": memory } } });
    if let Some(command) = values.get("command").filter(|command| **command != json!([])) {
        container["command"] = command.clone();
    }
    Ok(vec![json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": release.name.as_str(), "labels": labels, "annotations": { "note": text("note", "") } },
        "spec": { "replicas": replicas, "minReadySeconds": values.get("minReadySeconds").cloned().unwrap_or_else(|| json!(0)),
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels },
                "spec": { "terminationGracePeriodSeconds": 0, "containers": [container] } } },
    })])
}

/// What others see of the charts of `lite`: a StatefulSet with its claim, its settings and its Services.
fn lite(release: &Release, chart: &ResolvedChart, values: &Map<String, Value>) -> Vec<Value> {
    let name = release.name.as_str();
    let labels = json!({ "app.kubernetes.io/instance": name, "app.kubernetes.io/name": chart.name });
    let settings = values.get("settings").cloned().unwrap_or_default();
    let secret = values.get("adminSecret").cloned().unwrap_or_default();
    let object = |version: &str, kind: &str, called: &str| json!({ "apiVersion": version, "kind": kind, "metadata": { "name": called, "labels": labels } });
    let with = |mut object: Value, field: &str, value: Value| {
        object[field] = value;
        object
    };
    let token = json!({ "name": "IOTORCH_ADMIN_TOKEN",
        "valueFrom": { "secretKeyRef": { "name": secret["name"], "key": secret["key"] } } });
    let ports = [("mqtt", 1883), ("http", 8080), ("management", 8081)];
    let container = json!({ "name": "lite", "image": "ghcr.io/iotorch/iotorch:0.1.0", "env": [token],
        "ports": ports.map(|(name, port)| json!({ "name": name, "containerPort": port })) });
    let volume = json!({ "name": "data", "persistentVolumeClaim": { "claimName": name } });
    let template = json!({ "metadata": { "labels": labels, "annotations": { "settings": settings.to_string() } },
        "spec": { "containers": [container], "volumes": [volume] } });
    let port = |name: &str, number: u16| json!({ "name": name, "port": number, "targetPort": name });
    vec![
        with(
            object("v1", "ConfigMap", &format!("{name}-settings")),
            "data",
            json!({ "settings.yaml": settings.to_string() }),
        ),
        with(
            object("v1", "PersistentVolumeClaim", name),
            "spec",
            json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "256Mi" } } }),
        ),
        with(
            object("v1", "Service", name),
            "spec",
            json!({ "type": "ClusterIP", "selector": labels, "publishNotReadyAddresses": true,
                "ports": [port("management", 8081)] }),
        ),
        with(
            object("v1", "Service", &format!("{name}-data")),
            "spec",
            json!({ "type": "NodePort", "selector": labels, "publishNotReadyAddresses": true, "ports": [port("mqtt", 1883), port("http", 80)] }),
        ),
        with(
            object("apps/v1", "StatefulSet", name),
            "spec",
            json!({ "replicas": 1, "serviceName": name, "selector": { "matchLabels": labels }, "template": template }),
        ),
    ]
}
