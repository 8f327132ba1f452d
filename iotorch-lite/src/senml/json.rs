//! Packs in JSON (RFC 8428 section 5).

use super::{
    Record,
    fields::{Field, Fields, Label},
    number,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;
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

pub(super) fn read(pack: &[u8]) -> serde_json::Result<Vec<Entries>> {
    serde_json::from_slice(pack)
}

pub(super) fn write(records: &[Record]) -> Vec<u8> {
    // A record holds only strings, finite numbers and JSON values, so writing it cannot fail.
    serde_json::to_vec(records).unwrap_or_default()
}

impl TryFrom<Entries> for Fields {
    type Error = String;

    fn try_from(entries: Entries) -> Result<Self, String> {
        let mut fields = Self::default();
        for (label, value) in entries.0 {
            match Label::from_text(&label) {
                Some(label) => fields.put(label, field(label, value)?)?,
                None => fields.extend(label, Some(value))?,
            }
        }
        Ok(fields)
    }
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
