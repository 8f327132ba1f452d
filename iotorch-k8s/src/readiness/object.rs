//! Objects as the API server shows them. Fields are read by the names that they have in the reference of the API, and one that is
//! left out is empty, false or zero, as Kubernetes has it.

use kube::core::{DynamicObject, ObjectMeta};
use serde_json::Value;

#[derive(Clone, Debug)]
pub(crate) struct Object(DynamicObject);

impl Object {
    pub(super) fn new(mut object: DynamicObject) -> Self {
        // Often the larger half of an object, and nobody here reads it.
        object.metadata.managed_fields = None;
        Self(object)
    }

    pub(super) const fn metadata(&self) -> &ObjectMeta {
        &self.0.metadata
    }

    pub(super) fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.metadata().labels.as_ref()?.get(name).map(String::as_str)
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata().annotations.as_ref()?.get(name).map(String::as_str)
    }

    /// All of it but the metadata.
    pub(crate) const fn fields(&self) -> &Value {
        &self.0.data
    }

    pub(super) fn spec(&self) -> &Value {
        &self.0.data["spec"]
    }

    pub(super) fn status(&self) -> &Value {
        &self.0.data["status"]
    }

    /// Whether its status is about what it is now, and not about what it was before its last change.
    pub(super) fn is_observed(&self) -> bool {
        self.status()["observedGeneration"].as_i64() >= self.metadata().generation
    }

    pub(super) fn is_being_removed(&self) -> bool {
        self.metadata().deletion_timestamp.is_some()
    }

    pub(super) fn is_owned_by(&self, owner: &Self) -> bool {
        let mut owners = self.metadata().owner_references.iter().flatten();
        owners.any(|reference| Some(&reference.uid) == owner.metadata().uid.as_ref())
    }

    /// What its status says of one of its sides.
    pub(super) fn condition(&self, kind: &str) -> Option<Condition<'_>> {
        let conditions = items(&self.status()["conditions"]);
        conditions.iter().find(|condition| text(&condition["type"]) == kind).map(Condition)
    }

    /// A condition that holds.
    pub(super) fn holds(&self, kind: &str) -> Option<Condition<'_>> {
        self.condition(kind).filter(Condition::is_true)
    }
}

/// <https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties>
#[derive(Clone, Copy, Debug)]
pub(super) struct Condition<'a>(&'a Value);

impl<'a> Condition<'a> {
    pub(super) fn is_true(&self) -> bool {
        text(&self.0["status"]) == "True"
    }

    pub(super) fn is_false(&self) -> bool {
        text(&self.0["status"]) == "False"
    }

    pub(super) fn reason(&self) -> &'a str {
        text(&self.0["reason"])
    }

    pub(super) fn has_message(&self) -> bool {
        !text(&self.0["message"]).is_empty()
    }

    /// What it says for people, else its reason.
    pub(super) fn message(&self) -> &'a str {
        match [text(&self.0["message"]), self.reason()].into_iter().find(|words| !words.is_empty()) {
            Some(words) => words.trim(),
            None => "no reason is given",
        }
    }

    /// Whether it is about an earlier form of the object.
    pub(super) fn is_outdated(&self, object: &Object) -> bool {
        let observed = self.0["observedGeneration"].as_i64();
        observed.is_some() && observed < object.metadata().generation
    }
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
