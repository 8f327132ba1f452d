//! Why something could not be done, as a person reads it.

use std::error;
use std::fmt;
use std::io;
use std::path::Path;

/// What could not be done (`cannot <verb> <noun>: cause`), what lies below it, and the next thing to do.
#[derive(Debug)]
pub struct Error {
    message: String,
    help: Option<String>,
    source: Option<Box<dyn error::Error + Send + Sync>>,
}

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, source: None }
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds something else to do.
    pub(crate) fn and_help(self, other: &str) -> Self {
        let help = self.help.as_ref().map_or_else(|| other.to_owned(), |help| format!("{help}; {other}"));
        self.with_help(help)
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// A failure with a file or folder: `cannot <verb> "<path>"`.
    pub(crate) fn file(verb: &str, path: &Path, error: io::Error) -> Self {
        Self::new(format!("cannot {verb} \"{}\"", path.display())).with_source(error)
    }

    /// What lies below it, taken out.
    #[must_use]
    pub fn into_cause(self) -> Option<Box<dyn error::Error + Send + Sync>> {
        self.source
    }

    /// The next thing to do, where there is one.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
