//! Numbers as Go writes them into JSON.

use serde_json::Value;

/// A number: whole ones without a fraction, and in full up to 10²¹.
pub(crate) fn number(number: f64) -> Value {
    let text = number.to_string();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_has_no_fraction() {
        for (told, written) in [
            (40.0, "40"),
            (-10.0, "-10"),
            (21.5, "21.5"),
            (1.795_409_450_544_168_7e18, "1795409450544168700"),
            (9_007_199_254_740_993.0, "9007199254740992"),
        ] {
            assert_eq!(number(told).to_string(), written);
        }
    }
}
