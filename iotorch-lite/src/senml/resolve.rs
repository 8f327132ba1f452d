//! From the records of a pack to records that stand for themselves (RFC 8428 sections 4.5 and 4.6).

use super::{
    Record, VERSION, Value,
    fields::{Fields, shown},
    number::Seconds,
};

/// Times below this many seconds are relative to now (RFC 8428 section 4.5.3).
const RELATIVE_BELOW: f64 = 268_435_456.0;

/// The year 10000 in seconds since the Unix epoch: no clock is that wrong, and microseconds still fit an `i64`.
const LATEST: f64 = 253_402_300_800.0;

/// The longest name and unit in bytes. Base values are copied into each record, so without a bound a pack could make
/// itself as long as its own square.
const LONGEST_NAME: usize = 512;
pub(crate) const LONGEST_UNIT: usize = 64;

/// The base values in effect. They last until a record overrides them.
#[derive(Debug, Default)]
pub(super) struct Base {
    /// Of the first record, and so of all.
    version: Option<f64>,
    name: String,
    time: Seconds,
    unit: Option<String>,
    value: Option<f64>,
    sum: Option<f64>,
    any_name: bool,
}

impl Base {
    /// For records that were kept before, under names that other systems chose.
    pub(super) fn of_any_name() -> Self {
        Self { any_name: true, ..Self::default() }
    }

    pub(super) fn resolve(&mut self, fields: Fields, now: f64) -> Result<Record, String> {
        self.check_version(fields.version)?;
        if let Some(name) = fields.base_name {
            self.name = name;
        }
        self.time = fields.base_time.unwrap_or(self.time);
        self.unit = fields.base_unit.or_else(|| self.unit.take());
        self.value = fields.base_value.or(self.value);
        self.sum = fields.base_sum.or(self.sum);

        let name = format!("{}{}", self.name, fields.name.unwrap_or_default());
        if !self.any_name {
            check_name(&name)?;
        }
        let unit = fields.unit.or_else(|| self.unit.clone());
        if unit.as_ref().is_some_and(|unit| unit.len() > LONGEST_UNIT) {
            return Err(format!("has a unit of more than {LONGEST_UNIT} bytes"));
        }
        let value = match fields.value {
            Some(Value::Number(number)) => Some(Value::Number(self.value.unwrap_or(0.0) + number)),
            None => self.value.map(Value::Number),
            other => other,
        };
        let sum = match (self.sum, fields.sum) {
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
        if fields.update_time.is_some_and(|time| time < 0.0) {
            return Err("has an update time below 0".to_owned());
        }
        let time = absolute(self.time.plus(fields.time.unwrap_or_default()), now)?;
        Ok(Record {
            name,
            unit,
            value,
            sum,
            time: time.double(),
            nanoseconds: time.finer(),
            update_time: fields.update_time,
            extensions: fields.extensions,
        })
    }

    /// All records of a pack have the version of the first; where it says none, it is 10 (RFC 8428 sections 4.1, 4.4
    /// and 4.6).
    fn check_version(&mut self, given: Option<f64>) -> Result<(), String> {
        let version = *self.version.get_or_insert_with(|| given.unwrap_or(VERSION));
        match given {
            Some(given) if given < 1.0 || given.fract() != 0.0 => {
                Err(format!("is of version {given}, but a version is a whole number from 1"))
            }
            Some(given) if given > VERSION => Err(format!("is of version {given}, newer than {VERSION}")),
            Some(given) if given != version => Err("is of another version than the first".to_owned()),
            _ => Ok(()),
        }
    }
}

fn absolute(time: Seconds, now: f64) -> Result<Seconds, String> {
    let absolute = if time.double() < RELATIVE_BELOW { Seconds::of(now).plus(time) } else { time };
    if is_absolute(absolute.double()) {
        return Ok(absolute);
    }
    Err(format!("has a time out of range, {absolute} s"))
}

/// Whether a record can have this time, in seconds since the Unix epoch.
pub(crate) fn is_absolute(time: f64) -> bool {
    (RELATIVE_BELOW..LATEST).contains(&time)
}

/// Whether a record can have this name: if not, why.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let Some(first) = name.chars().next() else { return Err("has no name".to_owned()) };
    if name.len() > LONGEST_NAME {
        return Err(format!("has a name of more than {LONGEST_NAME} bytes"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-:./_".contains(c);
    if first.is_ascii_alphanumeric() && name.chars().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "has the name \"{}\", but a name starts with a letter or digit and holds only letters, digits and \"-:./_\"",
        shown(name)
    ))
}
