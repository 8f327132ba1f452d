//! Why a command did not do what it was asked for.

use std::collections::BTreeMap;

use iotorch_core::{
    ApplyError, Error, ErrorKind,
    model::{Problems, SliceName},
    plan::{Plan, SlicePlan, Step},
    resource::Change,
};

use crate::exit::Exit;

/// What every command returns when it fails.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Documents are wrong.
    Problems(Box<Problems>),
    /// Something could not be done.
    Error(Error),
    /// A plan was not, or not wholly, applied.
    Apply(Box<ApplyFailure>),
}

/// A plan that was not, or not wholly, applied, and how a person can go on.
#[derive(Debug)]
pub(crate) struct ApplyFailure {
    /// What became of it.
    pub(crate) error: ApplyError,
    /// What was to be done to each slice: `create`, `change`, `delete`.
    pub(crate) verbs: BTreeMap<SliceName, &'static str>,
    /// The command to type to apply the same documents again, such as `iotorch apply -f greenhouse.yaml`.
    pub(crate) again: Option<String>,
}

impl ApplyFailure {
    /// What was to be done to a slice.
    pub(crate) fn verb(&self, slice: &SliceName) -> &'static str {
        self.verbs.get(slice).copied().unwrap_or("finish")
    }
}

impl Failure {
    /// The code to end with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Problems(_) => Exit::Invalid,
            Self::Error(error) => Exit::of_kind(error.kind()),
            Self::Apply(failure) => Exit::of_apply(&failure.error),
        }
    }

    /// A plan that could not be applied.
    pub(crate) fn applying(error: ApplyError, plan: &Plan, again: Option<String>) -> Self {
        let verb = |slice: &SlicePlan| {
            let is_new = |step: &Step| matches!(step.change, Change::Create { .. });
            match &slice.document {
                None => "delete",
                Some(_) if slice.unchanged == 0 && slice.steps.iter().all(is_new) => "create",
                Some(_) => "change",
            }
        };
        let verbs = plan.slices.iter().map(|slice| (slice.slice.clone(), verb(slice))).collect();
        Self::Apply(Box::new(ApplyFailure { error, verbs, again }))
    }

    /// Runs that could not be resumed.
    pub(crate) fn resuming(error: ApplyError) -> Self {
        Self::Apply(Box::new(ApplyFailure { error, verbs: BTreeMap::new(), again: None }))
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Problems(Box::new(problems))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// An I/O error of a file, as a sentence.
pub(crate) fn cannot(doing: impl Into<String>, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => {
            ErrorKind::Invalid
        }
        std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot {}", doing.into())).with_source(error)
}
