//! From what a device sends to readings: parsed, and judged one by one by the device's profile.

use crate::{
    api::{Access, Profile, Resource, ValueType},
    senml::{self, Record, Value},
};
use std::collections::BTreeMap;

/// The longest text in bytes of JSON. A reading must fit a SenML pack, and a pack an MQTT packet.
const LONGEST_TEXT: usize = 16 * 1024;

/// The whole numbers a double holds exactly: up to 2^53.
const LARGEST_INTEGER: f64 = 9_007_199_254_740_992.0;

/// A reading that the profile allows.
#[derive(Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) resource: String,
    pub(crate) record: Record,
}

/// What a device says of one resource.
struct Claim {
    value: Option<Value>,
    unit: Option<String>,
    time: f64,
}

/// Judges a message. `resource` is what the topic names; without it the message is a JSON object of values by
/// resource, or a SenML pack whose names are resources. A message that cannot be read is one rejection.
pub(crate) fn judge(
    device: &str,
    profile: &Profile,
    resource: Option<&str>,
    message: &[u8],
    now: f64,
) -> Vec<Result<Reading, String>> {
    let reading = |name: String, claim: Claim| -> Result<Reading, String> {
        let resource = profile.resources.get(&name).ok_or_else(|| unknown(&name))?;
        let record = accept(resource, claim).map_err(|why| format!("\"{name}\" {why}"))?;
        Ok(Reading { record: Record { name: format!("{device}:{name}"), ..record }, resource: name })
    };
    let Ok(text) = std::str::from_utf8(message) else {
        return vec![Err("the message is not text".to_owned())];
    };
    if let Some(name) = resource {
        let value = profile.resources.get(name).and_then(|resource| plain(resource.value_type, text));
        return vec![reading(name.to_owned(), Claim { value, unit: None, time: now })];
    }
    if text.trim_start().starts_with('[') {
        return match senml::parse(message, now) {
            Ok(records) => records
                .into_iter()
                .map(|Record { name, value, unit, time, .. }| reading(name, Claim { value, unit, time }))
                .collect(),
            Err(error) => vec![Err(error.to_string())],
        };
    }
    match serde_json::from_str::<BTreeMap<String, serde_json::Value>>(text) {
        Ok(values) => values
            .into_iter()
            .map(|(name, value)| reading(name, Claim { value: scalar(value), unit: None, time: now }))
            .collect(),
        Err(_) => vec![Err("the message is neither a JSON object nor a SenML pack".to_owned())],
    }
}

fn unknown(name: &str) -> String {
    let shown: String = name.chars().take(64).collect();
    format!("the profile has no resource \"{}\"", shown.escape_debug())
}

/// A bare value is read as the type the profile asks for: `12` can be a number and a text.
fn plain(value_type: ValueType, text: &str) -> Option<Value> {
    let json = serde_json::from_str(text).ok().and_then(scalar);
    match (value_type, json) {
        (ValueType::String, Some(Value::Text(text))) => Some(Value::Text(text)),
        (ValueType::String, _) => Some(Value::Text(text.to_owned())),
        (_, json) => json,
    }
}

fn scalar(value: serde_json::Value) -> Option<Value> {
    match value {
        serde_json::Value::Number(number) => number.as_f64().map(Value::Number),
        serde_json::Value::Bool(bool) => Some(Value::Bool(bool)),
        serde_json::Value::String(text) => Some(Value::Text(text)),
        _ => None,
    }
}

fn accept(resource: &Resource, claim: Claim) -> Result<Record, String> {
    if resource.access == Access::Write {
        return Err("can only be written".to_owned());
    }
    if let (Some(unit), Some(given)) = (&resource.unit, &claim.unit)
        && unit != given
    {
        return Err(format!("is in \"{unit}\", not in \"{}\"", given.escape_debug()));
    }
    let value = match (resource.value_type, claim.value) {
        (ValueType::Float, Some(Value::Number(number))) => Value::Number(in_range(resource, number)?),
        (ValueType::Integer, Some(Value::Number(number))) => {
            if number.fract() != 0.0 || number.abs() > LARGEST_INTEGER {
                return Err(format!("is an integer, not {number}"));
            }
            Value::Number(in_range(resource, number)?)
        }
        (ValueType::Bool, Some(Value::Bool(bool))) => Value::Bool(bool),
        (ValueType::String, Some(Value::Text(text))) => {
            if serde_json::Value::from(text.as_str()).to_string().len() > LONGEST_TEXT {
                return Err(format!("is longer than {LONGEST_TEXT} bytes"));
            }
            Value::Text(text)
        }
        (wanted, _) => return Err(format!("is not {}", described(wanted))),
    };
    let unit = resource.unit.clone().or(claim.unit);
    Ok(Record { unit, ..Record::new("", claim.time, value) })
}

fn in_range(resource: &Resource, number: f64) -> Result<f64, String> {
    match (resource.min, resource.max) {
        (Some(min), _) if number < min => Err(format!("is {number}, below {min}")),
        (_, Some(max)) if number > max => Err(format!("is {number}, above {max}")),
        _ => Ok(number),
    }
}

const fn described(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Float => "a number",
        ValueType::Integer => "an integer",
        ValueType::Bool => "true or false",
        ValueType::String => "a text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: f64 = 1_700_000_000.0;

    fn profile() -> Profile {
        serde_json::from_value(serde_json::json!({ "resources": {
            "temperature": { "type": "float", "unit": "Cel", "min": -40, "max": 85 },
            "count": { "type": "integer" },
            "open": { "type": "bool", "access": "readwrite" },
            "label": { "type": "string" },
            "valve": { "type": "float", "access": "write" },
        }}))
        .unwrap()
    }

    fn one(resource: &str, message: &str) -> Result<Value, String> {
        let mut judged = judge("d1", &profile(), Some(resource), message.as_bytes(), NOW);
        assert_eq!(judged.len(), 1);
        judged.remove(0).map(|reading| reading.record.value.unwrap())
    }

    #[test]
    fn a_bare_value_is_read_as_the_type_of_its_resource() {
        assert_eq!(one("temperature", "21.5"), Ok(Value::Number(21.5)));
        assert_eq!(one("count", " 3 "), Ok(Value::Number(3.0)));
        assert_eq!(one("open", "true"), Ok(Value::Bool(true)));
        assert_eq!(one("label", "12"), Ok(Value::Text("12".to_owned())));
        assert_eq!(one("label", "\"a b\""), Ok(Value::Text("a b".to_owned())));
        assert_eq!(one("label", "a b"), Ok(Value::Text("a b".to_owned())));
    }

    #[test]
    fn values_outside_the_profile_are_rejected_with_the_reason() {
        for (resource, message, reason) in [
            ("temperature", "85.1", "\"temperature\" is 85.1, above 85"),
            ("temperature", "-41", "\"temperature\" is -41, below -40"),
            ("temperature", "warm", "\"temperature\" is not a number"),
            ("temperature", "NaN", "\"temperature\" is not a number"),
            ("count", "1.5", "\"count\" is an integer, not 1.5"),
            ("count", "1e300", "\"count\" is an integer, not 1"),
            ("open", "1", "\"open\" is not true or false"),
            ("valve", "1", "\"valve\" can only be written"),
            ("other", "1", "the profile has no resource \"other\""),
            ("label", &"x".repeat(20_000), "\"label\" is longer than 16384 bytes"),
        ] {
            let rejection = one(resource, message).unwrap_err();
            assert!(rejection.starts_with(reason), "{rejection}");
        }
    }

    #[test]
    fn the_readings_of_one_message_are_judged_one_by_one() {
        let judged = judge("d1", &profile(), None, br#"{"temperature":20,"count":true,"label":"x"}"#, NOW);
        let accepted: Vec<_> = judged.iter().flatten().map(|reading| reading.record.name.as_str()).collect();
        assert_eq!(accepted, ["d1:label", "d1:temperature"]);
        assert_eq!(judged.iter().filter(|judged| judged.is_err()).count(), 1);
    }

    #[test]
    fn a_pack_keeps_its_times_and_must_use_the_units_of_the_profile() {
        let pack = br#"[{"bt":1600000000,"n":"temperature","v":20},{"n":"temperature","u":"K","v":20}]"#;
        let judged = judge("d1", &profile(), None, pack, NOW);
        let first = &judged[0].as_ref().unwrap().record;
        assert_eq!((first.time, first.unit.as_deref()), (1_600_000_000.0, Some("Cel")));
        assert_eq!(judged[1], Err("\"temperature\" is in \"Cel\", not in \"K\"".to_owned()));
    }

    #[test]
    fn a_message_that_cannot_be_read_is_one_rejection() {
        for message in [&b"21.5"[..], b"\xff\xfe", b"[1]", b"{", b""] {
            let judged = judge("d1", &profile(), None, message, NOW);
            assert!(judged.len() == 1 && judged[0].is_err(), "{message:?}");
        }
    }
}
