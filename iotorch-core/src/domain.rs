//! Domains: connected systems that observe and apply.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    error::Result,
    place::{Places, Route},
    resource::{ApplicationOutputs, ApplicationSpec, Endpoint, Outputs, ResourceId, Spec, Work},
    secret::{SecretRef, SecretStore, SecretValue},
};

/// What every call to a domain carries.
#[derive(Clone)]
pub struct Context {
    /// Who we are: part of every ownership mark.
    pub installation: Arc<str>,
    /// When the call has to be over. Core drops the call's future then.
    pub deadline: Instant,
    /// Set when the person asked to stop: waits return at once, mutations finish.
    pub cancelled: CancellationToken,
    /// The values of secrets.
    pub secrets: Arc<dyn SecretStore>,
    /// The places, to open routes.
    pub places: Places,
}

impl Context {
    /// The mark that an object of `id` carries.
    #[must_use]
    pub fn mark(&self, id: &ResourceId) -> Mark {
        Mark { installation: Arc::clone(&self.installation), resource: id.clone() }
    }

    /// The time left until the deadline.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Opens a route from this process to `endpoint`.
    pub async fn open(&self, endpoint: &Endpoint) -> Result<Route> {
        self.places.open(endpoint).await
    }

    /// Reads the value of a secret.
    pub async fn secret(&self, secret: &SecretRef) -> Result<SecretValue> {
        self.secrets.fetch(secret).await
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("installation", &self.installation).finish_non_exhaustive()
    }
}

/// Says whose an object is: written `installation/slice/…` (the resource's id with the installation before it).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The installation of iotorch.
    pub installation: Arc<str>,
    /// The resource.
    pub resource: ResourceId,
}

impl Mark {
    /// Reads a mark; `None` for text that is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (installation, resource) = text.split_once('/')?;
        Some(Self { installation: installation.into(), resource: resource.parse().ok()? })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.installation, self.resource)
    }
}

/// What to observe: one root (see [`ResourceId::scope`]) and everything that lives in it and is observed with it.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The root: a space, an application, a segment, or a physical function.
    pub root: ResourceId,
    /// The ids that core knows or wants in it, the root among them.
    pub known: BTreeSet<ResourceId>,
    /// The recorded specifications of those that were made before; an external application is here as its document has it, also
    /// when no run has worked on it yet.
    pub recorded: BTreeMap<ResourceId, Arc<Spec>>,
    /// How to reach it: the recorded outputs of the application, when the root is one that was made before; for an external one
    /// that no run has worked on yet, the endpoints of its document.
    pub application: Option<ApplicationOutputs>,
}

impl Scope {
    /// What is known of the application, when the root is one that can be reached: its specification, and what it tells.
    #[must_use]
    pub fn reachable(&self) -> Option<(&ApplicationSpec, &ApplicationOutputs)> {
        match (self.recorded.get(&self.root).map(AsRef::as_ref), &self.application) {
            (Some(Spec::Application(spec)), Some(outputs)) => Some((spec, outputs)),
            _ => None,
        }
    }
}

/// What was seen of one resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Observed {
    /// It is there and ours.
    Present {
        /// What it is like.
        spec: Spec,
        /// What it tells.
        outputs: Outputs,
        /// How it is.
        health: Health,
    },
    /// It is not there.
    Absent,
    /// An object of that name is there and is not ours.
    Foreign {
        /// Its mark or, where it has none, how its owner can be told.
        owner: String,
        /// What it is like, for adopting it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spec: Option<Spec>,
    },
}

/// How a resource is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// It works.
    #[default]
    Ready,
    /// It is there and works in part.
    Degraded {
        /// Why.
        reason: String,
    },
    /// It is there and does not work.
    Failed {
        /// Why.
        reason: String,
    },
}

/// A connected management domain.
///
/// # Contract
/// - [`observe`](Self::observe) answers for every id in [`Scope::known`] and also lists marked objects in the scope that core does
///   not know. Paging is the domain's work. An error makes this scope Unknown and nothing else.
/// - [`apply`](Self::apply) brings each object to `change.after()` from any state of an object that carries our mark,
///   however far an earlier call got; repeated, it returns the same outputs. It returns one result for each step, in order.
///   It never waits for long: [`crate::ErrorKind::NotReady`] with the reason means "call me again".
/// - Removing what is not there succeeds. An object without our mark is [`crate::ErrorKind::Conflict`], unless the step adopts it.
/// - It does not retry, sleep or log errors: core does that, once.
///
/// # Guarantees
/// Core writes `Started` durably before a call, repeats calls of retryable errors, drops the future at the deadline, keeps the
/// declared batch limit and pause, and never has two calls on one resource under way.
///
/// # Errors
/// Any [`crate::ErrorKind`]; `Unavailable` when the system cannot be reached.
///
/// # Examples
/// [`crate::sim`] has one in memory; `docs/writing-a-domain.md` builds one step by step.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
#[async_trait]
pub trait Domain: Send + Sync {
    /// Looks at everything in a scope.
    async fn observe(&self, cx: &Context, scope: &Scope) -> Result<Vec<(ResourceId, Observed)>>;

    /// Does a batch of steps of one kind.
    async fn apply(&self, cx: &Context, batch: Vec<Work>) -> Vec<Result<Outputs>>;

    /// Takes in what is recorded of a scope, and asks nobody. A run that an earlier process has begun goes on with steps in an application
    /// which this one has neither applied nor observed: what only the application's specification tells of it, such as whom its
    /// certificates are checked by, is heard here before.
    fn recall(&self, scope: &Scope) {
        let _ = scope;
    }

    /// Whether it is certain that no call of an earlier process can still act on `id`, because the domain can prove it (such as by
    /// a lock that a surviving child would hold). Without proof core waits for the deadline of that call.
    async fn is_quiescent(&self, cx: &Context, id: &ResourceId) -> bool {
        let _ = (cx, id);
        false
    }

    /// Whether `call` changes nothing, however late it acts: it finds out, such as whether an application answers. Such a call is never
    /// waited for, whatever became of it.
    fn only_asks(&self, call: &Work) -> bool {
        let _ = call;
        false
    }

    /// Whether `call` may be made again although an earlier one like it, whose process has died, may still act: what comes late must
    /// then change nothing. That is so when its requests name their object and put it whole, as long as no other call has changed
    /// the object since (core waits before such a one); of a call that removes an object, when it can never remove one
    /// that was made after it. Otherwise core waits for the deadline of the earlier call before it goes on.
    fn repeats_at_once(&self, call: &Work) -> bool {
        let _ = call;
        false
    }
}
