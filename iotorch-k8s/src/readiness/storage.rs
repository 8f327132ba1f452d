//! When claims of volumes are ready.

use super::{
    Readiness,
    contents::Contents,
    events::Events,
    kinds::Kind,
    object::{Object, items, text},
};

/// Ready when it has its volume. A volume that is only made for a pod is not waited for before there is one.
pub(super) fn claim(claim: &Object, contents: &Contents) -> Readiness {
    let (name, events) = (claim.name(), Events::about(claim, contents));
    match text(&claim.status()["phase"]) {
        "Bound" => Readiness::Ready,
        "Lost" => Readiness::hopeless(format!("the volume of claim \"{name}\" is gone")),
        _ if events.newest("WaitForFirstConsumer").is_some() && !is_used(name, contents) => Readiness::Ready,
        _ => {
            let told = events.warning().map(|warning| format!(": {warning}"));
            Readiness::waiting(format!("claim \"{name}\" has no volume yet{}", told.unwrap_or_default()))
        }
    }
}

fn is_used(claim: &str, contents: &Contents) -> bool {
    let mut volumes = contents.all(Kind::Pod).flat_map(|pod| items(&pod.spec()["volumes"]));
    volumes.any(|volume| text(&volume["persistentVolumeClaim"]["claimName"]) == claim)
}
