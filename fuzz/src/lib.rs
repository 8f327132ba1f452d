//! What more than one target does.

mod world;

pub use world::World;

use iotorch_lite::senml::{self, Format, Record};

/// The time of arrival, in seconds since the Unix epoch.
pub const NOW: f64 = 1_700_000_000.0;

/// Reads a SenML pack. It is refused with a reason that can be shown, or its records can be written in both formats and
/// read back as they are.
pub fn senml(pack: &[u8]) {
    match senml::parse(pack, NOW) {
        Ok(records) => written(&records),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Writes records in both formats, and reads them back as they are.
pub fn written(records: &[Record]) {
    for format in [Format::Json, Format::Cbor] {
        let written = senml::write(records, format);
        assert_eq!(Format::of(&written), format);
        assert_eq!(senml::parse(&written, NOW).as_deref(), Ok(records), "in {}", format.content_type());
    }
}

/// The steps that an input consists of: a byte that says what is done, the length of what it is done with in two bytes,
/// and so many bytes, or those that are left.
pub fn steps(mut input: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&[what, high, low], rest) = input.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (with, rest) = rest.split_at(length);
        input = rest;
        Some((what, with))
    })
}

/// Whether some bytes are among others.
pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
