//! Why a pod is not ready.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::core::v1::{ContainerState, ContainerStatus, Event, Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{Log, Readiness, Reason, view::View, workloads::named};

/// How long what may pass by itself, but seldom does, is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often a container ends with an error before that is not taken for a slow start any more.
const CRASHES: i32 = 3;

/// How the pods with these labels are; without any, nothing is known.
pub(super) fn behind(labels: &BTreeMap<String, String>, view: &View) -> Readiness {
    let matches = |pod: &Pod| {
        let own = pod.metadata.labels.clone().unwrap_or_default();
        !labels.is_empty() && labels.iter().all(|(label, value)| own.get(label) == Some(value))
    };
    let pods =
        view.pods.all().into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none() && matches(pod));
    pods.map(|pod| of(&pod, view)).fold(Readiness::Ready, Readiness::worse)
}

pub(super) fn of(pod: &Pod, view: &View) -> Readiness {
    let (name, status) = (named(&pod.metadata), pod.status.clone().unwrap_or_default());
    let condition = |kind: &str| status.conditions.iter().flatten().find(|condition| condition.type_ == kind);
    if status.phase.as_deref() == Some("Succeeded")
        || condition("Ready").is_some_and(|it| it.status == "True")
    {
        return Readiness::Ready;
    }
    if let Some(scheduled) = condition("PodScheduled").filter(|scheduled| scheduled.status == "False") {
        let why = scheduled.message.as_deref().unwrap_or("no reason is given");
        let reason = Reason::new(format!("pod \"{name}\" cannot be scheduled: {why}"));
        // Somebody makes a node for it, or its volume, which says itself what it waits for.
        if warning_like(&pod.metadata, "TriggeredScaleUp", view).is_some()
            || why.contains("PersistentVolumeClaim")
        {
            return Readiness::Waiting(reason);
        }
        return Readiness::Hopeless(Reason { patience: Some(PATIENCE), ..reason });
    }
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let containers =
        containers.map(|status| container(pod, status, view)).fold(Readiness::Ready, Readiness::worse);
    match containers {
        Readiness::Ready => Readiness::waiting(match warning(&pod.metadata, view) {
            Some(message) => format!("pod \"{name}\" is not ready: {message}"),
            None => format!("pod \"{name}\" is starting"),
        }),
        why => why,
    }
}

fn container(pod: &Pod, status: &ContainerStatus, view: &View) -> Readiness {
    let (pod_name, name) = (named(&pod.metadata), &status.name);
    let at = format!("container \"{name}\" of pod \"{pod_name}\"");
    let ended = |state: &Option<ContainerState>| state.clone().and_then(|state| state.terminated);
    let failure = ended(&status.state).or_else(|| ended(&status.last_state)).filter(|end| end.exit_code != 0);
    if let Some(failure) = failure {
        let code = failure.exit_code;
        let why = match failure.reason.as_deref() {
            Some("OOMKilled") => "it needs more memory than its limit".to_owned(),
            _ => format!("it ended with exit code {code}"),
        };
        let times = status.restart_count + i32::from(ended(&status.state).is_some());
        let log = Log {
            pod: pod_name.to_owned(),
            container: name.clone(),
            previous: ended(&status.state).is_none(),
        };
        let often = if times > 1 { format!(", {times} times") } else { String::new() };
        let reason = Reason { log: Some(log), ..Reason::new(format!("{at} fails: {why}{often}")) };
        return if times >= CRASHES { Readiness::Hopeless(reason) } else { Readiness::Waiting(reason) };
    }
    let Some(waiting) = status.state.clone().and_then(|state| state.waiting) else { return Readiness::Ready };
    let told = waiting.message.clone().unwrap_or_default();
    match waiting.reason.as_deref().unwrap_or_default() {
        // How the kubelet calls it until it has begun.
        "" | "ContainerCreating" | "PodInitializing" => match warning(&pod.metadata, view) {
            Some(message) => Readiness::waiting(format!("{at} is not started: {message}")),
            None => Readiness::Ready,
        },
        reason @ ("ErrImagePull" | "ImagePullBackOff") => {
            // The message of the back-off does not say why; the event of the try before it does.
            let why = pulled(&pod.metadata, view).unwrap_or(told);
            let reason_text = Reason::new(format!("image \"{}\" cannot be pulled: {why}", status.image));
            if reason == "ImagePullBackOff" && is_final(&why) {
                Readiness::Hopeless(reason_text)
            } else {
                Readiness::Waiting(reason_text)
            }
        }
        "ErrImageNeverPull" => {
            Readiness::hopeless(format!("image \"{}\" is not on the node, and is never pulled", status.image))
        }
        "InvalidImageName" => Readiness::hopeless(format!("\"{}\" is no name of an image", status.image)),
        reason => Readiness::Hopeless(Reason {
            patience: Some(PATIENCE),
            ..Reason::new(format!("{at} cannot be started: {}", if told.is_empty() { reason } else { &told }))
        }),
    }
}

/// Whether a registry's answer will be the same next time.
fn is_final(why: &str) -> bool {
    ["not found", "manifest unknown", "denied", "unauthorized", "no match for platform"]
        .iter()
        .any(|answer| why.to_lowercase().contains(answer))
}

/// Why the last try to pull an image failed.
fn pulled(metadata: &ObjectMeta, view: &View) -> Option<String> {
    let told = events(metadata, view).into_iter().filter(|event| event.reason.as_deref() == Some("Failed"));
    let told = told
        .filter_map(|event| event.message.clone())
        .filter(|message| message.starts_with("Failed to pull"));
    let told = told.last()?;
    Some(told.split_once("\": ").map_or(told.as_str(), |(_, why)| why).to_owned())
}

/// The newest warning about an object.
pub(super) fn warning(metadata: &ObjectMeta, view: &View) -> Option<String> {
    let warnings =
        events(metadata, view).into_iter().filter(|event| event.type_.as_deref() == Some("Warning"));
    warnings.last()?.message.clone()
}

/// The newest warning with this reason.
pub(super) fn warning_of(metadata: &ObjectMeta, reason: &str, view: &View) -> Option<String> {
    let warnings =
        events(metadata, view).into_iter().filter(|event| event.type_.as_deref() == Some("Warning"));
    warnings.filter(|event| event.reason.as_deref() == Some(reason)).last()?.message.clone()
}

fn warning_like(metadata: &ObjectMeta, reason: &str, view: &View) -> Option<String> {
    events(metadata, view).into_iter().rfind(|event| event.reason.as_deref() == Some(reason))?.message.clone()
}

/// What was told of an object, the oldest first.
fn events(metadata: &ObjectMeta, view: &View) -> Vec<std::sync::Arc<Event>> {
    let about = |event: &Event| event.involved_object.uid == metadata.uid;
    let mut events: Vec<_> = view.events.all().into_iter().filter(|event| about(event)).collect();
    events.sort_by_key(|event| {
        let micro = event.event_time.as_ref().map(|time| time.0);
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        last.max(micro)
    });
    events
}
