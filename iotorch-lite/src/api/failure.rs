//! Answers that are errors. CoAP has the statuses of HTTP as class and detail: 4.03 for 403.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The body of every answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// What went wrong.
    pub error: FailureDetail,
}

/// The content of a [`Failure`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureDetail {
    /// What sort of failure it is.
    pub kind: FailureKind,
    /// The same for people.
    pub message: String,
    /// For `conflict`: the mark of the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// The sorts of failures, told apart by what the caller can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The request is wrong and stays wrong: status 400, 405 for a method that the path does not take, 408 for a body that
    /// did not come in time, and 413 for one that is too large.
    Invalid,
    /// There was no valid login or token: status 401.
    Unauthorized,
    /// Whoever logged in may not do this: status 403.
    Forbidden,
    /// What the path names does not exist: status 404.
    NotFound,
    /// The object carries the mark of somebody else: status 409.
    Conflict,
    /// The object is used by others, or as many as can be are served already: status 409.
    InUse,
    /// The client sends too fast, which has a `Retry-After` in seconds, or has too many connections: status 429. Only who
    /// sends messages is told so, nobody in the management API.
    Limited,
    /// It could not be carried out, for a reason that the caller cannot change: status 500.
    Internal,
    /// A sort that this release does not know. No answer of this release has it.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sort_of_a_later_release_is_read_as_unknown() {
        let read = |text| serde_json::from_str::<Failure>(text).unwrap().error.kind;
        assert_eq!(read(r#"{"error":{"kind":"in_use","message":"x"}}"#), FailureKind::InUse);
        assert_eq!(read(r#"{"error":{"kind":"tired","message":"x"}}"#), FailureKind::Unknown);
    }
}
