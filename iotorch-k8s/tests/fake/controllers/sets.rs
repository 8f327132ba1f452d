//! StatefulSets and DaemonSets.

use serde_json::{Value, json};

use super::{hash, is_going, is_ready, kinds, make_pod, owned, tell};
use crate::fake::{
    state::{Deletion, State},
    store::Key,
};

const REVISION: &str = "controller-revision-hash";

/// Pods one after the other, each with its claims; those of an older template are made anew, the last one first.
pub fn stateful_sets(state: &mut State) {
    for (key, set) in state.store.copies(&kinds::STATEFUL_SET, None) {
        if is_going(&set) {
            continue;
        }
        let wanted = set["spec"]["replicas"].as_u64().unwrap_or(1);
        let revision = format!("{}-{}", key.name, hash(&set["spec"]["template"]));
        let pod_key =
            |number: u64| Key::new(&kinds::POD, key.namespace.clone(), format!("{}-{number}", key.name));
        for number in 0..wanted {
            match state.store.get(&pod_key(number)) {
                Some(pod) if is_ready(pod) && !is_going(pod) => {}
                Some(_) => break,
                None => {
                    make_claims(state, &key, &set, number);
                    let called = json!({ "name": format!("{}-{number}", key.name) });
                    let labels = [
                        (REVISION, Value::from(revision.clone())),
                        ("statefulset.kubernetes.io/pod-name", Value::from(format!("{}-{number}", key.name))),
                        ("apps.kubernetes.io/pod-index", Value::from(number.to_string())),
                    ];
                    if let Err(refusal) = make_pod(state, &key, &with_claims(&set, number), called, &labels) {
                        let why = format!(
                            "create Pod {}-{number} in StatefulSet {} failed error: {}",
                            key.name, key.name, refusal.message
                        );
                        tell(state, &key, &set, true, "FailedCreate", &why);
                    }
                    break;
                }
            }
        }
        let pods = owned(state, &kinds::POD, &key, &set);
        let is_new = |pod: &Value| pod["metadata"]["labels"][REVISION] == revision.as_str();
        let number_of =
            |key: &Key| key.name.rsplit('-').next().and_then(|it| it.parse::<u64>().ok()).unwrap_or_default();
        let too_many = pods.iter().filter(|(pod, _)| number_of(pod) >= wanted).map(|(pod, _)| pod.clone());
        let mut old: Vec<Key> =
            pods.iter().filter(|(_, pod)| !is_new(pod)).map(|(pod, _)| pod.clone()).collect();
        old.sort_by_key(number_of);
        let is_quiet = pods.len() as u64 >= wanted;
        let going: Vec<Key> = too_many.chain(old.pop().filter(|_| is_quiet)).collect();
        for pod in going {
            let _ = state.delete(&pod, &Deletion::default());
        }
        let ready = pods.iter().filter(|(_, pod)| is_ready(pod)).count();
        let updated = pods.iter().filter(|(_, pod)| is_new(pod)).count();
        state.modify(&key, |set| {
            let is_through = updated as u64 == wanted && ready as u64 == wanted;
            let current = set["status"]["currentRevision"].clone();
            let number = |count: usize| if count == 0 { Value::Null } else { count.into() };
            set["status"]["observedGeneration"] = set["metadata"]["generation"].clone();
            set["status"]["replicas"] = pods.len().into();
            set["status"]["readyReplicas"] = number(ready);
            set["status"]["availableReplicas"] = ready.into();
            set["status"]["updatedReplicas"] = number(updated);
            set["status"]["updateRevision"] = revision.clone().into();
            let is_first = current.is_null();
            set["status"]["currentRevision"] =
                if is_through || is_first { revision.clone().into() } else { current };
            set["status"]["collisionCount"] = 0.into();
        });
    }
}

fn claim_name(template: &Value, set: &str, number: u64) -> String {
    format!("{}-{set}-{number}", template["metadata"]["name"].as_str().unwrap_or_default())
}

fn make_claims(state: &mut State, key: &Key, set: &Value, number: u64) {
    for template in set["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
        let mut labels = set["spec"]["selector"]["matchLabels"].clone();
        for (label, value) in template["metadata"]["labels"].as_object().into_iter().flatten() {
            labels[label] = value.clone();
        }
        let mut metadata = template["metadata"].clone();
        metadata["name"] = claim_name(template, &key.name, number).into();
        metadata["labels"] = labels;
        let claim = json!({ "metadata": metadata, "spec": template["spec"] });
        let writer = state.writer("kube-controller-manager", None);
        // It stays when the pod goes, and is found again.
        let _ = state.create(&kinds::CLAIM, &key.namespace, claim, &writer);
    }
}

/// The set with the claims of one of its pods as volumes of the template.
fn with_claims(set: &Value, number: u64) -> Value {
    let mut set = set.clone();
    let name = set["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let claims = set["spec"]["volumeClaimTemplates"].as_array().cloned().unwrap_or_default();
    let mut volumes = set["spec"]["template"]["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    volumes.extend(claims.iter().map(|claim| {
        json!({ "name": claim["metadata"]["name"],
            "persistentVolumeClaim": { "claimName": claim_name(claim, &name, number) } })
    }));
    if !volumes.is_empty() {
        set["spec"]["template"]["spec"]["volumes"] = volumes.into();
    }
    set
}

/// A pod on each node.
pub fn daemon_sets(state: &mut State) {
    let nodes = state.store.copies(&kinds::NODE, None);
    for (key, set) in state.store.copies(&kinds::DAEMON_SET, None) {
        if is_going(&set) {
            continue;
        }
        let revision = hash(&set["spec"]["template"]);
        let pods = owned(state, &kinds::POD, &key, &set);
        for (node, _) in &nodes {
            if pods.iter().any(|(_, pod)| pod["spec"]["nodeName"] == node.name.as_str()) {
                continue;
            }
            let mut placed = set.clone();
            placed["spec"]["template"]["spec"]["nodeName"] = node.name.clone().into();
            let called = json!({ "name": Value::Null, "generateName": format!("{}-", key.name) });
            let labels = [(REVISION, Value::from(revision.clone()))];
            if let Err(refusal) = make_pod(state, &key, &placed, called, &labels) {
                let message = format!("Error creating: {}", refusal.message);
                tell(state, &key, &set, true, "FailedCreate", &message);
            }
        }
        let is_new = |pod: &Value| pod["metadata"]["labels"][REVISION] == revision.as_str();
        for (pod, _) in pods.iter().filter(|(_, pod)| !is_new(pod)) {
            let _ = state.delete(pod, &Deletion::default());
        }
        let ready = pods.iter().filter(|(_, pod)| is_ready(pod)).count();
        let updated = pods.iter().filter(|(_, pod)| is_new(pod)).count();
        let wanted = nodes.len();
        state.modify(&key, |set| {
            set["status"]["observedGeneration"] = set["metadata"]["generation"].clone();
            set["status"]["desiredNumberScheduled"] = wanted.into();
            set["status"]["currentNumberScheduled"] = pods.len().into();
            set["status"]["numberMisscheduled"] = 0.into();
            set["status"]["numberReady"] = ready.into();
            set["status"]["numberAvailable"] = ready.into();
            set["status"]["updatedNumberScheduled"] = updated.into();
        });
    }
}
