//! When CustomResourceDefinitions are ready, and the objects that they bring: by conditions, as their controllers report them.

use super::{
    Readiness,
    contents::Contents,
    events::Events,
    object::{Condition, Object},
};

/// Ready when the API server serves it. A name that another one has is not given to it by waiting.
pub(super) fn definition(definition: &Object) -> Readiness {
    let name = definition.name();
    if definition.holds("Established").is_some() {
        return Readiness::Ready;
    }
    match definition.condition("NamesAccepted").filter(Condition::is_false) {
        Some(refused) => Readiness::hopeless(format!(
            "CustomResourceDefinition \"{name}\" cannot be served: {}",
            refused.message()
        )),
        None => Readiness::waiting(format!("CustomResourceDefinition \"{name}\" is not served yet")),
    }
}

/// The rules of [kstatus](https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md), and `Available` for what has no
/// `Ready`: a status about an earlier form of the object says nothing yet; what is `Stalled` needs somebody to change it; what is
/// `Reconciling` is not done. An object that reports none of these conditions is ready when it is there.
pub(super) fn object(kind: &str, object: &Object, contents: &Contents) -> Readiness {
    let at = format!("{kind} \"{}\"", object.name());
    if object.is_being_removed() {
        return Readiness::waiting(format!("{at} is being removed"));
    }
    let told = |condition: Condition<'_>| match Events::about(object, contents).warning() {
        Some(warning) if !condition.has_message() => warning.to_owned(),
        _ => condition.message().to_owned(),
    };
    let has_counted = object.status()["observedGeneration"].is_i64();
    if has_counted && !object.is_observed() {
        return Readiness::waiting(format!("the controller of {at} has not seen its last change yet"));
    }
    if let Some(stalled) = object.holds("Stalled").filter(|it| !it.is_outdated(object)) {
        return Readiness::hopeless(format!("{at} is stalled: {}", told(stalled)));
    }
    if let Some(reconciling) = object.holds("Reconciling") {
        return Readiness::waiting(format!("{at} is not ready: {}", told(reconciling)));
    }
    match ["Ready", "Available"].into_iter().find_map(|kind| object.condition(kind)) {
        Some(condition) if condition.is_outdated(object) => {
            Readiness::waiting(format!("the controller of {at} has not seen its last change yet"))
        }
        Some(condition) if !condition.is_true() => {
            Readiness::waiting(format!("{at} is not ready: {}", told(condition)))
        }
        _ => Readiness::Ready,
    }
}
