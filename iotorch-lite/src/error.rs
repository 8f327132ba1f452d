//! What can go wrong in a gateway or server, told apart by what the caller can do about it.

use std::{error::Error as StdError, fmt};

/// A result with the [`Error`] of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a gateway or server. It never holds a secret.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    owner: Option<String>,
    help: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kinds of [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request or configuration is wrong and stays wrong.
    Invalid,
    /// No valid token was given.
    Unauthorized,
    /// The token is valid but not for this.
    Forbidden,
    /// What was asked for does not exist.
    NotFound,
    /// The object carries the mark of somebody else, see [`Error::owner`].
    Conflict,
    /// The object is used by others and must stay until they are gone.
    InUse,
    /// A port or the data directory is taken by another process.
    Taken,
    /// The store on disk failed.
    Store,
}

impl Error {
    /// What kind of error it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The mark of the object's owner, for [`ErrorKind::Conflict`].
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// The next thing a person can do, where there is one.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// What it means to iotorch.
    pub(crate) const fn to_core(&self) -> iotorch_core::ErrorKind {
        use iotorch_core::ErrorKind as Core;
        match self.kind {
            ErrorKind::Invalid => Core::Invalid,
            ErrorKind::Unauthorized | ErrorKind::Forbidden => Core::Denied,
            ErrorKind::NotFound => Core::NotFound,
            ErrorKind::Conflict | ErrorKind::InUse | ErrorKind::Taken => Core::Conflict,
            ErrorKind::Store => Core::Unexpected,
        }
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), owner: None, help: None, source: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn not_found(path: &str) -> Self {
        Self::new(ErrorKind::NotFound, format!("there is no \"{path}\""))
    }

    pub(crate) fn conflict(path: &str, owner: &str) -> Self {
        let message = format!("\"{path}\" belongs to \"{owner}\"");
        Self { owner: Some(owner.to_owned()), ..Self::new(ErrorKind::Conflict, message) }
    }

    pub(crate) fn store(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Store, message)
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same failure as that of something larger.
    pub(crate) fn within(self, message: impl Into<String>) -> Self {
        let (kind, help) = (self.kind, self.help.clone());
        Self { help, ..Self::new(kind, message).caused_by(self) }
    }

    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// Every error of the embedded store means the same to a caller: this request was not carried out.
macro_rules! from_store {
    ($($type:ty),+) => {$(
        impl From<$type> for Error {
            fn from(source: $type) -> Self {
                Self::store("cannot use the store").caused_by(source)
            }
        }
    )+};
}
from_store!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError
);
