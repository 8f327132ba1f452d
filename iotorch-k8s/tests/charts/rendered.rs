//! What a chart renders, told in few words.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Service},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The objects of a release.
pub(crate) struct Rendered(Vec<Value>);

impl Rendered {
    /// Reads what `helm template` prints.
    pub(crate) fn of(text: &str) -> Self {
        let documents = text.split("\n---\n").map(|document| document.trim_start_matches("---\n"));
        let objects =
            documents.filter_map(|document| serde_saphyr::from_str::<Option<Value>>(document).unwrap());
        Self(objects.filter(Value::is_object).collect())
    }

    /// The kind and name of each object.
    pub(crate) fn names(&self) -> BTreeSet<(String, String)> {
        self.0.iter().map(|object| (text(object, "/kind"), text(object, "/metadata/name"))).collect()
    }

    /// The ports of Services by their names, with the type of the Service.
    pub(crate) fn ports(&self) -> BTreeMap<String, String> {
        let services = self.0.iter().filter(|object| object["kind"] == "Service");
        let ports = services.flat_map(|service| {
            list(service, "/spec/ports").iter().map(|port| (text(port, "/name"), text(service, "/spec/type")))
        });
        ports.collect()
    }

    /// The variables of all containers: a text, or the entry of the Secret.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        self.containers().flat_map(|container| list(container, "/env").iter().map(variable)).collect()
    }

    pub(crate) fn images(&self) -> Vec<String> {
        self.containers().map(|container| text(container, "/image")).collect()
    }

    /// A name that two items of one list have: drift of an object could not tell them apart.
    pub(crate) fn named_twice(&self) -> Option<String> {
        self.0.iter().find_map(|object| {
            let twice = named_twice(&object["spec"])?;
            Some(format!("{twice} in {} {}", text(object, "/kind"), text(object, "/metadata/name")))
        })
    }

    /// A field that the API does not have; one of the wrong type is a failure.
    pub(crate) fn unknown_field(&self) -> Option<String> {
        self.0.iter().find_map(|object| {
            let known = match text(object, "/kind").as_str() {
                "ConfigMap" => as_known::<ConfigMap>(object),
                "PersistentVolumeClaim" => as_known::<PersistentVolumeClaim>(object),
                "Service" => as_known::<Service>(object),
                "StatefulSet" => as_known::<StatefulSet>(object),
                other => return Some(other.to_owned()),
            };
            let lost = lost(object, &known)?;
            Some(format!("{lost} in {} {}", text(object, "/kind"), text(object, "/metadata/name")))
        })
    }

    fn containers(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().flat_map(|object| {
            list(object, "/spec/template/spec/initContainers")
                .iter()
                .chain(list(object, "/spec/template/spec/containers"))
        })
    }
}

impl fmt::Display for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for object in &self.0 {
            let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
            match kind.as_str() {
                "ConfigMap" => {
                    writeln!(f, "{kind} {name}:")?;
                    for (file, content) in object["data"].as_object().into_iter().flatten() {
                        writeln!(f, "  {file}:")?;
                        let content = content.as_str().unwrap_or_default();
                        content.lines().try_for_each(|line| writeln!(f, "    {line}"))?;
                    }
                }
                "PersistentVolumeClaim" => {
                    let class = text(object, "/spec/storageClassName");
                    let class = if class.is_empty() { class } else { format!(" of {class}") };
                    writeln!(
                        f,
                        "{kind} {name}: {}{class}",
                        text(object, "/spec/resources/requests/storage")
                    )?;
                }
                "Service" => {
                    let component = text(object, "/spec/selector/app.kubernetes.io~1component");
                    write!(f, "{kind} {name}, {} to {component}:", text(object, "/spec/type"))?;
                    for port in list(object, "/spec/ports") {
                        write!(f, " {} {}/{}", text(port, "/name"), port["port"], text(port, "/protocol"))?;
                    }
                    writeln!(f)?;
                }
                "StatefulSet" => {
                    writeln!(f, "{kind} {name}:")?;
                    for container in list(object, "/spec/template/spec/initContainers") {
                        tell_container(f, "before that ", container)?;
                    }
                    for container in list(object, "/spec/template/spec/containers") {
                        tell_container(f, "", container)?;
                    }
                }
                _ => writeln!(f, "{kind} {name}")?,
            }
        }
        Ok(())
    }
}

fn tell_container(f: &mut fmt::Formatter<'_>, when: &str, container: &Value) -> fmt::Result {
    writeln!(f, "  {when}{} of {}", text(container, "/name"), text(container, "/image"))?;
    let words = list(container, "/command").iter().chain(list(container, "/args"));
    for word in words.filter_map(Value::as_str) {
        word.trim_end().lines().try_for_each(|line| writeln!(f, "    | {line}"))?;
    }
    for (name, value) in list(container, "/env").iter().map(variable) {
        writeln!(f, "    {name}={value}")?;
    }
    let probe = &container["readinessProbe"];
    if let Some(path) = probe.pointer("/httpGet/path") {
        writeln!(f, "    ready: {} at {}", path.as_str().unwrap_or_default(), text(probe, "/httpGet/port"))?;
    } else if !probe.is_null() {
        let exec: Vec<_> = list(probe, "/exec/command").iter().filter_map(Value::as_str).collect();
        writeln!(f, "    ready: {}{}", exec.join(" "), text(probe, "/tcpSocket/port"))?;
    }
    let mounts: Vec<_> = list(container, "/volumeMounts")
        .iter()
        .map(|mount| format!("{} at {}", text(mount, "/name"), text(mount, "/mountPath")))
        .collect();
    if mounts.is_empty() { Ok(()) } else { writeln!(f, "    mounts: {}", mounts.join(", ")) }
}

fn variable(variable: &Value) -> (String, String) {
    let entry = text(variable, "/valueFrom/secretKeyRef/key");
    let value = if entry.is_empty() { text(variable, "/value") } else { format!("<{entry}>") };
    (text(variable, "/name"), value)
}

fn as_known<K: Serialize + DeserializeOwned>(object: &Value) -> Value {
    let read: K = serde_json::from_value(object.clone()).unwrap();
    serde_json::to_value(read).unwrap()
}

/// A field that is not in what was read and written again.
fn lost(before: &Value, after: &Value) -> Option<String> {
    match (before, after) {
        (Value::Object(before), _) => before.iter().find_map(|(name, value)| match after.get(name) {
            None if value.is_null() => None,
            None => Some(name.clone()),
            Some(after) => lost(value, after),
        }),
        (Value::Array(before), Value::Array(after)) => {
            before.iter().zip(after).find_map(|(before, after)| lost(before, after))
        }
        _ => None,
    }
}

fn named_twice(value: &Value) -> Option<String> {
    match value {
        Value::Object(fields) => fields.values().find_map(named_twice),
        Value::Array(items) => {
            let mut names = BTreeSet::new();
            let twice =
                items.iter().filter_map(|item| item["name"].as_str()).find(|name| !names.insert(*name));
            twice.map(str::to_owned).or_else(|| items.iter().find_map(named_twice))
        }
        _ => None,
    }
}

fn text(value: &Value, path: &str) -> String {
    match value.pointer(path) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
