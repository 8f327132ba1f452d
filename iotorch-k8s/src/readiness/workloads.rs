//! When what runs pods is ready.

use super::{
    Readiness, Reason,
    contents::Contents,
    events::Events,
    kinds::Kind,
    object::{Object, items, number, text},
    pods,
    storage::claim,
};

/// Ready when all its pods are of the newest template and available, and no older one is left.
pub(super) fn deployment(deployment: &Object, contents: &Contents) -> Readiness {
    let (spec, status) = (deployment.spec(), deployment.status());
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    let [all, updated, available] =
        ["replicas", "updatedReplicas", "availableReplicas"].map(|count| number(&status[count]));
    if deployment.is_observed() && [all, updated, available] == [wanted; 3] {
        return Readiness::Ready;
    }
    let sets = contents.all(Kind::ReplicaSet).filter(|set| set.is_owned_by(deployment));
    let newest = sets.filter(|set| set.annotation(REVISION) == deployment.annotation(REVISION));
    // Pods of older ones stay until they can be done without, however they are.
    let why = newest.map(|set| behind(set, contents)).fold(Readiness::Ready, Readiness::worse);
    let stalled =
        deployment.condition("Progressing").is_some_and(|it| it.reason() == "ProgressDeadlineExceeded");
    let count = format!("{available} of {wanted} pods of Deployment \"{}\" are available", deployment.name());
    match why.or_waiting(count) {
        Readiness::Waiting(reason) if stalled && deployment.is_observed() => Readiness::Hopeless(reason),
        why => why,
    }
}

/// The annotation by which a Deployment and its newest ReplicaSet belong together.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// Why the pods of a ReplicaSet are not there, or not ready.
fn behind(set: &Object, contents: &Contents) -> Readiness {
    let refused = set.holds("ReplicaFailure").map(|failure| not_made(failure.message()));
    let pods: Vec<_> = pods::selected(&set.spec()["selector"], contents)
        .into_iter()
        .filter(|pod| pod.is_owned_by(set))
        .collect();
    refused.unwrap_or(Readiness::Ready).worse(pods::all(&pods, contents))
}

pub(super) fn replica_set(set: &Object, contents: &Contents) -> Readiness {
    let wanted = set.spec()["replicas"].as_i64().unwrap_or(1);
    let available = number(&set.status()["availableReplicas"]);
    if set.is_observed() && available == wanted {
        return Readiness::Ready;
    }
    let count = format!("{available} of {wanted} pods of ReplicaSet \"{}\" are available", set.name());
    behind(set, contents).or_waiting(count)
}

pub(super) fn stateful_set(set: &Object, contents: &Contents) -> Readiness {
    let (name, spec, status) = (set.name(), set.spec(), set.status());
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    let ready = number(&status["readyReplicas"]);
    let revision = |which| text(&status[which]);
    // The first update leaves this empty.
    let is_newest = revision("updateRevision").is_empty()
        || revision("updateRevision") == revision("currentRevision")
        || number(&status["updatedReplicas"]) == wanted;
    if set.is_observed() && ready == wanted && is_newest {
        return Readiness::Ready;
    }
    let templates = items(&spec["volumeClaimTemplates"]).iter();
    let claims = templates.map(|template| text(&template["metadata"]["name"]));
    let claims = claims.flat_map(|claim| (0..wanted).map(move |pod| format!("{claim}-{name}-{pod}")));
    let claims = claims.filter_map(|claim| contents.get(&Kind::Claim, &claim));
    let claims = claims.map(|it| claim(it, contents)).fold(Readiness::Ready, Readiness::worse);
    let pods = pods::all(&pods::selected(&spec["selector"], contents), contents);
    let count = format!("{ready} of {wanted} pods of StatefulSet \"{name}\" are ready");
    pods.worse(claims).worse(refused(set, contents)).or_waiting(count)
}

pub(super) fn daemon_set(set: &Object, contents: &Contents) -> Readiness {
    let status = set.status();
    let [wanted, updated, ready] = ["desiredNumberScheduled", "updatedNumberScheduled", "numberReady"]
        .map(|count| number(&status[count]));
    if set.is_observed() && [updated, ready] == [wanted; 2] {
        return Readiness::Ready;
    }
    let pods = pods::all(&pods::selected(&set.spec()["selector"], contents), contents);
    let count = format!("{ready} of {wanted} pods of DaemonSet \"{}\" are ready", set.name());
    pods.worse(refused(set, contents)).or_waiting(count)
}

/// Ready when it is complete. One that is suspended is for somebody else to begin.
pub(super) fn job(job: &Object, contents: &Contents) -> Readiness {
    if job.holds("Complete").is_some() || job.spec()["suspend"] == true {
        return Readiness::Ready;
    }
    let pods = pods::selected(&job.spec()["selector"], contents);
    if let Some(failed) = job.holds("Failed") {
        let reason = Reason::new(format!("Job \"{}\" failed: {}", job.name(), failed.message()));
        return Readiness::Hopeless(Reason { log: pods::failure(&pods), ..reason });
    }
    let pods = match pods::all(&pods, contents) {
        // How often its pods may fail is said in the Job (`backoffLimit`).
        Readiness::Hopeless(reason) if reason.log.is_some() => Readiness::Waiting(reason),
        why => why,
    };
    // Its pods are done when they are ready, and not before.
    pods.worse(refused(job, contents)).or_waiting(format!("Job \"{}\" is at work", job.name()))
}

/// Why a controller that has no condition for it could not make its pods.
fn refused(controller: &Object, contents: &Contents) -> Readiness {
    Events::about(controller, contents).failed_create().map_or(Readiness::Ready, not_made)
}

fn not_made(message: &str) -> Readiness {
    let reason = Reason::new(format!("a pod cannot be made: {message}"));
    // Quotas, Pod Security, webhooks and the rules for fields answer so; what fails inside of the API server may pass.
    if ["is forbidden", "denied the request", "is invalid"].iter().any(|answer| message.contains(answer)) {
        Readiness::Hopeless(reason)
    } else {
        Readiness::Waiting(reason)
    }
}
