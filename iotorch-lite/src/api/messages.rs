//! Reading the messages of a server.

use crate::{parameter::optional, senml::Record};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

/// How much of a tenant's messages is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Messages stored.
    pub messages: u64,
    /// Their bytes: records and keys. The file of the store is larger, by about a half.
    pub bytes: u64,
    /// Messages that were dropped because too many bytes were stored, the oldest first.
    pub dropped: u64,
}

/// Which messages of a channel to read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MessageQuery {
    /// Only messages of this name or, with a `*` at its end, of names that start so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only messages of this time or later, in seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub from: Option<f64>,
    /// Only messages before this time, in seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub to: Option<f64>,
    /// The order of time; `desc` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// One record for each name and interval instead of the messages. Intervals are aligned to the Unix epoch, and a
    /// record has the time of the start of its interval. The names are in alphabetical order, and the intervals of each
    /// in the order of time asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// What the record of an interval holds; `mean` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<Aggregate>,
    /// At most this many, 1 to 1000; 100 if absent.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub limit: Option<usize>,
    /// Go on where a page ended: its [`Page::next`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// An order of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The oldest first.
    Asc,
    /// The newest first.
    #[default]
    Desc,
}

/// What is made of the messages of one name in one interval. Means, extremes and sums are those of its numbers; where
/// there is no number, there is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Aggregate {
    /// The mean.
    Mean,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The sum.
    Sum,
    /// How many messages there are, whatever their values.
    Count,
    /// The value of the first message.
    First,
    /// The value of the last message.
    Last,
}

/// An interval of 1 ms to 366 days, written as a whole number with a unit: `500ms`, `60s`, `5m`, `1h`, `7d`.
///
/// # Examples
/// ```
/// use iotorch_lite::api::Interval;
/// use std::time::Duration;
///
/// let interval: Interval = "5m".parse()?;
/// assert_eq!(Duration::from(interval), Duration::from_secs(300));
/// assert_eq!(interval.to_string(), "5m");
///
/// let wrong = "5 years".parse::<Interval>().unwrap_err();
/// assert_eq!(wrong.to_string(), "use a whole number with ms, s, m, h or d, from 1ms to 366d, such as 60s");
/// # Ok::<(), iotorch_lite::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Interval(Duration);

/// The units of an [`Interval`] in milliseconds, the greatest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Interval {
    pub(crate) const fn microseconds(self) -> i64 {
        self.0.as_micros() as i64
    }
}

impl FromStr for Interval {
    type Err = crate::Error;

    fn from_str(text: &str) -> crate::Result<Self> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        let milliseconds = unit.and_then(|(_, unit)| number.parse::<u64>().ok()?.checked_mul(*unit));
        milliseconds
            .filter(|milliseconds| (1..=366 * UNITS[0].1).contains(milliseconds))
            .map(|milliseconds| Self(Duration::from_millis(milliseconds)))
            .ok_or_else(|| {
                let allowed = "use a whole number with ms, s, m, h or d, from 1ms to 366d, such as 60s";
                crate::Error::invalid(allowed)
            })
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis() as u64;
        let unit = UNITS.iter().find(|(_, unit)| milliseconds.is_multiple_of(*unit));
        let (name, unit) = unit.copied().unwrap_or(("ms", 1));
        write!(out, "{}{name}", milliseconds / unit)
    }
}

impl TryFrom<String> for Interval {
    type Error = crate::Error;

    fn try_from(text: String) -> crate::Result<Self> {
        text.parse()
    }
}

impl From<Interval> for String {
    fn from(interval: Interval) -> Self {
        interval.to_string()
    }
}

impl From<Interval> for Duration {
    fn from(interval: Interval) -> Self {
        interval.0
    }
}

/// One page of messages. It may have fewer than asked for, and even none, and still have a next one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// Resolved SenML records.
    #[schemars(with = "Vec<SenmlRecord>")]
    pub messages: Vec<Record>,
    /// Where the next page starts; absent on the last one.
    pub next: Option<String>,
}

/// How a [`Record`] is written, see RFC 8428 section 4.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "it is there for its schema")]
pub(crate) struct SenmlRecord {
    /// The name.
    n: String,
    /// The unit.
    u: Option<String>,
    /// The value, if it is a number.
    v: Option<f64>,
    /// The value, if it is a text.
    vs: Option<String>,
    /// The value, if it is true or false.
    vb: Option<bool>,
    /// The value, if it is data, in URL-safe base64 without padding.
    vd: Option<String>,
    /// The sum of values over time.
    s: Option<f64>,
    /// The time in seconds since the Unix epoch.
    t: f64,
    /// The time in seconds within which the next value comes.
    ut: Option<f64>,
}

/// What is in a channel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelStats {
    /// Messages stored.
    pub count: u64,
    /// Their bytes, see [`Usage::bytes`].
    #[serde(default)]
    pub bytes: u64,
    /// Messages that were dropped, see [`Usage::dropped`].
    #[serde(default)]
    pub dropped: u64,
    /// Packs that could not be read, and records that were older than what is kept.
    pub rejected: u64,
    /// Why the last one was rejected.
    pub last_rejection: Option<String>,
    /// The same by name.
    pub names: BTreeMap<String, NameStats>,
}

/// The messages of one name in a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NameStats {
    /// Messages stored.
    pub count: u64,
    /// The message with the latest time.
    #[schemars(with = "SenmlRecord")]
    pub last: Record,
}
