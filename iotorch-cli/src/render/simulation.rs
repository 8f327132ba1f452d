//! What came of many devices sending at once.

use std::time::Duration;

use super::{table::table, time};
use crate::load::{Latencies, Latency, Outcome};

/// A summary, the times, and what went wrong.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    let Outcome { messages, readings, .. } = outcome;
    let devices = match outcome.devices {
        1 => "1 device".to_owned(),
        n => format!("{n} devices"),
    };
    let seed = outcome.seed.map(|seed| format!(" · seed {seed}")).unwrap_or_default();
    let ended = if outcome.interrupted { " · ended early" } else { "" };
    let took = time::short(Duration::from_secs_f64(outcome.seconds));
    let known = |count: Option<u64>| count.map_or_else(|| "not known".into(), |count| count.to_string());
    let waiting = match readings.waiting {
        None | Some(0) => String::new(),
        Some(n) => format!(" ({n} wait at gateways)"),
    };
    let rows = [
        ["sent".into(), messages.sent.to_string(), readings.sent.to_string()],
        ["failed".into(), messages.failed.to_string(), String::new()],
        ["acknowledged".into(), messages.acknowledged.to_string(), String::new()],
        ["accepted".into(), String::new(), known(readings.accepted)],
        ["rejected".into(), String::new(), known(readings.rejected)],
        ["stored".into(), String::new(), format!("{}{waiting}", known(readings.stored))],
    ];
    let mut parts = vec![
        format!("{devices} · {took} · {:.1} messages/s{seed}{ended}", messages.per_second),
        table(["", "MESSAGES", "READINGS"], rows),
        latencies(&outcome.latency),
    ];
    if !outcome.errors.is_empty() {
        let errors = outcome.errors.iter().map(|(why, times)| [times.to_string(), why.clone()]);
        parts.push(table(["TIMES", "ERROR"], errors));
    }
    parts.join("\n\n")
}

fn latencies(latency: &Latencies) -> String {
    let row = |name: &str, latency: &Option<Latency>| {
        let told =
            |pick: fn(&Latency) -> f64| latency.as_ref().map_or_else(|| "-".into(), |it| millis(pick(it)));
        [name.to_owned(), told(|it| it.p50), told(|it| it.p90), told(|it| it.p99), told(|it| it.max)]
    };
    table(
        ["TIME UNTIL", "P50", "P90", "P99", "MAX"],
        [row("acknowledged", &latency.acknowledged), row("stored", &latency.stored)],
    )
}

/// A time as a person compares times of requests: in milliseconds below a second.
fn millis(seconds: f64) -> String {
    match seconds {
        ..0.1 => format!("{:.2} ms", seconds * 1e3),
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::load::{Messages, Readings};

    #[test]
    fn a_summary_tells_counts_times_and_errors() {
        let latency = Latency { p50: 0.001_234, p90: 0.012, p99: 0.45, max: 1.5 };
        let mut told = Outcome {
            seed: Some(42),
            interrupted: false,
            devices: 20,
            seconds: 10.02,
            messages: Messages { sent: 2000, acknowledged: 1998, failed: 2, per_second: 199.4 },
            readings: Readings {
                sent: 4000,
                accepted: Some(3990),
                rejected: Some(6),
                stored: Some(3980),
                waiting: Some(10),
            },
            latency: Latencies { acknowledged: Some(latency), stored: None },
            errors: BTreeMap::from([
                ("rejected: temperature: 900 is above 85".into(), 6),
                ("the gateway cannot be reached: the connection was lost".into(), 2),
            ]),
        };
        insta::assert_snapshot!("full", outcome(&told));
        told.errors.clear();
        (told.seed, told.interrupted, told.devices) = (None, true, 1);
        (told.readings.accepted, told.readings.rejected, told.readings.stored) = (None, None, None);
        told.readings.waiting = None;
        insta::assert_snapshot!("bare", outcome(&told));
    }
}
