//! Numbers as doubles, without a digit lost in silence; and times, of which a double does not hold every nanosecond.

use std::fmt;

/// A second in nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// Seconds as the nearest double and, where their shortest decimal form is another number, as the nanoseconds that they are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Seconds {
    double: f64,
    finer: Option<i64>,
}

impl Seconds {
    pub(crate) const fn of(double: f64) -> Self {
        Self { double, finer: None }
    }

    pub(crate) fn of_nanoseconds(nanoseconds: i64) -> Self {
        // The parser of the language rounds to the nearest double; a division of doubles would round twice.
        let double = decimal(nanoseconds).parse().unwrap_or_default();
        let finer = (Self::of(double).nanoseconds() != Some(nanoseconds)).then_some(nanoseconds);
        Self { double, finer }
    }

    /// Reads a decimal number, to the nanosecond if it has no finer digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let double = text.parse().ok().filter(|double: &f64| double.is_finite())?;
        let finer = nanoseconds(text).map(Self::of_nanoseconds).filter(|seconds| seconds.double == double);
        Some(finer.unwrap_or_else(|| Self::of(double)))
    }

    /// These seconds with their nanoseconds, if it are those of the same double.
    pub(super) fn with(double: f64, finer: Option<i64>) -> Self {
        let finer = finer.map(Self::of_nanoseconds).filter(|seconds| seconds.double == double);
        finer.unwrap_or_else(|| Self::of(double))
    }

    pub(crate) const fn double(self) -> f64 {
        self.double
    }

    /// The nanoseconds, where the double does not tell them.
    pub(super) const fn finer(self) -> Option<i64> {
        self.finer
    }

    /// The nanoseconds that these seconds are, as they are written.
    pub(crate) fn nanoseconds(self) -> Option<i64> {
        self.finer.or_else(|| nanoseconds(&self.double.to_string()))
    }

    /// The sum, as exact as what is added.
    pub(super) fn plus(self, other: Self) -> Self {
        if other == Self::default() {
            return self;
        }
        let exact = self.nanoseconds().zip(other.nanoseconds()).and_then(|(one, two)| one.checked_add(two));
        exact.map_or_else(|| Self::of(self.double + other.double), Self::of_nanoseconds)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.finer {
            Some(nanoseconds) => out.write_str(&decimal(nanoseconds)),
            None => self.double.fmt(out),
        }
    }
}

/// Nanoseconds as seconds with all nine decimals.
fn decimal(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let (magnitude, second) = (nanoseconds.unsigned_abs(), SECOND.unsigned_abs());
    format!("{sign}{}.{:09}", magnitude / second, magnitude % second)
}

/// The nanoseconds that a decimal number of seconds is, if it is a whole number of them.
fn nanoseconds(text: &str) -> Option<i64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => (-1, mantissa),
        None => (1, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let zeros = i32::try_from(digits.len() - significant.len()).ok()?;
    let power =
        exponent.checked_add(zeros)?.checked_sub(i32::try_from(fraction.len()).ok()?)?.checked_add(9)?;
    let scale = 10_i128.checked_pow(u32::try_from(power).ok()?)?;
    let magnitude = significant.parse::<i128>().ok()?.checked_mul(scale)?;
    i64::try_from(sign * magnitude).ok()
}

/// The double that a JSON number is. Of integers only those have one that a double holds exactly; other numbers have the
/// nearest one.
pub(crate) fn exact(number: &serde_json::Number) -> Option<f64> {
    let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    match magnitude {
        Some(magnitude) => whole(magnitude.into(), number.is_i64() && !number.is_u64()),
        None => number.as_f64(),
    }
}

/// The double that an integer is, if there is one.
pub(crate) fn whole(magnitude: u128, negative: bool) -> Option<f64> {
    let significant = magnitude.checked_shr(magnitude.trailing_zeros()).unwrap_or(0);
    let double = magnitude as f64;
    (significant < 1 << f64::MANTISSA_DIGITS).then_some(if negative { -double } else { double })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_keeps_its_nanoseconds_where_a_double_has_none() {
        let parse = |text| Seconds::parse(text).unwrap();
        let exact = parse("1795409404.510374078");
        assert_eq!(exact.nanoseconds(), Some(1_795_409_404_510_374_078));
        assert_eq!(exact.to_string(), "1795409404.510374078");
        assert_eq!(exact, Seconds::of_nanoseconds(1_795_409_404_510_374_078));
        assert_eq!(exact, parse("1.795409404510374078e9"));
        assert_eq!(exact, parse("1795409404510374078E-9"));
        assert_eq!(exact, Seconds::with(exact.double(), exact.finer()));
        assert_eq!(Seconds::with(1.5, exact.finer()), Seconds::of(1.5), "of another time");
        for plain in ["1700000000.25", "1700000000", "0", "-5", "0.000000001"] {
            assert_eq!(parse(plain), Seconds::of(plain.parse().unwrap()), "{plain}");
        }
        for coarse in ["1700000000.12345678901", "1e-10", "9223372037"] {
            assert_eq!(parse(coarse), Seconds::of(coarse.parse().unwrap()), "{coarse}");
        }
        assert_eq!(Seconds::parse("1e999"), None);
    }

    #[test]
    fn sums_of_times_are_exact_where_both_are() {
        let parse = |text| Seconds::parse(text).unwrap();
        let sum = parse("1795409404.5").plus(parse("0.010374078"));
        assert_eq!(sum.to_string(), "1795409404.510374078");
        assert_eq!(sum.plus(parse("-0.010374078")), Seconds::of(1_795_409_404.5));
        assert_eq!(Seconds::of(1e300).plus(Seconds::of(1.0)), Seconds::of(1e300));
    }

    #[test]
    fn integers_are_taken_where_a_double_holds_them_exactly() {
        let number = |text: &str| exact(&serde_json::from_str(text).unwrap());
        assert_eq!(number("0"), Some(0.0));
        assert_eq!(number("-9007199254740992"), Some(-9_007_199_254_740_992.0));
        assert_eq!(number("9007199254740994"), Some(9_007_199_254_740_994.0));
        assert_eq!(number("9007199254740993"), None);
        assert_eq!(number("-9007199254740993"), None);
        assert_eq!(number("18446744073709551615"), None);
        assert_eq!(number("0.1"), Some(0.1));
        assert_eq!(number("1e300"), Some(1e300));
        assert_eq!(whole(1 << 127, true), Some(-(2.0_f64.powi(127))));
        assert_eq!(whole(u128::MAX, false), None);
    }
}
