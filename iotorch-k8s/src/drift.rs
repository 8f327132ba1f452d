//! What was changed in the objects of a release since it was made: in those that pods and addresses depend on.
//!
//! Each field of a manifest has to be in the live object as it is there; what the cluster adds, such as defaults, is its own. Amounts
//! are compared as amounts (`1000m` is `1`), lists of named items by name.

use iotorch_core::Result;
use iotorch_helm::storage::StoredRelease;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;

use crate::{
    error::of_helm,
    quantity,
    readiness::{Kind, Part, View, Watch},
};

/// The setting under which the specification of a workload that was changed outside differs from the one it was made from.
pub(crate) const SETTING: &str = "changedOutside";

/// The first thing that is not as the release has it, in words.
///
/// # Errors
/// Its manifests cannot be read; what is in the way of watching what it consists of.
pub(crate) async fn of_release(stored: &StoredRelease, view: &View) -> Result<Option<String>> {
    let documents = stored.manifests().documents();
    let documents =
        documents.map_err(|error| of_helm(format!("cannot read release {}", stored.release()), error))?;
    let namespace = stored.release().namespace.as_str();
    let compared = documents.iter().filter_map(|wanted| Some((part(wanted, namespace)?, wanted)));
    let compared: Vec<_> = compared.collect();
    let watches = compared.iter().map(|(part, _)| Watch::all(part.kind.clone())).collect();
    view.see(&watches).await?;
    let contents = view.contents();
    Ok(compared.iter().find_map(|(part, wanted)| match contents.get(&part.kind, &part.name) {
        None => Some(format!("{part} is gone")),
        Some(live) => first(wanted, live.fields()).map(|change| format!("{change} in {part}")),
    }))
}

/// What a manifest is of, if it says how pods run or are reached in this namespace.
fn part(manifest: &Value, namespace: &str) -> Option<Part> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let kind = Kind::new(&text(&manifest["apiVersion"])?, &text(&manifest["kind"])?);
    let is_compared =
        matches!(kind, Kind::Claim | Kind::DaemonSet | Kind::Deployment | Kind::Service | Kind::StatefulSet);
    let metadata = &manifest["metadata"];
    let is_here = text(&metadata["namespace"]).is_none_or(|it| it == namespace);
    (is_compared && is_here).then_some(Part { kind, name: text(&metadata["name"])? })
}

/// The first field of `wanted` that is another one in `live`, in words.
fn first(wanted: &Value, live: &Value) -> Option<String> {
    let fields = wanted.as_object()?;
    fields.iter().filter(|(name, _)| !is_of_the_cluster(name)).find_map(|(name, wanted)| {
        let live = live.get(name).unwrap_or(&Value::Null);
        differs(name, wanted, live)
    })
}

/// What identifies an object, or is not its owner's to set.
fn is_of_the_cluster(field: &str) -> bool {
    ["apiVersion", "kind", "metadata", "status", "stringData"].contains(&field)
}

fn differs(path: &str, wanted: &Value, live: &Value) -> Option<String> {
    match (wanted, live) {
        // A field that a manifest leaves empty is the cluster's to leave out, or to fill.
        (Value::Null, _) => None,
        (Value::String(text), _) if text.is_empty() => None,
        (wanted, Value::Null) if is_empty(wanted) => None,
        (Value::Object(wanted), Value::Object(live)) => wanted.iter().find_map(|(name, wanted)| {
            differs(&format!("{path}.{name}"), wanted, live.get(name).unwrap_or(&Value::Null))
        }),
        (Value::Array(wanted), Value::Array(live)) => list(path, wanted, live),
        (wanted, live) if wanted == live || same_amount(wanted, live) => None,
        (wanted, live) => Some(format!("{path} is {}, not {}", shown(live), shown(wanted))),
    }
}

fn list(path: &str, wanted: &[Value], live: &[Value]) -> Option<String> {
    let name = |item: &Value| item.get("name").and_then(Value::as_str).map(str::to_owned);
    for (index, item) in wanted.iter().enumerate() {
        let (at, found) = match name(item) {
            Some(name_of) => {
                let found = live.iter().find(|other| name(other).as_ref() == Some(&name_of));
                (format!("{path}[{name_of}]"), found)
            }
            None => (format!("{path}[{index}]"), live.get(index)),
        };
        let difference = differs(&at, item, found.unwrap_or(&Value::Null));
        if difference.is_some() {
            return difference;
        }
    }
    None
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(bool) => !bool,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty() || fields.values().all(is_empty),
        Value::Number(number) => number.as_f64() == Some(0.0),
    }
}

/// Whether both are the same amount, written in two ways; also a number that is written as a text.
fn same_amount(wanted: &Value, live: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let read = |value: &Value| text(value).and_then(|text| quantity::amount(&Quantity(text)));
    read(wanted).zip(read(live)).is_some_and(|(wanted, live)| wanted == live)
}

fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = match value {
        Value::Null => return "not set".to_owned(),
        other => other.to_string(),
    };
    if text.chars().count() <= LONGEST { text } else { text.chars().take(LONGEST).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(replicas: u32, cpu: &str) -> Value {
        json!({ "kind": "Deployment", "metadata": { "name": "gw" }, "spec": { "replicas": replicas,
            "template": { "spec": { "containers": [{ "name": "gw", "resources": { "requests": { "cpu": cpu } } }] } } } })
    }

    #[test]
    fn what_the_cluster_adds_is_no_difference() {
        let mut live = deployment(1, "1");
        live["spec"]["strategy"] = json!({ "type": "RollingUpdate" });
        live["spec"]["template"]["spec"]["containers"] = json!([
            { "name": "sidecar", "image": "x" },
            { "name": "gw", "imagePullPolicy": "Always", "resources": { "requests": { "cpu": "1" } } }
        ]);
        live["status"] = json!({ "replicas": 1 });
        assert_eq!(first(&deployment(1, "1000m"), &live), None);
    }

    #[test]
    fn what_somebody_has_changed_is_named() {
        assert_eq!(first(&deployment(1, "1"), &deployment(3, "1")).unwrap(), "spec.replicas is 3, not 1");
        assert_eq!(
            first(&deployment(1, "1"), &deployment(1, "2")).unwrap(),
            "spec.template.spec.containers[gw].resources.requests.cpu is \"2\", not \"1\""
        );
        let gone = json!({ "spec": { "replicas": 1 } });
        let gone = first(&deployment(1, "1"), &gone).unwrap();
        assert!(gone.starts_with("spec.template is not set, not {"), "{gone}");
    }

    #[test]
    fn fields_that_are_left_empty_may_be_missing_or_filled() {
        let wanted = json!({ "spec": { "replicas": 1, "paused": false, "nodeSelector": {}, "tolerations": [],
            "clusterIP": "", "securityContext": null } });
        assert_eq!(first(&wanted, &json!({ "spec": { "replicas": 1 } })), None);
        let filled = json!({ "spec": { "replicas": 1, "clusterIP": "192.0.2.7", "securityContext": { "runAsUser": 1 } } });
        assert_eq!(first(&wanted, &filled), None);
        let paused = json!({ "spec": { "replicas": 1, "paused": true } });
        assert_eq!(first(&wanted, &paused).unwrap(), "spec.paused is true, not false");
    }
}
