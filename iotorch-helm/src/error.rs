//! What can go wrong with charts and releases, told apart by what the caller can do about it.

use std::{error::Error as StdError, fmt};

/// A result with the [`Error`] of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of charts and releases: `cannot <verb> <noun>`, of which kind it is, and what caused it.
///
/// [`fmt::Display`] prints this error alone; a reporter walks [`StdError::source`] for the rest. What helm itself
/// said is kept there, line by line as it said it. No value that was handed in as a value of a chart is in the message.
///
/// # Examples
/// ```
/// use std::error::Error as _;
/// use iotorch_helm::{ErrorKind, ReleaseName};
///
/// let error = "No-Such_Name".parse::<ReleaseName>().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidValues);
/// assert_eq!(error.to_string(), "cannot use \"No-Such_Name\" as the name of a release");
/// assert_eq!(error.source().unwrap().to_string(), "a name has only a-z, 0-9, \"-\", \".\", not 'N'");
/// ```
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The chart cannot be read, one of its templates fails, or a chart that it depends on is missing.
    InvalidChart,
    /// What the caller gave besides the chart is wrong: values that its schema or their syntax refuses, a name, a version.
    InvalidValues,
    /// There is no such chart, version, repository, release, revision or namespace.
    NotFound,
    /// A cluster, registry or repository refused the credentials (401) or the permissions (403).
    Denied,
    /// A cluster, registry or repository did not answer, or answered that it cannot just now.
    Unreachable,
    /// An object, or the name of the release, belongs to somebody else or to another release.
    Conflict,
    /// The cluster refuses an object: a quota, an admission policy, its validation, a kind that it does not know.
    Rejected,
    /// An operation was broken off earlier, and the release says since that it is pending.
    Pending,
    /// An earlier operation on this release is still at work; ask again later.
    Busy,
    /// It was not done in time: by the deadline of the call, or by that of one of the chart's hooks.
    TimedOut,
    /// This engine cannot do that at all.
    Unsupported,
    /// The caller asked to stop before anything was done.
    Cancelled,
    /// Anything else: a hook that failed, a full disk, an answer outside the contract.
    Unexpected,
}

impl ErrorKind {
    /// The name used in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidChart => "invalid-chart",
            Self::InvalidValues => "invalid-values",
            Self::NotFound => "not-found",
            Self::Denied => "denied",
            Self::Unreachable => "unreachable",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
            Self::Pending => "pending",
            Self::Busy => "busy",
            Self::TimedOut => "timed-out",
            Self::Unsupported => "unsupported",
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

impl Error {
    /// An error of `kind` with a message `cannot <verb> <noun>`, in lower case and without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), help: None, source: None }))
    }

    /// Adds the next thing a person can do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Sets the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The next thing a person can do, where there is one.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The same failure as that of something larger.
    pub(crate) fn within(self, message: impl Into<String>) -> Self {
        let mut outer = Self::new(self.kind(), message);
        outer.0.help = self.0.help.clone();
        outer.with_source(self)
    }

    /// That the operating system refused something.
    pub(crate) fn io(message: impl Into<String>, source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Unexpected,
        };
        Self::new(kind, message).with_source(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
