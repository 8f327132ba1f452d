//! Planning: documents, records and observations in, a plan out. Pure: no I/O, no clock, no randomness.

mod types;

pub use types::{
    Base, Basis, Candidate, Condition, PLAN_FORMAT, Phase, PlaceSummary, PlacementChoice, Plan, Reason,
    SlicePlan, Step, StepId, Summary, Warning,
};
