//! Reading the log of a gateway or server.

use crate::parameter::optional;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which entries of the log to read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogQuery {
    /// The first entries after the one with this number; the newest if absent.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub after: Option<u64>,
    /// At most this many, 1 to 1000; 100 if absent.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub limit: Option<usize>,
    /// Only entries of this start, see [`LogPage::start`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub start: Option<u64>,
}

/// Entries of the log, the oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogPage {
    /// How often it has been started in its data directory, this time included.
    pub start: u64,
    /// The entries.
    pub entries: Vec<LogEntry>,
}

/// One entry of the log of a gateway or server. It holds no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogEntry {
    /// Its number, counted from 1 over all starts.
    pub seq: u64,
    /// The start it belongs to, counted from 1.
    pub start: u64,
    /// When it was, in seconds since the Unix epoch.
    pub time: f64,
    /// How much it matters.
    pub level: Level,
    /// What it is about, such as `started` or `refused-login`.
    pub event: String,
    /// Whom it is about: a user name, an export, a reading, a topic; or nothing.
    pub subject: String,
    /// What happened, for people.
    pub message: String,
    /// How many of the same event and subject were left out just before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
}

impl fmt::Display for LogEntry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        if self.more > 0 {
            write!(out, " … and {} more", self.more)?;
        }
        Ok(())
    }
}

const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How much an entry of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something went as it should.
    Info,
    /// Somebody may want to do something about it.
    Warning,
    /// Somebody has to do something about it.
    Error,
}
