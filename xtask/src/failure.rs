//! Why a command stopped, as a person reads it.

use std::error::Error;
use std::fmt;

/// What could not be done (`cannot <verb> <noun>: cause`), what lies below it, and the next thing to do.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    help: Option<String>,
    source: Option<Box<dyn Error>>,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, source: None }
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds another way out to the one that there may be.
    pub(crate) fn or_help(self, other: &str) -> Self {
        let help = self.help.as_ref().map_or_else(|| other.to_owned(), |help| format!("{help}, or {other}"));
        self.with_help(help)
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn Error>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_way_out_does_not_take_the_place_of_the_first() {
        let failure = Failure::new("cannot dig").or_help("wait for rain");
        assert_eq!(failure.help(), Some("wait for rain"));
        let failure = Failure::new("cannot dig").with_help("buy a spade").or_help("wait for rain");
        assert_eq!(failure.help(), Some("buy a spade, or wait for rain"));
    }
}
