//! How many helms are at work at once.

use std::{num::NonZeroUsize, sync::Arc, thread};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    error::{Error, ErrorKind, Result},
    request::Call,
};

/// How many for each processor: a helm waits for its cluster about as long as it computes, longer where the cluster is far away, and
/// for its chart's hooks.
const EACH_PROCESSOR: usize = 4;

/// Turns in which helms change something: each takes some 25 MB, and more of them than processors can serve are not quicker.
///
/// Clones share the same turns. Without a number there are four for each processor.
///
/// # Examples
/// ```
/// use std::num::NonZeroUsize;
/// use iotorch_helm::Turns;
///
/// assert_eq!(Turns::new(NonZeroUsize::MIN).at_once(), 1);
/// assert!(Turns::default().at_once() >= 4);
/// ```
#[derive(Clone, Debug)]
pub struct Turns {
    at_once: NonZeroUsize,
    free: Arc<Semaphore>,
}

/// A turn; it is over when this is dropped.
pub(super) type Turn = OwnedSemaphorePermit;

impl Turns {
    /// So many at once.
    #[must_use]
    pub fn new(at_once: NonZeroUsize) -> Self {
        Self { at_once, free: Arc::new(Semaphore::new(at_once.get().min(Semaphore::MAX_PERMITS))) }
    }

    /// How many there are.
    #[must_use]
    pub const fn at_once(&self) -> usize {
        self.at_once.get()
    }

    /// Waits for a turn; those who came first go first.
    pub(super) async fn take(&self, call: &Call) -> Result<Turn> {
        let cannot = |kind, why| Error::new(kind, "cannot begin a helm").with_source(why);
        tokio::select! {
            biased;
            () = call.cancelled.cancelled() => Err(cannot(ErrorKind::Cancelled, "it was cancelled before it began")),
            turn = Arc::clone(&self.free).acquire_owned() => {
                turn.map_err(|error| Error::new(ErrorKind::Unexpected, "cannot begin a helm").with_source(error))
            }
            () = tokio::time::sleep_until(call.deadline) => {
                Err(cannot(ErrorKind::TimedOut, "others were at work until the time of the call was up"))
            }
        }
    }
}

impl Default for Turns {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::new(NonZeroUsize::MIN.saturating_add(EACH_PROCESSOR * processors - 1))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn call() -> Call {
        Call::within(Duration::from_secs(60))
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_when_all_turns_are_taken_waits_until_one_is_over() {
        let turns = Turns::new(NonZeroUsize::MIN);
        let first = turns.take(&call()).await.unwrap();
        let late = turns.take(&call()).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        let again = turns.clone();
        let second = tokio::spawn(async move { again.take(&call()).await.map(drop) });
        drop(first);
        second.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_call_that_was_cancelled_gets_no_turn() {
        let turns = Turns::default();
        let call = call();
        call.cancelled.cancel();
        assert_eq!(turns.take(&call).await.unwrap_err().kind(), ErrorKind::Cancelled);
    }
}
