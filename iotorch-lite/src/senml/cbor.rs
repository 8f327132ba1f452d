//! Packs in CBOR (RFC 8428 section 6).

use super::{
    Record,
    fields::{self, Field, Fields, Label, Written},
    number::{self, Seconds},
};
use ciborium::{
    Value,
    de::{self, Error},
    tag::Required,
};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// How deep a pack may be nested: the array, a record, and what an extension field holds, tags included.
const DEEPEST: usize = 32;

/// The tags of RFC 8949 section 3.4 that numbers may have.
const BIG_POSITIVE: u64 = 2;
const BIG_NEGATIVE: u64 = 3;
const DECIMAL_FRACTION: u64 = 4;

pub(super) fn read(pack: &[u8]) -> Result<Vec<Value>, String> {
    let mut rest = pack;
    let value = de::from_reader_with_recursion_limit(&mut rest, DEEPEST).map_err(|error| match error {
        Error::Io(_) => "it ends too early".to_owned(),
        Error::Syntax(at) => format!("byte {at} is wrong"),
        Error::Semantic(Some(at), why) => format!("{why} at byte {at}"),
        Error::Semantic(None, why) => why,
        Error::RecursionLimitExceeded => format!("it is nested more than {DEEPEST} deep"),
    })?;
    match value {
        Value::Array(records) if rest.is_empty() => Ok(records),
        Value::Array(_) => Err("something follows its end".to_owned()),
        _ => Err("it is not an array".to_owned()),
    }
}

pub(super) fn write(records: &[Record]) -> Vec<u8> {
    let records: Vec<_> = records.iter().map(Compact).collect();
    let mut pack = Vec::new();
    // A record holds only what CBOR has, and memory takes whatever is written.
    let written = ciborium::into_writer(&records, &mut pack);
    debug_assert!(written.is_ok(), "{written:?}");
    pack
}

/// A record with the labels of CBOR.
struct Compact<'a>(&'a Record);

impl Serialize for Compact<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Self(record) = self;
        let fields = fields::of(record);
        let mut map = out.serialize_map(Some(fields.len() + record.extensions.len()))?;
        for (label, field) in &fields {
            match field {
                Written::Seconds(seconds) if seconds.finer().is_some() => {
                    let fraction = Required::<_, DECIMAL_FRACTION>((-9, seconds.finer()));
                    map.serialize_entry(&label.number(), &fraction)?;
                }
                field => map.serialize_entry(&label.number(), field)?,
            }
        }
        for (label, value) in &record.extensions {
            map.serialize_entry(label, value)?;
        }
        map.end()
    }
}

impl TryFrom<Value> for Fields {
    type Error = String;

    fn try_from(record: Value) -> Result<Self, String> {
        let Value::Map(entries) = record else { return Err("is not a map".to_owned()) };
        let mut fields = Self::default();
        for (label, value) in entries {
            let known = match label {
                Value::Integer(number) => {
                    let number = i128::from(number);
                    Ok(Label::from_number(number)
                        .ok_or_else(|| format!("has the label {number}, which SenML does not have"))?)
                }
                Value::Text(text) => Label::from_text(&text).ok_or(text),
                _ => return Err("has a label that is neither an integer nor a text".to_owned()),
            };
            match known {
                Ok(label) => fields.put(label, field(label, value)?)?,
                Err(label) => fields.extend(label, to_json(value))?,
            }
        }
        Ok(fields)
    }
}

fn field(label: Label, value: Value) -> Result<Field, String> {
    Ok(match value {
        Value::Text(text) => Field::Text(text),
        Value::Bool(bool) => Field::Bool(bool),
        Value::Bytes(data) => Field::Data(data),
        Value::Tag(DECIMAL_FRACTION, parts) if label.is_time() => {
            let seconds = fraction(&parts).and_then(|text| Seconds::parse(&text));
            Field::Seconds(seconds.ok_or_else(|| inexact(label))?)
        }
        Value::Integer(_)
        | Value::Float(_)
        | Value::Tag(BIG_POSITIVE | BIG_NEGATIVE | DECIMAL_FRACTION, _) => {
            Field::Number(double(&value).ok_or_else(|| inexact(label))?)
        }
        _ => Field::Other,
    })
}

fn inexact(label: Label) -> String {
    format!("has a \"{}\" that a double does not hold exactly", label.text())
}

/// A decimal fraction as JSON would write it.
fn fraction(parts: &Value) -> Option<String> {
    match parts.as_array()?.as_slice() {
        [Value::Integer(exponent), Value::Integer(mantissa)] => {
            Some(format!("{}e{}", i128::from(*mantissa), i128::from(*exponent)))
        }
        _ => None,
    }
}

/// The double that a number is: an integer of any length only if there is one, a decimal fraction the nearest one, as the
/// same number in JSON would be.
fn double(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Integer(integer) => {
            let integer = i128::from(*integer);
            number::whole(integer.unsigned_abs(), integer < 0)?
        }
        Value::Float(float) => *float,
        Value::Tag(tag @ (BIG_POSITIVE | BIG_NEGATIVE), bytes) => {
            let magnitude = bytes
                .as_bytes()?
                .iter()
                .try_fold(0_u128, |sum, byte| sum.checked_mul(256).map(|sum| sum + u128::from(*byte)))?;
            // A negative one is -1 minus what its bytes say.
            let negative = *tag == BIG_NEGATIVE;
            number::whole(magnitude.checked_add(negative.into())?, negative)?
        }
        Value::Tag(DECIMAL_FRACTION, parts) => fraction(parts)?.parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// The same value in JSON, if JSON has it.
fn to_json(value: Value) -> Option<serde_json::Value> {
    Some(match value {
        Value::Integer(integer) => match i128::from(integer) {
            integer @ 0.. => u64::try_from(integer).ok()?.into(),
            integer => i64::try_from(integer).ok()?.into(),
        },
        Value::Float(float) => serde_json::Number::from_f64(float)?.into(),
        Value::Text(text) => text.into(),
        Value::Bool(bool) => bool.into(),
        Value::Null => serde_json::Value::Null,
        Value::Array(items) => items.into_iter().map(to_json).collect::<Option<Vec<_>>>()?.into(),
        Value::Map(items) => {
            let entry = |(key, value): (Value, Value)| Some((key.into_text().ok()?, to_json(value)?));
            items.into_iter().map(entry).collect::<Option<serde_json::Map<_, _>>>()?.into()
        }
        _ => return None,
    })
}
