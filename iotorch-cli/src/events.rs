//! The events of runs, for everyone in this process who follows them.

use std::sync::{Arc, Mutex, PoisonError};

use iotorch_core::observer::{Observer, RunEvent};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Hands every event to everyone who listens. Clones are the same hub.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hub(Arc<Mutex<Vec<UnboundedSender<Arc<RunEvent>>>>>);

impl Hub {
    /// All events from now on. What waits to be read is bounded by the steps of the runs under way.
    pub(crate) fn listen(&self) -> UnboundedReceiver<Arc<RunEvent>> {
        let (sender, receiver) = unbounded_channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }
}

impl Observer for Hub {
    fn event(&self, event: &RunEvent) {
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !listeners.is_empty() {
            let event = Arc::new(event.clone());
            listeners.retain(|listener| listener.send(Arc::clone(&event)).is_ok());
        }
    }
}
