//! From what a device sends to readings: parsed, and judged one by one by the device's profile.

use crate::{
    api::{Access, Profile, Resource, ValueType},
    senml::{self, Entries, Format, Record, Value, shown},
};

/// The longest text in bytes of JSON. A reading must fit a SenML pack, and a pack an MQTT packet.
const LONGEST_TEXT: usize = 16 * 1024;

/// Integers lie between -2^53 and 2^53, both not included: from there on a double may stand for more than one.
const TOO_LARGE: f64 = 9_007_199_254_740_992.0;

/// A reading that the profile allows.
#[derive(Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) resource: String,
    pub(crate) record: Record,
}

/// Judges a message. `resource` is what the topic names: then the message is its plain value. Without it the message is
/// a JSON object of values by resource, or a SenML pack in JSON or CBOR whose names are resources; its first character
/// tells which. A message that cannot be read is one rejection.
pub(crate) fn judge(
    device: &str,
    profile: &Profile,
    resource: Option<&str>,
    message: &[u8],
    now: f64,
) -> Vec<Result<Reading, String>> {
    let records = match resource {
        Some(name) => vec![plain(profile, name, message, now)],
        None => match records(message, now) {
            Ok(records) => records,
            Err(why) => return vec![Err(why)],
        },
    };
    let reading = |record: Record| {
        let name = record.name.clone();
        let resource = resource_of(profile, &name)?;
        let record = accept(resource, record).map_err(|why| format!("\"{name}\" {why}"))?;
        Ok(Reading { record: Record { name: format!("{device}:{name}"), ..record }, resource: name })
    };
    records.into_iter().map(|record| record.and_then(reading)).collect()
}

fn resource_of<'a>(profile: &'a Profile, name: &str) -> Result<&'a Resource, String> {
    profile.resources.get(name).ok_or_else(|| format!("the profile has no resource \"{}\"", shown(name)))
}

/// What a message says of one resource, read as the type that the profile asks for: `12` can be a number and a text.
fn plain(profile: &Profile, name: &str, message: &[u8], now: f64) -> Result<Record, String> {
    let resource = resource_of(profile, name)?;
    let text = std::str::from_utf8(message).map_err(|_| "the message is not text".to_owned())?;
    let json = serde_json::from_str(text).map_or(Ok(None), scalar);
    let value = match (resource.value_type, json) {
        (ValueType::String, Ok(Some(Value::Text(text)))) => Some(Value::Text(text)),
        (ValueType::String, _) => Some(Value::Text(text.to_owned())),
        (_, json) => json.map_err(|why| format!("\"{name}\" {why}"))?,
    };
    let value = value.ok_or_else(|| format!("\"{name}\" is not {}", described(resource.value_type)))?;
    Ok(Record::new(name, now, value))
}

/// What a message says of many resources, as records whose names are resources.
fn records(message: &[u8], now: f64) -> Result<Vec<Result<Record, String>>, String> {
    let first = message.iter().find(|byte| !byte.is_ascii_whitespace());
    if Format::of(message) == Format::Cbor || first == Some(&b'[') {
        let records = senml::parse(message, now).map_err(|error| error.to_string())?;
        return Ok(records.into_iter().map(Ok).collect());
    }
    if first != Some(&b'{') {
        return Err("the message is neither a JSON object nor a SenML pack".to_owned());
    }
    let Entries(values) = serde_json::from_slice(message)
        .map_err(|error| format!("the message is not a JSON object: {error}"))?;
    Ok(values.into_iter().map(|(name, value)| entry(name, value, now)).collect())
}

fn entry(name: String, value: serde_json::Value, now: f64) -> Result<Record, String> {
    match scalar(value) {
        Ok(Some(value)) => Ok(Record::new(name, now, value)),
        Ok(None) => Err(format!("\"{}\" is neither a number, nor true or false, nor a text", shown(&name))),
        Err(why) => Err(format!("\"{}\" {why}", shown(&name))),
    }
}

/// The value that JSON stands for, if readings can have it.
fn scalar(value: serde_json::Value) -> Result<Option<Value>, String> {
    Ok(match value {
        serde_json::Value::Number(number) => {
            let double = senml::exact(&number)
                .ok_or_else(|| format!("is {number}, which a double does not hold exactly"))?;
            Some(Value::Number(double))
        }
        serde_json::Value::Bool(bool) => Some(Value::Bool(bool)),
        serde_json::Value::String(text) => Some(Value::Text(text)),
        _ => None,
    })
}

/// Checks a record of a resource. Fields that RFC 8428 does not name are dropped: on their way to exports records carry
/// such fields of the gateway's own.
fn accept(resource: &Resource, record: Record) -> Result<Record, String> {
    if resource.access == Access::Write {
        return Err("can only be written".to_owned());
    }
    if let (Some(unit), Some(given)) = (&resource.unit, &record.unit)
        && unit != given
    {
        return Err(format!("is in \"{unit}\", not in \"{}\"", given.escape_debug()));
    }
    let value = record.value.ok_or_else(|| "has a sum, but no value".to_owned())?;
    let value = check(resource, value)?;
    // A base unit holds for every record of a pack, also for those that measure nothing.
    let measured = record.unit.filter(|_| matches!(value, Value::Number(_)));
    let unit = resource.unit.clone().or(measured);
    Ok(Record {
        unit,
        sum: record.sum,
        nanoseconds: record.nanoseconds,
        update_time: record.update_time,
        ..Record::new("", record.time, value)
    })
}

/// Checks type and range.
fn check(resource: &Resource, value: Value) -> Result<Value, String> {
    Ok(match (resource.value_type, value) {
        (ValueType::Float, Value::Number(number)) => Value::Number(in_range(resource, number)?),
        (ValueType::Integer, Value::Number(number)) => {
            if number.fract() != 0.0 || number.abs() >= TOO_LARGE {
                return Err(format!("is an integer, not {number}"));
            }
            Value::Number(in_range(resource, number)?)
        }
        (ValueType::Bool, Value::Bool(bool)) => Value::Bool(bool),
        (ValueType::String, Value::Text(text)) => {
            if serde_json::Value::from(text.as_str()).to_string().len() > LONGEST_TEXT {
                return Err(format!("is longer than {LONGEST_TEXT} bytes"));
            }
            Value::Text(text)
        }
        (wanted, _) => return Err(format!("is not {}", described(wanted))),
    })
}

/// Checks the value of a command.
pub(crate) fn check_order(profile: &Profile, name: &str, value: &serde_json::Value) -> Result<(), String> {
    let resource = resource_of(profile, name)?;
    if !resource.access.can_write() {
        return Err(format!("\"{name}\" can only be read"));
    }
    let allowed = scalar(value.clone()).and_then(|value| match value {
        Some(value) => check(resource, value).map(drop),
        None => Err(format!("is not {}", described(resource.value_type))),
    });
    allowed.map_err(|why| format!("\"{name}\" {why}"))
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

    fn all(message: impl AsRef<[u8]>) -> Vec<Result<Reading, String>> {
        judge("d1", &profile(), None, message.as_ref(), NOW)
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
            ("count", "9007199254740992", "\"count\" is an integer, not 9007199254740992"),
            (
                "count",
                "9007199254740993",
                "\"count\" is 9007199254740993, which a double does not hold exactly",
            ),
            ("temperature", "1e400", "\"temperature\" is not a number"),
            ("temperature", "[21]", "\"temperature\" is not a number"),
            ("temperature", "", "\"temperature\" is not a number"),
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
        let judged = all(r#"{"temperature":20,"count":true,"label":"x","open":null,"temperature":21}"#);
        let name = |judged: &Result<Reading, String>| match judged {
            Ok(reading) => reading.record.name.clone(),
            Err(why) => why.clone(),
        };
        let expected = [
            "d1:temperature",
            "\"count\" is not an integer",
            "d1:label",
            "\"open\" is neither a number, nor true or false, nor a text",
            "d1:temperature",
        ];
        assert_eq!(judged.iter().map(name).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_pack_keeps_its_times_and_sums_and_must_use_the_units_of_the_profile() {
        let pack = br#"[{"bt":1600000000,"n":"temperature","v":20,"s":7,"ut":60,"seq":1},
            {"n":"temperature","u":"K","v":20},{"n":"temperature","s":20}]"#;
        let judged = all(pack);
        let expected = Record {
            unit: Some("Cel".to_owned()),
            sum: Some(7.0),
            update_time: Some(60.0),
            ..Record::new("d1:temperature", 1_600_000_000.0, Value::Number(20.0))
        };
        assert_eq!(judged[0].as_ref().unwrap().record, expected);
        assert_eq!(judged[1], Err("\"temperature\" is in \"Cel\", not in \"K\"".to_owned()));
        assert_eq!(judged[2], Err("\"temperature\" has a sum, but no value".to_owned()));
    }

    #[test]
    fn a_pack_is_judged_the_same_in_json_and_in_cbor() {
        let values = [
            ("temperature", Value::Number(21.5)),
            ("temperature", Value::Number(99.0)),
            ("count", Value::Number(1.5)),
            ("count", Value::Number(9_007_199_254_740_992.0)),
            ("count", Value::Number(3.0)),
            ("open", Value::Bool(true)),
            ("label", Value::Data(vec![1])),
            ("valve", Value::Number(1.0)),
            ("other", Value::Number(1.0)),
        ];
        let records: Vec<_> = values.into_iter().map(|(name, value)| Record::new(name, NOW, value)).collect();
        let in_json = all(senml::write(&records, Format::Json));
        assert_eq!(in_json.iter().filter(|judged| judged.is_ok()).count(), 3);
        assert_eq!(all(senml::write(&records, Format::Cbor)), in_json);
    }

    #[test]
    fn a_message_that_cannot_be_read_is_one_rejection() {
        for (message, why) in [
            (&b"21.5"[..], "the message is neither a JSON object nor a SenML pack"),
            (b"\xff\xfe", "the message is neither a JSON object nor a SenML pack"),
            (b"", "the message is neither a JSON object nor a SenML pack"),
            (b"{", "the message is not a JSON object: EOF"),
            (br#"{"temperature":1e400}"#, "the message is not a JSON object: number out of range"),
            (b"[1]", "the pack is not SenML JSON: "),
            (format!("[\"{}\"]", "x".repeat(9000)).as_bytes(), "the pack is not SenML JSON: invalid type"),
            (b"\x81\x01", "record 1 is not a map"),
            (b"\x9b\x10\0\0\0\0\0\0\0", "the pack is not SenML CBOR: it ends too early"),
        ] {
            let judged = all(message);
            assert!(judged.len() == 1, "{message:?}");
            let rejection = judged.into_iter().next().unwrap().unwrap_err();
            assert!(rejection.starts_with(why) && rejection.len() < 300, "{message:?}: {rejection}");
        }
    }
}
