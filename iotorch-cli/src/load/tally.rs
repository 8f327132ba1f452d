//! What is counted while devices send.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use iotorch_lite::device::Answer;
use serde::Serialize;

/// The longest time that is told apart, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// How many digits of a time are kept.
const DIGITS: u8 = 3;

/// The count of messages and readings.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Messages that were due and tried.
    pub(crate) sent: u64,
    /// Their readings.
    pub(crate) readings: u64,
    /// Messages that a gateway has answered.
    pub(crate) acknowledged: u64,
    /// Messages that did not get through.
    pub(crate) failed: u64,
    /// Why not, and why answers rejected readings, with how often.
    pub(crate) errors: BTreeMap<String, u64>,
    acknowledged_after: Histogram<u64>,
    stored_after: Histogram<u64>,
}

/// How long something took, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Latency {
    /// Half of them took no longer.
    pub(crate) p50: f64,
    /// Nine of ten took no longer.
    pub(crate) p90: f64,
    /// 99 of 100 took no longer.
    pub(crate) p99: f64,
    /// The longest.
    pub(crate) max: f64,
}

impl Tally {
    /// Nothing is counted yet.
    pub(crate) fn new() -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, LONGEST, DIGITS)
                .expect("these bounds are within those of the crate")
        };
        Self {
            sent: 0,
            readings: 0,
            acknowledged: 0,
            failed: 0,
            errors: BTreeMap::new(),
            acknowledged_after: histogram(),
            stored_after: histogram(),
        }
    }

    /// A message of so many readings was tried.
    pub(crate) const fn sent(&mut self, readings: u64) {
        self.sent += 1;
        self.readings += readings;
    }

    /// A gateway said something of a message so long after it was due.
    pub(crate) fn answered(&mut self, answer: &Answer, after: Duration) {
        if *answer == Answer::Sent {
            return;
        }
        self.acknowledged += 1;
        record(&mut self.acknowledged_after, after);
        if let Answer::Rejected { rejected, .. } = answer {
            for reason in rejected {
                self.count(format!("rejected: {reason}"), 1);
            }
        }
    }

    /// A message did not get through.
    pub(crate) fn failed(&mut self, why: String) {
        self.failed += 1;
        self.count(why, 1);
    }

    /// A message was found at a server so long after it was due.
    pub(crate) fn stored(&mut self, after: Duration) {
        record(&mut self.stored_after, after);
    }

    /// Counts an error of this kind.
    pub(crate) fn count(&mut self, why: String, times: u64) {
        *self.errors.entry(why).or_default() += times;
    }

    /// How many messages were found at servers.
    pub(crate) fn found(&self) -> u64 {
        self.stored_after.len()
    }

    /// How long answers took; none without answers.
    pub(crate) fn to_acknowledged(&self) -> Option<Latency> {
        latency(&self.acknowledged_after)
    }

    /// How long it took until messages were stored; none if none was found.
    pub(crate) fn to_stored(&self) -> Option<Latency> {
        latency(&self.stored_after)
    }
}

fn record(histogram: &mut Histogram<u64>, after: Duration) {
    histogram.saturating_record(u64::try_from(after.as_micros()).unwrap_or(LONGEST));
}

fn latency(histogram: &Histogram<u64>) -> Option<Latency> {
    let at = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile)).as_secs_f64();
    (!histogram.is_empty()).then(|| Latency {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        max: Duration::from_micros(histogram.max()).as_secs_f64(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_by_their_percentiles_and_errors_by_their_kind() {
        let mut tally = Tally::new();
        assert_eq!(tally.to_acknowledged(), None);
        for millis in 1..=100 {
            tally.sent(2);
            tally.answered(&Answer::Accepted, Duration::from_millis(millis));
        }
        let near = |is: f64, wanted: f64| (is - wanted).abs() < 0.001;
        let latency = tally.to_acknowledged().unwrap();
        assert!(near(latency.p50, 0.05) && near(latency.p99, 0.099) && near(latency.max, 0.1), "{latency:?}");
        tally.answered(
            &Answer::Rejected { accepted: 1, rejected: vec!["too hot".into(), "too hot".into()] },
            Duration::ZERO,
        );
        tally.failed("no answer".into());
        assert_eq!((tally.sent, tally.readings, tally.acknowledged, tally.failed), (100, 200, 101, 1));
        assert_eq!(tally.errors["rejected: too hot"], 2);
    }

    #[test]
    fn a_message_that_was_only_sent_is_not_acknowledged() {
        let mut tally = Tally::new();
        tally.answered(&Answer::Sent, Duration::ZERO);
        assert_eq!((tally.acknowledged, tally.to_acknowledged()), (0, None));
    }
}
