//! Who is at which address: handshakes under way, sessions, and the datagrams for each of them.

use super::{
    guesses::Guesses,
    record::{self, Received},
};
use crate::{
    access::{Access, Key},
    config::Limits,
    limits::Limiter,
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many handshakes may be under way. A newer one takes the place of the oldest whose client has not yet shown that
/// it receives at its address, so a flood of hellos under false addresses hardly delays a true one.
const HANDSHAKES: usize = 256;

/// How many handshakes begin in a second, with twice as many at once. A hello beyond that is dropped; a client sends it again after
/// a second (RFC 6347 section 4.2.4.1).
const HANDSHAKES_A_SECOND: f64 = 200.0;

/// Whose handshakes are counted so: false addresses cost nothing, so everybody's together.
const ANYBODY: &str = "";

/// A handshake takes some ten datagrams; the others are for those that are sent again.
const DATAGRAMS_OF_HANDSHAKE: u32 = 64;

/// How many sessions a user may have: a device that lost power has not closed its last one.
const SESSIONS_OF_USER: usize = 8;

/// How often the server's last flight is sent again.
const REPEATS: u8 = 8;

/// How many datagrams of a peer may wait; those that find no room are lost, as datagrams are.
const WAITING: usize = 16;

/// The handshakes and sessions of a listener.
#[derive(Debug)]
pub(crate) struct Peers {
    most_sessions: usize,
    stop: CancellationToken,
    hellos: Limiter,
    here: Mutex<Here>,
}

#[derive(Debug, Default)]
struct Here {
    last: u64,
    handshakes: HashMap<SocketAddr, Handshake>,
    sessions: HashMap<SocketAddr, Session>,
    guesses: Guesses,
}

#[derive(Debug)]
struct Line {
    /// Counted up, so the older one has the lower number.
    number: u64,
    datagrams: mpsc::Sender<Vec<u8>>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Handshake {
    line: Line,
    /// Whether the client has returned the cookie.
    verified: bool,
    datagrams_left: u32,
}

#[derive(Debug)]
struct Session {
    line: Line,
    user: String,
    generation: u64,
    last_flight: Vec<u8>,
    repeats_left: u8,
}

/// What is to be done about a datagram.
#[derive(Debug)]
pub(super) enum Delivered {
    Done,
    /// A handshake begins.
    New(Place),
    /// The client has not received the last flight of its handshake: send it again.
    Again(Vec<u8>),
}

/// A peer's place among the others, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) address: SocketAddr,
    pub(super) stop: CancellationToken,
    pub(super) datagrams: Option<mpsc::Receiver<Vec<u8>>>,
    number: u64,
    peers: Arc<Peers>,
}

impl Peers {
    pub(super) fn new(most_sessions: usize, stop: CancellationToken) -> Self {
        let hellos = Limiter::new(&Limits::builder().rate(HANDSHAKES_A_SECOND).build());
        Self { most_sessions, stop, hellos, here: Mutex::default() }
    }

    /// Ends the sessions of a user that rest on one credential, or all of them. It is called after the credential has
    /// gone from where [`Access::key`] looks, so no new session can rest on it.
    pub(crate) fn disconnect(&self, user: &str, generation: Option<u64>) {
        let rests = |session: &Session| {
            session.user == user && generation.is_none_or(|generation| generation == session.generation)
        };
        for (_, session) in self.here().sessions.extract_if(|_, session| rests(session)) {
            session.line.stop.cancel();
        }
    }

    /// How many sessions there are.
    pub(crate) fn sessions(&self) -> usize {
        self.here().sessions.len()
    }

    /// How many handshakes there are.
    #[cfg(fuzzing)]
    pub(super) fn handshakes(&self) -> usize {
        self.here().handshakes.len()
    }

    /// Hands a datagram to whom it is for.
    pub(super) fn deliver(self: &Arc<Self>, address: SocketAddr, datagram: &[u8]) -> Delivered {
        let Some(received) = record::received(datagram) else { return Delivered::Done };
        let mut here = self.here();
        if let Some(handshake) = here.handshakes.get_mut(&address)
            && (received != Received::Protected || handshake.verified)
        {
            handshake.take(datagram);
            return Delivered::Done;
        }
        if received == Received::Hello {
            let may_begin = here.guesses.wait(address.ip(), Instant::now()).is_zero()
                && self.hellos.admit(ANYBODY).is_ok();
            // A session stays until the client of the new handshake has shown that it receives at this address
            // (RFC 6347 section 4.2.8).
            return if may_begin {
                Delivered::New(self.begin(&mut here, address, datagram))
            } else {
                Delivered::Done
            };
        }
        match (received, here.sessions.get_mut(&address)) {
            (Received::Protected, Some(session)) => {
                session.line.send(datagram);
                Delivered::Done
            }
            (Received::LastFlight, Some(session)) if session.repeats_left > 0 => {
                session.repeats_left -= 1;
                Delivered::Again(session.last_flight.clone())
            }
            _ => Delivered::Done,
        }
    }

    fn begin(self: &Arc<Self>, here: &mut Here, address: SocketAddr, hello: &[u8]) -> Place {
        if here.handshakes.len() >= HANDSHAKES {
            here.end_oldest_handshake();
        }
        here.last += 1;
        let (sender, datagrams) = mpsc::channel(WAITING);
        let stop = self.stop.child_token();
        let line = Line { number: here.last, datagrams: sender, stop: stop.clone() };
        line.send(hello);
        let handshake = Handshake { line, verified: false, datagrams_left: DATAGRAMS_OF_HANDSHAKE };
        here.handshakes.insert(address, handshake);
        Place { address, stop, datagrams: Some(datagrams), number: here.last, peers: Arc::clone(self) }
    }

    /// Notes that the client of a handshake receives at its address. It has begun again, so its session has ended.
    pub(super) fn verified(&self, address: SocketAddr, number: u64) {
        let mut here = self.here();
        let Some(handshake) = here.handshakes.get_mut(&address) else { return };
        if handshake.line.number == number {
            handshake.verified = true;
            here.end_session(address);
        }
    }

    /// Notes that the client of a handshake does not know the key that it named, and gives how long nobody at its address may
    /// begin another one.
    pub(super) fn refused(&self, address: SocketAddr) -> Duration {
        let (mut here, now) = (self.here(), Instant::now());
        here.guesses.refused(address.ip(), now);
        here.guesses.wait(address.ip(), now)
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Here {
    fn end_oldest_handshake(&mut self) {
        let oldest = self.handshakes.iter().min_by_key(|(_, shake)| (shake.verified, shake.line.number));
        if let Some(address) = oldest.map(|(address, _)| *address) {
            self.end_handshake(address);
        }
    }

    fn end_handshake(&mut self, address: SocketAddr) {
        if let Some(handshake) = self.handshakes.remove(&address) {
            handshake.line.stop.cancel();
        }
    }

    fn end_session(&mut self, address: SocketAddr) {
        if let Some(session) = self.sessions.remove(&address) {
            session.line.stop.cancel();
        }
    }

    /// Ends the oldest session of a user that has as many as it may.
    fn make_room(&mut self, user: &str) {
        let own = self.sessions.iter().filter(|(_, session)| session.user == user);
        let own: Vec<_> = own.map(|(address, session)| (session.line.number, *address)).collect();
        if let Some((_, oldest)) = own.iter().min().filter(|_| own.len() >= SESSIONS_OF_USER) {
            self.end_session(*oldest);
        }
    }
}

impl Handshake {
    fn take(&mut self, datagram: &[u8]) {
        if self.datagrams_left > 0 {
            self.datagrams_left -= 1;
            self.line.send(datagram);
        }
    }
}

impl Line {
    fn send(&self, datagram: &[u8]) {
        let _ = self.datagrams.try_send(datagram.to_vec());
    }
}

impl Place {
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn peers(&self) -> Arc<Peers> {
        Arc::clone(&self.peers)
    }

    /// Makes a session of a handshake whose client has proved that it knows the key.
    pub(super) fn establish(
        &self,
        access: &dyn Access,
        identity: &str,
        key: &Key,
        last_flight: Vec<u8>,
    ) -> Result<(), String> {
        // The key is looked up again under the lock that `disconnect` takes, see there.
        let mut here = self.peers.here();
        let now = access.key(identity)?;
        if now.generation != key.generation || !now.secret.matches(key.secret.expose().as_bytes()) {
            return Err("the key is no longer valid".to_owned());
        }
        here.make_room(&key.user);
        if here.sessions.len() >= self.peers.most_sessions {
            return Err(format!("there are {} sessions already", here.sessions.len()));
        }
        let Some(handshake) = here.handshakes.remove(&self.address) else {
            return Err("another handshake took its place".to_owned());
        };
        let (user, generation) = (key.user.clone(), key.generation);
        let session = Session { line: handshake.line, user, generation, last_flight, repeats_left: REPEATS };
        here.sessions.insert(self.address, session);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut here = self.peers.here();
        let own = |line: &Line| line.number == self.number;
        if here.handshakes.get(&self.address).is_some_and(|handshake| own(&handshake.line)) {
            here.handshakes.remove(&self.address);
        }
        if here.sessions.get(&self.address).is_some_and(|session| own(&session.line)) {
            here.sessions.remove(&self.address);
        }
    }
}
