//! The one error type of iotorch.
//!
//! An [`Error`] says what could not be done (`cannot create device "d1"`), of which [`ErrorKind`] the failure is
//! (which decides whether core tries again), and what caused it. [`fmt::Display`] prints this error alone; a reporter walks
//! [`std::error::Error::source`] for the rest.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// What every fallible operation of iotorch returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The classes of failure that callers can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is wrong; repeating it cannot help.
    Invalid,
    /// The named thing does not exist.
    NotFound,
    /// Another owner, another run, or another version holds the thing.
    Conflict,
    /// The base that a plan was computed from has changed since.
    Moved,
    /// The other system refused the credentials or permissions.
    Denied,
    /// The backend cannot do this at all.
    Unsupported,
    /// The request is well formed but cannot be met with what there is (capacity, addresses, places).
    Infeasible,
    /// The other system could not be reached or is overloaded.
    Unavailable,
    /// The thing exists and works towards readiness; not a failure until the deadline.
    NotReady,
    /// The deadline passed; the effect of the call is unknown.
    Timeout,
    /// The other system asked for fewer calls.
    RateLimited,
    /// The caller asked to stop.
    Cancelled,
    /// Anything else: a defect, a broken file, an answer outside the contract.
    Unexpected,
}

impl ErrorKind {
    /// Whether an error of this kind may pass when the same call is made again.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable | Self::NotReady | Self::Timeout | Self::RateLimited)
    }

    /// The name used in JSON and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Moved => "moved",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::Infeasible => "infeasible",
            Self::Unavailable => "unavailable",
            Self::NotReady => "not-ready",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate-limited",
            Self::Cancelled => "cancelled",
            Self::Unexpected => "unexpected",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error with its kind, a message of the form `cannot <verb> <noun>`, context pairs, and a source.
///
/// # Examples
/// ```
/// use iotorch_core::{Error, ErrorKind};
///
/// let refused = Error::new(ErrorKind::Denied, "the server refused the credentials (401)");
/// let error = Error::new(refused.kind(), "cannot attach gateway \"gw\" to server \"hub\"")
///     .with_context("slice", "greenhouse")
///     .with_source(refused);
/// assert!(!error.is_retryable());
/// assert_eq!(error.to_string(), "cannot attach gateway \"gw\" to server \"hub\"");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    context: Vec<(String, String)>,
    help: Option<String>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a message in lower case and without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            context: Vec::new(),
            help: None,
            retry_after: None,
            source: None,
        }))
    }

    /// Adds a fact about where the error happened, such as the step or the object.
    #[must_use]
    pub fn with_context(mut self, key: impl Into<String>, value: impl fmt::Display) -> Self {
        self.0.context.push((key.into(), value.to_string()));
        self
    }

    /// Adds the next thing the person can do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Says how long the other system asked to be left alone.
    #[must_use]
    pub fn with_retry_after(mut self, pause: Duration) -> Self {
        self.0.retry_after = Some(pause);
        self
    }

    /// Sets the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The class of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.kind.is_retryable()
    }

    /// How long the other system asked to wait before the next call.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The next thing a person can do, where there is one.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// Facts about where the error happened, in the order they were added.
    pub fn context(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.context.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The error as plain data, for a journal, a report or another process.
    #[must_use]
    pub fn to_cause(&self) -> Cause {
        let mut chain = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(error) = next {
            chain.push(error.to_string());
            next = error.source();
        }
        Cause {
            kind: self.0.kind,
            message: self.0.message.clone(),
            context: self.0.context.clone(),
            help: self.0.help.clone(),
            chain,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.0.kind).field("message", &self.0.message);
        if !self.0.context.is_empty() {
            out.field("context", &self.0.context);
        }
        if let Some(source) = &self.0.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// An [`Error`] as data: what journals, reports and status keep of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// The class of the failure.
    pub kind: ErrorKind,
    /// What could not be done.
    pub message: String,
    /// Facts about where it happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<(String, String)>,
    /// The next thing a person can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The messages of the sources, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
}

impl Cause {
    /// The innermost message: what the lowest system said.
    #[must_use]
    pub fn root(&self) -> &str {
        self.chain.last().unwrap_or(&self.message)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.chain.iter().try_for_each(|link| write!(f, ": {link}"))
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        let source =
            cause.chain.into_iter().rev().fold(None, |inner: Option<Link>, message| {
                Some(Link { message, source: inner.map(Box::new) })
            });
        let mut error = Self::new(cause.kind, cause.message);
        error.0.context = cause.context;
        error.0.help = cause.help;
        match source {
            Some(link) => error.with_source(link),
            None => error,
        }
    }
}

/// One message of a chain that came back from data.
#[derive(Debug)]
struct Link {
    message: String,
    source: Option<Box<Self>>,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Link {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|link| link as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_through_data() {
        let root = Error::new(ErrorKind::Unavailable, "connection refused");
        let error = Error::new(ErrorKind::Unavailable, "cannot create device \"d1\"")
            .with_context("host", "edge-1")
            .with_help("start the gateway")
            .with_source(root);
        let cause = error.to_cause();
        assert_eq!(cause.root(), "connection refused");
        assert_eq!(Error::from(cause.clone()).to_cause(), cause);
    }
}
