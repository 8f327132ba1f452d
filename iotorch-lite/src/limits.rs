//! How much one client may ask for: messages at a rate, in bursts, and guesses at passwords slowly.

use crate::config::Limits;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How many seconds of its rate a client may spend at once.
const BURST: f64 = 2.0;

/// The longest time a message can cost.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What a refused login costs the client, so that guessing is slow. Nobody else waits.
pub(crate) const REFUSED_LOGIN: Duration = Duration::from_millis(250);

/// Clients that are known are looked through for idle ones when there are at least this many.
const SWEEP: usize = 64;

/// The rate limit of each client of a gateway or server, over all protocols.
#[derive(Debug)]
pub(crate) struct Limiter {
    /// What one message costs.
    interval: Duration,
    burst: Duration,
    clients: Mutex<Clients>,
}

#[derive(Debug, Default)]
struct Clients {
    /// By name: until when what it sent is paid for at its rate. Without an entry nothing is owed.
    paid_until: HashMap<Box<str>, Instant>,
    sweep_at: usize,
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        let interval = Duration::try_from_secs_f64(1.0 / limits.rate).unwrap_or(LONGEST).min(LONGEST);
        // At least one message passes at a time, however low the rate is.
        let burst = Duration::from_secs_f64(BURST).max(interval);
        Self { interval, burst, clients: Mutex::default() }
    }

    /// Lets a client send one message now, or says how long it has to wait until it may.
    pub(crate) fn admit(&self, client: &str) -> Result<(), Duration> {
        self.admit_at(client, Instant::now())
    }

    /// Waits until a client may send one message.
    pub(crate) async fn turn(&self, client: &str) {
        while let Err(wait) = self.admit(client) {
            tokio::time::sleep(wait).await;
        }
    }

    fn admit_at(&self, client: &str, now: Instant) -> Result<(), Duration> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(paid_until) = clients.paid_until.get_mut(client) else {
            clients.sweep(now);
            clients.paid_until.insert(client.into(), now + self.interval);
            return Ok(());
        };
        let next = (*paid_until).max(now) + self.interval;
        let too_early = (next - now).saturating_sub(self.burst);
        if too_early.is_zero() {
            *paid_until = next;
            Ok(())
        } else {
            Err(too_early)
        }
    }
}

impl Clients {
    /// Forgets who owes nothing, now and then.
    fn sweep(&mut self, now: Instant) {
        if self.paid_until.len() >= self.sweep_at.max(SWEEP) {
            self.paid_until.retain(|_, paid_until| *paid_until > now);
            self.sweep_at = 2 * self.paid_until.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(rate: f64) -> Limiter {
        Limiter::new(&Limits::builder().rate(rate).build())
    }

    #[test]
    fn a_client_sends_a_burst_and_then_at_its_rate_and_others_are_not_touched() {
        let (limiter, start) = (limiter(10.0), Instant::now());
        for _ in 0..20 {
            assert_eq!(limiter.admit_at("d1", start), Ok(()));
        }
        assert_eq!(limiter.admit_at("d1", start), Err(Duration::from_millis(100)));
        assert_eq!(limiter.admit_at("d2", start), Ok(()));
        let later = start + Duration::from_millis(100);
        assert_eq!(limiter.admit_at("d1", later), Ok(()));
        assert!(limiter.admit_at("d1", later).is_err());
    }

    #[test]
    fn a_client_below_its_rate_never_waits() {
        let (limiter, start) = (limiter(0.1), Instant::now());
        for turn in 0..5 {
            assert_eq!(limiter.admit_at("d1", start + Duration::from_secs(10 * turn)), Ok(()));
        }
        assert_eq!(limiter.admit_at("d1", start + Duration::from_secs(45)), Err(Duration::from_secs(5)));
    }

    #[test]
    fn clients_that_are_idle_are_forgotten() {
        let (limiter, start) = (limiter(1.0), Instant::now());
        for second in 0..1000 {
            let now = start + Duration::from_secs(10 * second);
            assert_eq!(limiter.admit_at(&format!("d{second}"), now), Ok(()));
        }
        assert!(limiter.clients.lock().unwrap().paid_until.len() <= SWEEP);
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let (limiter, now) = (limiter(f64::INFINITY), Instant::now());
        assert!((0..100_000).all(|_| limiter.admit_at("d1", now).is_ok()));
    }
}
