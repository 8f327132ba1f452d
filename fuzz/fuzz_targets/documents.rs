//! Any bytes at all, read as a document: they are refused with problems that can be shown, or accepted and printed again.

#![no_main]

use iotorch_core::model::{Documents, Problems, Source};
use libfuzzer_sys::fuzz_target;

fn read(bytes: &[u8]) -> Result<Documents, Problems> {
    Source::from_bytes("fuzz.yaml", bytes.to_vec()).and_then(|source| Documents::read(vec![source]))
}

fuzz_target!(|bytes: &[u8]| {
    match read(bytes) {
        Ok(documents) => {
            for slice in documents.slices() {
                let printed = slice.to_yaml().expect("what was read can be printed");
                let again = read(printed.as_bytes()).expect("what was printed can be read");
                assert_eq!(again.slices().next(), Some(slice));
            }
        }
        Err(problems) => {
            for problem in &problems {
                assert!(problem.span().end <= problem.source().text().len());
            }
            assert!(!problems.render().is_empty());
        }
    }
});
