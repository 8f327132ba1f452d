//! Programs that use iotorch, and the one of the project's README.

/// The README, whose program is tested from here.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
