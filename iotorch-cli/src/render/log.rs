//! The logs of gateways and servers.

use iotorch_lite::api::{Level, LogEntry};
use jiff::tz::TimeZone;

use super::messages::moment;

/// Entries, one line each, in the order given.
pub(crate) fn entries(entries: &[LogEntry], zone: &TimeZone) -> String {
    if entries.is_empty() {
        return "no entries".into();
    }
    entries.iter().map(|it| entry(it, zone)).collect::<Vec<_>>().join("\n")
}

/// An entry as a line.
pub(crate) fn entry(entry: &LogEntry, zone: &TimeZone) -> String {
    let time = moment(entry.time).map_or_else(
        || entry.time.to_string(),
        |at| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
    );
    let level = match entry.level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    // What strangers sent must not move the cursor.
    let said = entry.to_string();
    format!(
        "{time}  {level:<7}  {}",
        said.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_line_that_cannot_break_out() {
        let of = |level, message: &str, more| LogEntry {
            seq: 1,
            start: 1,
            time: 1_717_245_296.25,
            level,
            event: "refused-login".into(),
            subject: "bench-1".into(),
            message: message.into(),
            more,
        };
        let all = [
            of(Level::Info, "the gateway has started", 0),
            of(Level::Warning, "refused login of \"bench-1\" over mqtt: the password is wrong", 12),
            of(Level::Error, "x\u{1b}[2J\ny", 0),
        ];
        insta::assert_snapshot!(entries(&all, &TimeZone::UTC));
        assert_eq!(entries(&[], &TimeZone::UTC), "no entries");
    }
}
