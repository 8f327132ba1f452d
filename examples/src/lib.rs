//! What the example programs share, and the program of the project's README.

mod channel;
mod sensor;

pub use channel::Channel;
pub use sensor::Sensor;

/// The README, whose program is tested from here.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
