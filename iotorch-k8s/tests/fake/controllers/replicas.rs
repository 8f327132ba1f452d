//! Deployments and their ReplicaSets.

use std::time::Duration;

use serde_json::{Value, json};

use super::{condition, hash, is_ready, kinds, make_pod, owned, owner, set_condition, tell};
use crate::fake::{
    state::{Deletion, State},
    store::Key,
};

const HASH: &str = "pod-template-hash";

/// A ReplicaSet for the newest template; those of others go down once it is up.
pub fn deployments(state: &mut State) {
    for (key, deployment) in state.store.copies(&kinds::DEPLOYMENT, None) {
        if super::is_going(&deployment) {
            continue;
        }
        let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
        let hash = hash(&deployment["spec"]["template"]);
        let sets = owned(state, &kinds::REPLICA_SET, &key, &deployment);
        let newest = sets.iter().find(|(_, set)| set["metadata"]["labels"][HASH] == hash.as_str()).cloned();
        let Some((newest_key, newest)) = newest else {
            make_set(state, &key, &deployment, &hash, wanted);
            continue;
        };
        state.modify(&newest_key, |set| set["spec"]["replicas"] = wanted.into());
        let count = |set: &Value, field: &str| set["status"][field].as_i64().unwrap_or_default();
        let is_up = count(&newest, "availableReplicas") >= wanted;
        for (old, _) in sets.iter().filter(|(it, _)| *it != newest_key && is_up) {
            state.modify(old, |set| set["spec"]["replicas"] = 0.into());
        }
        let sum = |field| sets.iter().map(|(_, set)| count(set, field)).sum::<i64>();
        let (all, ready, available) = (sum("replicas"), sum("readyReplicas"), sum("availableReplicas"));
        let updated = count(&newest, "replicas");
        let now = state.now();
        let refused = condition(&newest, "ReplicaFailure").cloned();
        let deadline = deployment["spec"]["progressDeadlineSeconds"].as_u64().unwrap_or(600);
        let began = &newest["metadata"]["creationTimestamp"];
        let is_late = !is_up && state.since(began) >= Duration::from_secs(deadline);
        state.modify(&key, |deployment| {
            let number = |count: i64| if count == 0 { Value::Null } else { count.into() };
            deployment["status"]["observedGeneration"] = deployment["metadata"]["generation"].clone();
            let status = &mut deployment["status"];
            for (field, count) in [
                ("replicas", all),
                ("updatedReplicas", updated),
                ("readyReplicas", ready),
                ("availableReplicas", available),
                ("unavailableReplicas", wanted.max(all) - available),
            ] {
                status[field] = number(count);
            }
            let (is_available, progress) = match (is_up, is_late) {
                (true, _) => ("True", ("True", "NewReplicaSetAvailable")),
                (false, false) => ("False", ("True", "ReplicaSetUpdated")),
                (false, true) => ("False", ("False", "ProgressDeadlineExceeded")),
            };
            let available = json!({ "type": "Available", "status": is_available,
                "reason": if is_up { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" },
                "message": if is_up { "Deployment has minimum availability." } else { "Deployment does not have minimum availability." },
                "lastTransitionTime": now, "lastUpdateTime": now });
            let progressing = json!({ "type": "Progressing", "status": progress.0, "reason": progress.1,
                "message": format!("ReplicaSet \"{}\" is at work.", newest_key.name),
                "lastTransitionTime": now, "lastUpdateTime": now });
            for mut condition in [Some(available), Some(progressing), refused].into_iter().flatten() {
                keep_update_time(deployment, &mut condition);
                set_condition(deployment, condition);
            }
        });
    }
}

/// A condition that says the same again was not updated.
fn keep_update_time(object: &Value, condition: &mut Value) {
    let there = super::condition(object, condition["type"].as_str().unwrap_or_default());
    if let Some(there) =
        there.filter(|it| it["status"] == condition["status"] && it["reason"] == condition["reason"])
    {
        condition["lastUpdateTime"] = there["lastUpdateTime"].clone();
    }
}

fn make_set(state: &mut State, key: &Key, deployment: &Value, hash: &str, replicas: i64) {
    let spec = &deployment["spec"];
    let mut labels = spec["template"]["metadata"]["labels"].clone();
    labels[HASH] = hash.into();
    let mut template = spec["template"].clone();
    template["metadata"]["labels"] = labels.clone();
    let mut selector = spec["selector"].clone();
    selector["matchLabels"][HASH] = hash.into();
    let set = json!({
        "metadata": { "name": format!("{}-{hash}", key.name), "labels": labels,
            "ownerReferences": owner(key.kind, deployment) },
        "spec": { "replicas": replicas, "selector": selector, "template": template,
            "minReadySeconds": spec["minReadySeconds"] },
    });
    let writer = state.writer("kube-controller-manager", None);
    // One that goes under this name is waited for.
    let _ =
        state.create(&kinds::REPLICA_SET, &key.namespace, crate::fake::rules::without_nulls(set), &writer);
}

/// As many pods as are wanted. Gives how long it is until the next one counts as available.
pub fn replica_sets(state: &mut State) -> Option<Duration> {
    let mut wait: Option<Duration> = None;
    for (key, set) in state.store.copies(&kinds::REPLICA_SET, None) {
        if super::is_going(&set) {
            continue;
        }
        let wanted = usize::try_from(set["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap_or_default();
        let pods = owned(state, &kinds::POD, &key, &set);
        let mut refused = None;
        for _ in pods.len()..wanted {
            let called = json!({ "name": Value::Null, "generateName": format!("{}-", key.name) });
            if let Err(refusal) = make_pod(state, &key, &set, called, &[]) {
                let message = refusal.message.clone();
                tell(state, &key, &set, true, "FailedCreate", &format!("Error creating: {message}"));
                refused = Some(message);
                break;
            }
        }
        for (pod, _) in pods.iter().skip(wanted) {
            let _ = state.delete(pod, &Deletion::default());
        }
        let lasting = Duration::from_secs(set["spec"]["minReadySeconds"].as_u64().unwrap_or_default());
        let ready: Vec<_> = pods.iter().filter(|(_, pod)| is_ready(pod)).collect();
        let since = ready.iter().map(|(_, pod)| {
            condition(pod, "Ready").map(|it| state.since(&it["lastTransitionTime"])).unwrap_or_default()
        });
        let since: Vec<Duration> = since.collect();
        let available = since.iter().filter(|since| **since >= lasting).count();
        let next =
            since.iter().filter(|since| **since < lasting).map(|since| lasting.saturating_sub(*since)).min();
        wait = [wait, next].into_iter().flatten().min();
        let (all, ready) = (pods.len(), ready.len());
        let now = state.now();
        state.modify(&key, |set| {
            let number = |count: usize| if count == 0 { Value::Null } else { count.into() };
            set["status"]["observedGeneration"] = set["metadata"]["generation"].clone();
            set["status"]["replicas"] = all.into();
            set["status"]["fullyLabeledReplicas"] = number(all);
            set["status"]["readyReplicas"] = number(ready);
            set["status"]["availableReplicas"] = number(available);
            match refused {
                Some(message) => set_condition(
                    set,
                    json!({ "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message,
                        "lastTransitionTime": now }),
                ),
                None if all >= wanted => set["status"]["conditions"] = Value::Null,
                None => {}
            }
        });
    }
    wait
}
