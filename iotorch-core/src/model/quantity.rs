//! Quantities with their unit: `20Mbit/s`, `50ms`, `99.9%`, `512MiB`. A bare number is refused.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de};

use crate::error::{Error, ErrorKind};

/// A unit: how it is written, and how many base units it is.
type Unit = (&'static str, u64);

/// Reads `<decimal><unit>` exactly; `Err` says what is wrong in words.
fn parse(text: &str, units: &[Unit]) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim_start());
    let names = || units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    if number.is_empty() {
        return Err(format!("{text:?} does not begin with a number"));
    }
    if unit.is_empty() {
        return Err(format!("{text:?} has no unit: one of {}", names()));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("{unit:?} is not a unit here: one of {}", names()));
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let too_large = || format!("{text:?} is too large");
    let digit =
        |part: &str| if part.is_empty() { Ok(0) } else { part.parse::<u128>().map_err(|_| too_large()) };
    if fraction.contains('.') || (number.contains('.') && fraction.is_empty()) || whole.is_empty() {
        return Err(format!("{number:?} is not a number"));
    }
    if fraction.len() > 12 {
        return Err(format!("{number:?} has more than 12 decimals"));
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(12));
    let scaled = digit(whole)?
        .checked_mul(scale)
        .and_then(|whole| whole.checked_add(digit(fraction).ok()?))
        .and_then(|number| number.checked_mul(u128::from(*factor)))
        .ok_or_else(too_large)?;
    if scaled % scale != 0 {
        return Err(format!("{text:?} is finer than this quantity can hold"));
    }
    u64::try_from(scaled / scale).map_err(|_| too_large())
}

/// Writes `value` in the largest unit that needs at most three decimals, or else exactly in the smallest, so that reading it
/// gives `value` again.
fn write(f: &mut fmt::Formatter<'_>, value: u64, units: &[Unit]) -> fmt::Result {
    let fits = |(_, factor): &&Unit| value >= *factor && u128::from(value) * 1000 % u128::from(*factor) == 0;
    let (name, factor) = units
        .iter()
        .filter(fits)
        .max_by_key(|(_, factor)| *factor)
        .copied()
        .unwrap_or_else(|| units.iter().min_by_key(|(_, factor)| *factor).copied().unwrap_or(("", 1)));
    // Ends: the unit divides into three decimals, or is the smallest, which is 1 or a power of ten.
    let mut rest = u128::from(value % factor);
    let mut fraction = String::new();
    while rest != 0 {
        fraction.push_str(if fraction.is_empty() { "." } else { "" });
        fraction.push_str(&(rest * 10 / u128::from(factor)).to_string());
        rest = rest * 10 % u128::from(factor);
    }
    write!(f, "{}{fraction}{name}", value / factor)
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $noun:literal, $example:literal, $units:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(f, self.0, &$units)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                parse(text, &$units).and_then(Self::checked).map_err(|why| {
                    Error::new(ErrorKind::Invalid, format!(concat!("cannot read {:?} as ", $noun), text)).with_source(why)
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                parse(&text, &$units)
                    .and_then(Self::checked)
                    .map_err(|why| de::Error::custom(format_args!(concat!($noun, ": {}, as in ", $example), why)))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let units = $units.iter().map(|(name, _)| name.replace('/', "\\/")).collect::<Vec<_>>().join("|");
                json_schema!({
                    "type": "string",
                    "pattern": format!("^[0-9]+(\\.[0-9]+)?\\s*({units})$"),
                    "examples": [$example],
                })
            }
        }
    };
}

const BANDWIDTH: [Unit; 4] =
    [("bit/s", 1), ("kbit/s", 1_000), ("Mbit/s", 1_000_000), ("Gbit/s", 1_000_000_000)];
quantity! {
    /// A data rate in bits a second; written in `bit/s`, `kbit/s`, `Mbit/s` or `Gbit/s` (powers of 1000).
    Bandwidth, "a data rate", "20Mbit/s", BANDWIDTH
}

impl Bandwidth {
    const fn checked(bits: u64) -> Result<Self, String> {
        Ok(Self(bits))
    }

    /// A rate of `bits` a second.
    #[must_use]
    pub const fn from_bits_per_second(bits: u64) -> Self {
        Self(bits)
    }

    /// The rate in bits a second.
    #[must_use]
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }
}

const TIME: [Unit; 7] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("min", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
    ("w", 604_800_000_000),
];
quantity! {
    /// A length of time in microseconds; written in `us`, `ms`, `s`, `min`, `h`, `d` or `w`.
    TimeSpan, "a length of time", "50ms", TIME
}

impl TimeSpan {
    const fn checked(micros: u64) -> Result<Self, String> {
        Ok(Self(micros))
    }

    /// A span of `millis` milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1000)
    }

    /// The same span as the standard library's type.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

const PERCENT: [Unit; 1] = [("%", 10_000_000)];
quantity! {
    /// A share from `0%` to `100%`, exact to seven decimals (nine nines).
    Percent, "a share", "99.9%", PERCENT
}

impl Percent {
    fn checked(billionths: u64) -> Result<Self, String> {
        if billionths > 1_000_000_000 { Err("more than 100%".into()) } else { Ok(Self(billionths)) }
    }

    /// The share as a number from 0 to 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "at most 1e9, which f64 holds exactly")]
    pub fn fraction(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

const BYTES: [Unit; 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];
quantity! {
    /// An amount of memory or storage in bytes; written in `B`, `kB`, `KiB` … `TiB`.
    ByteSize, "an amount of memory", "512MiB", BYTES
}

impl ByteSize {
    const fn checked(bytes: u64) -> Result<Self, String> {
        Ok(Self(bytes))
    }

    /// An amount of `bytes` bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The amount in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

const CPU: [Unit; 2] = [("mcpu", 1), ("cpu", 1_000)];
quantity! {
    /// Processor time in thousandths of a core; written in `mcpu` or `cpu` (`500mcpu`, `2cpu`).
    Cpu, "processor time", "500mcpu", CPU
}

impl Cpu {
    const fn checked(millis: u64) -> Result<Self, String> {
        Ok(Self(millis))
    }

    /// `millis` thousandths of a core.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The amount in thousandths of a core, as Kubernetes counts it.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }
}

const RATE: [Unit; 4] = [("/s", 86_400), ("/min", 1_440), ("/h", 24), ("/d", 1)];
quantity! {
    /// How often messages come, in whole messages a day; written `10/s`, `5/min`, `1/h` or `1/d`.
    MessageRate, "a message rate", "10/s", RATE
}

impl MessageRate {
    fn checked(scaled: u64) -> Result<Self, String> {
        if scaled == 0 { Err("a rate is more than 0".into()) } else { Ok(Self(scaled)) }
    }

    /// Messages a second.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a rate is shown, never compared for equality")]
    pub fn per_second(self) -> f64 {
        self.0 as f64 / 86_400.0
    }
}

const DISTANCE: [Unit; 2] = [("m", 1), ("km", 1_000)];
quantity! {
    /// A distance on the ground in metres; written in `m` or `km`.
    Distance, "a distance", "50km", DISTANCE
}

impl Distance {
    const fn checked(metres: u64) -> Result<Self, String> {
        Ok(Self(metres))
    }

    /// A distance of `metres` metres.
    #[must_use]
    pub const fn from_metres(metres: u64) -> Self {
        Self(metres)
    }

    /// The distance in metres.
    #[must_use]
    pub const fn metres(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_printed_quantity_reads_back_as_itself(value in 0_u64..u64::MAX / 2) {
            let bandwidth = Bandwidth(value);
            prop_assert_eq!(bandwidth.to_string().parse::<Bandwidth>().unwrap(), bandwidth);
            let span = TimeSpan(value);
            prop_assert_eq!(span.to_string().parse::<TimeSpan>().unwrap(), span);
            let size = ByteSize(value);
            prop_assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
            let share = Percent(value % 1_000_000_001);
            prop_assert_eq!(share.to_string().parse::<Percent>().unwrap(), share);
            let rate = MessageRate(value);
            prop_assert_eq!(rate.to_string().parse::<MessageRate>().unwrap(), rate);
        }
    }

    #[test]
    fn quantities_print_in_the_unit_a_person_would_choose() {
        let cases = ["20Mbit/s", "2.5Gbit/s", "50ms", "1.5s", "99.9%", "512MiB", "500mcpu", "2cpu", "50km"];
        let printed = [
            "20Mbit/s".parse::<Bandwidth>().unwrap().to_string(),
            "2500Mbit/s".parse::<Bandwidth>().unwrap().to_string(),
            "50ms".parse::<TimeSpan>().unwrap().to_string(),
            "1500 ms".parse::<TimeSpan>().unwrap().to_string(),
            "99.9%".parse::<Percent>().unwrap().to_string(),
            "512MiB".parse::<ByteSize>().unwrap().to_string(),
            "0.5cpu".parse::<Cpu>().unwrap().to_string(),
            "2000mcpu".parse::<Cpu>().unwrap().to_string(),
            "50000m".parse::<Distance>().unwrap().to_string(),
        ];
        assert_eq!(printed.as_slice(), cases);
    }

    #[test]
    fn a_bare_number_or_an_unknown_unit_is_refused_with_the_units_there_are() {
        let why = parse("20", &BANDWIDTH).unwrap_err();
        assert_eq!(why, "\"20\" has no unit: one of bit/s, kbit/s, Mbit/s, Gbit/s");
        let why = parse("20MB", &BANDWIDTH).unwrap_err();
        assert_eq!(why, "\"MB\" is not a unit here: one of bit/s, kbit/s, Mbit/s, Gbit/s");
        assert!("101%".parse::<Percent>().is_err());
        assert!("0.5us".parse::<TimeSpan>().is_err());
    }
}
