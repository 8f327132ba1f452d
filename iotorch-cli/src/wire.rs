//! What goes through the socket beside the store: HTTP/1.1 with JSON bodies, for the owner of the state directory alone.
//!
//! | path | method | body | answer |
//! |---|---|---|---|
//! | `/v1/attach` | GET | – | lines: [`Holder`], then nothing until the caller goes; refused with 503 once the holder wants to end |
//! | `/v1/plan` | POST | [`Intent`](iotorch_core::Intent) | [`Plan`] |
//! | `/v1/apply` | POST | [`Apply`] | [`Line`]s |
//! | `/v1/resume` | POST | [`Resume`] | [`Line`]s |
//! | `/v1/cancel/{key}` | POST | – | – |
//! | `/v1/events` | GET | – | lines: [`RunEvent`]s of all runs from now on, until the holder ends |
//! | `/v1/runs` | GET | query: [`RunFilter`](iotorch_core::orchestrator::RunFilter) | list of run summaries |
//! | `/v1/slices` | GET | – | names |
//! | `/v1/slices/{name}/status`, `/v1/slices/{name}/document` | GET | – | status; document or `null` |
//! | `/v1/infrastructures` | GET | – | documents |
//! | `/v1/infrastructures/uses` | GET | – | [`Uses`] |
//! | `/v1/infrastructures/{name}/forget` | POST | – | ids |
//! | `/v1/state` | GET | – | the exported state |
//!
//! Lines are JSON, each ended by a line feed (NDJSON). An error is a [`Cause`] with a status that fits its kind.

use std::collections::{BTreeMap, BTreeSet};

use iotorch_core::{
    ApplyError, Cause, Direction, Report, RunOptions,
    model::{FailurePolicy, InfrastructureName, SliceName},
    observer::RunEvent,
    plan::Plan,
    store::RunId,
};
use serde::{Deserialize, Serialize};

/// The name of the socket in the state directory.
pub(crate) const SOCKET: &str = "iotorch.sock";

/// Who holds the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Holder {
    /// The version of the command.
    pub(crate) version: String,
    /// Its process id.
    pub(crate) pid: u32,
    /// Whether it does not only look, so that it may be there for a while.
    pub(crate) works: bool,
    /// Whether it hosts the `local` infrastructure.
    pub(crate) hosts: bool,
    /// Whether it goes on doing so after its own work is done.
    pub(crate) stays: bool,
}

/// The slices that have something on each infrastructure.
pub(crate) type Uses = BTreeMap<InfrastructureName, BTreeSet<SliceName>>;

/// How a run is done, as data.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Options {
    /// In place of each slice's own policy.
    pub(crate) on_failure: Option<FailurePolicy>,
    /// Undo at once when the person asks to stop.
    pub(crate) rollback_on_interrupt: bool,
    /// What `/v1/cancel/{key}` is called with to stop it: chosen by the caller, unique among the calls under way.
    pub(crate) key: String,
}

impl Options {
    /// The options without their token, for a call that `key` cancels.
    pub(crate) fn of(options: &RunOptions, key: String) -> Self {
        Self { on_failure: options.on_failure, rollback_on_interrupt: options.rollback_on_interrupt, key }
    }
}

/// The body of `/v1/apply`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Apply {
    /// What to do.
    pub(crate) plan: Plan,
    /// How.
    pub(crate) options: Options,
}

/// The body of `/v1/resume`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Resume {
    /// The run.
    pub(crate) run: RunId,
    /// Which way.
    pub(crate) direction: Direction,
    /// How.
    pub(crate) options: Options,
}

/// A line of the answer to `/v1/apply` and `/v1/resume`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Line {
    /// Something happened.
    Event(Box<RunEvent>),
    /// It is done; the last line.
    Done(Report),
    /// It is not, or not wholly, done; the last line.
    Failed {
        /// What could not be done.
        error: Cause,
        /// What became of each run.
        report: Report,
    },
}

impl Line {
    /// The last line.
    pub(crate) fn end(result: Result<Report, ApplyError>) -> Self {
        match result {
            Ok(report) => Self::Done(report),
            Err(ApplyError { error, report }) => Self::Failed { error: error.to_cause(), report },
        }
    }
}
