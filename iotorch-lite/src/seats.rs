//! The connections that a listener has at a time. Whoever has not yet shown who it is can lose its seat to the next one,
//! so that strangers cannot keep the others out.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// One user can have one seat in this many.
const SHARE: usize = 4;

/// The seats of one listener.
#[derive(Debug)]
pub(crate) struct Seats {
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    /// By number, so the oldest first.
    strangers: BTreeMap<u64, (SocketAddr, CancellationToken)>,
    /// By number: the user.
    known: HashMap<u64, Arc<str>>,
    seats_of: HashMap<Arc<str>, usize>,
    last: u64,
}

/// A seat, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    number: u64,
    lost: CancellationToken,
}

impl Seats {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, taken: Mutex::default() })
    }

    /// Takes a seat, if need be that of the oldest stranger. There is none when all are taken by those who are known.
    pub(crate) fn take(self: &Arc<Self>, peer: SocketAddr) -> Option<Seat> {
        let mut taken = self.taken();
        if taken.strangers.len() + taken.known.len() >= self.limit {
            let (_, (_, lost)) = taken.strangers.pop_first()?;
            lost.cancel();
        }
        taken.last += 1;
        let (number, lost) = (taken.last, CancellationToken::new());
        taken.strangers.insert(number, (peer, lost.clone()));
        drop(taken);
        Some(Seat { seats: Arc::clone(self), number, lost })
    }

    /// Notes who sits where a peer is that was a stranger. `false` if the user has its share of seats already.
    pub(crate) fn know(&self, peer: SocketAddr, user: &str) -> bool {
        let mut taken = self.taken();
        let number = taken.strangers.iter().find(|(_, (other, _))| *other == peer).map(|(number, _)| *number);
        // A peer without a seat has just lost it.
        number.is_none_or(|number| taken.know(number, user, self.limit))
    }

    /// How many seats are taken.
    pub(crate) fn count(&self) -> usize {
        let taken = self.taken();
        taken.strangers.len() + taken.known.len()
    }

    /// Takes the seats of all strangers.
    pub(crate) fn clear(&self) {
        for (_, (_, lost)) in std::mem::take(&mut self.taken().strangers) {
            lost.cancel();
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn know(&mut self, number: u64, user: &str, limit: usize) -> bool {
        if !self.strangers.contains_key(&number) {
            return true;
        }
        let user: Arc<str> = user.into();
        let seats = self.seats_of.entry(Arc::clone(&user)).or_default();
        if *seats >= (limit / SHARE).max(1) {
            return false;
        }
        *seats += 1;
        self.strangers.remove(&number);
        self.known.insert(number, user);
        true
    }

    fn free(&mut self, number: u64) {
        self.strangers.remove(&number);
        let Some(user) = self.known.remove(&number) else { return };
        if let Some(seats) = self.seats_of.get_mut(&user) {
            *seats -= 1;
            if *seats == 0 {
                self.seats_of.remove(&user);
            }
        }
    }
}

impl Seat {
    /// Notes who sits here; the first one counts. `false` if the user has its share of seats already.
    pub(crate) fn know(&self, user: &str) -> bool {
        self.seats.taken().know(self.number, user, self.seats.limit)
    }

    /// Waits until the seat is lost to somebody else.
    pub(crate) async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().free(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn the_oldest_stranger_makes_room_and_who_is_known_stays() {
        let seats = Seats::new(3);
        let first = seats.take(peer(1)).unwrap();
        let second = seats.take(peer(2)).unwrap();
        let third = seats.take(peer(3)).unwrap();
        assert!(seats.know(peer(1), "a") && third.know("b"));
        let fourth = seats.take(peer(4)).unwrap();
        assert!(second.lost.is_cancelled() && !first.lost.is_cancelled() && !third.lost.is_cancelled());
        assert!(fourth.know("c"));
        assert!(seats.take(peer(5)).is_none(), "all are known");
        drop(first);
        assert!(seats.take(peer(5)).is_some());
    }

    #[test]
    fn one_user_cannot_have_all_seats() {
        let seats = Seats::new(8);
        let all: Vec<_> = (0..3).map(|port| seats.take(peer(port)).unwrap()).collect();
        assert_eq!(all.iter().map(|seat| seat.know("a")).collect::<Vec<_>>(), [true, true, false]);
        assert!(all[0].know("a"), "who is known stays known");
        drop(all);
        assert!(seats.taken().seats_of.is_empty() && seats.taken().strangers.is_empty());
    }
}
