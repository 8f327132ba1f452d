//! Why a request to a server failed, and what that means to iotorch.

use crate::client::Service;
use iotorch_core::{Error, ErrorKind};
use std::{error::Error as StdError, fmt, time::Duration};

/// How long a request may take, answer included. SuperMQ takes 5 s to say that its events cannot be written.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// How much of an answer that is not understood is kept.
const SHOWN: usize = 300;

/// Why a request failed. It never holds a secret.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no endpoint for the service.
    NoEndpoint(Service),
    /// No way leads to the service.
    NoRoute(Service, iotorch_core::Error),
    /// Nothing answered, so nothing was changed; or the connection broke, and nobody knows.
    Unreachable(Service, reqwest::Error),
    /// Nothing listens where the service should.
    Closed(Service, std::io::Error),
    /// No answer came in time. The request may have been carried out.
    Timeout(Service),
    /// The user or the password is wrong, as far as the server says; for certain if others are let in.
    Refused { user: String, is_certain: bool },
    /// Nobody is let in.
    AllRefused,
    /// No token is given out, whoever asks.
    NoToken { status: u16, message: String },
    /// A token that was given out just now is refused.
    TokenRefused(Service),
    /// The service wants users whose e-mail addresses are verified, and nobody reads mail to those of slices.
    Unverified(Service),
    /// An answer that says no.
    Answer { service: Service, status: u16, message: String, kind: ErrorKind },
    /// The reader does not let a thing read, and does not say why.
    Unread,
    /// A list that did not come whole.
    Incomplete { service: Service, read: usize, total: u64 },
    /// An answer outside of the contract.
    Unreadable(Service, String),
    /// What is asked for cannot work.
    Invalid(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoint(service) => write!(out, "there is no endpoint \"{service}\""),
            Self::NoRoute(service, _) => write!(out, "no route leads to the service \"{service}\""),
            Self::Unreachable(service, _) | Self::Closed(service, _) => write!(out, "the service \"{service}\" does not answer"),
            Self::Timeout(service) => {
                write!(out, "the service \"{service}\" did not answer within {} s", TIMEOUT.as_secs())
            }
            Self::Refused { user, is_certain: true } => {
                write!(out, "the server refused the password of user \"{user}\"")
            }
            Self::Refused { user, is_certain: false } => write!(
                out,
                "the server refused the password of user \"{user}\", or its database is away: it answers both alike"
            ),
            Self::AllRefused => {
                out.write_str("the server refuses the passwords of all users, as it does while its database is away")
            }
            Self::NoToken { status, message } => write!(
                out,
                "the service \"users\" gives out no token ({status}: {message}), as while \"auth\", or what that needs, is away"
            ),
            Self::TokenRefused(service) => write!(
                out,
                "the service \"{service}\" refuses a token that was given out just now, as it does while \"auth\" is away"
            ),
            Self::Unverified(service) => {
                write!(out, "the service \"{service}\" lets nobody in whose address is not verified: {UNVERIFIED}")
            }
            Self::Answer { service, status, message, .. } if message.is_empty() => {
                write!(out, "the service \"{service}\" answered with status {status}")
            }
            Self::Answer { service, status, message, .. } => {
                write!(out, "the service \"{service}\" answered with status {status}: {message}")
            }
            Self::Unread => out.write_str(
                "the service \"reader\" cannot admit the key: it is wrong, not connected to the channel, or \"things\" is away",
            ),
            Self::Incomplete { service, read, total } => write!(
                out,
                "a list of the service \"{service}\" did not come whole: {read} of {total} entries could be read"
            ),
            Self::Unreadable(service, why) => {
                write!(out, "the service \"{service}\" answered what cannot be read: {why}")
            }
            Self::Invalid(why) => out.write_str(why),
        }
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::NoRoute(_, source) => Some(source),
            Self::Unreachable(_, source) => Some(source),
            Self::Closed(_, source) => Some(source),
            _ => None,
        }
    }
}

impl Failure {
    /// What the failure means to iotorch.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::NoEndpoint(_) => ErrorKind::NotFound,
            Self::NoRoute(_, error) => error.kind(),
            Self::Unreachable(..)
            | Self::Closed(..)
            | Self::AllRefused
            | Self::NoToken { .. }
            | Self::TokenRefused(_)
            | Self::Incomplete { .. } => ErrorKind::Unavailable,
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::Refused { .. } | Self::Unread | Self::Unverified(_) => ErrorKind::Denied,
            Self::Answer { kind, .. } => *kind,
            Self::Unreadable(..) => ErrorKind::Unexpected,
            Self::Invalid(_) => ErrorKind::Invalid,
        }
    }

    /// The error that says what could not be done because of it.
    pub(crate) fn into_error(self, what: String) -> Error {
        let (kind, help) = (self.kind(), self.help());
        let error = Error::new(kind, what).with_source(self);
        match help {
            Some(help) => error.with_help(help),
            None => error,
        }
    }

    /// What a person can do about it, where that is known.
    const fn help(&self) -> Option<&'static str> {
        match self {
            Self::Unverified(_) => Some(
                "set SMQ_ALLOW_UNVERIFIED_USER=true at the services of the server (Magistrala 0.30: MG_ALLOW_UNVERIFIED_USER)",
            ),
            _ => None,
        }
    }

    /// The failure that an answer means.
    pub(crate) fn of(service: Service, status: u16, body: &str) -> Self {
        let message: String = message_of(body).chars().take(SHOWN).collect();
        let kind = kind_of(status, &message);
        Self::Answer { service, status, message, kind }
    }

    /// Whether nothing is listening there.
    pub(crate) fn is_connect(&self) -> bool {
        match self {
            Self::Unreachable(_, error) => error.is_connect(),
            Self::Closed(..) => true,
            _ => false,
        }
    }

    /// Whether the password is wrong, as far as the server says.
    pub(crate) const fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// The status of the answer, if it is one.
    pub(crate) const fn status(&self) -> Option<u16> {
        match self {
            Self::Answer { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// What the services answer while their database is away, all with status 400.
const DATABASE_AWAY: [&str; 3] = ["create entity failed", "add connection failed", "remove entity failed"];

/// What SuperMQ says of what somebody has already.
const TAKEN: [&str; 3] = ["already exists", "already registered", "not available"];

/// What SuperMQ says, with status 401, to a user whose e-mail address nobody has verified.
pub(crate) const UNVERIFIED: &str = "email not verified";

fn kind_of(status: u16, message: &str) -> ErrorKind {
    match status {
        400 if DATABASE_AWAY.contains(&message) => ErrorKind::Unavailable,
        // SuperMQ from 0.18.4 on has no other status for what is taken.
        400 if TAKEN.iter().any(|words| message.contains(words)) => ErrorKind::Conflict,
        400 | 413 => ErrorKind::Invalid,
        401 | 403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        // Mainflux says so of its database, SuperMQ of whatever it needs and does not reach.
        422 => ErrorKind::Unavailable,
        429 => ErrorKind::RateLimited,
        500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Unexpected,
    }
}

/// What an answer says in words: Mainflux under `error`, SuperMQ under `message`.
pub(crate) fn message_of(body: &str) -> String {
    let read: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let words = |name: &str| read.as_ref()?.get(name)?.as_str().filter(|words| !words.is_empty());
    // SuperMQ up to 0.18.3 has both, and the first may be empty.
    let said = words("error").or_else(|| words("message"));
    match (said, &read) {
        (Some(said), _) => said.to_owned(),
        // An object without words says nothing.
        (None, Some(serde_json::Value::Object(_))) => String::new(),
        _ => body.trim().replace(['\n', '\r'], " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_an_answer_are_found_wherever_a_release_has_them() {
        let said = [
            (r#"{"error":"entity already exists"}"#, "entity already exists"),
            (r#"{"message":"entity not found"}"#, "entity not found"),
            (r#"{"error":"","message":"failed to enable client"}"#, "failed to enable client"),
            (r#"{"error":"invalid name size","message":"something went wrong"}"#, "invalid name size"),
            (r#"{"error":"","message":""}"#, ""),
            ("404 page not found\n", "404 page not found"),
        ];
        for (body, words) in said {
            assert_eq!(message_of(body), words, "{body}");
        }
    }
}
