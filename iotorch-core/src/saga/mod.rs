//! The saga: runs a slice's plan as one durable transaction.
//!
//! [`connections`] has the domains, and [`belief`] checks what they say of secrets; [`tally`] is how far a run is, folded from its
//! journal; [`caller`] calls domains, with everything core does around a call; [`forward`] builds and reaps; [`unwind`] undoes; [`run`]
//! goes from phase to phase until the run is over or has to stay open.

mod belief;
mod caller;
mod clock;
mod close;
mod connections;
mod forward;
mod limits;
mod run;
mod tally;
mod unwind;

use std::sync::Arc;

use tokio::sync::Semaphore;

pub use self::{clock::Clock, limits::Limits};
pub(crate) use self::{
    connections::{Connection, Connections},
    run::{Ended, Saga},
    tally::{StepState, Tally},
};
use crate::{
    observer::{Observer, Progress, RunEvent},
    secret::SecretStore,
    store::{Run, Store},
};

/// What all runs of an engine share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) secrets: Arc<dyn SecretStore>,
    pub(crate) connections: Connections,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    /// The calls that may be under way at once.
    pub(crate) calls: Semaphore,
}

impl Shared {
    pub(crate) fn tell(&self, run: &Run, event: Progress) {
        if self.observers.is_empty() {
            return;
        }
        let event = RunEvent { slice: run.plan.slice.clone(), run: run.id, at: self.clock.now(), event };
        for observer in &self.observers {
            observer.event(&event);
        }
    }
}
