//! Readings as a person types them.

use iotorch_core::{
    Error, ErrorKind, Result,
    model::{ProfileResource, ValueType},
};
use iotorch_lite::device::{Message, Reading};
use serde_json::Value;

/// Reads `RESOURCE=VALUE`. The type is the profile's. What does not fit is sent as it looks: to judge it is the gateway's part.
pub(crate) fn reading(text: &str, profile: &[ProfileResource]) -> Result<Reading> {
    let wrong = || {
        Error::new(ErrorKind::Invalid, format!("cannot read {text:?} as a reading"))
            .with_help("a reading is written RESOURCE=VALUE, such as temperature=21.5")
    };
    let (resource, text) = text.split_once('=').ok_or_else(wrong)?;
    if resource.is_empty() || text.is_empty() {
        return Err(wrong());
    }
    Ok(value(resource, text, profile))
}

/// What `text` is as a value of `resource`.
pub(crate) fn value(resource: &str, text: &str, profile: &[ProfileResource]) -> Reading {
    let known = profile.iter().find(|known| known.name.as_str() == resource);
    let is_text = known.is_some_and(|known| known.value_type == ValueType::String);
    Reading::new(resource, if is_text { Value::from(text) } else { scalar(text) })
}

/// A number or `true` or `false` where it reads as one, else a text.
fn scalar(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::from(text),
    }
}

/// Whether the value of a reading has the type that the profile wants.
pub(crate) fn fits(reading: &Reading, resource: &ProfileResource) -> bool {
    let value = &reading.value;
    match resource.value_type {
        ValueType::Float => value.is_number(),
        ValueType::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        ValueType::Bool => value.is_boolean(),
        ValueType::String => value.is_string(),
    }
}

/// Several readings, each written `RESOURCE=VALUE`, as one message.
pub(crate) fn message<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    profile: &[ProfileResource],
) -> Result<Message> {
    let readings: Vec<Reading> =
        texts.into_iter().map(|text| reading(text, profile)).collect::<Result<_>>()?;
    Message::of_readings(&readings)
}

/// A line: a JSON object, a SenML pack, or readings written `RESOURCE=VALUE` with spaces between.
pub(crate) fn line(line: &str, profile: &[ProfileResource]) -> Result<Message> {
    match line.trim() {
        json if json.starts_with(['{', '[']) => Ok(Message::new(json)),
        readings => message(readings.split_whitespace(), profile),
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

    fn sent(text: &str) -> Value {
        serde_json::from_slice(line(text, &profile()).unwrap().payload()).unwrap()
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
        let text = r#" [{"n":"temperature","v":1.50}] "#;
        let message = line(text, &[]).unwrap();
        assert_eq!(message.payload(), text.trim().as_bytes());
    }

    #[test]
    fn what_is_no_reading_is_refused_with_how_one_is_written() {
        for text in ["temperature", "=1", "temperature="] {
            let error = line(text, &profile()).unwrap_err();
            assert!(error.help().unwrap().contains("RESOURCE=VALUE"), "{text}");
        }
        assert!(line("temperature=1 temperature=2", &profile()).is_err());
    }
}
