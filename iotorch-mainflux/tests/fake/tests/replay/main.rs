//! Everything that was asked of the real services is asked of the fake, in the same order, and has to be answered in the same way.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod client;
mod magistrala;
mod mainflux;
mod play;
mod supermq;
