//! What more than one target does.

use iotorch_lite::senml::{self, Format};

/// Reads a SenML pack. It is refused with a reason that can be shown, or its records can be written in both formats and
/// read back as they are.
pub fn senml(pack: &[u8]) {
    const NOW: f64 = 1_700_000_000.0;
    match senml::parse(pack, NOW) {
        Ok(records) => {
            for format in [Format::Json, Format::Cbor] {
                let written = senml::write(&records, format);
                assert_eq!(Format::of(&written), format);
                assert_eq!(
                    senml::parse(&written, NOW).as_ref(),
                    Ok(&records),
                    "in {}",
                    format.content_type()
                );
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
