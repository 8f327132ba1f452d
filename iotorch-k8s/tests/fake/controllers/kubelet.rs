//! Which node pods run on, and what becomes of their containers there.

use serde_json::{Value, json};

use super::{Image, is_going, kinds, set_condition, tell};
use crate::fake::{
    admission::{amount, requested},
    state::{Deletion, State},
    store::Key,
};

/// How often a container that ends with an error is started again before the fake leaves it at that.
const RESTARTS: u64 = 5;

/// Gives pods to nodes that have room for them.
pub fn schedule(state: &mut State) {
    for (key, pod) in state.store.copies(&kinds::POD, None) {
        if !pod["spec"]["nodeName"].is_null() || is_going(&pod) {
            continue;
        }
        let now = state.now();
        let nodes = state.store.copies(&kinds::NODE, None);
        let lacks =
            nodes.iter().map(|(node, object)| lack(state, &node.name, object, &pod)).collect::<Vec<_>>();
        let place =
            nodes.iter().zip(&lacks).find(|(_, lack)| lack.is_none()).map(|((node, _), _)| node.name.clone());
        match place {
            Some(node) => state.modify(&key, |pod| {
                pod["spec"]["nodeName"] = node.into();
                set_condition(
                    pod,
                    json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": now }),
                );
            }),
            None => {
                let why =
                    lacks.iter().flatten().map(|lack| format!("1 {lack}")).collect::<Vec<_>>().join(", ");
                let message = format!("0/{} nodes are available: {why}.", nodes.len());
                tell(state, &key, &pod, true, "FailedScheduling", &message);
                state.modify(&key, |pod| {
                    let condition = json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                        "message": message, "lastTransitionTime": now });
                    set_condition(pod, condition);
                });
            }
        }
    }
}

/// What a node has too little of for a pod.
fn lack(state: &State, name: &str, node: &Value, pod: &Value) -> Option<String> {
    if node["spec"]["unschedulable"] == true {
        return Some("node(s) were unschedulable".to_owned());
    }
    ["cpu", "memory"].into_iter().find_map(|resource| {
        let there = state.store.all(&kinds::POD, None).into_iter();
        let there = there.filter(|(_, other)| other["spec"]["nodeName"] == name);
        let used: f64 = there.map(|(_, other)| requested(other, resource)).sum();
        let room = amount(&node["status"]["allocatable"][resource]);
        (used + requested(pod, resource) > room).then(|| format!("Insufficient {resource}"))
    })
}

/// A step in the life of every pod that has a node.
pub fn run(state: &mut State) {
    for (key, pod) in state.store.copies(&kinds::POD, None) {
        if pod["spec"]["nodeName"].is_null() {
            continue;
        }
        if is_going(&pod) {
            let finalizers = pod["metadata"]["finalizers"].as_array().map_or(0, Vec::len);
            if finalizers == 0 {
                // It may be gone.
                let _ = state.delete(&key, &Deletion { grace: Some(0), ..Deletion::default() });
            }
            continue;
        }
        if ["Succeeded", "Failed"].contains(&pod["status"]["phase"].as_str().unwrap_or_default()) {
            continue;
        }
        live(state, &key, &pod);
    }
}

fn live(state: &mut State, key: &Key, pod: &Value) {
    let now = state.now();
    let ends_once = pod["spec"]["restartPolicy"] != "Always";
    let containers = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
    let before = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
    let mut statuses = Vec::new();
    for (index, container) in containers.iter().enumerate() {
        let image = container["image"].as_str().unwrap_or_default().to_owned();
        // What is expected to end does.
        let usual = if ends_once { Image::Ends } else { Image::Runs };
        let fate = state.images.get(&image).cloned().unwrap_or(usual);
        let mut status = match before.get(index) {
            // A pod waits for what its containers need.
            None => waiting(container, "ContainerCreating", None),
            Some(before) => match missing(state, key, container) {
                Some(what) => waiting(container, "CreateContainerConfigError", Some(&what)),
                None => next(container, before, &fate, ends_once, &now),
            },
        };
        if let Value::Array(told) = status["told"].take() {
            let [reason, message] = [0, 1].map(|index| told[index].as_str().unwrap_or_default());
            tell(state, key, pod, true, reason, message);
        }
        statuses.push(status);
    }
    let is_ready = statuses.iter().all(|status| status["ready"] == true);
    let code = |status: &Value| status["state"]["terminated"]["exitCode"].as_i64();
    let phase = match statuses.iter().map(code).collect::<Option<Vec<_>>>() {
        Some(codes) if ends_once => {
            if codes.iter().all(|code| *code == 0) {
                "Succeeded"
            } else {
                "Failed"
            }
        }
        _ if statuses.iter().all(|status| status["state"]["waiting"].is_null()) => "Running",
        _ => "Pending",
    };
    let was_running = pod["status"]["phase"] == "Running";
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let last = u32::from_str_radix(&uid[uid.len().saturating_sub(4)..], 16).unwrap_or_default();
    state.modify(key, |pod| {
        pod["status"]["phase"] =
            if was_running && phase == "Pending" { "Running".into() } else { phase.into() };
        pod["status"]["startTime"] = pod["metadata"]["creationTimestamp"].clone();
        pod["status"]["hostIP"] = "192.0.2.10".into();
        pod["status"]["podIP"] = format!("10.244.{}.{}", last / 250 % 250, last % 250 + 1).into();
        pod["status"]["containerStatuses"] = statuses.into();
        let word = |holds: bool| if holds { "True" } else { "False" };
        for (kind, holds) in [("Initialized", true), ("ContainersReady", is_ready), ("Ready", is_ready)] {
            let mut condition = json!({ "type": kind, "status": word(holds), "lastTransitionTime": now });
            if !holds {
                condition["reason"] = "ContainersNotReady".into();
                condition["message"] = "containers with unready status".into();
            }
            set_condition(pod, condition);
        }
    });
}

/// A Secret or ConfigMap that a container needs for its environment and that is not there, in the words of the kubelet.
fn missing(state: &State, key: &Key, container: &Value) -> Option<String> {
    let is_there = |kind, name: &Value| {
        state.store.get(&Key::new(kind, key.namespace.clone(), name.as_str().unwrap_or_default())).is_some()
    };
    container["env"].as_array().into_iter().flatten().find_map(|variable| {
        let from = &variable["valueFrom"];
        let all = [
            (&kinds::SECRET, "secret", &from["secretKeyRef"]),
            (&kinds::CONFIG_MAP, "configmap", &from["configMapKeyRef"]),
        ];
        let absent = all.into_iter().find(|(kind, _, reference)| {
            !reference.is_null() && reference["optional"] != true && !is_there(kind, &reference["name"])
        });
        absent.map(|(_, word, reference)| {
            format!("{word} \"{}\" not found", reference["name"].as_str().unwrap_or_default())
        })
    })
}

fn of(container: &Value) -> Value {
    json!({ "name": container["name"], "image": container["image"], "imageID": "", "ready": false, "started": false,
        "restartCount": 0, "state": {}, "lastState": {} })
}

fn waiting(container: &Value, reason: &str, message: Option<&str>) -> Value {
    let mut status = of(container);
    status["state"]["waiting"] = json!({ "reason": reason });
    if let Some(message) = message {
        status["state"]["waiting"]["message"] = message.into();
    }
    status
}

/// What becomes of a container next. What is told of it goes along in `told`.
fn next(container: &Value, before: &Value, fate: &Image, ends_once: bool, now: &str) -> Value {
    let image = container["image"].as_str().unwrap_or_default();
    let waits_for = before["state"]["waiting"]["reason"].as_str().unwrap_or_default();
    let mut status = of(container);
    match fate {
        Image::Absent => {
            let why = format!(
                "rpc error: code = NotFound desc = failed to pull and unpack image \"{image}\": failed to resolve reference \
                 \"{image}\": {image}: not found"
            );
            match (container["imagePullPolicy"].as_str(), waits_for) {
                (Some("Never"), _) => {
                    let message =
                        format!("Container image \"{image}\" is not present with pull policy of Never");
                    waiting(container, "ErrImageNeverPull", Some(&message))
                }
                (_, "ErrImagePull" | "ImagePullBackOff") => {
                    let message = format!("Back-off pulling image \"{image}\": ErrImagePull: {why}");
                    waiting(container, "ImagePullBackOff", Some(&message))
                }
                _ => {
                    let mut status = waiting(container, "ErrImagePull", Some(&why));
                    status["told"] = json!(["Failed", format!("Failed to pull image \"{image}\": {why}")]);
                    status
                }
            }
        }
        Image::Crashes { .. } => {
            let restarts = before["restartCount"].as_u64().unwrap_or_default();
            let ended = json!({ "exitCode": 1, "reason": "Error", "startedAt": now, "finishedAt": now });
            let has_ended = !before["state"]["terminated"].is_null();
            if (has_ended && ends_once) || (waits_for == "CrashLoopBackOff" && restarts >= RESTARTS) {
                return before.clone();
            }
            if has_ended {
                let mut status =
                    waiting(container, "CrashLoopBackOff", Some("back-off restarting failed container"));
                status["restartCount"] = restarts.into();
                status["lastState"]["terminated"] = before["state"]["terminated"].clone();
                return status;
            }
            status["restartCount"] =
                if waits_for == "CrashLoopBackOff" { restarts + 1 } else { restarts }.into();
            status["lastState"] = before["lastState"].clone();
            status["state"]["terminated"] = ended;
            status
        }
        Image::Ends if !before["state"]["terminated"].is_null() => before.clone(),
        Image::Ends => {
            status["state"]["terminated"] =
                json!({ "exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now });
            status
        }
        Image::NeverReady | Image::Runs => {
            let since = before["state"]["running"]["startedAt"].as_str().unwrap_or(now);
            // Its probe comes a moment after it has started.
            let runs = matches!(fate, Image::Runs);
            let is_ready = runs && !before["state"]["running"].is_null();
            status["state"]["running"] = json!({ "startedAt": since });
            status["started"] = true.into();
            status["ready"] = is_ready.into();
            if !runs {
                status["told"] =
                    json!(["Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503"]);
            }
            status
        }
    }
}
