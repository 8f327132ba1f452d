//! Numbers as doubles, without a digit lost in silence.

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
pub(super) fn whole(magnitude: u128, negative: bool) -> Option<f64> {
    let significant = magnitude.checked_shr(magnitude.trailing_zeros()).unwrap_or(0);
    let double = magnitude as f64;
    (significant < 1 << f64::MANTISSA_DIGITS).then_some(if negative { -double } else { double })
}

#[cfg(test)]
mod tests {
    use super::*;

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
