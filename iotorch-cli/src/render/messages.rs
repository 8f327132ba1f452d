//! Readings.

use iotorch_core::{Error, ErrorKind, Result};
use iotorch_lite::senml::{Record, Value};
use jiff::{Timestamp, tz::TimeZone};

use super::{table::table, time};
use crate::readings::Message;

/// Messages as a table, in the order given; with their servers where there are `several`.
pub(crate) fn messages(messages: &[Message], several: bool, zone: &TimeZone) -> String {
    if messages.is_empty() {
        return "no messages".into();
    }
    let row = |message: &Message| {
        let time = moment(message.record.time).map_or_else(
            || message.record.time.to_string(),
            |at| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        );
        [time, message.gateway.to_string(), message.record.name.clone(), value(&message.record)]
    };
    if !several {
        return table(["TIME", "GATEWAY", "NAME", "VALUE"], messages.iter().map(row));
    }
    let with_server = |message| {
        let [time, gateway, name, value] = row(message);
        [time, message.server.to_string(), gateway, name, value]
    };
    table(["TIME", "SERVER", "GATEWAY", "NAME", "VALUE"], messages.iter().map(with_server))
}

/// One message as a line, as it arrives; with its server where there are `several`.
pub(crate) fn line(message: &Message, several: bool, zone: &TimeZone) -> String {
    let time = moment(message.record.time).map_or_else(
        || message.record.time.to_string(),
        |at| at.to_zoned(zone.clone()).strftime("%H:%M:%S%.3f").to_string(),
    );
    let server = if several { format!("{}  ", message.server) } else { String::new() };
    format!("{time}  {server}{}  {}  {}", message.gateway, message.record.name, value(&message.record))
}

/// Messages as comma-separated values (RFC 4180) with a heading; times in RFC 3339 and numbers in full.
pub(crate) fn csv(messages: &[Message]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |why: String| Error::new(ErrorKind::Unexpected, format!("cannot write the messages: {why}"));
    writer
        .write_record(["time", "gateway", "name", "value", "unit"])
        .map_err(|error| failed(error.to_string()))?;
    for Message { gateway, record, .. } in messages {
        let time = moment(record.time).map_or_else(|| record.time.to_string(), |at| at.to_string());
        let value = match (&record.value, record.sum) {
            (Some(Value::Number(number)), _) => number.to_string(),
            (Some(Value::Text(text)), _) => text.clone(),
            (Some(Value::Bool(on)), _) => on.to_string(),
            (Some(other), _) => format!("{other:?}"),
            (None, sum) => sum.map(|sum| sum.to_string()).unwrap_or_default(),
        };
        let unit = record.unit.as_deref().unwrap_or_default();
        writer
            .write_record([&time, gateway.as_str(), &record.name, &value, unit])
            .map_err(|error| failed(error.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// The last reading of each name as a table.
pub(crate) fn last_readings(last: &[Message], now: Timestamp) -> String {
    if last.is_empty() {
        return "none yet".into();
    }
    table(
        ["GATEWAY", "NAME", "VALUE", "WHEN"],
        last.iter().map(|message| {
            [
                message.gateway.to_string(),
                message.record.name.clone(),
                value(&message.record),
                moment(message.record.time).map(|at| time::ago(now, at)).unwrap_or_default(),
            ]
        }),
    )
}

/// The moment of a SenML time, in seconds since the Unix epoch; none for one that no calendar has.
pub(crate) fn moment(time: f64) -> Option<Timestamp> {
    // Microseconds are as fine as a reading needs, and it saturates.
    Timestamp::from_microsecond((time * 1e6) as i64).ok()
}

/// A value with its unit.
pub(crate) fn value(record: &Record) -> String {
    let value = match (&record.value, record.sum) {
        (Some(Value::Number(number)), _) => number_in_words(*number),
        (Some(Value::Text(text)), _) => text.escape_debug().to_string(),
        (Some(Value::Bool(on)), _) => on.to_string(),
        (Some(other), _) => format!("{other:?}"),
        (None, Some(sum)) => format!("sum {}", number_in_words(sum)),
        (None, None) => String::new(),
    };
    match &record.unit {
        Some(unit) => format!("{value} {unit}"),
        None => value,
    }
}

/// Four digits after the point at most: sensors measure no finer, and a table of them stays readable.
fn number_in_words(number: f64) -> String {
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, value: Value, unit: Option<&str>, time: f64) -> Message {
        let record = Record { unit: unit.map(str::to_owned), ..Record::new(name, time, value) };
        Message {
            slice: "greenhouse".parse().unwrap(),
            server: "hub".parse().unwrap(),
            gateway: "gw".parse().unwrap(),
            record,
        }
    }

    #[test]
    fn messages_show_when_what_and_in_which_unit() {
        let list = [
            message("host:temperature", Value::Number(41.250_03), Some("Cel"), 1_717_245_296.5),
            message("host:load", Value::Number(2.0), None, 1_717_245_295.0),
            message("bench-1:label", Value::Text("a\u{1b}b".into()), None, 1_717_245_294.0),
        ];
        insta::assert_snapshot!(messages(&list, false, &TimeZone::UTC));
        insta::assert_snapshot!("with_servers", messages(&list, true, &TimeZone::UTC));
        let now: Timestamp = "2024-06-01T12:35:00Z".parse().unwrap();
        insta::assert_snapshot!(last_readings(&list, now));
        insta::assert_snapshot!("line", line(&list[0], false, &TimeZone::UTC));
        insta::assert_snapshot!("csv", csv(&list).unwrap());
    }
}
