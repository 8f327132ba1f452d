//! The `iotorch` command: a thin user of the library.
//!
//! [`cli`] says what can be typed, [`commands`] has one module a verb, [`installation`] opens the state directory, [`serve`] and
//! [`remote`] let several commands share it, and [`render`] makes what a person reads.

mod bridge;
mod check;
mod cli;
mod clusters;
mod commands;
mod completion;
mod dashboard;
mod device;
mod environment;
mod events;
mod exit;
mod failure;
mod follow;
mod input;
mod installation;
mod interrupt;
mod load;
mod management;
mod open_files;
mod readings;
mod remote;
mod render;
mod screen;
mod sensor;
mod serve;
mod tls;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(environment::Environment::read()).into()
}
