//! Guessing at keys is slow: an address from which too many handshakes were refused has to wait for its next one.
//!
//! Over other protocols a refused login holds up its connection. A handshake has no connection to hold up, so here it is the
//! address that waits; sessions are not touched. Refused is only who has shown that it receives at its address, so nobody can
//! make another one wait.

use crate::limits::REFUSED_LOGIN;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// What an address may owe and still begin a handshake: eight refused ones, so that the devices behind one address can be wrong at
/// times.
const CREDIT: Duration = Duration::from_secs(2);

/// Addresses that owe something are looked through for those that do not any more when there are at least this many.
const SWEEP: usize = 64;

/// What the addresses of refused handshakes owe.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    /// Until when each refused handshake has been paid for by waiting.
    owing: HashMap<IpAddr, Instant>,
    sweep_at: usize,
}

impl Guesses {
    /// How long an address has to wait until it may begin a handshake.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Duration {
        let until = self.owing.get(&source(address));
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now).saturating_sub(CREDIT))
    }

    /// Notes that a handshake of an address was refused.
    pub(super) fn refused(&mut self, address: IpAddr, now: Instant) {
        if self.owing.len() >= self.sweep_at.max(SWEEP) {
            self.owing.retain(|_, until| *until > now);
            self.sweep_at = 2 * self.owing.len();
        }
        let until = self.owing.entry(source(address)).or_insert(now);
        *until = (*until).max(now) + REFUSED_LOGIN;
    }
}

/// Whoever has one address of IPv6 as a rule has all that begin with the same 64 bits (RFC 6177).
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_with_too_many_refused_handshakes_waits_and_no_other_does() {
        let (mut guesses, start) = (Guesses::default(), Instant::now());
        let (guesser, other) = (address("10.0.0.1"), address("10.0.0.2"));
        for _ in 0..8 {
            assert_eq!(guesses.wait(guesser, start), Duration::ZERO);
            guesses.refused(guesser, start);
        }
        assert_eq!(guesses.wait(guesser, start), Duration::ZERO);
        guesses.refused(guesser, start);
        assert_eq!(guesses.wait(guesser, start), REFUSED_LOGIN);
        assert_eq!(guesses.wait(address("::ffff:10.0.0.1"), start), REFUSED_LOGIN);
        assert_eq!(guesses.wait(other, start), Duration::ZERO);
        assert_eq!(guesses.wait(guesser, start + REFUSED_LOGIN), Duration::ZERO);
    }

    #[test]
    fn the_addresses_of_one_network_of_ipv6_wait_together() {
        let (mut guesses, start) = (Guesses::default(), Instant::now());
        for host in 1..=10 {
            guesses.refused(address(&format!("2001:db8::{host}")), start);
        }
        assert_eq!(guesses.wait(address("2001:db8::ffff"), start), 2 * REFUSED_LOGIN);
        assert_eq!(guesses.wait(address("2001:db8:0:1::1"), start), Duration::ZERO);
    }

    #[test]
    fn addresses_that_owe_nothing_are_forgotten() {
        let (mut guesses, start) = (Guesses::default(), Instant::now());
        for host in 0..10_000_u32 {
            guesses.refused(IpAddr::V4(host.into()), start + Duration::from_secs(host.into()));
        }
        assert!(guesses.owing.len() <= SWEEP);
    }
}
