//! What a device sends.

use crate::senml::Format;
use iotorch_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value};

/// A message as it goes over the wire.
///
/// What its bytes may be is in the [overview](crate#what-a-message-says) of this crate. They are sent as they are: to judge
/// them is the gateway's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(Vec<u8>);

/// A value of one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The resource.
    pub resource: String,
    /// The value: a number, `true` or `false`, or a text.
    pub value: Value,
}

impl Reading {
    /// A reading of `resource`. A number that is not finite becomes `null`, which no gateway accepts.
    pub fn new(resource: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { resource: resource.into(), value: value.into() }
    }
}

impl Message {
    /// A message of these bytes: a JSON object, a SenML pack, or the bare value of the resource that the path of the
    /// [`Login`](super::Login) names, such as `21.5`.
    pub fn new(payload: impl Into<Vec<u8>>) -> Self {
        Self(payload.into())
    }

    /// One JSON object of these readings.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if a resource comes twice: an object holds it once.
    pub fn of_readings(readings: &[Reading]) -> Result<Self> {
        let mut object = Map::new();
        for Reading { resource, value } in readings {
            if object.insert(resource.clone(), value.clone()).is_some() {
                let why = format!("cannot send resource \"{resource}\" twice in one message");
                return Err(Error::new(ErrorKind::Invalid, why));
            }
        }
        Ok(Self::new(Value::Object(object).to_string()))
    }

    /// A SenML pack in JSON of these readings, made at `time` in seconds since the Unix epoch. With a time a message can be
    /// sent again, and is stored once.
    #[must_use]
    pub fn of_pack(readings: &[Reading], time: f64) -> Self {
        let record = |(index, reading): (usize, &Reading)| {
            let label = match &reading.value {
                Value::Bool(_) => "vb",
                Value::Number(_) => "v",
                _ => "vs",
            };
            let mut record = Map::new();
            if index == 0 {
                record.insert("bt".into(), time.into());
            }
            record.insert("n".into(), reading.resource.clone().into());
            record.insert(label.into(), reading.value.clone());
            Value::Object(record)
        };
        let pack: Vec<Value> = readings.iter().enumerate().map(record).collect();
        Self::new(Value::Array(pack).to_string())
    }

    /// The bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.0
    }

    /// What the bytes look like. Gateways do not need to be told; what stands between may want to know.
    pub(super) fn form(&self) -> Form {
        match self.0.trim_ascii_start().first() {
            Some(b'{') => Form::Json,
            Some(b'[') => Form::Senml(Format::Json),
            Some(0x80..=0x9f) => Form::Senml(Format::Cbor),
            _ => Form::Text,
        }
    }
}

/// What the bytes of a message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The bare value of a resource.
    Text,
    /// A JSON object of values by resource.
    Json,
    /// A SenML pack.
    Senml(Format),
}

impl Form {
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Json => "application/json",
            Self::Senml(format) => format.content_type(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pack_has_its_time_once_and_values_under_their_labels() {
        let readings =
            [Reading::new("temperature", 21.5), Reading::new("on", true), Reading::new("label", "x")];
        let message = Message::of_pack(&readings, 1_717_245_296.25);
        let pack: Value = serde_json::from_slice(message.payload()).unwrap();
        assert_eq!(
            pack,
            json!([
                { "bt": 1_717_245_296.25, "n": "temperature", "v": 21.5 },
                { "n": "on", "vb": true },
                { "n": "label", "vs": "x" },
            ])
        );
    }

    #[test]
    fn an_object_holds_each_resource_once() {
        let twice = [Reading::new("temperature", 1), Reading::new("temperature", 2)];
        let error = Message::of_readings(&twice).unwrap_err();
        assert_eq!(error.to_string(), "cannot send resource \"temperature\" twice in one message");
        assert_eq!(Message::of_readings(&twice[..1]).unwrap().payload(), br#"{"temperature":1}"#);
    }

    #[test]
    fn a_message_says_itself_what_it_is() {
        let told = |payload: &[u8]| Message::new(payload).form().media_type();
        assert_eq!(told(br#"{"on":true}"#), "application/json");
        assert_eq!(told(b"\n [{}]"), "application/senml+json");
        assert_eq!(told(&[0x81, 0xa0]), "application/senml+cbor");
        assert_eq!((told(b"21.5"), told(b"")), ("text/plain", "text/plain"));
    }
}
