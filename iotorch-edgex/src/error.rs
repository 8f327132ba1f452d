//! Why a call to a service failed, and what that means to iotorch.

use std::{error::Error as StdError, fmt, sync::Arc};

use iotorch_core::{Error, ErrorKind};

/// How much of an answer that is not understood is kept.
const SHOWN: usize = 300;

/// A call to a service that failed. It never holds a secret.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The service, by the name that EdgeX gives it.
    service: Arc<str>,
    why: Why,
}

/// Why it failed.
#[derive(Clone, Debug)]
pub(crate) enum Why {
    /// Nothing answered, or the connection broke.
    Unreachable(Arc<dyn StdError + Send + Sync>),
    /// No answer came in time; the request may have been carried out.
    NoAnswer,
    /// The service broke off (503 after its `RequestTimeout`), and goes on with what it had begun.
    GaveUp,
    /// The late answer of another request, which the service had given up on, came in front of this one's, also on another connection: it
    /// goes on with what belongs to a request by then. So what came of this one is not known.
    Mixed,
    /// The login was refused.
    Denied(u16),
    /// What the service said of it.
    Said {
        /// The status of the request, or of one item in it.
        status: u16,
        /// In its own words.
        message: String,
    },
    /// An answer outside of the contract.
    Strange {
        /// The status.
        status: u16,
        /// The start of the answer.
        body: String,
    },
}

impl Failure {
    pub(crate) fn new(service: &Arc<str>, why: Why) -> Self {
        Self { service: Arc::clone(service), why }
    }

    /// A request that came to no whole answer.
    pub(crate) fn of_request(service: &Arc<str>, error: reqwest::Error) -> Self {
        let why = match error.is_timeout() {
            true => Why::NoAnswer,
            false => Why::Unreachable(Arc::new(error.without_url())),
        };
        Self::new(service, why)
    }

    pub(crate) fn strange(service: &Arc<str>, status: u16, body: &str) -> Self {
        let body = body.trim().chars().take(SHOWN).collect();
        Self::new(service, Why::Strange { status, body })
    }

    pub(crate) const fn why(&self) -> &Why {
        &self.why
    }

    /// The status that the service gave, where it was one that it chose.
    pub(crate) const fn status(&self) -> Option<u16> {
        match self.why {
            Why::Said { status, .. } => Some(status),
            _ => None,
        }
    }

    /// What the failure means to iotorch.
    pub(crate) fn kind(&self) -> ErrorKind {
        match &self.why {
            Why::Unreachable(_) => ErrorKind::Unavailable,
            Why::NoAnswer | Why::GaveUp | Why::Mixed => ErrorKind::Timeout,
            Why::Denied(_) => ErrorKind::Denied,
            Why::Said { status: 404, .. } => ErrorKind::NotFound,
            Why::Said { status: 409 | 423, .. } => ErrorKind::Conflict,
            Why::Said { status: 429, .. } => ErrorKind::RateLimited,
            // A device service answers so for what it does not like about a device.
            Why::Said { status: 500, message } if message.contains("validation failed") => ErrorKind::Invalid,
            // The database, the bus or another service is away.
            Why::Said { status: 500..=599, .. } => ErrorKind::Unavailable,
            Why::Said { status: 400..=499, .. } => ErrorKind::Invalid,
            // From whatever stands between, such as a forwarded port whose other end is starting.
            Why::Strange { status: 502..=504, .. } => ErrorKind::Unavailable,
            Why::Said { .. } | Why::Strange { .. } => ErrorKind::Unexpected,
        }
    }

    /// Says what could not be done for this reason.
    pub(crate) fn to(&self, what: impl fmt::Display) -> Error {
        let error = Error::new(self.kind(), format!("cannot {what}")).with_source(self.clone());
        match self.why {
            Why::Denied(_) => error.with_help(
                "the secret that manages the gateway must hold USER:PASSWORD, or the password of the user \"admin\"",
            ),
            _ => error,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = &self.service;
        match &self.why {
            Why::Unreachable(_) => write!(out, "{service} cannot be reached"),
            Why::NoAnswer => write!(out, "{service} does not answer"),
            Why::GaveUp => {
                write!(out, "{service} gave up before it was done, and goes on with what it has begun")
            }
            Why::Mixed => write!(out, "{service} answers with what it had given up on before"),
            Why::Denied(status) => write!(out, "{service} refuses the login ({status})"),
            Why::Said { status, message } => write!(out, "{service} says {status}: {message}"),
            Why::Strange { status, body } => {
                write!(out, "{service} gives an answer with status {status} that is not understood: {body}")
            }
        }
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.why {
            Why::Unreachable(source) => Some(&**source),
            _ => None,
        }
    }
}
