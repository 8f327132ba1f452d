//! The store: documents, records, journals and reservations, durable and atomic.

mod export;
mod memory;
mod redb;
mod reservations;
mod state;

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    export::{EXPORT_FORMAT, Export, ExportedRun, export},
    memory::MemoryStore,
    redb::RedbStore,
};
use crate::{
    domain::Health,
    driver::Claim,
    error::{Cause, Result},
    model::{DriverName, Infrastructure, InfrastructureName, Slice, SliceName},
    plan::{SlicePlan, StepId},
    resource::{Inputs, Outputs, ResourceId, Spec},
};

/// The number of a run, counted from 1 in an installation; written `r42`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("r{}", self.0))
    }
}

impl std::str::FromStr for RunId {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self> {
        text.strip_prefix('r').unwrap_or(text).parse().map(Self).map_err(|_| {
            crate::Error::new(
                crate::ErrorKind::Invalid,
                format!("cannot read {text:?} as the number of a run"),
            )
            .with_help("a run is named as in \"r42\"; iotorch runs lists them")
        })
    }
}

/// What iotorch knows of a resource that it made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Which.
    pub id: ResourceId,
    /// The driver that made it.
    pub driver: DriverName,
    /// What was asked for.
    pub spec: Arc<Spec>,
    /// What it uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<ResourceId>,
    /// What it was made with.
    pub inputs: Inputs,
    /// What it told.
    pub outputs: Outputs,
    /// Until when a call whose answer never came may still act on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain_until: Option<Timestamp>,
    /// Why its state is not to be trusted, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tainted: Option<Cause>,
    /// When it was changed last.
    pub changed_at: Timestamp,
    /// The run that changed it last.
    pub run: RunId,
}

/// A run: one plan for one slice, tried. It never changes; what happens to it is in its journal and [`RunStatus`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The number of the format of the run and its journal.
    pub format: u32,
    /// Its number.
    pub id: RunId,
    /// What it does.
    pub plan: Arc<SlicePlan>,
    /// When it began.
    pub started_at: Timestamp,
}

/// The number of the format of runs and journals that this version writes.
pub const RUN_FORMAT: u32 = 1;

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// The state.
    pub state: RunState,
    /// When the state began.
    pub since: Timestamp,
    /// What went wrong, if something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The step at which it went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<ResourceId>,
    /// What is left in the world that should not be: the objects of an undo or delete that failed, and what other systems cannot delete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub residue: Vec<String>,
}

/// The states of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// A process works on it, or did until it died.
    Running,
    /// Stopped by a person; goes on with `resume`.
    Interrupted,
    /// Waits for a place that cannot be reached.
    Waiting,
    /// A step failed and the policy is to wait for a decision.
    Paused,
    /// An undo or a delete failed; `resume` tries again.
    Stuck,
    /// Over: what was wanted is there.
    Succeeded,
    /// Over: everything it did is undone.
    RolledBack,
    /// Over: what it did is kept and what failed is tainted.
    Kept,
}

impl RunState {
    /// Whether the run still has something to do, so that no other may begin on its slice.
    #[must_use]
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Succeeded | Self::RolledBack | Self::Kept)
    }

    /// The words a person reads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Stuck => "stuck",
            Self::Succeeded => "succeeded",
            Self::RolledBack => "rolled back",
            Self::Kept => "kept",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which way an open run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// As its failure policy says; what an unattended restart does.
    Policy,
    /// Try the rest of the steps.
    Continue,
    /// Undo what it did.
    Rollback,
    /// Close it, keep what it made, and mark what failed.
    Abandon,
}

/// An entry of a run's journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    pub event: JournalEvent,
}

/// What can happen in a run. The events of a run in order are the whole truth about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JournalEvent {
    /// A domain is about to be called for a step; durable before the call.
    Started {
        /// Which step.
        step: StepId,
        /// After this no call of it can act any more.
        deadline: Timestamp,
        /// The records as they were before, which undoing restores: the resource's own and, for a delete, those that go along.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        prior: Vec<Arc<Record>>,
        /// What the step was given.
        inputs: Arc<Inputs>,
    },
    /// The domain did the step.
    Succeeded {
        /// Which step.
        step: StepId,
        /// What other systems keep of it although it was deleted.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        residue: Vec<String>,
        /// Until when an earlier call, whose answer never came, may still act.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uncertain_until: Option<Timestamp>,
    },
    /// The inputs of a conditional step are what they were: nothing to do.
    Skipped {
        /// Which step.
        step: StepId,
    },
    /// The step failed for good; its object may be there or not.
    Failed {
        /// Which step.
        step: StepId,
        /// Why.
        cause: Cause,
        /// Until when a call, whose answer never came, may still act.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uncertain_until: Option<Timestamp>,
    },
    /// The wait for the step was ended; its object may be there or not.
    Stopped {
        /// Which step.
        step: StepId,
        /// Until when a call, whose answer never came, may still act.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uncertain_until: Option<Timestamp>,
    },
    /// All that was to be built is there: from here on the run only goes forward.
    Committed,
    /// A domain is about to be called to undo a step.
    UndoStarted {
        /// Which step.
        step: StepId,
        /// After this no call of it can act any more.
        deadline: Timestamp,
    },
    /// The step is undone.
    UndoFinished {
        /// Which step.
        step: StepId,
        /// Until when an earlier call, whose answer never came, may still act.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uncertain_until: Option<Timestamp>,
    },
    /// The step could not be undone.
    UndoFailed {
        /// Which step.
        step: StepId,
        /// Why.
        cause: Cause,
        /// Until when a call, whose answer never came, may still act.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uncertain_until: Option<Timestamp>,
    },
    /// The wait for the step to be undone was ended.
    UndoStopped {
        /// Which step.
        step: StepId,
        /// Until when a call, whose answer never came, may still act.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uncertain_until: Option<Timestamp>,
    },
    /// A person decided how the run goes on.
    Resumed {
        /// How.
        direction: Direction,
    },
    /// The run turned to undoing.
    Unwinding,
}

/// How the world looked when it was seen last: kept for scopes only when that changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sighting {
    /// The root of the scope.
    pub root: ResourceId,
    /// Since when it has looked like that.
    pub since: Timestamp,
    /// What was seen.
    pub seen: Seen,
}

/// What was seen of a scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Seen {
    /// It answered; resources that are not ready, or gone, are named.
    Known {
        /// How those are that are not ready.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        unwell: BTreeMap<ResourceId, Health>,
        /// Those that are gone or changed outside, each with how.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        drifted: BTreeMap<ResourceId, String>,
    },
    /// It could not be asked.
    Unknown {
        /// Why.
        cause: Cause,
    },
}

/// All that is known of a slice.
#[derive(Clone, Debug, Default)]
pub struct SliceState {
    /// The document that was applied last.
    pub document: Option<Arc<Slice>>,
    /// What was made of it.
    pub records: BTreeMap<ResourceId, Arc<Record>>,
    /// How its scopes looked, by root.
    pub sightings: BTreeMap<ResourceId, Arc<Sighting>>,
    /// The run that is open on it.
    pub open_run: Option<RunId>,
}

impl SliceState {
    /// Whether nothing is known of the slice.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.document.is_none() && self.records.is_empty() && self.open_run.is_none()
    }
}

/// All that planning needs of a store, at one instant; cheap to take.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The infrastructures.
    pub infrastructures: BTreeMap<InfrastructureName, Arc<Infrastructure>>,
    /// The slices.
    pub slices: BTreeMap<SliceName, Arc<SliceState>>,
    /// The claims on what is shared, by holder.
    pub reservations: Arc<BTreeMap<ResourceId, Vec<Claim>>>,
}

/// One change of the store. The writes of a [`Store::commit`] happen together or not at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Write {
    /// Adds or changes an infrastructure.
    PutInfrastructure(Arc<Infrastructure>),
    /// Removes an infrastructure.
    DropInfrastructure(InfrastructureName),
    /// Adds or changes the document of a slice.
    PutSlice(Arc<Slice>),
    /// Removes the document of a slice.
    DropSlice(SliceName),
    /// Adds or changes a record.
    PutRecord(Arc<Record>),
    /// Removes a record and the reservations that its resource holds.
    DropRecord(ResourceId),
    /// Begins a run, [`RunState::Running`]. Conflict when another one is open on the slice.
    OpenRun(Arc<Run>),
    /// Changes how a run stands; a state that is not open ends the slice's open run.
    SetRunStatus(RunId, RunStatus),
    /// Appends to a run's journal.
    Append(RunId, Entry),
    /// Removes a finished run and its journal.
    DropRun(RunId),
    /// Replaces what a resource holds of shared things. Infeasible, naming the holders, when after all writes of the commit more than
    /// there is, and more than before, would be held.
    Reserve(ResourceId, Vec<Claim>),
    /// Removes what a resource holds.
    Release(ResourceId),
    /// Notes how a scope looks.
    PutSighting(Arc<Sighting>),
    /// Forgets how a scope looked.
    DropSighting(ResourceId),
}

/// A run and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRow {
    /// The run.
    pub run: Arc<Run>,
    /// How it stands.
    pub status: RunStatus,
}

/// Keeps documents, records, journals and reservations.
///
/// # Contract
/// - [`commit`](Self::commit) checks every precondition (see [`Write`]), then does all writes or none, and returns when they are
///   durable. Commits that come at the same time may share one flush.
/// - Reads see every commit that has returned.
///
/// # Guarantees
/// Commits come at the same time, also for one run: those then concern different steps. A step's own events come one after the other.
///
/// # Errors
/// [`crate::ErrorKind::Conflict`] and [`crate::ErrorKind::Infeasible`] for preconditions; [`crate::ErrorKind::Unavailable`] when the disk
/// refuses (full, gone): nothing was written; [`crate::ErrorKind::Unexpected`] for a damaged store.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use iotorch_core::store::{MemoryStore, Store};
///
/// let store = MemoryStore::new();
/// assert!(store.snapshot().await?.slices.is_empty());
/// # Ok::<(), iotorch_core::Error>(()) }).unwrap();
/// ```
#[async_trait]
pub trait Store: Send + Sync {
    /// The identity of this installation, chosen at random when the store was made: a part of every ownership mark.
    fn installation(&self) -> Arc<str>;

    /// A run number that was never given out before.
    fn allocate_run(&self) -> RunId;

    /// Does all `writes` or none.
    async fn commit(&self, writes: Vec<Write>) -> Result<()>;

    /// Everything but runs.
    async fn snapshot(&self) -> Result<Snapshot>;

    /// What is known of one slice; an empty state for one that is not known.
    async fn slice(&self, name: &SliceName) -> Result<Arc<SliceState>>;

    /// The runs of a slice that are over and still kept, oldest first, each with when it ended.
    async fn finished(&self, slice: &SliceName) -> Result<Vec<(RunId, Timestamp)>>;

    /// All runs that are kept, newest first.
    async fn runs(&self) -> Result<Vec<RunRow>>;

    /// One run.
    async fn run(&self, id: RunId) -> Result<Option<RunRow>>;

    /// The journal of a run, oldest entry first; empty for one that is not kept.
    async fn journal(&self, run: RunId) -> Result<Vec<Entry>>;
}

/// The identity of a new installation: 16 hexadecimal digits, which fit into every place that a mark is kept in.
fn new_installation() -> String {
    format!("{:016x}", rand::random::<u64>())
}
