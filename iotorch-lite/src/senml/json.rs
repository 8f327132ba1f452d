//! Packs in JSON (RFC 8428 section 5).

use super::{
    Record,
    fields::{self, Field, Fields, Label, Written},
    number::{self, Seconds},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::{Error, SerializeMap},
};
use serde_json::{Value, value::RawValue};
use std::fmt;

/// The entries of an object in their order, those with the same name too.
#[derive(Debug)]
pub(crate) struct Entries(pub(crate) Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Entries;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        input.deserialize_map(Object)
    }
}

/// The entries of an object in JSON text, with the digits of its times as they stand there.
#[derive(Debug)]
pub(super) struct Digits(Vec<(String, Given)>);

#[derive(Debug)]
enum Given {
    Value(Value),
    Time(Box<RawValue>),
}

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Digits;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Digits, A::Error> {
                let mut entries = Vec::new();
                while let Some(label) = map.next_key::<String>()? {
                    let is_time = Label::from_text(&label).is_some_and(Label::is_time);
                    let given = if is_time {
                        Given::Time(map.next_value()?)
                    } else {
                        Given::Value(map.next_value()?)
                    };
                    entries.push((label, given));
                }
                Ok(Digits(entries))
            }
        }

        input.deserialize_map(Object)
    }
}

pub(super) fn read(pack: &[u8]) -> serde_json::Result<Vec<Digits>> {
    serde_json::from_slice(pack)
}

pub(super) fn read_one(record: &[u8]) -> serde_json::Result<Digits> {
    serde_json::from_slice(record)
}

pub(super) fn write(records: &[Record]) -> Vec<u8> {
    let records: Vec<_> = records.iter().map(Exact).collect();
    // A record holds only strings, finite numbers and JSON values, so writing it cannot fail.
    serde_json::to_vec(&records).unwrap_or_default()
}

pub(super) fn write_one(record: &Record) -> Vec<u8> {
    serde_json::to_vec(&Exact(record)).unwrap_or_default()
}

/// A record whose time is written with all the digits that it has, which only JSON text can have.
struct Exact<'a>(&'a Record);

impl Serialize for Exact<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Self(record) = self;
        let fields = fields::of(record);
        let mut map = out.serialize_map(Some(fields.len() + record.extensions.len()))?;
        for (label, field) in &fields {
            match field {
                Written::Seconds(seconds) if seconds.finer().is_some() => {
                    let digits = RawValue::from_string(seconds.to_string()).map_err(S::Error::custom)?;
                    map.serialize_entry(label.text(), &digits)?;
                }
                field => map.serialize_entry(label.text(), field)?,
            }
        }
        for (label, value) in &record.extensions {
            map.serialize_entry(label, value)?;
        }
        map.end()
    }
}

impl TryFrom<Entries> for Fields {
    type Error = String;

    fn try_from(Entries(entries): Entries) -> Result<Self, String> {
        let given = entries.into_iter().map(|(label, value)| (label, Given::Value(value)));
        Self::try_from(Digits(given.collect()))
    }
}

impl TryFrom<Digits> for Fields {
    type Error = String;

    fn try_from(Digits(entries): Digits) -> Result<Self, String> {
        let mut fields = Self::default();
        for (label, given) in entries {
            match (Label::from_text(&label), given) {
                (Some(label), Given::Value(value)) => fields.put(label, field(label, value)?)?,
                (Some(label), Given::Time(digits)) => fields.put(label, time(label, &digits)?)?,
                (None, Given::Value(value)) => fields.extend(label, Some(value))?,
                // Only labels of times are read so.
                (None, Given::Time(_)) => {}
            }
        }
        Ok(fields)
    }
}

fn time(label: Label, digits: &RawValue) -> Result<Field, String> {
    let value = serde_json::from_str(digits.get()).map_err(|error| error.to_string())?;
    Ok(match field(label, value)? {
        Field::Number(number) => {
            Field::Seconds(Seconds::parse(digits.get()).unwrap_or_else(|| Seconds::of(number)))
        }
        other => other,
    })
}

fn field(label: Label, value: Value) -> Result<Field, String> {
    Ok(match value {
        Value::Number(number) => Field::Number(number::exact(&number).ok_or_else(|| {
            format!("has a \"{}\" of {number}, which a double does not hold exactly", label.text())
        })?),
        Value::String(text) if label == Label::DataValue => Field::Data(decode(&text)?),
        Value::String(text) => Field::Text(text),
        Value::Bool(bool) => Field::Bool(bool),
        Value::Null | Value::Array(_) | Value::Object(_) => Field::Other,
    })
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(text).map_err(|error| format!("has data that is not URL-safe base64: {error}"))
}
