//! The time of day, moving with the runtime's clock so that simulations can own it.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The time of day. It moves with `tokio::time`: in a runtime whose time is paused it is virtual too.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Timestamp,
    at: Instant,
}

impl Clock {
    /// A clock that shows `wall` now.
    #[must_use]
    pub fn starting_at(wall: Timestamp) -> Self {
        Self { wall, at: Instant::now() }
    }

    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::starting_at(Timestamp::now())
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.wall + SignedDuration::try_from(self.at.elapsed()).unwrap_or(SignedDuration::MAX)
    }

    /// When the runtime's clock will show `wall`; now, if that has passed.
    #[must_use]
    pub fn instant_of(&self, wall: Timestamp) -> Instant {
        let ahead = wall.duration_since(self.now());
        Instant::now() + std::time::Duration::try_from(ahead).unwrap_or_default()
    }
}
