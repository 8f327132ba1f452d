//! Whose an object is: ownership marks as annotations, labels to find marked objects by.

use std::collections::BTreeMap;

use iotorch_core::{Context, Error, ErrorKind, Mark, resource::ResourceId};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The annotation that holds the mark.
pub(crate) const MARK: &str = "iotorch.dev/mark";

/// The annotation that holds what an object was made from, so that it can be told again.
pub(crate) const SPEC: &str = "iotorch.dev/spec";

/// Says that an object was there before and was adopted, and what of it to put back when that is undone.
pub(crate) const ADOPTED: &str = "iotorch.dev/adopted";

/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// The value of [`MANAGED_BY`], and the field manager of what is applied.
pub(crate) const IOTORCH: &str = "iotorch";

/// What an object without a mark is said to belong to.
const NOBODY: &str = "nobody (no mark)";

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Of this resource.
    Ours,
    /// Of somebody else, in words.
    Foreign(String),
}

/// Whose the object with this metadata is, seen from a resource.
pub(crate) fn owner(cx: &Context, id: &ResourceId, metadata: &ObjectMeta) -> Owner {
    match annotation(metadata, MARK) {
        Some(mark) if mark == cx.mark(id).to_string() => Owner::Ours,
        Some(mark) => Owner::Foreign(mark.to_owned()),
        None => match metadata.labels.iter().flatten().find(|(label, _)| *label == MANAGED_BY) {
            Some((_, manager)) => Owner::Foreign(format!("{manager} (no mark)")),
            None => Owner::Foreign(NOBODY.to_owned()),
        },
    }
}

/// The resource that an object of this installation was made for.
pub(crate) fn resource(cx: &Context, metadata: &ObjectMeta) -> Option<ResourceId> {
    let mark = Mark::parse(annotation(metadata, MARK)?)?;
    (mark.installation == cx.installation).then_some(mark.resource)
}

pub(crate) fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

/// The labels of everything that is made here.
pub(crate) fn labels() -> BTreeMap<String, String> {
    [(MANAGED_BY.to_owned(), IOTORCH.to_owned())].into()
}

/// An object that belongs to somebody else is in the way.
pub(crate) fn taken(what: impl Into<String>, object: &str, owner: &str) -> Error {
    let why = format!("{object} is there and belongs to {owner}");
    Error::new(ErrorKind::Conflict, what).with_source(Error::new(ErrorKind::Conflict, why))
}
