//! Times and durations in words.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

/// How long ago `then` was: `just now`, `5 min ago`, `2 h ago`, `3 d ago`.
pub(crate) fn ago(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs();
    match seconds {
        ..5 => "just now".into(),
        5..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// A moment by a person's own clock: `14:02`, with the date when it is not today.
pub(crate) fn clock(now: Timestamp, then: Timestamp, zone: &TimeZone) -> String {
    let (today, then) = (now.to_zoned(zone.clone()).date(), then.to_zoned(zone.clone()));
    let form = if then.date() == today { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    then.strftime(form).to_string()
}

/// A duration as short as it can be told: `12ms`, `0.1s`, `12s`, `3m 05s`, `2h 05m`.
pub(crate) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration < Duration::from_millis(1) => "<1ms".into(),
        0 if duration < Duration::from_millis(100) => format!("{}ms", duration.as_millis()),
        ..10 => format!("{:.1}s", duration.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

/// A duration as `00:00:41`.
pub(crate) fn hms(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_past_is_told_in_one_unit() {
        let now = at("2024-06-01T12:00:00Z");
        let cases = [
            ("2024-06-01T12:00:03Z", "just now"),
            ("2024-06-01T11:59:58Z", "just now"),
            ("2024-06-01T11:59:18Z", "42 s ago"),
            ("2024-06-01T11:55:00Z", "5 min ago"),
            ("2024-06-01T09:59:00Z", "2 h ago"),
            ("2024-05-29T11:00:00Z", "3 d ago"),
        ];
        for (then, words) in cases {
            assert_eq!(ago(now, at(then)), words);
        }
    }

    #[test]
    fn a_moment_has_its_date_unless_it_is_today() {
        let now = at("2024-06-01T12:00:00Z");
        assert_eq!(clock(now, at("2024-06-01T09:05:00Z"), &TimeZone::UTC), "09:05");
        assert_eq!(clock(now, at("2024-05-31T23:59:00Z"), &TimeZone::UTC), "2024-05-31 23:59");
    }

    #[test]
    fn durations_are_short() {
        let cases = [
            (7, "7ms"),
            (100, "0.1s"),
            (7_240, "7.2s"),
            (41_000, "41s"),
            (65_000, "1m 05s"),
            (7_500_000, "2h 05m"),
        ];
        for (millis, words) in cases {
            assert_eq!(short(Duration::from_millis(millis)), words);
        }
        assert_eq!(hms(Duration::from_secs(41)), "00:00:41");
    }
}
