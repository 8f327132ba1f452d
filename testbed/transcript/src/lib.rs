//! Calls recorded from real services, to hold fakes of these against.
//!
//! A transcript has a call a line: what was asked, and the whole answer. A [`Replay`] puts the same questions to a fake, in the same
//! order, and compares the answers word by word. What differs from run to run (identities, tokens, times) is told by its form:
//! where it first occurs in a recorded answer, the fake's own stands for it from then on, in questions as in answers.

mod replay;
mod value;

pub use replay::{Answer, Replay, call};

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A recorded call.
#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    /// What it is about, and which call in that.
    pub name: String,
    /// The service that was asked.
    pub service: String,
    /// What was asked.
    pub request: Request,
    /// What it answered.
    pub response: Response,
    /// What whoever recorded it remarked.
    #[serde(default)]
    pub note: String,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Request {
    /// The method, of HTTP or in words.
    pub method: String,
    /// The path with its query, or the topic.
    pub path: String,
    /// The headers, or what else belongs to the question.
    #[serde(default)]
    pub headers: BTreeMap<String, Value>,
    /// JSON; a text that is sent as it is; or nothing.
    #[serde(default)]
    pub body: Value,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Response {
    /// The status; none where there was no answer.
    pub status: Option<i64>,
    /// The headers that matter.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// JSON, or a text that is none.
    #[serde(default)]
    pub body: Value,
}

/// Reads a transcript: JSON, a call a line.
///
/// # Errors
/// The number of the first line that is no call, and why.
pub fn read(text: &str) -> Result<Vec<Line>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))
        })
        .collect()
}
