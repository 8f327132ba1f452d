//! The command as a person types it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod away;
mod command;
mod completion;
mod devices;
mod errors;
mod examples;
mod home;
mod hosting;
mod manual;
mod prototype;
mod sending;
mod standalone;
mod transcript;
