//! What a person reads.

pub(crate) mod bridges;
pub(crate) mod commands;
pub(crate) mod credentials;
pub(crate) mod dashboard;
pub(crate) mod describe;
pub(crate) mod events;
pub(crate) mod failure;
pub(crate) mod inspection;
pub(crate) mod log;
pub(crate) mod messages;
pub(crate) mod plan;
pub(crate) mod problems;
pub(crate) mod progress;
pub(crate) mod refusals;
pub(crate) mod report;
pub(crate) mod runs;
pub(crate) mod sent;
pub(crate) mod simulation;
pub(crate) mod standalone;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod time;
