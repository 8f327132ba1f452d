//! What a service links against, and can mock.

use std::{collections::BTreeSet, fmt, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

pub use crate::store::Direction;
use crate::{
    error::{Cause, Error, Result},
    model::{FailurePolicy, Infrastructure, InfrastructureName, Slice, SliceName},
    plan::{Plan, Summary},
    resource::ResourceId,
    status::SliceStatus,
    store::{RunId, RunState},
};

/// What somebody wants: the input of a plan. Slices that it does not name are left alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Intent {
    /// Infrastructures to add or change.
    pub infrastructures: Vec<Infrastructure>,
    /// Slices to make or change.
    pub slices: Vec<Slice>,
    /// Slices to plan again as they were applied last, to find and mend what changed outside.
    pub reconcile: Vec<SliceName>,
    /// Slices to remove.
    pub delete: Vec<SliceName>,
    /// Infrastructures to remove from the installation; no slice may be on them.
    pub delete_infrastructures: Vec<InfrastructureName>,
    /// Objects to take over although they do not carry our mark.
    pub adopt: BTreeSet<ResourceId>,
    /// Attachments and devices that get the next generation of their credential, and tenants that get the next version of their
    /// secret: the value that the secret store holds under it, or else a new one.
    pub rotate: BTreeSet<ResourceId>,
    /// Whether what cannot be changed in place may be removed and made again.
    pub allow_replace: bool,
}

/// How a plan is applied.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// In place of each slice's own policy.
    pub on_failure: Option<FailurePolicy>,
    /// Cancelled when the person asks to stop: waits end, mutations finish, the run stays open as interrupted.
    pub cancelled: CancellationToken,
    /// Undo at once when the person asks to stop.
    pub rollback_on_interrupt: bool,
}

/// What became of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The runs, by slice.
    pub runs: Vec<RunReport>,
}

/// What became of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReport {
    /// The slice.
    pub slice: SliceName,
    /// The run.
    pub run: RunId,
    /// How it stands now.
    pub state: RunState,
    /// What was done, conditional steps that were skipped not counted.
    pub done: Summary,
    /// How many steps were undone.
    pub undone: usize,
    /// How long it took.
    pub took: Duration,
    /// The step that failed, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<StepFailure>,
    /// What is left in the world that should not be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub residue: Vec<String>,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepFailure {
    /// The resource; none when the run failed as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<ResourceId>,
    /// Why.
    pub cause: Cause,
    /// How long after the start of the run.
    pub after: Duration,
}

/// A plan that was not, or not wholly, applied.
#[derive(Debug)]
pub struct ApplyError {
    /// What could not be done, with the cause as its source.
    pub error: Error,
    /// What became of each run, those that succeeded among them.
    pub report: Report,
}

impl ApplyError {
    /// An error before any run began: nothing was changed.
    #[must_use]
    pub fn before_start(error: Error) -> Self {
        Self { error, report: Report::default() }
    }

    /// The runs that did not succeed.
    pub fn failed(&self) -> impl Iterator<Item = &RunReport> {
        self.report.runs.iter().filter(|run| run.state != RunState::Succeeded)
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl std::error::Error for ApplyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

/// Which runs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunFilter {
    /// Only those of this slice.
    pub slice: Option<SliceName>,
    /// Only those that are open.
    pub open: bool,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    /// The run.
    pub id: RunId,
    /// The slice.
    pub slice: SliceName,
    /// How it stands.
    pub state: RunState,
    /// What it was to do.
    pub planned: Summary,
    /// When it began.
    pub started_at: Timestamp,
    /// Since when it stands so.
    pub since: Timestamp,
    /// What went wrong, if something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What is left in the world that should not be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub residue: Vec<String>,
}

/// Turns intents into running slices and back into nothing.
///
/// # Contract
/// - [`plan`](Self::plan) changes nothing. [`apply`](Self::apply) refuses a plan whose base moved and says what moved.
/// - Each slice of a plan is a run of its own: one that fails leaves the others alone.
/// - A run that is open keeps others from its slice until it is resumed to its end.
///
/// # Guarantees
/// After the process dies at any instant, [`resume`](Self::resume) ends the run as its failure policy says, and every object in the
/// world is in a record or in an open run.
///
/// # Errors
/// [`crate::ErrorKind::Moved`], [`crate::ErrorKind::Conflict`] (another run is open, a foreign object), [`crate::ErrorKind::Infeasible`]
/// (a part cannot be placed, something shared is used up), [`crate::ErrorKind::Invalid`]; of a run, the kind of the step that failed.
///
/// # Examples
/// [`crate::Engine`] is the implementation; its documentation applies a slice to a simulated world.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
#[async_trait]
pub trait Orchestrator: Send + Sync {
    /// What would have to be done.
    async fn plan(&self, intent: &Intent) -> Result<Plan>;

    /// Does it.
    async fn apply(&self, plan: Plan, options: RunOptions) -> Result<Report, ApplyError>;

    /// Goes on with an open run.
    async fn resume(
        &self,
        run: RunId,
        direction: Direction,
        options: RunOptions,
    ) -> Result<Report, ApplyError>;

    /// Lists runs, newest first.
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunSummary>>;

    /// Looks at a slice and says how it is.
    async fn status(&self, slice: &SliceName) -> Result<SliceStatus>;

    /// The names of all slices that are known.
    async fn slices(&self) -> Result<Vec<SliceName>>;

    /// The infrastructures of the installation.
    async fn infrastructures(&self) -> Result<Vec<Infrastructure>>;

    /// The document of a slice as it was applied last.
    async fn document(&self, slice: &SliceName) -> Result<Option<Slice>>;

    /// Drops all records of what lives on an infrastructure that is gone for good, and returns every id that may be left behind there.
    async fn forget(&self, infrastructure: &InfrastructureName) -> Result<Vec<ResourceId>>;
}
