//! What a gateway says of a message.

use crate::api::Failure;
use serde::Deserialize;

/// What a gateway said of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: it has left this process (MQTT at QoS 0).
    Sent,
    /// It has the message; MQTT has no room for more.
    Acknowledged,
    /// It took all of it (HTTP and CoAP).
    Accepted,
    /// It took some readings, or none (HTTP and CoAP).
    Rejected {
        /// How many it took.
        accepted: u64,
        /// Why it did not take each of the others, for people.
        rejected: Vec<String>,
    },
}

/// The body of an answer over HTTP or CoAP that rejects readings.
#[derive(Debug, Deserialize)]
struct Judgement {
    accepted: u64,
    rejected: Vec<String>,
}

impl Answer {
    /// What a body that a gateway sent with its success says.
    pub(super) fn of_success(body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(Judgement { accepted, rejected }) if !rejected.is_empty() => {
                Self::Rejected { accepted, rejected }
            }
            _ => Self::Accepted,
        }
    }

    /// What a body that a gateway sent because it took nothing says; `why` where the body is not about readings.
    pub(super) fn of_refusal(body: &[u8], why: String) -> Self {
        match serde_json::from_slice(body) {
            Ok(Judgement { accepted, rejected }) => Self::Rejected { accepted, rejected },
            Err(_) => Self::Rejected { accepted: 0, rejected: vec![why] },
        }
    }
}

/// The words of a refusal: what the gateway wrote, if it is an error of its API.
pub(super) fn reason(body: &[u8]) -> Option<String> {
    let failure: Failure = serde_json::from_slice(body).ok()?;
    Some(failure.error.message)
}
