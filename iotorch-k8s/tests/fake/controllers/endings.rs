//! How objects go: what belongs to what is gone goes too, and namespaces take everything along.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{is_going, kinds, set_condition};
use crate::fake::{
    state::{Deletion, State},
    store::Key,
};

/// Removes what belongs to what is gone, and lets go what waited for that
/// (<https://kubernetes.io/docs/concepts/architecture/garbage-collection/>).
pub fn collect(state: &mut State) {
    let uid_of = |object: &Value| object["metadata"]["uid"].as_str().map(str::to_owned);
    let there: BTreeSet<String> = state.store.objects().filter_map(|(_, object)| uid_of(object)).collect();
    let waiting: Vec<(Key, Value)> = state
        .store
        .objects()
        .filter(|(_, object)| is_going(object))
        .map(|(key, object)| (key.clone(), object.clone()))
        .collect();
    for (key, object) in waiting {
        if has_finalizer(&object, "orphan") {
            for dependent in dependents(state, &object) {
                state.modify(&dependent, |it| it["metadata"]["ownerReferences"] = Value::Null);
            }
            drop_finalizer(state, &key, "orphan");
        }
        if has_finalizer(&object, "foregroundDeletion") {
            let dependents = dependents(state, &object);
            if dependents.is_empty() {
                drop_finalizer(state, &key, "foregroundDeletion");
            }
            for dependent in dependents {
                // It may have gone with another.
                let _ = state.delete(&dependent, &Deletion::default());
            }
        }
    }
    let orphans: Vec<Key> = state
        .store
        .objects()
        .filter(|(_, object)| !is_going(object))
        .filter(|(_, object)| {
            let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            let is_there = |owner: &Value| owner["uid"].as_str().is_some_and(|uid| there.contains(uid));
            !owners.is_empty() && !owners.iter().any(is_there)
        })
        .map(|(key, _)| key.clone())
        .collect();
    for orphan in orphans {
        let _ = state.delete(&orphan, &Deletion::default());
    }
}

fn dependents(state: &State, owner: &Value) -> Vec<Key> {
    let uid = &owner["metadata"]["uid"];
    let owners =
        |object: &Value| object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    let theirs =
        state.store.objects().filter(|(_, object)| owners(object).iter().any(|it| it["uid"] == *uid));
    theirs.map(|(key, _)| key.clone()).collect()
}

fn has_finalizer(object: &Value, name: &str) -> bool {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().any(|it| it == name)
}

pub fn drop_finalizer(state: &mut State, key: &Key, name: &str) {
    state.modify(key, |object| {
        let mut left = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        left.retain(|finalizer| finalizer != name);
        object["metadata"]["finalizers"] = if left.is_empty() { Value::Null } else { left.into() };
    });
}

/// Empties namespaces that end, and removes those that are empty.
pub fn end_namespaces(state: &mut State) {
    for (key, namespace) in state.store.copies(&kinds::NAMESPACE, None) {
        if !is_going(&namespace) {
            continue;
        }
        let inside: Vec<Key> = state.store.keys().filter(|it| it.namespace == key.name).cloned().collect();
        if inside.is_empty() {
            state.store.remove(&key);
            continue;
        }
        for object in inside {
            let _ = state.delete(&object, &Deletion::default());
        }
        let left = state.store.objects().filter(|(it, _)| it.namespace == key.name);
        let kept: Vec<(Key, Value)> = left
            .filter(|(_, object)| object["metadata"]["finalizers"].is_array())
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        if !kept.is_empty() {
            let now = state.now();
            let remaining = told(
                kept.iter().map(|(key, _)| format!("{}.", key.kind.resource())),
                "has 1 resource instances",
            );
            let finalizers = kept.iter().flat_map(|(_, object)| {
                object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default()
            });
            let finalizers = finalizers.filter_map(|finalizer| finalizer.as_str().map(str::to_owned));
            let finalizers = told(finalizers, "in 1 resource instances");
            state.modify(&key, |namespace| {
                for (kind, reason, message) in [
                    ("NamespaceContentRemaining", "SomeResourcesRemain", format!("Some resources are remaining: {remaining}")),
                    (
                        "NamespaceFinalizersRemaining",
                        "SomeFinalizersRemain",
                        format!("Some content in the namespace has finalizers remaining: {finalizers}"),
                    ),
                ] {
                    let condition = json!({ "type": kind, "status": "True", "reason": reason, "message": message,
                        "lastTransitionTime": now });
                    set_condition(namespace, condition);
                }
            });
        }
    }
}

fn told(names: impl Iterator<Item = String>, after: &str) -> String {
    let names: BTreeSet<String> = names.collect();
    names.into_iter().map(|name| format!("{name} {after}")).collect::<Vec<_>>().join(", ")
}
