//! Sensor Measurement Lists in JSON (RFC 8428): packs are read into records that need no other record to be
//! understood, and written back.
//!
//! ```
//! use iotorch_lite::senml::{self, Value};
//!
//! let pack = br#"[{"bn":"d1:","bt":1700000000,"n":"temperature","u":"Cel","v":21.5},{"n":"open","vb":true}]"#;
//! let records = senml::parse(pack, 1_700_000_100.0)?;
//! assert_eq!(records[1].name, "d1:open");
//! assert_eq!(records[1].time, 1_700_000_000.0);
//! assert_eq!(records[1].value, Some(Value::Bool(true)));
//!
//! let nameless = senml::parse(br#"[{"v":1}]"#, 1_700_000_100.0).unwrap_err();
//! assert_eq!(nameless.to_string(), "record 1 has no name");
//! # Ok::<(), senml::ParseError>(())
//! ```

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// The version of SenML that is written, and the highest one that is read (RFC 8428 section 4.4).
const VERSION: u64 = 10;

/// Times below this many seconds are relative to now (RFC 8428 section 4.5.3).
const RELATIVE_BELOW: f64 = 268_435_456.0;

/// The year 10000 in seconds since the Unix epoch: no clock is that wrong, and microseconds still fit an `i64`.
const LATEST: f64 = 253_402_300_800.0;

/// One resolved record: a value, a sum, or both, of one name at one absolute time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Record {
    /// The full name: base name and name joined. It starts with a letter or digit and holds only letters, digits
    /// and `-:./_`.
    pub name: String,
    /// The unit, from the registry of RFC 8428 section 12.1.
    pub unit: Option<String>,
    /// The value. It is absent only if there is a sum.
    pub value: Option<Value>,
    /// The integrated sum of the values over time.
    pub sum: Option<f64>,
    /// Seconds since the Unix epoch, at least 2^28.
    pub time: f64,
    /// The time in seconds within which the sensor gives its next value.
    pub update_time: Option<f64>,
    /// Fields that RFC 8428 does not name, for readers that know them.
    pub extensions: BTreeMap<String, serde_json::Value>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `v`: a finite number.
    Number(f64),
    /// `vb`: true or false.
    Bool(bool),
    /// `vs`: text.
    Text(String),
    /// `vd`: bytes, written in URL-safe base64 without padding.
    Data(Vec<u8>),
}

impl Record {
    /// A record of a value without unit.
    #[must_use]
    pub fn new(name: impl Into<String>, time: f64, value: Value) -> Self {
        Self {
            name: name.into(),
            unit: None,
            value: Some(value),
            sum: None,
            time,
            update_time: None,
            extensions: BTreeMap::new(),
        }
    }
}

/// Why a pack was refused. Nothing of a refused pack is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError(String);

impl fmt::Display for ParseError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

/// One record as it is on the wire, with the labels of RFC 8428 section 4.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    bver: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bt: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bu: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bv: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bs: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    u: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vs: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vb: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ut: Option<f64>,
    #[serde(flatten)]
    extensions: BTreeMap<String, serde_json::Value>,
}

/// The base values in effect. They last until a record overrides them.
#[derive(Default)]
struct Base {
    name: String,
    time: f64,
    unit: Option<String>,
    value: Option<f64>,
    sum: Option<f64>,
}

/// Reads a pack and resolves its base values and relative times (RFC 8428 section 4.6).
///
/// `now` is in seconds since the Unix epoch.
///
/// # Errors
///
/// [`ParseError`] if the pack is not JSON, is of another version of SenML, has a record with a wrong name, time or
/// value, or has a field that must be understood and is not (its label ends in `_`).
pub fn parse(pack: &[u8], now: f64) -> Result<Vec<Record>, ParseError> {
    let fields: Vec<Fields> = serde_json::from_slice(pack)
        .map_err(|error| ParseError(format!("the pack is not SenML JSON: {error}")))?;
    let version = fields.first().and_then(|first| first.bver).unwrap_or(VERSION);
    if version > VERSION {
        return Err(ParseError(format!("the pack is of version {version}, newer than {VERSION}")));
    }
    let mut base = Base::default();
    let mut records = Vec::with_capacity(fields.len());
    for (index, record) in fields.into_iter().enumerate() {
        let resolved = if record.bver.is_some_and(|other| other != version) {
            Err("is of another version than the first".to_owned())
        } else {
            base.resolve(record, now)
        };
        records.push(resolved.map_err(|why| ParseError(format!("record {} {why}", index + 1)))?);
    }
    Ok(records)
}

/// Writes resolved records as a pack that [`parse`] reads back unchanged.
#[must_use]
pub fn write(records: &[Record]) -> String {
    // A record holds only strings, finite numbers and JSON values, so writing it cannot fail.
    serde_json::to_string(records).unwrap_or_default()
}

impl Base {
    fn resolve(&mut self, fields: Fields, now: f64) -> Result<Record, String> {
        if let Some(label) = fields.extensions.keys().find(|label| label.ends_with('_')) {
            return Err(format!("has the field \"{label}\", which must be understood and is not"));
        }
        if let Some(name) = fields.bn {
            self.name = name;
        }
        self.time = fields.bt.unwrap_or(self.time);
        self.unit = fields.bu.or_else(|| self.unit.take());
        self.value = fields.bv.or(self.value);
        self.sum = fields.bs.or(self.sum);

        let name = format!("{}{}", self.name, fields.n.unwrap_or_default());
        check_name(&name)?;
        let mut time = self.time + fields.t.unwrap_or(0.0);
        if time < RELATIVE_BELOW {
            time += now;
        }
        if !(RELATIVE_BELOW..LATEST).contains(&time) {
            return Err(format!("has a time out of range, {time} s"));
        }
        let given = [
            fields.v.map(Value::Number),
            fields.vs.map(Value::Text),
            fields.vb.map(Value::Bool),
            fields.vd.map(|text| decode(&text)).transpose()?.map(Value::Data),
        ];
        let mut given = given.into_iter().flatten();
        let value = match given.next() {
            Some(Value::Number(number)) => Some(Value::Number(self.value.unwrap_or(0.0) + number)),
            None => self.value.map(Value::Number),
            other => other,
        };
        if given.next().is_some() {
            return Err("has more than one value".to_owned());
        }
        let sum = match (self.sum, fields.s) {
            (None, None) => None,
            (base, own) => Some(base.unwrap_or(0.0) + own.unwrap_or(0.0)),
        };
        if value.is_none() && sum.is_none() {
            return Err("has neither a value nor a sum".to_owned());
        }
        let overflow = matches!(value, Some(Value::Number(number)) if !number.is_finite())
            || sum.is_some_and(|sum| !sum.is_finite());
        if overflow {
            return Err("has a number out of range".to_owned());
        }
        let unit = fields.u.or_else(|| self.unit.clone());
        Ok(Record { name, unit, value, sum, time, update_time: fields.ut, extensions: fields.extensions })
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let Some(first) = name.chars().next() else { return Err("has no name".to_owned()) };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-:./_".contains(c);
    if first.is_ascii_alphanumeric() && name.chars().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "has the name \"{}\", but a name starts with a letter or digit and holds only letters, digits and \"-:./_\"",
        name.escape_default()
    ))
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(text).map_err(|error| format!("has data that is not URL-safe base64: {error}"))
}

impl TryFrom<Fields> for Record {
    type Error = ParseError;

    fn try_from(fields: Fields) -> Result<Self, ParseError> {
        Base::default().resolve(fields, 0.0).map_err(|why| ParseError(format!("the record {why}")))
    }
}

impl From<Record> for Fields {
    fn from(record: Record) -> Self {
        let mut fields = Self {
            n: Some(record.name),
            u: record.unit,
            s: record.sum,
            t: Some(record.time),
            ut: record.update_time,
            extensions: record.extensions,
            ..Self::default()
        };
        match record.value {
            Some(Value::Number(number)) => fields.v = Some(number),
            Some(Value::Bool(bool)) => fields.vb = Some(bool),
            Some(Value::Text(text)) => fields.vs = Some(text),
            Some(Value::Data(data)) => fields.vd = Some(URL_SAFE_NO_PAD.encode(data)),
            None => {}
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: f64 = 1_700_000_000.0;

    fn refusal(pack: &str) -> String {
        parse(pack.as_bytes(), NOW).unwrap_err().to_string()
    }

    #[test]
    fn base_values_last_until_they_are_overridden() {
        let pack = br#"[{"bn":"a:","bt":1600000000,"bu":"Cel","bv":20,"bs":5,"n":"x","v":1,"s":2},
            {"n":"y","t":1,"u":"V","v":2},{"bn":"b:","bu":"K","bv":0,"n":"x","v":3},{"n":"z"}]"#;
        let records = parse(pack, NOW).unwrap();
        let names: Vec<_> = records.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["a:x", "a:y", "b:x", "b:z"]);
        let units: Vec<_> = records.iter().map(|r| r.unit.as_deref().unwrap()).collect();
        assert_eq!(units, ["Cel", "V", "K", "K"]);
        let values: Vec<_> = records.iter().map(|r| r.value.clone().unwrap()).collect();
        assert_eq!(values, [21.0, 22.0, 3.0, 0.0].map(Value::Number));
        assert_eq!(records.iter().map(|r| r.sum.unwrap()).collect::<Vec<_>>(), [7.0, 5.0, 5.0, 5.0]);
        assert_eq!(records[1].time, 1_600_000_001.0);
    }

    #[test]
    fn small_times_are_relative_to_now_and_no_time_is_now() {
        let records =
            parse(br#"[{"n":"a","v":1},{"n":"a","v":1,"t":-5.5},{"n":"a","v":1,"t":268435456}]"#, NOW);
        let times: Vec<_> = records.unwrap().iter().map(|r| r.time).collect();
        assert_eq!(times, [NOW, NOW - 5.5, 268_435_456.0]);
    }

    #[test]
    fn a_sum_needs_no_value() {
        let records = parse(br#"[{"n":"energy","s":12.5}]"#, NOW).unwrap();
        assert_eq!((records[0].value.clone(), records[0].sum), (None, Some(12.5)));
    }

    #[test]
    fn unknown_fields_are_kept_aside_unless_they_must_be_understood() {
        let records = parse(br#"[{"n":"a","v":1,"seq":7}]"#, NOW).unwrap();
        assert_eq!(records[0].extensions["seq"], 7);
        assert!(refusal(r#"[{"n":"a","v":1,"must_":7}]"#).contains("\"must_\""));
    }

    #[test]
    fn records_that_break_a_rule_refuse_the_pack() {
        for (pack, because) in [
            (r#"{"n":"a","v":1}"#, "not SenML JSON"),
            (r#"[{"n":"a","v":"1"}]"#, "not SenML JSON"),
            (r#"[{"n":"a"}]"#, "neither a value nor a sum"),
            (r#"[{"n":"a","v":1,"vb":true}]"#, "more than one value"),
            (r#"[{"n":"-a","v":1}]"#, "starts with a letter or digit"),
            (r#"[{"n":"a b","v":1}]"#, "starts with a letter or digit"),
            (r#"[{"n":"a","vd":"+/=="}]"#, "base64"),
            (r#"[{"n":"a","v":1,"bver":11}]"#, "version 11"),
            (r#"[{"n":"a","v":1},{"bver":5,"n":"a","v":1}]"#, "another version"),
            (r#"[{"n":"a","v":1,"t":-1600000000}]"#, "time out of range"),
            (r#"[{"bv":1e308,"n":"a","v":1e308}]"#, "number out of range"),
        ] {
            let why = refusal(pack);
            assert!(why.contains(because), "{pack}: {why}");
        }
    }
}
