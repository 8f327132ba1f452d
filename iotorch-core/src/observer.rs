//! Events of runs, as they happen: for progress, server-sent events, telemetry.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    error::Cause,
    model::SliceName,
    plan::SlicePlan,
    resource::ResourceId,
    store::{RunId, RunState},
};

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunEvent {
    /// The slice.
    pub slice: SliceName,
    /// The run.
    pub run: RunId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Progress,
}

/// What can happen in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Progress {
    /// The run began, or went on.
    RunStarted {
        /// What it does.
        plan: Arc<SlicePlan>,
    },
    /// A step, or its undoing, began.
    StepStarted {
        /// The resource.
        resource: ResourceId,
        /// Whether it is being undone.
        undo: bool,
    },
    /// A step is not ready and will be asked again, or failed in a way that may pass and will be tried again.
    StepRetried {
        /// The resource.
        resource: ResourceId,
        /// What it waits for, or what went wrong.
        reason: String,
        /// How often it was tried.
        attempt: u32,
    },
    /// A step, or its undoing, is held back: a call on its resource was left without an answer, by a process that ended or a
    /// connection that broke, and may still act.
    StepHeld {
        /// The resource.
        resource: ResourceId,
        /// From when on that call can act no more, and the step goes on.
        until: Timestamp,
    },
    /// A step, or its undoing, is done.
    StepSucceeded {
        /// The resource.
        resource: ResourceId,
        /// Whether it was undone.
        undo: bool,
        /// How long it took.
        took: Duration,
    },
    /// A step was not needed.
    StepSkipped {
        /// The resource.
        resource: ResourceId,
    },
    /// A step, or its undoing, failed for good.
    StepFailed {
        /// The resource.
        resource: ResourceId,
        /// Whether it was being undone.
        undo: bool,
        /// Why.
        cause: Cause,
    },
    /// Everything that was to be built is there.
    Committed,
    /// The run turned to undoing.
    Unwinding,
    /// The run ended, or stays open in this state.
    RunEnded {
        /// How it stands.
        state: RunState,
    },
}

/// Gets the events of runs.
///
/// # Contract
/// [`event`](Self::event) returns at once; it is called on the run's own task.
///
/// # Guarantees
/// Events of one run come in order, each after it is durable.
///
/// # Errors
/// None: an observer cannot fail a run.
///
/// # Examples
/// ```
/// use iotorch_core::observer::{Observer, RunEvent};
///
/// struct Count(std::sync::atomic::AtomicUsize);
///
/// impl Observer for Count {
///     fn event(&self, _: &RunEvent) {
///         self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
///     }
/// }
/// ```
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: &RunEvent);
}
