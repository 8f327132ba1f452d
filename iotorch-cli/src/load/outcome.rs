//! What came of many devices sending at once, as a program reads it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Latency;

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    /// What the random values came from; none for a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    /// Whether it was ended before its time.
    pub(crate) interrupted: bool,
    /// How many devices sent.
    pub(crate) devices: usize,
    /// For how long, in seconds.
    pub(crate) seconds: f64,
    /// What became of messages.
    pub(crate) messages: Messages,
    /// What became of the readings in them.
    pub(crate) readings: Readings,
    /// How long it took, in seconds from when a message was due.
    pub(crate) latency: Latencies,
    /// What went wrong, with how often.
    pub(crate) errors: BTreeMap<String, u64>,
}

/// What became of messages.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Messages {
    /// Those that were due.
    pub(crate) sent: u64,
    /// Those that a gateway answered; at QoS 0 none is.
    pub(crate) acknowledged: u64,
    /// Those that did not get through.
    pub(crate) failed: u64,
    /// Those that got through, by the second.
    pub(crate) per_second: f64,
}

/// What became of readings.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Readings {
    /// Those in all messages.
    pub(crate) sent: u64,
    /// Those that gateways took; none where that cannot be asked.
    pub(crate) accepted: Option<u64>,
    /// Those that gateways did not take.
    pub(crate) rejected: Option<u64>,
    /// Those that are in every server that their gateway sends to; none where that cannot be asked.
    pub(crate) stored: Option<u64>,
    /// Those that still waited for servers at the end, of these devices or others of the slices; none where that cannot be asked.
    pub(crate) waiting: Option<u64>,
}

/// How long it took.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Latencies {
    /// Until a gateway answered.
    pub(crate) acknowledged: Option<Latency>,
    /// Until a server had stored it and told its readers. Readers of Mainflux are asked once a second, so there it is up to a second too
    /// long.
    pub(crate) stored: Option<Latency>,
}
