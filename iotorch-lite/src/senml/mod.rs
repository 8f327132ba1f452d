//! Sensor Measurement Lists in JSON and CBOR (RFC 8428): packs are read into records that need no other record to be
//! understood, and written back.
//!
//! ```
//! use iotorch_lite::senml::{self, Format, Value};
//!
//! let pack = br#"[{"bn":"d1:","bt":1700000000,"n":"temperature","u":"Cel","v":21.5},{"n":"open","vb":true}]"#;
//! let records = senml::parse(pack, 1_700_000_100.0)?;
//! assert_eq!(records[1].name, "d1:open");
//! assert_eq!(records[1].time, 1_700_000_000.0);
//! assert_eq!(records[1].value, Some(Value::Bool(true)));
//!
//! let compact = senml::write(&records, Format::Cbor);
//! assert_eq!(senml::parse(&compact, 1_700_000_100.0)?, records);
//!
//! let nameless = senml::parse(br#"[{"v":1}]"#, 1_700_000_100.0).unwrap_err();
//! assert_eq!(nameless.to_string(), "record 1 has no name");
//! # Ok::<(), senml::ParseError>(())
//! ```

mod cbor;
mod fields;
mod json;
mod number;
mod resolve;

pub(crate) use fields::shown;
pub(crate) use json::Entries;
pub(crate) use number::{Seconds, exact, whole};
pub(crate) use resolve::{LONGEST_UNIT, check_name, is_absolute};

use fields::Fields;
use resolve::Base;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};
use std::{collections::BTreeMap, fmt};

/// The version of SenML that is written, and the highest one that is read (RFC 8428 section 4.4).
const VERSION: f64 = 10.0;

/// How a pack is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON (RFC 8428 section 5).
    Json,
    /// CBOR (RFC 8428 section 6), about half as long.
    Cbor,
}

impl Format {
    /// The format of a pack, by its first byte: a pack in CBOR is an array, which starts like no text in UTF-8 does.
    #[must_use]
    pub const fn of(pack: &[u8]) -> Self {
        match pack.first() {
            Some(0x80..=0x9f) => Self::Cbor,
            _ => Self::Json,
        }
    }

    /// The media type (RFC 8428 section 12.3).
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/senml+json",
            Self::Cbor => "application/senml+cbor",
        }
    }
}

/// One resolved record: a value, a sum, or both, of one name at one absolute time.
///
/// What is written by hand and breaks what its fields ask for cannot be read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The full name: base name and name joined. It starts with a letter or digit, holds only letters, digits and
    /// `-:./_`, and has at most 512 bytes.
    pub name: String,
    /// The unit, from the registry of RFC 8428 section 12.1, of at most 64 bytes.
    pub unit: Option<String>,
    /// The value. It is absent only if there is a sum.
    pub value: Option<Value>,
    /// The integrated sum of the values over time, finite.
    pub sum: Option<f64>,
    /// Seconds since the Unix epoch, at least 2^28.
    pub time: f64,
    /// The same time in nanoseconds, where a double does not tell them. Packs are read and written with them; they do not count
    /// where they are not those of `time`.
    pub nanoseconds: Option<i64>,
    /// The time in seconds within which the sensor gives its next value, not negative.
    pub update_time: Option<f64>,
    /// Fields that RFC 8428 does not name, for readers that know them. Their values are nested at most 16 deep, and no
    /// label ends in `_`.
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
    /// `vd`: bytes, in JSON written in URL-safe base64 without padding.
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
            nanoseconds: None,
            update_time: None,
            extensions: BTreeMap::new(),
        }
    }

    /// A record of a value without unit, at a time in nanoseconds since the Unix epoch.
    ///
    /// ```
    /// use iotorch_lite::senml::{self, Format, Record, Value};
    ///
    /// let record = Record::at_nanoseconds("d1:t", 1_795_409_404_510_374_078, Value::Number(21.5));
    /// assert_eq!(senml::write(&[record], Format::Json), br#"[{"n":"d1:t","v":21.5,"t":1795409404.510374078}]"#);
    /// ```
    #[must_use]
    pub fn at_nanoseconds(name: impl Into<String>, nanoseconds: i64, value: Value) -> Self {
        let time = Seconds::of_nanoseconds(nanoseconds);
        Self { nanoseconds: time.finer(), ..Self::new(name, time.double(), value) }
    }

    /// The time with all its digits.
    pub(crate) fn seconds(&self) -> Seconds {
        Seconds::with(self.time, self.nanoseconds)
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

/// Reads a pack in the format that its first byte tells, and resolves its base values and relative times (RFC 8428
/// section 4.6).
///
/// `now` is in seconds since the Unix epoch. The memory it takes is bounded by the length of the pack, whatever lengths
/// the pack speaks of.
///
/// # Errors
///
/// [`ParseError`] if the pack is neither JSON nor CBOR, has no record, is of another version of SenML, has a record with
/// a wrong name, time or value, has an integer that a double does not hold exactly, or has a field that must be
/// understood and is not (its label ends in `_`).
pub fn parse(pack: &[u8], now: f64) -> Result<Vec<Record>, ParseError> {
    match Format::of(pack) {
        Format::Json => {
            let records = json::read(pack)
                .map_err(|error| ParseError(format!("the pack is not SenML JSON: {}", start(&error))))?;
            resolve(records, now)
        }
        Format::Cbor => {
            let records =
                cbor::read(pack).map_err(|why| ParseError(format!("the pack is not SenML CBOR: {why}")))?;
            resolve(records, now)
        }
    }
}

/// The start of why JSON was refused, which may quote a text of any length.
fn start(error: &serde_json::Error) -> String {
    error.to_string().chars().take(200).collect()
}

fn resolve<T>(records: Vec<T>, now: f64) -> Result<Vec<Record>, ParseError>
where
    Fields: TryFrom<T, Error = String>,
{
    if records.is_empty() {
        return Err(ParseError("the pack has no record".to_owned()));
    }
    let mut base = Base::default();
    let resolved = records.into_iter().enumerate().map(|(index, record)| {
        Fields::try_from(record)
            .and_then(|fields| base.resolve(fields, now))
            .map_err(|why| ParseError(format!("record {} {why}", index + 1)))
    });
    resolved.collect()
}

/// Writes resolved records as a pack that [`parse`] reads back unchanged.
#[must_use]
pub fn write(records: &[Record], format: Format) -> Vec<u8> {
    match format {
        Format::Json => json::write(records),
        Format::Cbor => cbor::write(records),
    }
}

/// Writes a record to be kept, with all digits of its time.
pub(crate) fn keep(record: &Record) -> Vec<u8> {
    json::write_one(record)
}

/// Reads a record that was kept, whatever its name.
pub(crate) fn restore(kept: &[u8]) -> crate::Result<Record> {
    let unreadable = |why: String| crate::Error::store("cannot read what is stored").caused_by(why);
    let digits = json::read_one(kept).map_err(|error| unreadable(error.to_string()))?;
    Fields::try_from(digits)
        .and_then(|fields| Base::of_any_name().resolve(fields, 0.0))
        .map_err(|why| unreadable(format!("the record {why}")))
}

/// A time is written as a double; [`write()`] has all digits of it.
impl Serialize for Record {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let fields = fields::of(self);
        let mut map = out.serialize_map(Some(fields.len() + self.extensions.len()))?;
        for (label, field) in &fields {
            map.serialize_entry(label.text(), field)?;
        }
        for (label, value) in &self.extensions {
            map.serialize_entry(label, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Fields::try_from(Entries::deserialize(input)?)
            .and_then(|fields| Base::default().resolve(fields, 0.0))
            .map_err(|why| de::Error::custom(format!("the record {why}")))
    }
}
