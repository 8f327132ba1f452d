//! A client that is told of each change of its commands (RFC 7641).

use super::message::Content;
use std::time::Duration;
use tokio::time::Instant;

/// ACK_TIMEOUT, ACK_RANDOM_FACTOR and MAX_RETRANSMIT of RFC 7252 section 4.8.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);
const ACK_RANDOM_FACTOR: f64 = 1.5;
const MAX_RETRANSMIT: u8 = 4;

/// The option is a number of 24 bits (RFC 7641 section 4.4).
const SEQUENCE: u32 = 1 << 24;

#[derive(Debug)]
pub(super) struct Observation {
    pub(super) token: Vec<u8>,
    pub(super) path: String,
    sequence: u32,
    /// What the client was told last.
    told: Content,
    outstanding: Option<Outstanding>,
}

/// A notification that the client has not acknowledged.
#[derive(Debug)]
struct Outstanding {
    number: u16,
    datagram: Vec<u8>,
    wait: Duration,
    due: Instant,
    retransmitted: u8,
}

/// What to do when a notification was not acknowledged in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Nothing is overdue.
    No,
    /// Send it again.
    Again(Vec<u8>),
    /// The client is gone.
    GivenUp,
}

impl Observation {
    pub(super) const fn new(token: Vec<u8>, path: String, told: Content) -> Self {
        Self { token, path, sequence: 0, told, outstanding: None }
    }

    pub(super) const fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Whether the client has been told this; what is under way counts as told.
    pub(super) fn knows(&self, content: &Content) -> bool {
        self.told == *content
    }

    pub(super) const fn is_outstanding(&self) -> bool {
        self.outstanding.is_some()
    }

    /// Counts a notification, whose content the client is told.
    pub(super) fn next(&mut self, content: Content) -> u32 {
        self.sequence = (self.sequence + 1) % SEQUENCE;
        self.told = content;
        self.sequence
    }

    /// Notes that a notification was sent. One that takes the place of another that is outstanding goes on with its
    /// attempts (RFC 7641 section 4.5.2).
    pub(super) fn sent(&mut self, number: u16, datagram: Vec<u8>, now: Instant) {
        let first = || ACK_TIMEOUT.mul_f64(rand::random_range(1.0..=ACK_RANDOM_FACTOR));
        let (wait, retransmitted) = self
            .outstanding
            .take()
            .map_or_else(|| (first(), 0), |before| (before.wait, before.retransmitted));
        self.outstanding = Some(Outstanding { number, datagram, wait, due: now + wait, retransmitted });
    }

    /// Whether this was the number of the outstanding notification, which is then settled.
    pub(super) fn acknowledged(&mut self, number: u16) -> bool {
        self.outstanding.take_if(|outstanding| outstanding.number == number).is_some()
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.outstanding.as_ref().map(|outstanding| outstanding.due)
    }

    /// Looks after a notification that was not acknowledged.
    pub(super) fn overdue(&mut self, now: Instant) -> Overdue {
        let Some(outstanding) = self.outstanding.as_mut().filter(|outstanding| outstanding.due <= now) else {
            return Overdue::No;
        };
        if outstanding.retransmitted == MAX_RETRANSMIT {
            return Overdue::GivenUp;
        }
        outstanding.retransmitted += 1;
        outstanding.wait *= 2;
        outstanding.due = now + outstanding.wait;
        Overdue::Again(outstanding.datagram.clone())
    }

    /// The bytes of what the client was told, and of the notification that is outstanding.
    #[cfg(fuzzing)]
    pub(super) fn held(&self) -> usize {
        let outstanding = self.outstanding.as_ref().map_or(0, |outstanding| outstanding.datagram.len());
        self.told.body.len() + self.token.len() + self.path.len() + outstanding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::message::Content;

    fn content(body: &str) -> Content {
        Content { format: 50, body: body.as_bytes().to_vec() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_notification_is_sent_four_times_again_at_doubled_intervals_and_given_up() {
        let mut observation = Observation::new(vec![1], "p".to_owned(), content("[]"));
        let start = Instant::now();
        observation.sent(7, b"n".to_vec(), start);
        let mut waits = vec![];
        let mut last = start;
        loop {
            let due = observation.due().unwrap();
            assert_eq!(observation.overdue(due - Duration::from_millis(1)), Overdue::No);
            waits.push(due - last);
            last = due;
            match observation.overdue(due) {
                Overdue::Again(datagram) => assert_eq!(datagram, b"n"),
                other => break assert_eq!(other, Overdue::GivenUp),
            }
        }
        assert_eq!(waits.len(), 5);
        assert!(waits[0] >= ACK_TIMEOUT && waits[0] <= Duration::from_secs(3));
        assert!(waits.windows(2).all(|pair| pair[1] == 2 * pair[0]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_newer_notification_goes_on_with_the_attempts_of_the_one_before() {
        let mut observation = Observation::new(vec![1], "p".to_owned(), content("[]"));
        observation.sent(7, b"old".to_vec(), Instant::now());
        let first = observation.due().unwrap();
        assert_eq!(observation.overdue(first), Overdue::Again(b"old".to_vec()));
        let second = observation.due().unwrap();
        observation.sent(8, b"new".to_vec(), first);
        assert_eq!(observation.due(), Some(second));
        assert!(!observation.acknowledged(7) && observation.acknowledged(8));
        assert!(!observation.is_outstanding());
    }

    #[test]
    fn sequence_numbers_start_again_after_24_bits() {
        let mut observation = Observation::new(vec![], "p".to_owned(), content("[]"));
        observation.sequence = SEQUENCE - 1;
        assert_eq!(observation.next(content("[1]")), 0);
        assert!(observation.knows(&content("[1]")));
    }
}
