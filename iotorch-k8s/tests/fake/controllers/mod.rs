//! What a cluster does by itself: each controller looks at what is there, and takes one step towards what is wanted.

mod endings;
mod jobs;
mod kubelet;
mod replicas;
mod services;
mod sets;
mod volumes;

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    kinds::{self, Kind},
    refusal::Refusal,
    state::State,
    store::Key,
};

/// What becomes of the containers of an image.
#[derive(Clone, Debug)]
pub enum Image {
    /// They run, and are ready a moment later.
    Runs,
    /// The registry does not have it.
    Absent,
    /// They end with an error, again and again, after these lines of a log.
    Crashes { log: String },
    /// They run, and their probe fails for ever.
    NeverReady,
    /// They end without an error.
    Ends,
}

impl Image {
    pub fn log(&self) -> String {
        match self {
            Self::Crashes { log } => log.clone(),
            _ => String::new(),
        }
    }
}

/// A step of all controllers. Gives when the next one has to be, should nothing change until then.
pub fn step(state: &mut State) -> Option<Duration> {
    endings::collect(state);
    endings::end_namespaces(state);
    replicas::deployments(state);
    let wait = replicas::replica_sets(state);
    sets::stateful_sets(state);
    sets::daemon_sets(state);
    jobs::jobs(state);
    volumes::bind(state);
    kubelet::schedule(state);
    kubelet::run(state);
    services::endpoints(state);
    quotas(state);
    wait
}

/// Quotas say how much of them is used.
fn quotas(state: &mut State) {
    for (key, quota) in state.store.copies(&kinds::QUOTA, None) {
        let status = super::admission::quota_status(&state.store, &key, &quota);
        state.modify(&key, |quota| quota["status"] = status);
    }
}

/// The reference that makes an object its owner's.
fn owner(kind: &Kind, object: &Value) -> Value {
    json!([{ "apiVersion": kind.api_version(), "kind": kind.kind, "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true }])
}

/// The objects of a kind that are owned by another object and are not going.
fn owned(state: &State, kind: &'static Kind, key: &Key, owner: &Value) -> Vec<(Key, Value)> {
    let uid = &owner["metadata"]["uid"];
    let all = state.store.all(kind, Some(&key.namespace)).into_iter();
    let theirs = all.filter(|(_, object)| {
        let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.into_iter().any(|owner| owner["uid"] == *uid) && !is_going(object)
    });
    theirs.map(|(key, object)| (key.clone(), object.clone())).collect()
}

fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition["status"] == "True")
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Sets a condition; when it was last another one stays, if it is not another one now.
fn set_condition(object: &mut Value, condition: Value) {
    if !object["status"]["conditions"].is_array() {
        object["status"]["conditions"] = json!([]);
    }
    let Some(conditions) = object["status"]["conditions"].as_array_mut() else { return };
    match conditions.iter_mut().find(|other| other["type"] == condition["type"]) {
        Some(there) => {
            let since = match there["status"] == condition["status"] {
                true => there["lastTransitionTime"].clone(),
                false => condition["lastTransitionTime"].clone(),
            };
            *there = condition;
            there["lastTransitionTime"] = since;
        }
        None => conditions.push(condition),
    }
}

/// A hash of a pod template, for names and labels.
fn hash(template: &Value) -> String {
    // FNV-1a (https://datatracker.ietf.org/doc/draft-eastlake-fnv/): the same in every run.
    let text = template.to_string();
    let hash =
        text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{hash:08x}")
}

/// Makes a pod of a template.
fn make_pod(
    state: &mut State,
    key: &Key,
    owner_object: &Value,
    called: Value,
    labels: &[(&str, Value)],
) -> Result<Value, Refusal> {
    let template = &owner_object["spec"]["template"];
    let mut pod = json!({ "metadata": template["metadata"], "spec": template["spec"] });
    for (label, value) in labels {
        pod["metadata"]["labels"][*label] = value.clone();
    }
    for (field, value) in called.as_object().into_iter().flatten() {
        pod["metadata"][field] = value.clone();
    }
    pod["metadata"]["ownerReferences"] = owner(key.kind, owner_object);
    let writer = state.writer("kube-controller-manager", None);
    state.create(&kinds::POD, &key.namespace, super::rules::without_nulls(pod), &writer)
}

/// Tells of something that happened to an object.
fn tell(state: &mut State, key: &Key, about: &Value, is_warning: bool, reason: &str, message: &str) {
    let now = state.now();
    let same = state.store.all(&kinds::EVENT, Some(&key.namespace)).into_iter().find(|(_, event)| {
        event["involvedObject"]["uid"] == about["metadata"]["uid"]
            && event["reason"] == reason
            && event["message"] == message
    });
    if same.is_some() {
        return;
    }
    let event = json!({
        "metadata": { "generateName": format!("{}.", key.name) },
        "involvedObject": { "apiVersion": key.kind.api_version(), "kind": key.kind.kind, "namespace": key.namespace,
            "name": key.name, "uid": about["metadata"]["uid"] },
        "type": if is_warning { "Warning" } else { "Normal" }, "reason": reason, "message": message,
        "firstTimestamp": now, "lastTimestamp": now, "count": 1, "source": { "component": "fake" },
    });
    let writer = state.writer("fake", None);
    // In a namespace that ends there is nobody to tell it to.
    let _ = state.create(&kinds::EVENT, &key.namespace, event, &writer);
}
