//! Why a pod is not ready.

use std::time::Duration;

use serde_json::Value;

use super::{
    Log, Readiness, Reason,
    contents::Contents,
    events::Events,
    kinds::Kind,
    object::{Object, items, number, text},
};

/// How long what may pass by itself, but seldom does, is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// How often a container ends with an error before that is not taken for a slow start any more.
const CRASHES: i64 = 3;

/// The pods that a selector with `matchLabels` means; without any labels, none.
pub(super) fn selected<'a>(selector: &Value, contents: &'a Contents) -> Vec<&'a Object> {
    let Some(labels) = selector["matchLabels"].as_object().filter(|labels| !labels.is_empty()) else {
        return Vec::new();
    };
    let is_meant = |pod: &&Object| {
        !pod.is_being_removed() && labels.iter().all(|(label, value)| pod.label(label) == Some(text(value)))
    };
    contents.all(Kind::Pod).filter(is_meant).collect()
}

/// The worst of some pods.
pub(super) fn all(pods: &[&Object], contents: &Contents) -> Readiness {
    pods.iter().map(|pod| of(pod, contents)).fold(Readiness::Ready, Readiness::worse)
}

pub(super) fn of(pod: &Object, contents: &Contents) -> Readiness {
    let (name, status) = (pod.name(), pod.status());
    if text(&status["phase"]) == "Succeeded" || pod.holds("Ready").is_some() {
        return Readiness::Ready;
    }
    let events = Events::about(pod, contents);
    if let Some(scheduled) = pod.condition("PodScheduled").filter(|scheduled| scheduled.is_false()) {
        let why = scheduled.message();
        let reason = Reason::new(format!("pod \"{name}\" cannot be scheduled: {why}"));
        // Somebody makes a node for it, or its volume, which says itself what it waits for.
        if events.newest("TriggeredScaleUp").is_some() || why.contains("PersistentVolumeClaim") {
            return Readiness::Waiting(reason);
        }
        return Readiness::Hopeless(Reason { patience: Some(PATIENCE), ..reason });
    }
    let containers = containers(pod).map(|status| container(pod, status, &events));
    match containers.fold(Readiness::Ready, Readiness::worse) {
        Readiness::Ready => Readiness::waiting(match (gate(pod), events.warning()) {
            (Some(gate), _) => format!("pod \"{name}\" is not ready: {gate}"),
            (None, Some(warning)) => format!("pod \"{name}\" is not ready: {warning}"),
            (None, None) => format!("pod \"{name}\" is starting"),
        }),
        why => why,
    }
}

/// The log of the container that failed in one of some pods.
pub(super) fn failure(pods: &[&Object]) -> Option<Log> {
    let failed = |pod: &&Object| {
        let failed =
            containers(pod).find(|status| number(&status["state"]["terminated"]["exitCode"]) != 0)?;
        Some(log(pod, failed))
    };
    let mut pods = pods.to_vec();
    pods.sort_by_key(|pod| pod.metadata().creation_timestamp.as_ref().map(|time| time.0));
    pods.iter().rev().find_map(failed)
}

fn containers(pod: &Object) -> impl Iterator<Item = &Value> {
    let status = pod.status();
    items(&status["initContainerStatuses"]).iter().chain(items(&status["containerStatuses"]))
}

/// What somebody else has to say of a pod before it is ready (`readinessGates`), once its containers are.
fn gate(pod: &Object) -> Option<&str> {
    let ready = pod.condition("Ready")?;
    (ready.reason() == "ReadinessGatesNotReady").then(|| ready.message())
}

fn container(pod: &Object, status: &Value, events: &Events<'_>) -> Readiness {
    let name = text(&status["name"]);
    let at = format!("container \"{name}\" of pod \"{}\"", pod.name());
    if status["ready"] == true {
        return Readiness::Ready;
    }
    if let Some(failure) = failure_of(status) {
        let why = match (text(&failure["reason"]), events.failed_probe(name)) {
            ("OOMKilled", _) => "it needs more memory than its limit".to_owned(),
            (_, Some(probe)) => format!("it was stopped after its probes failed: {probe}"),
            _ => format!("it ended with exit code {}", number(&failure["exitCode"])),
        };
        let has_ended = status["state"]["terminated"].is_object();
        let times = number(&status["restartCount"]) + i64::from(has_ended);
        let often = if times > 1 { format!(", {times} times") } else { String::new() };
        let reason = Reason {
            log: Some(log(pod, status)),
            recurs: true,
            ..Reason::new(format!("{at} fails: {why}{often}"))
        };
        return if times >= CRASHES { Readiness::Hopeless(reason) } else { Readiness::Waiting(reason) };
    }
    let waiting = &status["state"]["waiting"];
    if waiting.is_null() {
        let is_running = status["state"]["running"].is_object();
        return match events.unhealthy(name).filter(|_| is_running) {
            Some(probe) => Readiness::waiting(format!("{at} is not ready: {probe}")),
            None => Readiness::Ready,
        };
    }
    match text(&waiting["reason"]) {
        // How the kubelet calls it until it has begun.
        "" | "ContainerCreating" | "PodInitializing" => match events.warning() {
            Some(warning) => {
                let reason = Reason::new(format!("{at} is not started: {warning}"));
                // Somebody has to make the Secret or ConfigMap that it mounts.
                if events.unmounted().is_some_and(|why| why.ends_with("not found")) {
                    Readiness::Hopeless(Reason { patience: Some(PATIENCE), ..reason })
                } else {
                    Readiness::Waiting(reason)
                }
            }
            None => Readiness::Ready,
        },
        reason @ ("ErrImagePull" | "ImagePullBackOff") => {
            // The message of the back-off does not say why; the event of the try before it does.
            let why = events.pull().unwrap_or_else(|| text(&waiting["message"]));
            let image = text(&status["image"]);
            let told = Reason::new(format!("image \"{image}\" cannot be pulled: {why}"));
            if reason == "ImagePullBackOff" && is_final(why) {
                Readiness::Hopeless(told)
            } else {
                Readiness::Waiting(told)
            }
        }
        "ErrImageNeverPull" => {
            let image = text(&status["image"]);
            Readiness::hopeless(format!("image \"{image}\" is not on the node, and is never pulled"))
        }
        "InvalidImageName" => {
            Readiness::hopeless(format!("\"{}\" is no name of an image", text(&status["image"])))
        }
        reason => {
            let told = text(&waiting["message"]);
            let why = if told.is_empty() { reason } else { told };
            let told = Reason::new(format!("{at} cannot be started: {why}"));
            // The kubelet could not look for a Secret or ConfigMap, which says nothing of whether there is one.
            if why.starts_with("failed to sync ") {
                return Readiness::Waiting(told);
            }
            Readiness::Hopeless(Reason { patience: Some(PATIENCE), ..told })
        }
    }
}

/// The last end of a container, if that was an error; also one that counts as success, where the container has to go on.
fn failure_of(status: &Value) -> Option<&Value> {
    let ends = [&status["state"]["terminated"], &status["lastState"]["terminated"]];
    let last = ends.into_iter().find(|end| end.is_object())?;
    let goes_on = text(&status["state"]["waiting"]["reason"]) == "CrashLoopBackOff";
    (number(&last["exitCode"]) != 0 || goes_on).then_some(last)
}

fn log(pod: &Object, status: &Value) -> Log {
    Log {
        pod: pod.name().to_owned(),
        container: text(&status["name"]).to_owned(),
        previous: !status["state"]["terminated"].is_object(),
    }
}

/// Whether a registry's answer will be the same next time.
fn is_final(why: &str) -> bool {
    ["not found", "manifest unknown", "denied", "unauthorized", "no match for platform"]
        .iter()
        .any(|answer| why.to_lowercase().contains(answer))
}
