//! Whether what a release consists of works, and why not. Only watches tell: nothing is asked again and again.
//!
//! # When waiting cannot help
//! A release is given up before its deadline when
//! - an image is not there, may not be pulled, or has a name that none can have;
//! - a pod could not be placed on any node for 15 s, and nothing makes more nodes;
//! - a container lacks a secret, a configuration or a volume for 15 s;
//! - a container has ended three times, where it should not have;
//! - a pod is refused by a quota, by Pod Security or by another admission;
//! - a Job has failed, or a Deployment says that it makes no progress;
//! - an Ingress has been without a controller for 15 s;
//! - the names of a CustomResourceDefinition are taken, or the controller of a custom resource says that it is stalled.
//!
//! All else may pass: a probe that fails, a registry that does not answer, a volume that is being made.

mod contents;
mod custom;
mod events;
mod floor;
mod kinds;
mod object;
mod pods;
mod routes;
mod storage;
#[cfg(test)]
mod tests;
mod view;
mod wait;
#[cfg(test)]
mod watch_tests;
mod watcher;
mod workloads;

use self::{contents::Contents, floor::Floor};
pub(crate) use self::{
    kinds::{Kind, Part, Watch},
    view::{View, Views},
    wait::{gone, now, wait},
};

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
    /// Whether it happens again by itself, as long as it is so, and is told in other words then.
    pub(crate) recurs: bool,
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
        Self { text: text.into(), patience: None, log: None, recurs: false }
    }
}

impl Readiness {
    fn waiting(text: impl Into<String>) -> Self {
        Self::Waiting(Reason::new(text))
    }

    fn hopeless(text: impl Into<String>) -> Self {
        Self::Hopeless(Reason::new(text))
    }

    /// This, or else what is waited for where nothing says why.
    fn or_waiting(self, text: String) -> Self {
        if self == Self::Ready { Self::waiting(text) } else { self }
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

/// How a release is that consists of `parts`, where what was seen before `floor` does not count.
fn of(parts: &[Part], floor: &Floor, contents: &Contents) -> Readiness {
    let one = |part: &Part| match floor.is_reached(part, contents) {
        true => of_part(part, contents),
        false => Readiness::waiting(format!("{part} is being changed")),
    };
    parts.iter().map(one).fold(Readiness::Ready, Readiness::worse)
}

fn of_part(part: &Part, contents: &Contents) -> Readiness {
    // What only has to be there is: the release has seen to it.
    if matches!(part.kind, Kind::Plain(_)) || contents.is_mute(&part.kind) {
        return Readiness::Ready;
    }
    let Some(object) = contents.get(&part.kind, &part.name) else {
        return Readiness::waiting(format!("{part} is not there"));
    };
    match &part.kind {
        Kind::Claim => storage::claim(object, contents),
        Kind::Custom { kind, .. } => custom::object(kind, object, contents),
        Kind::DaemonSet => workloads::daemon_set(object, contents),
        Kind::Definition => custom::definition(object),
        Kind::Deployment => workloads::deployment(object, contents),
        Kind::Ingress => routes::ingress(object, contents),
        Kind::Job => workloads::job(object, contents),
        Kind::Pod => pods::of(object, contents),
        Kind::ReplicaSet => workloads::replica_set(object, contents),
        Kind::Service => routes::service(object, contents),
        Kind::StatefulSet => workloads::stateful_set(object, contents),
        Kind::Event | Kind::IngressClass | Kind::Plain(_) => Readiness::Ready,
    }
}
