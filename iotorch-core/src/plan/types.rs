//! What a plan is.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    driver::Claim,
    error::Cause,
    model::{
        DriverName, FailurePolicy, Infrastructure, InfrastructureName, Offline, PartName, Slice, SliceName,
        Tier,
    },
    resource::{Change, Ownership, ResourceId, Spec},
    secret::SecretRef,
};

/// The number of the format of plans that this version writes.
pub const PLAN_FORMAT: u32 = 1;

/// What has to be done to get from what is there to what is wanted: data that can be shown, saved and applied later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The number of the format.
    pub format: u32,
    /// Infrastructures to add or change; they need no steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub infrastructures: Vec<Arc<Infrastructure>>,
    /// Those of them that cannot be used yet, and why; no step of the plan is on one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unusable: BTreeMap<InfrastructureName, Cause>,
    /// Infrastructures to remove from the installation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed_infrastructures: Vec<InfrastructureName>,
    /// What the infrastructures are that the slices are on, for showing the plan.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<InfrastructureName, PlaceSummary>,
    /// The slices that were looked at, by name; each is applied by a run of its own.
    pub slices: Vec<SlicePlan>,
}

/// What a plan says of an infrastructure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceSummary {
    /// The driver that manages it.
    pub driver: DriverName,
    /// Where in the network it stands.
    pub tier: Tier,
}

/// The part of a plan that belongs to one slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlicePlan {
    /// The slice.
    pub slice: SliceName,
    /// The document that is applied; none when the slice is to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Arc<Slice>>,
    /// Whether the document differs from the one applied before.
    #[serde(default)]
    pub document_changed: bool,
    /// What happens when a step fails.
    pub on_failure: FailurePolicy,
    /// What happens when a place cannot be reached.
    #[serde(default)]
    pub offline: Offline,
    /// Where each part goes, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placements: Vec<PlacementChoice>,
    /// The steps; [`StepId`] is the index.
    pub steps: Vec<Step>,
    /// What the steps were computed from, for every scope they touch.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub base: BTreeMap<ResourceId, Base>,
    /// What each resource will hold of shared things.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<ResourceId, Vec<Claim>>,
    /// What those resources hold now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held: BTreeMap<ResourceId, Vec<Claim>>,
    /// Secrets that are minted before the first step, where they do not exist yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRef>,
    /// What a person should know before applying it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// How many resources are already as wanted.
    pub unchanged: usize,
}

/// The index of a step in its [`SlicePlan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub u32);

impl StepId {
    /// The position in [`SlicePlan::steps`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One change of one resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The resource.
    pub resource: ResourceId,
    /// The driver whose domain does it.
    pub driver: DriverName,
    /// Whether it comes before or after the commit.
    pub phase: Phase,
    /// What to do.
    pub change: Change<Arc<Spec>>,
    /// Whether it is done at all.
    #[serde(default, skip_serializing_if = "Condition::is_always")]
    pub condition: Condition,
    /// What to do about the mark.
    #[serde(default, skip_serializing_if = "is_ours")]
    pub ownership: Ownership,
    /// What the resource uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<ResourceId>,
    /// The steps that have to be done before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<StepId>,
    /// Why it is in the plan.
    pub reason: Reason,
    /// What the change was computed from.
    #[serde(default, skip_serializing_if = "Basis::is_observed")]
    pub basis: Basis,
    /// What is gone together with the resource, and needs no step of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub takes_along: Vec<ResourceId>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_ours(ownership: &Ownership) -> bool {
    *ownership == Ownership::Ours
}

/// Whether a step comes before or after the commit of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Before: creates, updates and the deletes of replacements. It can be undone.
    Build,
    /// After: deletes. Forward only.
    Reap,
}

/// Whether a step is done at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// In any case.
    #[default]
    Always,
    /// Only when what it needs to know turns out to differ from what the resource was made with.
    IfInputsChanged,
}

impl Condition {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_always(&self) -> bool {
        *self == Self::Always
    }
}

/// What a change was computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// The object was seen.
    #[default]
    Observed,
    /// Its place could not be reached: records were believed. It is observed before the first step there.
    Assumed,
}

impl Basis {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_observed(&self) -> bool {
        *self == Self::Observed
    }
}

/// Why a step is in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// It is in the document and does not exist.
    New,
    /// The document changed.
    Changed {
        /// Where, as JSON pointers into the specification.
        fields: Vec<String>,
    },
    /// It was changed outside of iotorch.
    Drifted {
        /// Where, as JSON pointers into the specification.
        fields: Vec<String>,
    },
    /// It was removed outside of iotorch.
    Vanished,
    /// What it tells others is not what was recorded.
    OutputsChanged,
    /// An earlier run left it in doubt.
    Tainted {
        /// What went wrong then.
        cause: String,
    },
    /// It cannot be changed in place.
    Replaced {
        /// Why.
        because: String,
    },
    /// Its host is replaced.
    HostReplaced {
        /// The host.
        host: ResourceId,
    },
    /// Something that it lives in or uses changes.
    MayBeAffected {
        /// What.
        by: Vec<ResourceId>,
    },
    /// It is taken over from another owner.
    Adopted {
        /// Whose it was.
        owner: String,
    },
    /// A new generation was asked for.
    Rotated,
    /// It is not in the document any more.
    Unwanted,
    /// It carries this slice's mark, and no record knows it.
    Orphaned,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |fields: &[String]| {
            fields.iter().map(|at| at.trim_start_matches('/')).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::New => f.write_str("new"),
            Self::Changed { fields: at } => write!(f, "changed: {}", fields(at)),
            Self::Drifted { fields: at } => write!(f, "changed outside: {}", fields(at)),
            Self::Vanished => f.write_str("removed outside"),
            Self::OutputsChanged => f.write_str("moved outside"),
            Self::Tainted { cause } => write!(f, "left in doubt: {cause}"),
            Self::Replaced { because } => write!(f, "replaced: {because}"),
            Self::HostReplaced { host } => write!(f, "its host \"{host}\" is replaced"),
            Self::MayBeAffected { by } => {
                let names: Vec<_> = by.iter().map(ResourceId::as_str).collect();
                write!(f, "if changed by {}", names.join(", "))
            }
            Self::Adopted { owner } => write!(f, "taken over from {owner}"),
            Self::Rotated => f.write_str("rotated"),
            Self::Unwanted => f.write_str("not in the document any more"),
            Self::Orphaned => f.write_str("bears this slice's mark, but no record knows it"),
        }
    }
}

/// What the steps of a scope were computed from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Base {
    /// A digest for each resource that was seen or recorded: SHA-256 over its record and observation, in hexadecimal.
    Digests(BTreeMap<ResourceId, String>),
    /// The scope could not be asked.
    Unknown {
        /// Why.
        cause: Cause,
    },
}

/// Where a part goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlacementChoice {
    /// The part.
    pub part: PartName,
    /// Where it goes.
    pub infrastructure: InfrastructureName,
    /// Why there.
    pub reason: String,
    /// The others, and why not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Candidate>,
}

/// A place that was not chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The place.
    pub infrastructure: InfrastructureName,
    /// Why not there.
    pub reason: String,
}

/// What a person should know before applying a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Warning {
    /// A place cannot be reached; its part of the plan rests on records.
    Assumed {
        /// The scope.
        root: ResourceId,
        /// Why.
        cause: String,
    },
    /// Data are lost with a resource.
    DataLost {
        /// The resource.
        resource: ResourceId,
        /// Which data.
        what: String,
    },
    /// An objective is only written down.
    Unenforced {
        /// The segment.
        segment: ResourceId,
        /// The objective, with its value.
        objective: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assumed { root, cause } => {
                write!(f, "{root} cannot be reached and is planned from records: {cause}")
            }
            Self::DataLost { resource, what } => write!(f, "{resource}: {what} will be lost"),
            Self::Unenforced { segment, objective } => write!(f, "{segment}: nothing enforces {objective}"),
        }
    }
}

/// How many steps of each sort a plan has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Resources to create.
    pub create: usize,
    /// Resources to change.
    pub change: usize,
    /// Resources to delete, with what goes along.
    pub delete: usize,
    /// Resources to change only if their inputs change.
    pub conditional: usize,
}

impl SlicePlan {
    /// Whether nothing has to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && !self.document_changed
    }

    /// The step called `id`.
    #[must_use]
    pub fn step(&self, id: StepId) -> &Step {
        &self.steps[id.index()]
    }

    /// The steps with their ids.
    pub fn numbered(&self) -> impl Iterator<Item = (StepId, &Step)> {
        (0_u32..).map(StepId).zip(&self.steps)
    }

    /// How many steps of each sort there are.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for step in &self.steps {
            match (&step.change, step.condition) {
                (_, Condition::IfInputsChanged) => summary.conditional += 1,
                (Change::Create { .. }, Condition::Always) => summary.create += 1,
                (Change::Update { .. }, Condition::Always) => summary.change += 1,
                (Change::Delete { .. }, Condition::Always) => summary.delete += 1 + step.takes_along.len(),
            }
        }
        summary
    }
}

impl Plan {
    /// Whether nothing has to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.infrastructures.is_empty()
            && self.removed_infrastructures.is_empty()
            && self.slices.iter().all(SlicePlan::is_empty)
    }

    /// How many steps of each sort there are in all slices.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.slices.iter().map(SlicePlan::summary).fold(Summary::default(), |sum, next| Summary {
            create: sum.create + next.create,
            change: sum.change + next.change,
            delete: sum.delete + next.delete,
            conditional: sum.conditional + next.conditional,
        })
    }
}
