//! When the steps of a run began and ended, as its events tell.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use iotorch_core::{
    observer::{Observer, Progress, RunEvent},
    resource::ResourceId,
};

/// When a step began and ended.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When it was begun.
    pub begun: Instant,
    /// When it was done.
    pub ended: Instant,
}

/// Notes the steps of runs that build something.
#[derive(Debug, Default)]
pub struct Steps {
    begun: Mutex<BTreeMap<ResourceId, Instant>>,
    done: Mutex<BTreeMap<ResourceId, Times>>,
}

impl Steps {
    /// The steps that are done.
    pub fn done(&self) -> BTreeMap<ResourceId, Times> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Steps {
    fn event(&self, event: &RunEvent) {
        let now = Instant::now();
        match &event.event {
            Progress::StepStarted { resource, undo: false } => {
                self.begun.lock().unwrap_or_else(PoisonError::into_inner).insert(resource.clone(), now);
            }
            Progress::StepSucceeded { resource, undo: false, .. } => {
                let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner).remove(resource);
                let times = Times { begun: begun.unwrap_or(now), ended: now };
                self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(resource.clone(), times);
            }
            _ => {}
        }
    }
}
