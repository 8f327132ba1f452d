//! Whose the fields of an object are, and server-side apply
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/>).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{kinds::Kind, refusal::Refusal};

/// A step of the way to a field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Field(String),
    /// An item of a list, by the JSON of its keys.
    Item(String),
    /// An item of a set.
    Value(String),
}

type Path = Vec<Step>;
type Fields = BTreeSet<Path>;

/// Who writes.
#[derive(Clone, Debug)]
pub struct Writer {
    pub manager: String,
    /// The resource of its own that is written, such as `status`.
    pub subresource: Option<String>,
    pub now: String,
}

/// What one writer has set.
#[derive(Clone, Debug)]
struct Entry {
    manager: String,
    operation: String,
    subresource: Option<String>,
    time: String,
    fields: Fields,
}

/// What lists in objects are told apart by; other lists are one value.
fn keys_of(path: &[Step]) -> &'static [&'static str] {
    let names: Vec<&str> = path
        .iter()
        .rev()
        .filter_map(|step| if let Step::Field(name) = step { Some(name.as_str()) } else { None })
        .collect();
    match names.as_slice() {
        ["ports", "containers" | "initContainers", ..] => &["containerPort", "protocol"],
        ["ports", "spec"] => &["port", "protocol"],
        ["containers" | "initContainers" | "volumes" | "env" | "imagePullSecrets", ..] => &["name"],
        ["volumeMounts", ..] => &["mountPath"],
        ["conditions", ..] => &["type"],
        ["ownerReferences", ..] => &["uid"],
        _ => &[],
    }
}

fn is_set(path: &[Step]) -> bool {
    path.last() == Some(&Step::Field("finalizers".into()))
}

/// Maps that are one value.
fn is_atomic(path: &[Step]) -> bool {
    let Some(Step::Field(name)) = path.last() else { return false };
    [
        "selector",
        "podSelector",
        "namespaceSelector",
        "labelSelector",
        "nodeSelector",
        "secretKeyRef",
        "configMapKeyRef",
    ]
    .contains(&name.as_str())
}

fn key_of(item: &Value, keys: &[&str]) -> String {
    let value = |key: &str| match (item.get(key), key) {
        (Some(value), _) => Some(value.clone()),
        (None, "protocol") => Some("TCP".into()),
        (None, _) => None,
    };
    let pairs = keys.iter().filter_map(|key| Some(((*key).to_owned(), value(key)?)));
    Value::Object(pairs.collect::<Map<_, _>>()).to_string()
}

/// The fields of an object that somebody can own, with their values. That an item of a list is there is a field of its own.
fn leaves(kind: &Kind, object: &Value, subresource: Option<&str>) -> BTreeMap<Path, Value> {
    const OF_THE_SERVER: [&str; 9] = [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
    ];
    let mut found = BTreeMap::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        let counts = match name.as_str() {
            "apiVersion" | "kind" => false,
            "status" => !kind.has_status || subresource == Some("status"),
            _ => subresource != Some("status"),
        };
        if !counts {
            continue;
        }
        if name == "metadata" {
            for (name, value) in value.as_object().into_iter().flatten() {
                if !OF_THE_SERVER.contains(&name.as_str()) {
                    let path = vec![Step::Field("metadata".into()), Step::Field(name.clone())];
                    descend(path, value, &mut found);
                }
            }
        } else {
            descend(vec![Step::Field(name.clone())], value, &mut found);
        }
    }
    found
}

fn descend(path: Path, value: &Value, found: &mut BTreeMap<Path, Value>) {
    let deeper = |step: Step| path.iter().cloned().chain([step]).collect::<Path>();
    match value {
        Value::Object(fields) if !fields.is_empty() && !is_atomic(&path) => {
            for (name, value) in fields {
                descend(deeper(Step::Field(name.clone())), value, found);
            }
        }
        Value::Array(items) if !keys_of(&path).is_empty() => {
            let keys = keys_of(&path);
            for item in items {
                let at = deeper(Step::Item(key_of(item, keys)));
                found.insert(at.clone(), Value::Null);
                descend(at, item, found);
            }
        }
        Value::Array(items) if is_set(&path) => {
            found.extend(items.iter().map(|item| (deeper(Step::Value(item.to_string())), item.clone())));
        }
        value => drop(found.insert(path, value.clone())),
    }
}

fn read(object: &Value) -> Vec<Entry> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let entry = |entry: &Value| {
        let mut fields = Fields::new();
        unfold(Vec::new(), &entry["fieldsV1"], &mut fields);
        Entry {
            manager: text(&entry["manager"]),
            operation: text(&entry["operation"]),
            subresource: entry["subresource"].as_str().map(str::to_owned),
            time: text(&entry["time"]),
            fields,
        }
    };
    entries.map(entry).collect()
}

fn unfold(path: Path, node: &Value, fields: &mut Fields) {
    let inner = node.as_object().into_iter().flatten();
    if inner.clone().next().is_none() || node.get(".").is_some() {
        fields.insert(path.clone());
    }
    for (name, node) in inner {
        let step = match name.split_once(':') {
            Some(("f", name)) => Step::Field(name.to_owned()),
            Some(("k", key)) => Step::Item(key.to_owned()),
            Some(("v", value)) => Step::Value(value.to_owned()),
            _ => continue,
        };
        unfold(path.iter().cloned().chain([step]).collect(), node, fields);
    }
}

fn fold(fields: &Fields) -> Value {
    let mut root = json!({});
    for path in fields {
        let mut node = &mut root;
        for step in path {
            let name = match step {
                Step::Field(name) => format!("f:{name}"),
                Step::Item(key) => format!("k:{key}"),
                Step::Value(value) => format!("v:{value}"),
            };
            node = &mut node[name];
            if node.is_null() {
                *node = json!({});
            }
        }
        if matches!(path.last(), Some(Step::Item(_))) {
            node["."] = json!({});
        }
    }
    root
}

fn write(kind: &Kind, object: &mut Value, entries: &[Entry]) {
    let entries = entries.iter().filter(|entry| !entry.fields.is_empty());
    let entries = entries.map(|entry| {
        let mut json = json!({ "manager": entry.manager, "operation": entry.operation, "apiVersion": kind.api_version(),
            "time": entry.time, "fieldsType": "FieldsV1", "fieldsV1": fold(&entry.fields) });
        if let Some(subresource) = &entry.subresource {
            json["subresource"] = subresource.clone().into();
        }
        json
    });
    let entries: Vec<_> = entries.collect();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        match entries.is_empty() {
            true => drop(metadata.remove("managedFields")),
            false => drop(metadata.insert("managedFields".into(), entries.into())),
        }
    }
}

/// The entry of a writer, made where it has none yet.
fn entry<'a>(entries: &'a mut Vec<Entry>, writer: &Writer, operation: &str) -> &'a mut Entry {
    let is_it = |entry: &Entry| {
        entry.manager == writer.manager
            && entry.operation == operation
            && entry.subresource == writer.subresource
    };
    let index = entries.iter().position(is_it).unwrap_or_else(|| {
        entries.push(Entry {
            manager: writer.manager.clone(),
            operation: operation.to_owned(),
            subresource: writer.subresource.clone(),
            time: writer.now.clone(),
            fields: Fields::new(),
        });
        entries.len() - 1
    });
    &mut entries[index]
}

/// Notes who has written what was changed by a create, an update or a merge.
pub fn note_update(kind: &Kind, before: Option<&Value>, after: &mut Value, writer: &Writer) {
    let subresource = writer.subresource.as_deref();
    let old = before.map(|before| leaves(kind, before, subresource)).unwrap_or_default();
    let new = leaves(kind, after, subresource);
    let changed: Fields = new
        .iter()
        .filter(|(path, value)| old.get(*path) != Some(value))
        .map(|(path, _)| path.clone())
        .collect();
    let gone: Fields = old.keys().filter(|path| !new.contains_key(*path)).cloned().collect();
    let mut entries = before.map(read).unwrap_or_default();
    for entry in &mut entries {
        entry.fields.retain(|path| !changed.contains(path) && !gone.contains(path));
    }
    if !changed.is_empty() {
        let own = entry(&mut entries, writer, "Update");
        own.fields.extend(changed);
        own.time.clone_from(&writer.now);
    }
    write(kind, after, &entries);
}

/// Lays what a manager applies over an object (or over nothing), and takes away what it applied before and does not any more.
pub fn apply(
    kind: &Kind,
    live: &Value,
    applied: &Value,
    writer: &Writer,
    is_forced: bool,
) -> Result<Value, Refusal> {
    let subresource = writer.subresource.as_deref();
    let (there, wanted) = (leaves(kind, live, subresource), leaves(kind, applied, subresource));
    let mut entries = read(live);
    let is_own = |entry: &Entry| {
        entry.manager == writer.manager
            && entry.operation == "Apply"
            && entry.subresource == writer.subresource
    };
    let is_taken = |path: &Path| there.get(path).is_some_and(|value| *value != wanted[path]);
    let mut conflicts = Vec::new();
    for other in entries.iter_mut().filter(|entry| !is_own(entry)) {
        let taken: Fields = other
            .fields
            .iter()
            .filter(|path| wanted.contains_key(*path) && is_taken(path))
            .cloned()
            .collect();
        conflicts.extend(taken.iter().map(|path| (described(kind, other), shown(path))));
        other.fields.retain(|path| !taken.contains(path));
    }
    if !conflicts.is_empty() && !is_forced {
        return Err(Refusal::taken_fields(&conflicts));
    }
    let mut result = live.clone();
    lay_over(&mut result, applied, &mut Vec::new());
    let own = entry(&mut entries, writer, "Apply");
    let dropped: Fields = own.fields.iter().filter(|path| !wanted.contains_key(*path)).cloned().collect();
    let fields: Fields = wanted.into_keys().collect();
    if own.fields != fields {
        own.time.clone_from(&writer.now);
        own.fields = fields;
    }
    let is_kept =
        |path: &Path| entries.iter().any(|entry| entry.fields.iter().any(|it| it.starts_with(path)));
    // Items of lists before what is in them: then they are found by their keys.
    for path in dropped.iter().filter(|path| !is_kept(path)) {
        take_away(&mut result, path);
    }
    write(kind, &mut result, &entries);
    Ok(result)
}

/// As a refusal calls a manager.
fn described(kind: &Kind, entry: &Entry) -> String {
    match entry.operation.as_str() {
        "Apply" => format!("\"{}\"", entry.manager),
        _ => format!("\"{}\" using {}", entry.manager, kind.api_version()),
    }
}

fn shown(path: &Path) -> String {
    let step = |step: &Step| match step {
        Step::Field(name) => format!(".{name}"),
        Step::Value(value) => format!("[={value}]"),
        Step::Item(key) => {
            let keys: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
            let keys = keys.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
            format!("[{}]", keys.join(","))
        }
    };
    path.iter().map(step).collect()
}

fn lay_over(live: &mut Value, over: &Value, path: &mut Path) {
    match (live, over) {
        (Value::Object(live), Value::Object(over)) if !is_atomic(path) => {
            for (name, value) in over {
                path.push(Step::Field(name.clone()));
                lay_over(live.entry(name.clone()).or_insert(Value::Null), value, path);
                path.pop();
            }
        }
        (Value::Array(live), Value::Array(over)) if !keys_of(path).is_empty() => {
            let keys = keys_of(path);
            for item in over {
                let key = key_of(item, keys);
                let index = live.iter().position(|it| key_of(it, keys) == key).unwrap_or_else(|| {
                    live.push(Value::Null);
                    live.len() - 1
                });
                path.push(Step::Item(key));
                lay_over(&mut live[index], item, path);
                path.pop();
            }
        }
        (Value::Array(live), Value::Array(over)) if is_set(path) => {
            for item in over {
                if !live.contains(item) {
                    live.push(item.clone());
                }
            }
        }
        (live, over) => live.clone_from(over),
    }
}

/// Removes a field, and the maps and lists around it that are empty then.
fn take_away(node: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else { return };
    match (step, node) {
        (Step::Field(name), Value::Object(fields)) => {
            let Some(inner) = fields.get_mut(name) else { return };
            if !rest.is_empty() {
                take_away(inner, rest);
            }
            if rest.is_empty() || is_empty(inner) {
                fields.remove(name);
            }
        }
        (Step::Item(key), Value::Array(items)) => {
            let wanted: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
            let is_it = |item: &Value| wanted.iter().all(|(key, value)| item.get(key) == Some(value));
            let Some(index) = items.iter().position(is_it) else { return };
            if rest.is_empty() {
                items.remove(index);
            } else {
                take_away(&mut items[index], rest);
            }
        }
        (Step::Value(value), Value::Array(items)) => {
            let gone: Value = serde_json::from_str(value).unwrap_or_default();
            items.retain(|item| *item != gone);
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
