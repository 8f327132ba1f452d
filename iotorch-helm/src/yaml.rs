//! Reading YAML that others wrote, with bounds on what it may take.

use serde::de::DeserializeOwned;
use serde_saphyr::{Budget, DuplicateKeyPolicy, Options, options};

/// Read as Helm's own reader does where files in use depend on it: of two equal keys the last one counts.
fn reading() -> Options {
    let mut budget = Budget::default();
    // Indexes of repositories and manifests of large releases have some ten MiB.
    budget.max_events = 20_000_000;
    budget.max_nodes = 10_000_000;
    budget.max_total_scalar_bytes = 256 << 20;
    budget.max_documents = 100_000;
    options! {
        budget: Some(budget),
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        with_snippet: false,
    }
}

/// The one document of a file.
pub(crate) fn document<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_saphyr::Error> {
    serde_saphyr::from_slice_with_options(bytes, reading())
}

/// All documents of a stream that are not empty.
pub(crate) fn documents<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, serde_saphyr::Error> {
    serde_saphyr::from_multiple_with_options(text, reading())
}
