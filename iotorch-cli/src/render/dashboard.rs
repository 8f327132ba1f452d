//! The table of `iotorch run`.

use iotorch_core::status::SliceStatus;
use jiff::{Timestamp, tz::TimeZone};

use super::{
    messages::{moment, value},
    status::condition,
    table,
    time::ago,
};
use crate::readings::Message;

/// So many last values are shown; the rest is for `iotorch messages`.
const SHOWN: usize = 20;

/// A slice and what its servers have stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    /// How the slice is.
    pub(crate) slice: &'a SliceStatus,
    /// How many messages there are; none when no server told.
    pub(crate) messages: Option<u64>,
    /// How many come in a second; none before the second count.
    pub(crate) rate: Option<f64>,
}

/// Slices with their rates, then the last value of each name.
pub(crate) fn table(rows: &[Row<'_>], last: &[Message], now: Timestamp, zone: &TimeZone) -> String {
    if rows.is_empty() {
        return "no slices; iotorch apply -f FILE makes one".into();
    }
    let slices = table::table(
        ["SLICE", "STATUS", "GATEWAYS", "SERVERS", "DEVICES", "MESSAGES", "RATE"],
        rows.iter().map(|row| {
            let share = |(ready, all): (usize, usize)| format!("{ready}/{all}");
            [
                row.slice.slice.to_string(),
                condition(&row.slice.condition, now, zone),
                share(row.slice.gateways),
                share(row.slice.servers),
                share(row.slice.devices),
                row.messages.map_or_else(|| "-".into(), |count| count.to_string()),
                row.rate.map_or_else(|| "-".into(), |rate| format!("{rate:.1}/s")),
            ]
        }),
    );
    if last.is_empty() {
        return slices;
    }
    let readings = table::table(
        ["SLICE", "READING", "VALUE", "WHEN"],
        last.iter().take(SHOWN).map(|message| {
            [
                message.slice.to_string(),
                message.record.name.clone(),
                value(&message.record),
                moment(message.record.time).map(|at| ago(now, at)).unwrap_or_default(),
            ]
        }),
    );
    let more = match last.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!("\nand {n} more: iotorch messages SLICE"),
    };
    format!("{slices}\n\n{readings}{more}")
}

#[cfg(test)]
mod tests {
    use iotorch_core::status::Condition;
    use iotorch_lite::senml::{Record, Value};

    use super::{
        super::status::tests::{now, slice},
        *,
    };

    #[test]
    fn slices_come_with_their_rates_and_last_values() {
        let (greenhouse, carpark) = (
            slice("greenhouse", Condition::Ready),
            slice("carpark", Condition::Pending { reason: "hub is starting".into() }),
        );
        let rows = [
            Row { slice: &greenhouse, messages: Some(1_200), rate: Some(2.96) },
            Row { slice: &carpark, messages: None, rate: None },
        ];
        let at = now().as_second() - 1;
        #[allow(clippy::cast_precision_loss, reason = "seconds since the epoch are below 2^53")]
        let message = |name: &str, value, unit: Option<&str>| Message {
            slice: "greenhouse".parse().unwrap(),
            server: "hub".parse().unwrap(),
            gateway: "gw".parse().unwrap(),
            record: Record {
                unit: unit.map(str::to_owned),
                ..Record::new(name, at as f64, Value::Number(value))
            },
        };
        let last = [message("host:load", 0.42, None), message("host:temperature", 41.5, Some("Cel"))];
        insta::assert_snapshot!(table(&rows, &last, now(), &TimeZone::UTC));
        assert_eq!(
            table(&rows, &vec![last[0].clone(); 25], now(), &TimeZone::UTC).lines().last().unwrap(),
            "and 5 more: iotorch messages SLICE"
        );
    }
}
