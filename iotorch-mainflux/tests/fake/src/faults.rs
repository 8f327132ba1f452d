//! Requests that go wrong on their way.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// What happens to a request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Hold(Held),
    LoseAnswer,
    Answer(u16),
}

/// What happens to the next requests of a kind.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<(String, String, Fault)>>);

impl Faults {
    pub(crate) fn add(&self, method: &str, path: &str, fault: Fault) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push((method.to_owned(), path.to_owned(), fault));
    }

    /// The first that is meant for a request; it happens only once.
    pub(crate) fn take(&self, method: &str, path: &str) -> Option<Fault> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = faults.iter().position(|(its, begin, _)| its == method && path.starts_with(begin))?;
        Some(faults.remove(at).2)
    }
}

/// A request that is held.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<watch::Sender<Stage>>);

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Awaited,
    Arrived,
    Gone,
    Done,
}

impl Held {
    /// Waits until the request is there.
    pub async fn arrived(&self) {
        self.reached(Stage::Arrived).await;
    }

    /// Lets it act.
    pub fn let_go(&self) {
        self.reach(Stage::Gone);
    }

    /// Waits until it has acted.
    pub async fn done(&self) {
        self.reached(Stage::Done).await;
    }

    /// On the side of the service: the request is there, and waits.
    pub(crate) async fn wait(&self) {
        self.0.send_if_modified(|stage| {
            let is_first = *stage == Stage::Awaited;
            if is_first {
                *stage = Stage::Arrived;
            }
            is_first
        });
        self.reached(Stage::Gone).await;
    }

    pub(crate) fn finish(&self) {
        self.reach(Stage::Done);
    }

    fn reach(&self, stage: Stage) {
        self.0.send_replace(stage);
    }

    async fn reached(&self, wanted: Stage) {
        let mut stage = self.0.subscribe();
        // It cannot be closed, as it is held here.
        _ = stage.wait_for(|stage| *stage >= wanted).await;
    }
}
