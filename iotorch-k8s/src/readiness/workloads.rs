//! When an object of a release is ready, by its kind.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::Job,
        core::v1::{PersistentVolumeClaim, Service},
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};

use super::{Part, Readiness, Reason, pods, view::View};

/// How a part of a release is. What only has to be there is ready when it is there, which the release has seen to.
pub(super) fn of(part: &Part, view: &View) -> Readiness {
    let name = part.name.as_str();
    let absent = || Readiness::waiting(format!("{} \"{name}\" is not there", part.kind));
    match part.kind.as_str() {
        "Deployment" => view.deployments.get(name).map_or_else(absent, |it| deployment(&it, view)),
        "StatefulSet" => view.stateful_sets.get(name).map_or_else(absent, |it| stateful_set(&it, view)),
        "DaemonSet" => view.daemon_sets.get(name).map_or_else(absent, |it| daemon_set(&it, view)),
        "Job" => view.jobs.get(name).map_or_else(absent, |it| job(&it, view)),
        "Pod" => view.pods.get(name).map_or_else(absent, |it| pods::of(&it, view)),
        "PersistentVolumeClaim" => view.claims.get(name).map_or_else(absent, |it| claim(&it, view)),
        "Service" => view.services.get(name).map_or_else(absent, |it| service(&it)),
        _ => Readiness::Ready,
    }
}

/// Ready when all its pods are of the newest template and available, and no older one is left.
fn deployment(deployment: &Deployment, view: &View) -> Readiness {
    let (name, spec) = (named(&deployment.metadata), deployment.spec.clone().unwrap_or_default());
    let status = deployment.status.clone().unwrap_or_default();
    let wanted = spec.replicas.unwrap_or(1);
    let [all, updated, available] =
        [status.replicas, status.updated_replicas, status.available_replicas].map(Option::unwrap_or_default);
    if status.observed_generation >= deployment.metadata.generation
        && updated == wanted
        && available == wanted
        && all == wanted
    {
        return Readiness::Ready;
    }
    let stalled = status.conditions.iter().flatten().any(|condition| {
        condition.type_ == "Progressing" && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
    });
    let sets =
        view.replica_sets.all().into_iter().filter(|set| is_owned(&set.metadata, &deployment.metadata));
    let refused = sets.filter_map(|set| refused(&set)).fold(Readiness::Ready, Readiness::worse);
    let pods = pods::behind(&labels(&spec.selector), view);
    let why = match refused.worse(pods) {
        Readiness::Ready => {
            Readiness::waiting(format!("{available} of {wanted} pods of Deployment \"{name}\" are available"))
        }
        why => why,
    };
    match why {
        Readiness::Waiting(reason) if stalled => Readiness::Hopeless(reason),
        why => why,
    }
}

fn stateful_set(set: &StatefulSet, view: &View) -> Readiness {
    let (name, spec) = (named(&set.metadata), set.spec.clone().unwrap_or_default());
    let status = set.status.clone().unwrap_or_default();
    let wanted = spec.replicas.unwrap_or(1);
    let ready = status.ready_replicas.unwrap_or_default();
    // The first update leaves this empty.
    let updated = status.update_revision.is_none() || status.update_revision == status.current_revision;
    let newest = updated || status.updated_replicas == Some(wanted);
    if status.observed_generation >= set.metadata.generation && ready == wanted && newest {
        return Readiness::Ready;
    }
    let claims = spec.volume_claim_templates.iter().flatten().filter_map(|claim| claim.metadata.name.clone());
    let claims = claims.flat_map(|claim| (0..wanted).map(move |pod| (claim.clone(), pod)));
    let claims = claims.filter_map(|(claim, pod)| view.claims.get(&format!("{claim}-{name}-{pod}")));
    let claims = claims.map(|it| claim(&it, view)).fold(Readiness::Ready, Readiness::worse);
    match pods::behind(&labels(&spec.selector), view).worse(claims).worse(failed_create(&set.metadata, view))
    {
        Readiness::Ready => {
            Readiness::waiting(format!("{ready} of {wanted} pods of StatefulSet \"{name}\" are ready"))
        }
        why => why,
    }
}

fn daemon_set(set: &DaemonSet, view: &View) -> Readiness {
    let (name, status) = (named(&set.metadata), set.status.clone().unwrap_or_default());
    let (wanted, ready) = (status.desired_number_scheduled, status.number_ready);
    let updated = status.updated_number_scheduled.unwrap_or_default();
    if status.observed_generation >= set.metadata.generation && ready == wanted && updated == wanted {
        return Readiness::Ready;
    }
    let selector = set.spec.clone().unwrap_or_default().selector;
    match pods::behind(&labels(&selector), view).worse(failed_create(&set.metadata, view)) {
        Readiness::Ready => {
            Readiness::waiting(format!("{ready} of {wanted} pods of DaemonSet \"{name}\" are ready"))
        }
        why => why,
    }
}

fn job(job: &Job, view: &View) -> Readiness {
    let (name, status) = (named(&job.metadata), job.status.clone().unwrap_or_default());
    for condition in status.conditions.iter().flatten().filter(|condition| condition.status == "True") {
        match condition.type_.as_str() {
            "Complete" => return Readiness::Ready,
            "Failed" => {
                let why = condition.message.clone().unwrap_or_default();
                return Readiness::hopeless(format!("Job \"{name}\" failed: {why}"));
            }
            _ => {}
        }
    }
    let selector = job.spec.clone().unwrap_or_default().selector.unwrap_or_default();
    // Its pods are done when they are ready, and not before.
    match pods::behind(&labels(&selector), view).worse(failed_create(&job.metadata, view)) {
        Readiness::Ready => Readiness::waiting(format!("Job \"{name}\" is at work")),
        why => why,
    }
}

fn claim(claim: &PersistentVolumeClaim, view: &View) -> Readiness {
    let name = named(&claim.metadata);
    match claim.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Bound") => Readiness::Ready,
        Some("Lost") => Readiness::hopeless(format!("the volume of claim \"{name}\" is gone")),
        _ => {
            let told = pods::warning(&claim.metadata, view).map(|message| format!(": {message}"));
            Readiness::waiting(format!("claim \"{name}\" has no volume yet{}", told.unwrap_or_default()))
        }
    }
}

fn service(service: &Service) -> Readiness {
    let spec = service.spec.clone().unwrap_or_default();
    if spec.type_.as_deref() != Some("LoadBalancer") {
        return Readiness::Ready;
    }
    let balancer = service.status.clone().and_then(|status| status.load_balancer).unwrap_or_default();
    match balancer.ingress.unwrap_or_default().as_slice() {
        [] => Readiness::waiting(format!(
            "Service \"{}\" has no address of a load balancer yet",
            named(&service.metadata)
        )),
        _ => Readiness::Ready,
    }
}

/// Why a ReplicaSet could not make its pods.
fn refused(set: &ReplicaSet) -> Option<Readiness> {
    let conditions = set.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions
        .iter()
        .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
    Some(not_made(failure.message.as_deref().unwrap_or("no reason is given")))
}

/// Why a controller without such a condition could not make its pods: its newest warning.
fn failed_create(metadata: &ObjectMeta, view: &View) -> Readiness {
    pods::warning_of(metadata, "FailedCreate", view).map_or(Readiness::Ready, |message| not_made(&message))
}

fn not_made(message: &str) -> Readiness {
    let reason = Reason::new(format!("a pod cannot be made: {message}"));
    // Quotas, Pod Security and webhooks answer so; what fails inside of the API server may pass.
    if message.contains("is forbidden") || message.contains("denied the request") {
        Readiness::Hopeless(reason)
    } else {
        Readiness::Waiting(reason)
    }
}

fn is_owned(metadata: &ObjectMeta, owner: &ObjectMeta) -> bool {
    metadata.owner_references.iter().flatten().any(|reference| Some(&reference.uid) == owner.uid.as_ref())
}

fn labels(selector: &LabelSelector) -> BTreeMap<String, String> {
    selector.match_labels.clone().unwrap_or_default()
}

pub(super) fn named(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}
