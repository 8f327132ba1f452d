//! What a device sends.

use iotorch_core::{
    Error, ErrorKind, Result,
    model::{ProfileResource, ValueType},
};
use serde_json::{Map, Value};

/// A message as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The bytes.
    pub(crate) payload: Vec<u8>,
    /// What they are.
    pub(crate) form: Form,
}

/// What the bytes of a message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A JSON object of values by resource.
    Json,
    /// A SenML pack in JSON (RFC 8428 section 5).
    SenmlJson,
    /// A SenML pack in CBOR (RFC 8428 section 6).
    SenmlCbor,
}

impl Form {
    /// The media type (RFC 8428 section 12.3 for SenML).
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::SenmlJson => "application/senml+json",
            Self::SenmlCbor => "application/senml+cbor",
        }
    }
}

/// A value of one resource.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    /// The resource.
    pub(crate) resource: String,
    /// The value: a number, `true` or `false`, or a text.
    pub(crate) value: Value,
}

impl Reading {
    /// Reads `RESOURCE=VALUE`. The type is the profile's. What does not fit is sent as it looks: to judge it is the gateway's part.
    pub(crate) fn parse(text: &str, profile: &[ProfileResource]) -> Result<Self> {
        let wrong = || {
            Error::new(ErrorKind::Invalid, format!("cannot read {text:?} as a reading"))
                .with_help("a reading is written RESOURCE=VALUE, such as temperature=21.5")
        };
        let (resource, value) = text.split_once('=').ok_or_else(wrong)?;
        if resource.is_empty() || value.is_empty() {
            return Err(wrong());
        }
        Ok(Self::of(resource, value, profile))
    }

    /// What `text` is as a value of `resource`.
    pub(crate) fn of(resource: &str, text: &str, profile: &[ProfileResource]) -> Self {
        let known = profile.iter().find(|known| known.name.as_str() == resource);
        let is_text = known.is_some_and(|known| known.value_type == ValueType::String);
        let value = if is_text { Value::from(text) } else { scalar(text) };
        Self { resource: resource.to_owned(), value }
    }

    /// Whether the value has the type that the profile wants.
    pub(crate) fn fits(&self, resource: &ProfileResource) -> bool {
        match resource.value_type {
            ValueType::Float => self.value.is_number(),
            ValueType::Integer => self.value.as_f64().is_some_and(|number| number.fract() == 0.0),
            ValueType::Bool => self.value.is_boolean(),
            ValueType::String => self.value.is_string(),
        }
    }
}

/// A number or `true` or `false` where it reads as one, else a text.
fn scalar(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::from(text),
    }
}

/// A finite number as JSON.
pub(crate) fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number)
}

impl Message {
    /// One JSON object of these readings. A resource that comes twice is an error: an object holds it once.
    pub(crate) fn of_readings(readings: &[Reading]) -> Result<Self> {
        let mut object = Map::new();
        for Reading { resource, value } in readings {
            if object.insert(resource.clone(), value.clone()).is_some() {
                let why = format!("cannot send resource \"{resource}\" twice in one message");
                return Err(Error::new(ErrorKind::Invalid, why));
            }
        }
        Ok(Self::of_object(object))
    }

    /// A JSON object of values by resource.
    pub(crate) fn of_object(object: Map<String, Value>) -> Self {
        Self { payload: Value::Object(object).to_string().into_bytes(), form: Form::Json }
    }

    /// A SenML pack of these readings, made at `time` in seconds since the Unix epoch.
    pub(crate) fn of_pack(readings: &[Reading], time: f64) -> Self {
        let record = |(index, reading): (usize, &Reading)| {
            let label = match &reading.value {
                Value::Bool(_) => "vb",
                Value::Number(_) => "v",
                _ => "vs",
            };
            let mut record = Map::new();
            if index == 0 {
                record.insert("bt".into(), number(time));
            }
            record.insert("n".into(), reading.resource.clone().into());
            record.insert(label.into(), reading.value.clone());
            Value::Object(record)
        };
        let pack: Vec<Value> = readings.iter().enumerate().map(record).collect();
        Self { payload: Value::Array(pack).to_string().into_bytes(), form: Form::SenmlJson }
    }

    /// A line: a JSON object, a SenML pack, or readings written `RESOURCE=VALUE` with spaces between.
    pub(crate) fn of_line(line: &str, profile: &[ProfileResource]) -> Result<Self> {
        let line = line.trim();
        let form = match line.as_bytes().first() {
            Some(b'{') => Form::Json,
            Some(b'[') => Form::SenmlJson,
            _ => {
                let readings = line.split_whitespace().map(|text| Reading::parse(text, profile));
                return Self::of_readings(&readings.collect::<Result<Vec<_>>>()?);
            }
        };
        Ok(Self { payload: line.as_bytes().to_vec(), form })
    }

    /// A SenML pack from a file: JSON begins with a bracket, everything else is taken for CBOR.
    pub(crate) fn of_senml(bytes: Vec<u8>) -> Self {
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        let form = if first == Some(&b'[') { Form::SenmlJson } else { Form::SenmlCbor };
        Self { payload: bytes, form }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn profile() -> Vec<ProfileResource> {
        let resource = |name: &str, value_type| {
            ProfileResource::builder().name(name.parse().unwrap()).value_type(value_type).build()
        };
        vec![resource("temperature", ValueType::Float), resource("label", ValueType::String)]
    }

    fn sent(line: &str) -> Value {
        serde_json::from_slice(&Message::of_line(line, &profile()).unwrap().payload).unwrap()
    }

    #[test]
    fn values_have_the_type_of_the_profile_and_else_what_they_look_like() {
        assert_eq!(
            sent("temperature=21.5 label=7 other=true more=x=y"),
            json!({ "temperature": 21.5, "label": "7", "other": true, "more": "x=y" })
        );
        assert_eq!(sent("temperature=warm"), json!({ "temperature": "warm" }));
    }

    #[test]
    fn json_goes_as_it_is() {
        let line = r#" [{"n":"temperature","v":1.50}] "#;
        let message = Message::of_line(line, &[]).unwrap();
        assert_eq!((message.payload.as_slice(), message.form), (line.trim().as_bytes(), Form::SenmlJson));
    }

    #[test]
    fn what_is_no_reading_is_refused_with_how_one_is_written() {
        for line in ["temperature", "=1", "temperature="] {
            let error = Message::of_line(line, &profile()).unwrap_err();
            assert!(error.help().unwrap().contains("RESOURCE=VALUE"), "{line}");
        }
        assert!(Message::of_line("temperature=1 temperature=2", &profile()).is_err());
    }

    #[test]
    fn a_pack_has_its_time_once_and_values_under_their_labels() {
        let readings = [("temperature", json!(21.5)), ("on", json!(true)), ("label", json!("x"))]
            .map(|(resource, value)| Reading { resource: resource.into(), value });
        let message = Message::of_pack(&readings, 1_717_245_296.25);
        let pack: Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(
            pack,
            json!([
                { "bt": 1_717_245_296.25, "n": "temperature", "v": 21.5 },
                { "n": "on", "vb": true },
                { "n": "label", "vs": "x" },
            ])
        );
    }
}
