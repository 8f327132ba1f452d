//! Values of readings and commands, by the types that profiles give them.

use serde_json::{Value, json};

use crate::{metadata::profile::Resource, now};

/// A value of a type, as readings tell it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Read {
    /// As a text.
    Text(String),
    /// As JSON.
    Object(Value),
    /// As bytes in base64.
    Binary(String),
}

/// What a device sent for a resource, or what is wrong with it.
pub(crate) fn read(resource: &Resource, sent: &Value) -> Result<Read, String> {
    let kind = resource.properties.value_type.as_str();
    let lower = kind.to_lowercase();
    let failed = || {
        let (shown, of) = match sent {
            Value::String(text) => (go_quoted(text), "string"),
            Value::Number(_) => (sent.to_string(), "float64"),
            Value::Bool(_) => (sent.to_string(), "bool"),
            other => (other.to_string(), "map[string]interface {}"),
        };
        format!("fail to parse {} reading, unable to cast {shown} of type {of} to {lower}", resource.name)
    };
    let text = sent.as_str().map_or_else(|| sent.to_string(), str::to_owned);
    match kind {
        "String" => Ok(Read::Text(text)),
        "Bool" => bool_of(sent).map(|value| Read::Text(value.to_string())).ok_or_else(failed),
        "Float32" | "Float64" => {
            let value: f64 = number_of(sent).ok_or_else(failed)?;
            let fits = value.is_finite() && (kind == "Float64" || value.abs() <= f64::from(f32::MAX));
            if !fits {
                return Err(out_of_range(&text, kind));
            }
            Ok(Read::Text(float(value, kind == "Float32")))
        }
        // A payload that is taken as a whole stays the text that it is.
        "Object" | "ObjectArray" if !sent.is_number() && !sent.is_boolean() && !sent.is_null() => {
            Ok(Read::Object(sent.clone()))
        }
        "Object" | "ObjectArray" => Err(failed()),
        "Binary" => Ok(Read::Binary(text)),
        kind if kind.ends_with("Array") => Ok(Read::Text(text)),
        kind => {
            let value = integer_of(sent).ok_or_else(|| failed().replace(&lower, wide(kind)))?;
            if range(kind).contains(&value) {
                Ok(Read::Text(value.to_string()))
            } else {
                Err(out_of_range(&text, kind))
            }
        }
    }
}

fn out_of_range(text: &str, kind: &str) -> String {
    format!("parse reading fail. Reading {text} is out of the value type({kind})'s range")
}

/// Integers are read as wide ones first.
fn wide(kind: &str) -> &'static str {
    if kind.starts_with('U') { "uint64" } else { "int64" }
}

fn range(kind: &str) -> std::ops::RangeInclusive<i128> {
    match kind {
        "Uint8" => 0..=i128::from(u8::MAX),
        "Uint16" => 0..=i128::from(u16::MAX),
        "Uint32" => 0..=i128::from(u32::MAX),
        "Uint64" => 0..=i128::from(u64::MAX),
        "Int8" => i128::from(i8::MIN)..=i128::from(i8::MAX),
        "Int16" => i128::from(i16::MIN)..=i128::from(i16::MAX),
        "Int32" => i128::from(i32::MIN)..=i128::from(i32::MAX),
        _ => i128::from(i64::MIN)..=i128::from(i64::MAX),
    }
}

fn number_of(sent: &Value) -> Option<f64> {
    match sent {
        Value::Number(number) => number.as_f64(),
        // Go knows a NaN, but takes no number for one that is out of its range.
        Value::String(text) => text.parse().ok().filter(|value: &f64| !value.is_infinite()),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        _ => None,
    }
}

fn integer_of(sent: &Value) -> Option<i128> {
    match sent {
        Value::Number(number) => number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from))
            .or_else(|| number.as_f64().filter(|value| value.abs() < 1e19).map(truncated)),
        Value::String(text) => text.parse().ok(),
        Value::Bool(value) => Some(i128::from(*value)),
        _ => None,
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "integers are made of floats as Go makes them, and the range is known"
)]
fn truncated(value: f64) -> i128 {
    value as i128
}

fn bool_of(sent: &Value) -> Option<bool> {
    match sent {
        Value::Bool(value) => Some(*value),
        Value::Number(number) => number.as_f64().map(|value| value != 0.0),
        Value::String(text) => match text.as_str() {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// With an exponent of at least two digits, as Go writes it.
pub(crate) fn float(value: f64, single: bool) -> String {
    #[allow(clippy::cast_possible_truncation, reason = "a Float32 has no more digits")]
    let text = if single { format!("{:e}", value as f32) } else { format!("{value:e}") };
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// A text in quotes, as Go shows it.
pub(crate) fn go_quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A reading of a device, dated now.
pub(crate) fn reading(device: &str, profile: &str, resource: &Resource, read: &Read) -> Value {
    let mut reading = json!({
        "id": now::uuid(),
        "origin": now::nanoseconds(),
        "deviceName": device,
        "resourceName": resource.name,
        "profileName": profile,
        "valueType": resource.properties.value_type,
    });
    if !resource.properties.units.is_empty() {
        reading["units"] = resource.properties.units.as_str().into();
    }
    match read {
        Read::Text(text) => reading["value"] = text.as_str().into(),
        Read::Object(object) => reading["objectValue"] = object.clone(),
        Read::Binary(bytes) => {
            reading["binaryValue"] = bytes.as_str().into();
            reading["mediaType"] = resource.properties.media_type.as_str().into();
        }
    }
    reading
}

/// An event with these readings, dated now.
pub(crate) fn event(device: &str, profile: &str, source: &str, readings: &[Value]) -> Value {
    json!({
        "apiVersion": "v3",
        "id": now::uuid(),
        "deviceName": device,
        "profileName": profile,
        "sourceName": source,
        "origin": now::nanoseconds(),
        "readings": readings,
    })
}

/// An event as it is once it was read as JSON by Go: its times are floats.
pub(crate) fn rounded(event: &Value) -> Value {
    let mut event = event.clone();
    let round = |origin: &mut Value| {
        let whole = origin.as_i64().unwrap_or_default();
        #[allow(clippy::cast_precision_loss, reason = "that is what happens to it")]
        let shown = format!("{}", whole as f64);
        *origin = shown.parse::<i64>().unwrap_or(whole).into();
    };
    round(&mut event["origin"]);
    for reading in event["readings"].as_array_mut().into_iter().flatten() {
        round(&mut reading["origin"]);
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_have_an_exponent_of_two_digits() {
        for (value, text) in
            [(21.5, "2.15e+01"), (0.1, "1e-01"), (1e300, "1e+300"), (0.0, "0e+00"), (-3.25, "-3.25e+00")]
        {
            assert_eq!(float(value, false), text);
        }
        assert_eq!(float(48.25, true), "4.825e+01");
        assert_eq!(float(f64::from(0.1_f32), true), "1e-01");
    }

    #[test]
    fn times_are_rounded_as_by_a_float_of_64_bits() {
        let event = json!({ "origin": 1_795_409_402_999_280_894_i64, "readings": [] });
        assert_eq!(rounded(&event)["origin"], 1_795_409_402_999_281_000_i64);
    }
}
