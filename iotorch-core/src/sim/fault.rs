//! What can go wrong with a call.

use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use crate::error::ErrorKind;

/// What goes wrong with one step of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It fails without an effect.
    Error(ErrorKind),
    /// It takes so long.
    Delay(Duration),
    /// It is done, but the answer gets lost: the caller sees `Unavailable`.
    LostReply,
    /// The caller sees `Unavailable` at once; it is done after this time all the same.
    LateArrival(Duration),
    /// It is not ready, and has to be asked again.
    NotReady,
    /// The place cannot be reached for this time.
    Partition(Duration),
}

/// A source of faults.
#[derive(Debug, Default)]
pub struct Faults {
    random: Option<StdRng>,
    /// Faults a thousand calls.
    per_mille: u32,
}

impl Faults {
    /// No faults.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Faults that `seed` decides: of a thousand steps, about `per_mille` are hit.
    #[must_use]
    pub fn seeded(seed: u64, per_mille: u32) -> Self {
        Self { random: Some(StdRng::seed_from_u64(seed)), per_mille }
    }

    pub(super) fn next(&mut self) -> Option<Fault> {
        let random = self.random.as_mut()?;
        if random.random_range(0..1000) >= self.per_mille {
            return None;
        }
        Some(any_fault(random))
    }
}

fn any_fault(random: &mut impl Rng) -> Fault {
    let millis = |random: &mut dyn FnMut() -> u64, most: u64| Duration::from_millis(random() % most + 1);
    let mut number = || random.next_u64();
    match number() % 10 {
        0 => Fault::Error(ErrorKind::Unavailable),
        1 => Fault::Error(ErrorKind::Denied),
        2 => Fault::Error(ErrorKind::Unexpected),
        3 => Fault::Error(ErrorKind::RateLimited),
        4 => Fault::Delay(millis(&mut number, 90_000)),
        5 | 6 => Fault::LostReply,
        7 => Fault::LateArrival(millis(&mut number, 30_000)),
        8 => Fault::NotReady,
        _ => Fault::Partition(millis(&mut number, 20_000)),
    }
}
