//! Benchmarks of iotorch: what they have in common.
//!
//! Each benchmark is a `[[bench]]` target with `harness = false`. It prints a [`Bench`]'s figures, one JSON object a line, on
//! standard output and everything else on standard error. They measure what iotorch itself costs, so the systems that it
//! manages are [null ones](null): they answer at once, and always the same. `README.md` beside this crate says what each
//! figure means, what its goal is and what was measured last.

pub mod apart;
pub mod attack;
pub mod children;
pub mod clusters;
pub mod disk;
pub mod documents;
mod figure;
pub mod good;
pub mod helm;
pub mod hosted;
pub mod mosquitto;
pub mod mqtt;
pub mod null;
pub mod pair;
pub mod platforms;
pub mod pods;
pub mod requests;
pub mod resident;
pub mod running;
mod samples;
pub mod steps;

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
};

use iotorch_core::{Engine, Limits, secret::MemorySecretStore, store::Store};

pub use self::{
    figure::{Bench, Goal},
    samples::{Samples, repeat},
};
use crate::null::Batches;

/// What a benchmark comes to.
pub type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// An engine on `store` whose domains do nothing.
///
/// # Errors
/// As [`null::drivers`].
pub fn engine(store: Arc<dyn Store>, batches: Batches, limits: Limits) -> Result<Engine> {
    let secrets = Arc::new(MemorySecretStore::default());
    let drivers = null::drivers(batches)?;
    Ok(Engine::builder().store(store).secrets(secrets).drivers(drivers).limits(limits).build())
}

/// Runs a benchmark and makes an exit code of it; an error is shown with its causes.
pub fn run(measure: impl FnOnce() -> Result<()>) -> ExitCode {
    let Err(error) = measure() else { return ExitCode::SUCCESS };
    note(&format!("error: {error}"));
    let mut cause = error.source();
    while let Some(error) = cause {
        note(&format!("  caused by: {error}"));
        cause = error.source();
    }
    ExitCode::FAILURE
}

/// Tells the person who watches something that is no figure.
pub fn note(text: &str) {
    // Who closed standard error does not want to know.
    let _ = writeln!(io::stderr(), "{text}");
}
