//! Any bytes at all, read as a SenML pack in CBOR.

#![no_main]

use iotorch_lite::senml::Format;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    if Format::of(bytes) != Format::Cbor {
        return Corpus::Reject;
    }
    iotorch_fuzz::senml(bytes);
    Corpus::Keep
});
