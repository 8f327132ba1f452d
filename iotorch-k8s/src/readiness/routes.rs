//! When Services and Ingresses are ready.

use super::{
    Readiness, Reason,
    contents::Contents,
    events::Events,
    kinds::Kind,
    object::{Object, items, text},
    pods::PATIENCE,
};

/// Ready when it is there or, if a load balancer is to be before it, when that has an address. One that has addresses of somebody
/// else's (`externalIPs`) is reached by these.
pub(super) fn service(service: &Object, contents: &Contents) -> Readiness {
    let spec = service.spec();
    let is_balanced = text(&spec["type"]) == "LoadBalancer" && items(&spec["externalIPs"]).is_empty();
    if !is_balanced || has_address(service) {
        return Readiness::Ready;
    }
    let told = Events::about(service, contents).warning().map(|warning| format!(": {warning}"));
    Readiness::waiting(format!(
        "Service \"{}\" has no address of a load balancer yet{}",
        service.name(),
        told.unwrap_or_default()
    ))
}

/// The annotation by which Ingresses named their controller before there were classes; some controllers still go by it.
const CLASS: &str = "kubernetes.io/ingress.class";

/// Ready when a controller has given it an address. One that no controller of the cluster is for is given up after a while.
pub(super) fn ingress(ingress: &Object, contents: &Contents) -> Readiness {
    if has_address(ingress) {
        return Readiness::Ready;
    }
    let name = ingress.name();
    match unserved(ingress, contents) {
        Some(why) => Readiness::Hopeless(Reason {
            patience: Some(PATIENCE),
            ..Reason::new(format!("Ingress \"{name}\" is served by nobody: {why}"))
        }),
        None => {
            let told = Events::about(ingress, contents).warning().map(|warning| format!(": {warning}"));
            Readiness::waiting(format!("Ingress \"{name}\" has no address yet{}", told.unwrap_or_default()))
        }
    }
}

/// Why no controller is for an Ingress: <https://kubernetes.io/docs/concepts/services-networking/ingress/#ingress-class>.
fn unserved(ingress: &Object, contents: &Contents) -> Option<String> {
    match (text(&ingress.spec()["ingressClassName"]), ingress.annotation(CLASS)) {
        ("", Some(_)) => None,
        ("", None) => {
            let has_classes = contents.all(Kind::IngressClass).next().is_some();
            (!has_classes).then(|| "the cluster has no IngressClass, and so no controller for it".to_owned())
        }
        (class, _) => {
            let is_there = contents.get(&Kind::IngressClass, class).is_some();
            (!is_there).then(|| format!("the cluster has no IngressClass \"{class}\""))
        }
    }
}

fn has_address(object: &Object) -> bool {
    !items(&object.status()["loadBalancer"]["ingress"]).is_empty()
}
