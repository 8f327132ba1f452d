//! Messages that were answered, so that one that comes twice is not carried out twice (RFC 7252 section 4.5).

use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// EXCHANGE_LIFETIME of RFC 7252 section 4.8.2.
const LIFETIME: Duration = Duration::from_secs(247);

/// A client sends one message at a time (NSTART of RFC 7252 section 4.7), so what comes again is among the last.
const MESSAGES: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Memory(VecDeque<Message>);

#[derive(Debug)]
struct Message {
    number: u16,
    until: Instant,
    answer: Option<Vec<u8>>,
}

impl Memory {
    /// What was answered to a message, if it came before.
    pub(super) fn recall(&mut self, number: u16, now: Instant) -> Option<Option<Vec<u8>>> {
        while self.0.front().is_some_and(|oldest| oldest.until <= now) {
            self.0.pop_front();
        }
        self.0.iter().find(|message| message.number == number).map(|message| message.answer.clone())
    }

    /// Remembers a message that was answered, or that is not to be answered when it comes again.
    pub(super) fn remember(&mut self, number: u16, answer: Option<Vec<u8>>, now: Instant) {
        if self.0.len() >= MESSAGES {
            self.0.pop_front();
        }
        self.0.push_back(Message { number, until: now + LIFETIME, answer });
    }

    /// The bytes of all answers.
    #[cfg(fuzzing)]
    pub(super) fn held(&self) -> usize {
        self.0.iter().filter_map(|message| message.answer.as_ref()).map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_message_is_remembered_for_the_lifetime_of_an_exchange() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.remember(1, Some(b"answer".to_vec()), now);
        memory.remember(2, None, now);
        assert_eq!(memory.recall(1, now), Some(Some(b"answer".to_vec())));
        assert_eq!(memory.recall(2, now), Some(None));
        assert_eq!(memory.recall(3, now), None);
        assert_eq!(memory.recall(1, now + LIFETIME), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_last_messages_are_remembered() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        for number in 0..1000 {
            memory.remember(number, None, now);
        }
        assert_eq!(memory.0.len(), MESSAGES);
        assert_eq!(memory.recall(999, now), Some(None));
        assert_eq!(memory.recall(0, now), None);
    }
}
