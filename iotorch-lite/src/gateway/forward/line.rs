//! InfluxDB's line protocol (InfluxDB 1.x, line protocol reference).
//!
//! A reading `d1:temperature` in `Cel` is `temperature,device=d1,unit=Cel value=21.5 1795409404510374078`. A field has one type
//! in a measurement, so each type of value has a field of its own: `value`, `state`, `text`, `data` in base64, and `sum`.

use super::pack::Unsendable;
use crate::senml::{Record, Value};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::fmt::Write;

/// The line of a record.
pub(super) fn line(record: &Record) -> Result<String, Unsendable> {
    let unsendable = |why: &str| Unsendable::new(&record.name, why);
    let (device, measurement) = match record.name.split_once(':') {
        Some((device, resource)) if !device.is_empty() && !resource.is_empty() => (Some(device), resource),
        _ => (None, record.name.as_str()),
    };
    let mut line = escaped(measurement, ", ").ok_or_else(|| unsendable("has a line break in its name"))?;
    if line.starts_with('#') {
        // A line that begins so is a comment, and the sign cannot be escaped.
        line.insert(0, '\\');
    }
    for (tag, value) in [("device", device), ("unit", record.unit.as_deref().filter(|unit| !unit.is_empty()))]
    {
        if let Some(value) = value {
            let value = escaped(value, ",= ").ok_or_else(|| unsendable("has a line break in a tag"))?;
            // Writing to a string cannot fail, here and below.
            let _ = write!(line, ",{tag}={value}");
        }
    }
    let mut fields = Vec::new();
    match &record.value {
        Some(Value::Number(number)) => fields.push(format!("value={number:?}")),
        Some(Value::Bool(state)) => fields.push(format!("state={state}")),
        Some(Value::Text(text)) => fields.push(format!("text={}", quoted(text))),
        Some(Value::Data(data)) => fields.push(format!("data=\"{}\"", STANDARD.encode(data))),
        None => {}
    }
    fields.extend(record.sum.map(|sum| format!("sum={sum:?}")));
    let time = record.seconds().nanoseconds();
    let time =
        time.or_else(|| Some((record.time * 1e6).round() as i64).and_then(|time| time.checked_mul(1000)));
    let time = time.ok_or_else(|| unsendable("has a time after the year 2262"))?;
    let _ = write!(line, " {} {time}", fields.join(","));
    Ok(line)
}

/// A measurement or the value of a tag, if it can be written. A backslash stands for itself, but at the end it would escape what
/// follows, so a space stands behind it.
fn escaped(text: &str, special: &str) -> Option<String> {
    if text.contains(['\n', '\r']) {
        return None;
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if special.contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    if escaped.ends_with('\\') {
        escaped.push_str("\\ ");
    }
    Some(escaped)
}

/// The value of a field that is a text; line breaks stand for themselves.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, unit: Option<&str>, value: Value) -> String {
        let unit = unit.map(str::to_owned);
        line(&Record { unit, ..Record::at_nanoseconds(name, 1_795_409_404_510_374_078, value) }).unwrap()
    }

    #[test]
    fn every_type_of_value_has_its_own_field() {
        let lines = [
            of("d1:temperature", Some("Cel"), Value::Number(21.5)),
            of("d1:count", None, Value::Number(1e21)),
            of("d1:open", None, Value::Bool(true)),
            of("d1:note", None, Value::Text("hello".to_owned())),
            of("d1:picture", None, Value::Data(vec![0xff, 0xfe])),
            of("weather", Some(""), Value::Number(-1.0)),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r#"
        temperature,device=d1,unit=Cel value=21.5 1795409404510374078
        count,device=d1 value=1e21 1795409404510374078
        open,device=d1 state=true 1795409404510374078
        note,device=d1 text="hello" 1795409404510374078
        picture,device=d1 data="//4=" 1795409404510374078
        weather value=-1.0 1795409404510374078
        "#);
        let sum =
            Record { value: None, sum: Some(2.5), ..Record::new("d1:energy", 1.7e9, Value::Bool(true)) };
        assert_eq!(line(&sum).unwrap(), "energy,device=d1 sum=2.5 1700000000000000000");
    }

    #[test]
    fn what_has_a_meaning_in_the_protocol_is_escaped() {
        let lines = [
            of("mf odd:a b,c=d", Some("m, s=1"), Value::Number(1.0)),
            of("mf-é:t", None, Value::Text("say \"a\\b\"\nand, more = all".to_owned())),
            of("#1:#t", None, Value::Bool(false)),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r#"
        a\ b\,c=d,device=mf\ odd,unit=m\,\ s\=1 value=1.0 1795409404510374078
        t,device=mf-é text="say \"a\\b\"
        and, more = all" 1795409404510374078
        \#t,device=#1 state=false 1795409404510374078
        "#);
    }

    #[test]
    fn a_name_that_cannot_be_written_is_told() {
        let broken = line(&Record::new("d1:a\nb", 1.7e9, Value::Bool(true))).unwrap_err();
        assert_eq!(broken, Unsendable::new("d1:a\nb", "has a line break in its name"));
        let late = line(&Record::new("d1:a", 2e11, Value::Bool(true))).unwrap_err();
        assert_eq!(late.why, "has a time after the year 2262");
    }
}
