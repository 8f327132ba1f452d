//! Planning: documents, records and observations in, a plan out. Pure: no I/O, no clock, no randomness.
//!
//! A [`Planner`] takes one slice after the other: [`Planner::draft`] places its parts and expands it into resources;
//! [`Draft::scopes`] says what has to be observed; [`Planner::plan`] computes the steps from what was seen.

mod diff;
mod expand;
mod graph;
mod ledger;
mod observations;
mod place;
mod planner;
mod reap;
mod render;
mod replace;
mod types;
pub(crate) mod unusable;

pub use graph::Finding;
pub use observations::{Observations, ScopeContents};
pub(crate) use observations::{Sight, moved};
pub use planner::{Draft, Planner, Surveys};
pub(crate) use planner::{fresh_scope, minted, recorded_scopes};
pub use render::{Line, LineKind, label};
pub use types::{
    Base, Basis, Candidate, Condition, PLAN_FORMAT, Phase, PlaceSummary, PlacementChoice, Plan, Reason,
    SlicePlan, Step, StepId, Summary, Warning,
};
