//! Times of records, to the nanosecond.

use iotorch_core::{Error, ErrorKind};
use jiff::Timestamp;
use std::{fmt, str::FromStr};

const PER_SECOND: i128 = 1_000_000_000;

/// The digits after the point that count.
const DIGITS: usize = 9;

/// The most digits that an `i128` has.
const LONGEST: usize = 39;

/// The time of a record: nanoseconds since 1970 (UTC). Servers store also times that are none, such as relative ones, so it is not
/// bounded by any calendar.
///
/// # Examples
/// ```
/// use iotorch_mainflux::Time;
///
/// let time: Time = "1700000000.123456789".parse().unwrap();
/// assert_eq!(time.nanoseconds(), 1_700_000_000_123_456_789);
/// assert_eq!(time.timestamp().unwrap().to_string(), "2023-11-14T22:13:20.123456789Z");
/// assert_eq!(time.to_string(), "1700000000.123456789");
/// assert!("soon".parse::<Time>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i128);

impl Time {
    /// A time in nanoseconds since 1970.
    #[must_use]
    pub const fn from_nanoseconds(nanoseconds: i128) -> Self {
        Self(nanoseconds)
    }

    /// The nanoseconds since 1970.
    #[must_use]
    pub const fn nanoseconds(self) -> i128 {
        self.0
    }

    /// The time as one of the calendar, if it is within it.
    #[must_use]
    pub fn timestamp(self) -> Option<Timestamp> {
        Timestamp::from_nanosecond(self.0).ok()
    }

    /// Reads seconds in decimal digits, without going by a double. Digits after the ninth are dropped.
    pub(super) fn of_seconds(text: &str) -> Option<Self> {
        Self::scaled(text, DIGITS)
    }

    /// Reads nanoseconds.
    pub(super) fn of_nanoseconds(text: &str) -> Option<Self> {
        Self::scaled(text, 0)
    }

    /// Reads a decimal number times ten to the power of `scale`. Servers store whatever a device takes for a time, so none is too large.
    fn scaled(text: &str, scale: usize) -> Option<Self> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (is_negative, number) = match number.strip_prefix('-') {
            Some(number) => (true, number),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // How many of the digits, or zeros after them, are before the point; zeros in front count for nothing.
        let significant = digits.trim_start_matches('0');
        let point = i64::try_from(whole.len() + scale).ok()? + i64::from(exponent);
        let point = point - i64::try_from(digits.len() - significant.len()).ok()?;
        let value = match usize::try_from(point) {
            _ if significant.is_empty() => 0,
            Err(_) | Ok(0) => 0,
            // What is too large to be any time is the largest.
            Ok(point) if point > LONGEST => i128::MAX,
            Ok(point) => {
                let kept: String = significant.chars().chain(std::iter::repeat('0')).take(point).collect();
                kept.parse().unwrap_or(i128::MAX)
            }
        };
        Some(Self(if is_negative { -value } else { value }))
    }
}

impl FromStr for Time {
    type Err = Error;

    /// Reads seconds since 1970, such as `1700000000.5`.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::of_seconds(text).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, format!("cannot read {text:?} as a time"))
                .with_help("a time is seconds since 1970, as in 1700000000.5")
        })
    }
}

impl From<Timestamp> for Time {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp.as_nanosecond())
    }
}

impl fmt::Display for Time {
    /// Seconds since 1970, with as many digits as there are.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, absolute) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (seconds, rest) = (absolute / PER_SECOND.unsigned_abs(), absolute % PER_SECOND.unsigned_abs());
        if rest == 0 {
            return write!(out, "{sign}{seconds}");
        }
        let fraction = format!("{rest:09}");
        write!(out, "{sign}{seconds}.{}", fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_servers_give_is_read_to_the_nanosecond() {
        let seconds = [
            ("1700000041", 1_700_000_041_000_000_000),
            ("1795409456.9112802", 1_795_409_456_911_280_200),
            ("-10", -10_000_000_000),
            ("1795409450544168700", 1_795_409_450_544_168_700_000_000_000),
            ("1.7e9", 1_700_000_000_000_000_000),
            ("1.5E-7", 150),
            ("0.0000000019", 1),
            ("0e50", 0),
            ("1e-400", 0),
            ("0.000000000000000000000000000000000000000000017e44", 1_700_000_000),
            ("1e+29", 100_000_000_000_000_000_000_000_000_000_000_000_000),
            ("1e+40", i128::MAX),
            ("-9e+29", -i128::MAX),
        ];
        for (text, nanoseconds) in seconds {
            assert_eq!(Time::of_seconds(text), Some(Time(nanoseconds)), "{text}");
        }
        assert_eq!(Time::of_nanoseconds("1700000123000000000"), Some(Time(1_700_000_123_000_000_000)));
        assert_eq!(Time::of_nanoseconds("-6795364578871345000"), Some(Time(-6_795_364_578_871_345_000)));
        for wrong in ["", ".", "-", "1.2.3", "abc", "1e", "0x10", "null", "1e99999999999"] {
            assert_eq!(Time::of_seconds(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_time_that_was_printed_reads_the_same(nanoseconds in any::<i64>()) {
            let time = Time::from_nanoseconds(nanoseconds.into());
            prop_assert_eq!(time.to_string().parse::<Time>().unwrap(), time);
        }
    }
}
