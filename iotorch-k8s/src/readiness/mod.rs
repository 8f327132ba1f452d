//! Whether what a release consists of works, and why not.
//!
//! # When waiting cannot help
//! A release is given up before its deadline when
//! - an image is not there, may not be pulled, or has a name that none can have;
//! - a pod could not be placed on any node for 15 s, and nothing makes more nodes;
//! - a container lacks a secret, a configuration or a volume for 15 s;
//! - a container has ended with an error three times;
//! - a pod is refused by a quota, by Pod Security or by another admission;
//! - a Job has failed, or a Deployment says that it makes no progress.
//!
//! All else may pass: a probe that fails, a registry that does not answer, a volume that is being made.

mod floor;
mod pods;
#[cfg(test)]
mod tests;
mod view;
mod wait;
mod workloads;

use self::floor::Floor;
pub(crate) use self::{
    view::{View, Views},
    wait::{gone, wait},
};

/// An object of a release.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Part {
    /// Such as `Deployment`.
    pub(crate) kind: String,
    pub(crate) name: String,
}

/// How a part, or all of a release, is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    /// It may become ready.
    Waiting(Reason),
    /// It will not, at the latest when it has been like this for a while.
    Hopeless(Reason),
}

/// Why something is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// In words, with the names of the objects.
    pub(crate) text: String,
    /// How long it has to last before waiting cannot help; none for what is so from the start.
    pub(crate) patience: Option<std::time::Duration>,
    /// The container whose last words belong to it.
    pub(crate) log: Option<Log>,
}

/// Where the log of a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) pod: String,
    pub(crate) container: String,
    /// Of the container that ended, not of the one that was started in its place.
    pub(crate) previous: bool,
}

impl Reason {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), patience: None, log: None }
    }
}

impl Readiness {
    fn waiting(text: impl Into<String>) -> Self {
        Self::Waiting(Reason::new(text))
    }

    fn hopeless(text: impl Into<String>) -> Self {
        Self::Hopeless(Reason::new(text))
    }

    /// The worse of two; the first of two that are as bad.
    fn worse(self, other: Self) -> Self {
        let badness = |readiness: &Self| match readiness {
            Self::Ready => 0,
            Self::Waiting(_) => 1,
            Self::Hopeless(_) => 2,
        };
        if badness(&other) > badness(&self) { other } else { self }
    }
}

/// How a release is that consists of `parts`.
pub(crate) fn of(parts: &[Part], view: &View) -> Readiness {
    since(&Floor::default(), parts, view)
}

/// The same, where what the view has seen before `floor` does not count.
fn since(floor: &Floor, parts: &[Part], view: &View) -> Readiness {
    let one = |part: &Part| match floor.is_reached(part, view) {
        true => workloads::of(part, view),
        false => Readiness::waiting(format!("{} \"{}\" is being changed", part.kind, part.name)),
    };
    parts.iter().map(one).fold(Readiness::Ready, Readiness::worse)
}
