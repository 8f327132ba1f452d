//! The command as a person types it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod command;
mod devices;
mod home;
mod hosting;
