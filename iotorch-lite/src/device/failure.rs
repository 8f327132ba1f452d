//! Why a device cannot send, in the same words over every protocol.

use super::PATIENCE;
use iotorch_core::{Error, ErrorKind};
use std::time::Duration;

type Source = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn refused_login(source: impl Into<Source>) -> Error {
    Error::new(ErrorKind::Denied, "the gateway refuses the login").with_source(source)
}

pub(super) fn unreachable(source: impl Into<Source>) -> Error {
    Error::new(ErrorKind::Unavailable, "the gateway cannot be reached").with_source(source)
}

pub(super) fn no_answer() -> Error {
    Error::new(ErrorKind::Timeout, format!("the gateway did not answer within {} s", PATIENCE.as_secs()))
}

/// `pause` is how long the gateway wants to be left alone, where it says so.
pub(super) fn too_fast(source: impl Into<Source>, pause: Option<Duration>) -> Error {
    let error =
        Error::new(ErrorKind::RateLimited, "the gateway asks to send more slowly").with_source(source);
    match pause {
        Some(pause) => error.with_retry_after(pause),
        None => error,
    }
}

pub(super) fn too_large() -> Error {
    Error::new(ErrorKind::Invalid, "the message is larger than the gateway takes")
}
