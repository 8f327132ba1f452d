//! What an unquoted scalar of YAML is.

use serde_json::Number;

use super::{problem::Fault, suggest::quoted, tree::Value};

/// What an unquoted scalar is.
pub(super) fn plain(text: &str) -> Result<Value, Fault> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => {
            return Err(Fault::new("a number is needed, not .nan")
                .label("not a number")
                .help("write a number, or put it in quotes"));
        }
        _ => {}
    }
    if ["yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Err(Fault::new(format!("cannot tell what {text} means")).label("text or a truth value").help(format!(
            "YAML 1.1 takes it for a truth value, YAML 1.2 for text: write true or false, or \"{text}\" in quotes"
        )));
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some((radix, digits)) = match digits.get(..2) {
        Some("0x") => Some((16, &digits[2..])),
        Some("0o") => Some((8, &digits[2..])),
        _ => None,
    } && !digits.is_empty()
        && digits.len() == text.len() - 2
        && let Ok(number) = u64::from_str_radix(digits, radix)
    {
        return Ok(Value::Number(number.into()));
    }
    if !is_decimal(digits) {
        return Ok(Value::Text(text.to_owned()));
    }
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::new(format!("cannot tell what {} means", cut(text))).label("octal, decimal or text").help(
            "YAML 1.1 takes it for an octal number, YAML 1.2 for a decimal one: leave out the zeros, or put it in quotes",
        ));
    }
    let whole = text.strip_prefix('+').unwrap_or(text);
    let number = whole
        .parse::<u64>()
        .map(Number::from)
        .or_else(|_| whole.parse::<i64>().map(Number::from))
        .ok()
        .or_else(|| whole.parse().ok().and_then(Number::from_f64));
    number.map(Value::Number).ok_or_else(|| {
        Fault::new(format!("the number {} is too large", cut(text)))
            .label("more than 1.8e308")
            .help("write a smaller one, or put it in quotes")
    })
}

/// Whether unsigned text is a decimal number of the core schema.
fn is_decimal(text: &str) -> bool {
    if matches!(text, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    all_digits(whole)
        && all_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && all_digits(exponent))
}

fn cut(text: &str) -> String {
    quoted(text).trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tree::Node;

    #[test]
    fn unquoted_scalars_are_read_by_the_core_schema_of_yaml_1_2() {
        let json = |text: &str| plain(text).map(|value| Node { value, span: 0..0 }.to_json()).ok();
        for (text, want) in [
            ("~", serde_json::json!(null)),
            ("True", serde_json::json!(true)),
            ("-40", serde_json::json!(-40)),
            ("+5", serde_json::json!(5)),
            ("0x1F", serde_json::json!(31)),
            ("0o17", serde_json::json!(15)),
            (".5", serde_json::json!(0.5)),
            ("1e3", serde_json::json!(1000.0)),
            ("1_000", serde_json::json!("1_000")),
            ("12:30", serde_json::json!("12:30")),
            ("00001a", serde_json::json!("00001a")),
            ("0x", serde_json::json!("0x")),
            ("1e", serde_json::json!("1e")),
            (".", serde_json::json!(".")),
            ("n", serde_json::json!("n")),
        ] {
            assert_eq!(json(text), Some(want), "{text}");
        }
        for refused in ["no", "Yes", "ON", "off", "007", "-012", ".nan", ".inf", "1e999"] {
            assert_eq!(json(refused), None, "{refused}");
        }
    }
}
