//! Who may do what at a gateway or server, and where messages go: the same for every protocol.
//!
//! A listener proves who its client is, asks the [`Access`], and says the answer in the words of its protocol. What is a
//! topic in MQTT is the path in HTTP and CoAP, without the slash in front.

use crate::{Result, Secret, gateway::commands::Commands, limits::Limiter, refusals::Refusals};
use async_trait::async_trait;
use std::fmt;

/// How a client speaks to a gateway or server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Mqtt,
    Http,
    Coap,
    /// HTTP at the management API.
    Management,
}

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Mqtt => "mqtt",
            Self::Http => "http",
            Self::Coap => "coap",
            Self::Management => "management",
        })
    }
}

/// What a client proves to know without sending it, and who it then is.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) user: String,
    pub(crate) generation: u64,
    pub(crate) secret: Secret,
}

/// What became of the readings of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Readings that are stored, those that were stored before included.
    pub(crate) accepted: u64,
    /// Why each of the others is not.
    pub(crate) rejected: Vec<String>,
}

/// How many bytes of reasons a client is told. A message can have a reading, and so a reason, in each three bytes, and
/// answers stay in memory until slow clients have read them.
const REASONS: usize = 16 * 1024;

impl Taken {
    /// The first reasons, and how many others there are.
    pub(crate) fn reasons(&self, first: usize) -> Vec<String> {
        let mut told: Vec<_> = self.rejected.iter().take(first).cloned().collect();
        let more = self.rejected.len() - told.len();
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        told
    }

    /// How many reasons a client is told at most.
    pub(crate) fn told(&self) -> usize {
        let mut bytes = 0;
        let fits = |why: &&String| {
            bytes += why.len();
            bytes <= REASONS
        };
        self.rejected.iter().take_while(fits).count()
    }
}

/// Who may do what, and where messages go.
#[async_trait]
pub(crate) trait Access: Send + Sync + 'static {
    /// The generation of the credential that this password is, or why the login is refused.
    fn login(&self, protocol: Protocol, user: &str, password: &[u8]) -> std::result::Result<u64, String>;

    /// The key that a client with this identity has to prove to know over CoAP, or why there is none. The identity is a
    /// user, with its oldest generation, or a user, a colon and a generation.
    fn key(&self, identity: &str) -> std::result::Result<Key, String>;

    fn may_publish(&self, user: &str, topic: &str) -> bool;

    fn may_subscribe(&self, user: &str, filter: &str) -> bool;

    /// Stores a message durably. The message is acknowledged if and only if this succeeds.
    async fn publish(&self, user: &str, topic: &str, payload: &[u8]) -> Result<Taken>;

    /// The commands that wait for clients, where there are any.
    fn commands(&self) -> Option<&Commands>;

    fn refusals(&self) -> &Refusals;

    /// How many messages each user may send.
    fn limits(&self) -> &Limiter;
}

#[cfg(test)]
mod tests {
    use super::Taken;

    #[test]
    fn a_client_is_told_as_many_reasons_as_it_can_be_expected_to_read() {
        let few = Taken { accepted: 1, rejected: vec!["no number".to_owned(); 200] };
        assert_eq!(few.reasons(few.told()), few.rejected);
        let many = Taken { accepted: 1, rejected: vec!["no number".to_owned(); 20_000] };
        let told = many.reasons(many.told());
        assert_eq!((told.len(), told.last().map(String::as_str)), (1821, Some("and 18180 more")));
    }
}
