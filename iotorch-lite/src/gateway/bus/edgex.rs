//! Events of EdgeX as records.
//!
//! On its bus an event stands in the envelope of a message (`MessageEnvelope` of go-mod-messaging): in version 4 as it is, in version
//! 3 in base64, or as CBOR in base64 where a reading is binary. Values are texts, whatever their types, and times are whole
//! nanoseconds. Version 1 has other names for some fields, and times in milliseconds.

use crate::senml::{self, Record, Value, shown};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;
use std::fmt;

/// The longest record in bytes of JSON: it must fit a SenML pack, and a pack a packet that servers take.
const LARGEST: usize = 48 * 1024;

/// Times below this many are milliseconds: as nanoseconds they would be of the second day of 1970.
const MILLISECONDS_BELOW: i64 = 100_000_000_000_000;

/// An event as records.
#[derive(Debug)]
pub(super) struct Event {
    /// What it is known by when it comes again, if it has that.
    pub(super) id: Option<String>,
    pub(super) readings: Vec<Result<Reading, String>>,
}

#[derive(Debug)]
pub(super) struct Reading {
    pub(super) record: Record,
    /// Whether it is a text because SenML does not have its value, such as an object.
    pub(super) as_text: bool,
}

/// Reads a message of the bus, or says why it is no event. Readings without a time are of `now`.
pub(super) fn read(message: &[u8], now: f64) -> Result<Event, String> {
    let Envelope { payload } = serde_json::from_slice(message).map_err(|error| no_event(&error))?;
    let event = match payload {
        None => in_json(message)?,
        Some(payload) if payload.get().starts_with('"') => {
            let text: String = serde_json::from_str(payload.get()).map_err(|error| no_event(&error))?;
            if text.trim_start().starts_with('{') {
                in_json(text.as_bytes())?
            } else {
                let payload = STANDARD.decode(text.trim()).map_err(|error| no_event(&error))?;
                if payload.first() == Some(&b'{') { in_json(&payload)? } else { in_cbor(&payload)? }
            }
        }
        Some(payload) => in_json(payload.get().as_bytes())?,
    };
    let Raw { id, device, origin, readings } = event;
    let readings = readings.into_iter().map(|reading| reading.take(&device, origin, now)).collect();
    Ok(Event { id: id.filter(|id| !id.is_empty()).map(|id| format!("{device}\n{id}")), readings })
}

fn no_event(why: &impl fmt::Display) -> String {
    format!("it is no event: {why}").chars().take(200).collect()
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default, alias = "Payload")]
    payload: Option<Box<RawValue>>,
}

/// What adds an event; an event may also stand for itself.
#[derive(Deserialize)]
#[serde(bound = "O: Deserialize<'de>")]
struct Request<O> {
    event: Option<Raw<O>>,
}

/// An event as it is written, with objects as `O`.
#[derive(Deserialize)]
#[serde(bound = "O: Deserialize<'de>")]
struct Raw<O> {
    #[serde(default)]
    id: Option<String>,
    #[serde(rename = "deviceName", alias = "device")]
    device: String,
    #[serde(default)]
    origin: Option<i64>,
    readings: Vec<RawReading<O>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "O: Deserialize<'de>")]
struct RawReading<O> {
    #[serde(rename = "resourceName", alias = "name")]
    resource: String,
    #[serde(default)]
    value_type: Option<String>,
    #[serde(default)]
    units: Option<String>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    binary_value: Option<Binary>,
    #[serde(default)]
    object_value: Option<O>,
    #[serde(default)]
    origin: Option<i64>,
    #[serde(default)]
    is_null: bool,
}

fn in_json(event: &[u8]) -> Result<Raw<Box<RawValue>>, String> {
    let request = serde_json::from_slice::<Request<_>>(event).map_err(|error| no_event(&error))?;
    match request.event {
        Some(event) => Ok(event),
        None => serde_json::from_slice(event).map_err(|error| no_event(&error)),
    }
}

fn in_cbor(event: &[u8]) -> Result<Raw<Box<RawValue>>, String> {
    let request: Request<serde_json::Value> =
        ciborium::from_reader(event).map_err(|error| no_event(&error))?;
    let event = request.event.ok_or_else(|| no_event(&"it has no \"event\""))?;
    let in_json = |reading: RawReading<serde_json::Value>| {
        let object_value = reading.object_value.map(|object| serde_json::value::to_raw_value(&object));
        let object_value = object_value.transpose().map_err(|error| no_event(&error))?;
        let RawReading { resource, value_type, units, value, binary_value, origin, is_null, .. } = reading;
        Ok(RawReading { resource, value_type, units, value, binary_value, object_value, origin, is_null })
    };
    let readings = event.readings.into_iter().map(in_json).collect::<Result<_, String>>()?;
    Ok(Raw { id: event.id, device: event.device, origin: event.origin, readings })
}

impl RawReading<Box<RawValue>> {
    fn take(self, device: &str, origin: Option<i64>, now: f64) -> Result<Reading, String> {
        let name = format!("{device}:{}", self.resource);
        let wrong = |why: &str| format!("\"{}\" {why}", shown(&name));
        if device.is_empty() || self.resource.is_empty() {
            return Err(wrong("has no device or no resource"));
        }
        let unit = self.units.clone().filter(|unit| !unit.is_empty());
        if unit.as_ref().is_some_and(|unit| unit.len() > senml::LONGEST_UNIT) {
            return Err(wrong("has a unit that is too long"));
        }
        let time = self.origin.filter(|origin| *origin > 0).or(origin).filter(|origin| *origin > 0);
        let (value, as_text) = self.value().map_err(|why| wrong(&why))?;
        let record = match time.and_then(nanoseconds) {
            Some(time) => Record::at_nanoseconds(name.as_str(), time, value),
            None => Record::new(name.as_str(), now, value),
        };
        let record = Record { unit, ..record };
        let size = senml::keep(&record).len();
        if size > LARGEST {
            return Err(wrong(&format!("takes {size} bytes, more than {LARGEST}")));
        }
        Ok(Reading { record, as_text })
    }

    /// The value, and whether it is a text for want of a better form.
    fn value(self) -> Result<(Value, bool), String> {
        let none = || "has no value".to_owned();
        if self.is_null {
            return Err(none());
        }
        let kind = self.value_type.unwrap_or_default();
        if kind == "Binary" {
            return self.binary_value.map(|Binary(data)| (Value::Data(data), false)).ok_or_else(none);
        }
        if let Some(object) = self.object_value {
            let text =
                serde_json::from_str::<String>(object.get()).unwrap_or_else(|_| object.get().to_owned());
            return Ok((Value::Text(text), true));
        }
        let text = self.value.ok_or_else(none)?;
        let number = match kind.as_str() {
            "String" => return Ok((Value::Text(text), false)),
            "Bool" => {
                let state = text.to_ascii_lowercase().parse().map_err(|_| "is neither true nor false")?;
                return Ok((Value::Bool(state), false));
            }
            "Uint8" | "Uint16" | "Uint32" | "Uint64" | "Int8" | "Int16" | "Int32" | "Int64" => {
                let integer: i128 = text.trim().parse().map_err(|_| "is no integer")?;
                senml::whole(integer.unsigned_abs(), integer < 0)
            }
            "Float32" | "Float64" => {
                let float: f64 = text.trim().parse().map_err(|_| "is no number")?;
                Some(float).filter(|float| float.is_finite())
            }
            // Version 1 does not tell types.
            "" => return Ok((untyped(text), false)),
            // Arrays, and what is to come.
            _ => None,
        };
        Ok(number.map_or((Value::Text(text), true), |number| (Value::Number(number), false)))
    }
}

fn untyped(text: String) -> Value {
    match serde_json::from_str(&text) {
        Ok(serde_json::Value::Bool(state)) => Value::Bool(state),
        Ok(serde_json::Value::Number(number)) => {
            senml::exact(&number).map_or(Value::Text(text), Value::Number)
        }
        _ => Value::Text(text),
    }
}

/// The time of a reading in nanoseconds, if records can have it.
fn nanoseconds(origin: i64) -> Option<i64> {
    let time = if origin < MILLISECONDS_BELOW { origin.checked_mul(1_000_000)? } else { origin };
    senml::is_absolute(senml::Seconds::of_nanoseconds(time).double()).then_some(time)
}

/// Bytes: in JSON in base64.
struct Binary(Vec<u8>);

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl de::Visitor<'_> for Bytes {
            type Value = Binary;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("bytes, or base64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Binary, E> {
                STANDARD.decode(text).map(Binary).map_err(E::custom)
            }

            fn visit_bytes<E: de::Error>(self, data: &[u8]) -> Result<Binary, E> {
                Ok(Binary(data.to_owned()))
            }
        }

        input.deserialize_any(Bytes)
    }
}

#[cfg(test)]
mod tests;
