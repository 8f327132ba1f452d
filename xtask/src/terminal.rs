//! What a person sees of a command beside the output of the programs it runs.
//!
//! All of it goes to standard error, so that standard output holds results only (`bench --json`).

#![expect(clippy::print_stderr, reason = "a developer's command talks to the person who runs it")]

use std::error::Error;

use crate::command_line::CommandLine;
use crate::failure::Failure;

pub(crate) fn about_to_run(command: &CommandLine) {
    eprintln!("$ {command}");
}

pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

pub(crate) fn warning(text: &str) {
    eprintln!("warning: {text}");
}

pub(crate) fn failure(failure: &Failure) {
    eprintln!("error: {failure}");
    let mut cause = failure.source();
    while let Some(error) = cause {
        eprintln!("  caused by: {error}");
        cause = error.source();
    }
    if let Some(help) = failure.help() {
        eprintln!("  help: {help}");
    }
}
