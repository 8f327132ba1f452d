//! How long, how often and how many at once.

use std::time::Duration;

use crate::resource::KindName;

/// The limits that an engine keeps. The defaults suit a service that manages real systems.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Calls under way at once in the whole engine.
    pub calls: usize,
    /// Calls under way at once in one domain (an infrastructure, or the network).
    pub calls_per_host: usize,
    /// How long a step of a workload or application may take until it is ready.
    pub ready_deadline: Duration,
    /// How long any other step may take.
    pub step_deadline: Duration,
    /// How long observing one scope, or surveying one place, may take.
    pub observe_deadline: Duration,
    /// How often a call is made when it fails in a way that may pass.
    pub attempts: u32,
    /// The pause before the second attempt; doubled before each further one.
    pub first_pause: Duration,
    /// The longest pause between attempts.
    pub longest_pause: Duration,
    /// The longest pause before something that is not ready is asked again.
    pub longest_ready_pause: Duration,
    /// How many finished runs of a slice are kept as history.
    pub history: usize,
    /// How long finished runs are kept at most.
    pub history_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 256,
            calls_per_host: 32,
            ready_deadline: Duration::from_secs(600),
            step_deadline: Duration::from_secs(60),
            observe_deadline: Duration::from_secs(15),
            attempts: 5,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            longest_ready_pause: Duration::from_secs(1),
            history: 20,
            history_age: Duration::from_secs(90 * 24 * 3600),
        }
    }
}

impl Limits {
    /// How long a step on a resource of `kind` may take.
    #[must_use]
    pub const fn deadline(&self, kind: KindName) -> Duration {
        match kind {
            KindName::Workload | KindName::Application => self.ready_deadline,
            _ => self.step_deadline,
        }
    }

    /// The pause after `attempt` attempts.
    #[must_use]
    pub fn pause(&self, attempt: u32) -> Duration {
        let doubled =
            self.first_pause.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.longest_pause)
    }
}
