//! The fields of one record, whatever the format: their labels, and what each of them may hold.

use super::{Record, Value, number::Seconds};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// How deep the values of extension fields may be nested. Both formats can be read much deeper, so what is read from one
/// can be written in the other.
const DEEPEST: usize = 16;

/// The fields that RFC 8428 names in section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    BaseVersion,
    BaseName,
    BaseTime,
    BaseUnit,
    BaseValue,
    BaseSum,
    Name,
    Unit,
    Value,
    TextValue,
    BoolValue,
    DataValue,
    Sum,
    Time,
    UpdateTime,
}

impl Label {
    const ALL: [Self; 15] = [
        Self::BaseVersion,
        Self::BaseName,
        Self::BaseTime,
        Self::BaseUnit,
        Self::BaseValue,
        Self::BaseSum,
        Self::Name,
        Self::Unit,
        Self::Value,
        Self::TextValue,
        Self::BoolValue,
        Self::DataValue,
        Self::Sum,
        Self::Time,
        Self::UpdateTime,
    ];

    /// The label in JSON, and the one in CBOR (RFC 8428 section 6, table 4).
    const fn parts(self) -> (&'static str, i8) {
        match self {
            Self::BaseVersion => ("bver", -1),
            Self::BaseName => ("bn", -2),
            Self::BaseTime => ("bt", -3),
            Self::BaseUnit => ("bu", -4),
            Self::BaseValue => ("bv", -5),
            Self::BaseSum => ("bs", -6),
            Self::Name => ("n", 0),
            Self::Unit => ("u", 1),
            Self::Value => ("v", 2),
            Self::TextValue => ("vs", 3),
            Self::BoolValue => ("vb", 4),
            Self::Sum => ("s", 5),
            Self::Time => ("t", 6),
            Self::UpdateTime => ("ut", 7),
            Self::DataValue => ("vd", 8),
        }
    }

    pub(super) const fn text(self) -> &'static str {
        self.parts().0
    }

    pub(super) const fn number(self) -> i8 {
        self.parts().1
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|label| label.text() == text)
    }

    pub(super) fn from_number(number: i128) -> Option<Self> {
        Self::ALL.into_iter().find(|label| i128::from(label.number()) == number)
    }

    /// Whether it is a time that may have more digits than a double.
    pub(super) const fn is_time(self) -> bool {
        matches!(self, Self::Time | Self::BaseTime)
    }

    const fn is_value(self) -> bool {
        matches!(self, Self::Value | Self::TextValue | Self::BoolValue | Self::DataValue)
    }

    const fn wanted(self) -> &'static str {
        match self {
            Self::BaseName | Self::BaseUnit | Self::Name | Self::Unit | Self::TextValue => "a text",
            Self::BoolValue => "true or false",
            Self::DataValue => "data",
            _ => "a number",
        }
    }
}

/// What a field holds, as far as any field of RFC 8428 can.
#[derive(Debug)]
pub(super) enum Field {
    Number(f64),
    Seconds(Seconds),
    Text(String),
    Bool(bool),
    Data(Vec<u8>),
    Other,
}

/// One record as it is on the wire.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) version: Option<f64>,
    pub(super) base_name: Option<String>,
    pub(super) base_time: Option<Seconds>,
    pub(super) base_unit: Option<String>,
    pub(super) base_value: Option<f64>,
    pub(super) base_sum: Option<f64>,
    pub(super) name: Option<String>,
    pub(super) unit: Option<String>,
    pub(super) value: Option<Value>,
    pub(super) sum: Option<f64>,
    pub(super) time: Option<Seconds>,
    pub(super) update_time: Option<f64>,
    pub(super) extensions: BTreeMap<String, serde_json::Value>,
}

impl Fields {
    /// Takes a field that RFC 8428 names.
    pub(super) fn put(&mut self, label: Label, field: Field) -> Result<(), String> {
        let previous = match (label, field) {
            (Label::BaseVersion, Field::Number(number)) => self.version.replace(number).is_some(),
            (Label::BaseName, Field::Text(text)) => self.base_name.replace(text).is_some(),
            (label, Field::Number(number)) if label.is_time() => {
                return self.put(label, Field::Seconds(Seconds::of(number)));
            }
            (Label::BaseTime, Field::Seconds(seconds)) => self.base_time.replace(seconds).is_some(),
            (Label::BaseUnit, Field::Text(text)) => self.base_unit.replace(text).is_some(),
            (Label::BaseValue, Field::Number(number)) => self.base_value.replace(number).is_some(),
            (Label::BaseSum, Field::Number(number)) => self.base_sum.replace(number).is_some(),
            (Label::Name, Field::Text(text)) => self.name.replace(text).is_some(),
            (Label::Unit, Field::Text(text)) => self.unit.replace(text).is_some(),
            (Label::Value, Field::Number(number)) => self.value.replace(Value::Number(number)).is_some(),
            (Label::TextValue, Field::Text(text)) => self.value.replace(Value::Text(text)).is_some(),
            (Label::BoolValue, Field::Bool(bool)) => self.value.replace(Value::Bool(bool)).is_some(),
            (Label::DataValue, Field::Data(data)) => self.value.replace(Value::Data(data)).is_some(),
            (Label::Sum, Field::Number(number)) => self.sum.replace(number).is_some(),
            (Label::Time, Field::Seconds(seconds)) => self.time.replace(seconds).is_some(),
            (Label::UpdateTime, Field::Number(number)) => self.update_time.replace(number).is_some(),
            (label, _) => return Err(format!("has a \"{}\" that is not {}", label.text(), label.wanted())),
        };
        match previous {
            false => Ok(()),
            true if label.is_value() => Err("has more than one value".to_owned()),
            true => Err(twice(label.text())),
        }
    }

    /// Takes a field that RFC 8428 does not name. `None` is a value that JSON does not have: such a field is passed over,
    /// as section 4.4 asks for.
    pub(super) fn extend(&mut self, label: String, value: Option<serde_json::Value>) -> Result<(), String> {
        if label.ends_with('_') {
            return Err(format!("has the field \"{}\", which must be understood and is not", shown(&label)));
        }
        let Some(value) = value else { return Ok(()) };
        if !is_nested_within(&value, DEEPEST) {
            return Err(format!("has the field \"{}\", nested more than {DEEPEST} deep", shown(&label)));
        }
        if self.extensions.contains_key(&label) {
            return Err(twice(&label));
        }
        self.extensions.insert(label, value);
        Ok(())
    }
}

fn twice(label: &str) -> String {
    format!("has the field \"{}\" twice", shown(label))
}

/// The start of what a stranger wrote, fit for a message.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

fn is_nested_within(value: &serde_json::Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return false };
    match value {
        serde_json::Value::Array(items) => items.iter().all(|item| is_nested_within(item, below)),
        serde_json::Value::Object(items) => items.values().all(|item| is_nested_within(item, below)),
        _ => true,
    }
}

/// What a field to be written holds.
#[derive(Debug)]
pub(super) enum Written<'a> {
    Number(f64),
    /// Written as a double, unless the format has a way to write more digits.
    Seconds(Seconds),
    Text(&'a str),
    Bool(bool),
    Data(&'a [u8]),
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => out.serialize_f64(*number),
            Self::Seconds(seconds) => out.serialize_f64(seconds.double()),
            Self::Text(text) => out.serialize_str(text),
            Self::Bool(bool) => out.serialize_bool(*bool),
            Self::Data(data) if out.is_human_readable() => out.serialize_str(&URL_SAFE_NO_PAD.encode(data)),
            Self::Data(data) => out.serialize_bytes(data),
        }
    }
}

/// The fields of a record that RFC 8428 names.
pub(super) fn of(record: &Record) -> Vec<(Label, Written<'_>)> {
    let value = record.value.as_ref().map(|value| match value {
        Value::Number(number) => (Label::Value, Written::Number(*number)),
        Value::Text(text) => (Label::TextValue, Written::Text(text)),
        Value::Bool(bool) => (Label::BoolValue, Written::Bool(*bool)),
        Value::Data(data) => (Label::DataValue, Written::Data(data)),
    });
    let fields = [
        Some((Label::Name, Written::Text(&record.name))),
        record.unit.as_deref().map(|unit| (Label::Unit, Written::Text(unit))),
        value,
        record.sum.map(|sum| (Label::Sum, Written::Number(sum))),
        Some((Label::Time, Written::Seconds(record.seconds()))),
        record.update_time.map(|time| (Label::UpdateTime, Written::Number(time))),
    ];
    fields.into_iter().flatten().collect()
}
