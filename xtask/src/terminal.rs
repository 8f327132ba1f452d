//! What a person sees of a command beside the output of the programs it runs.
//!
//! All of it but results goes to standard error, so that standard output holds results only (`bench --json`).

#![expect(clippy::print_stderr, reason = "a developer's command talks to the person who runs it")]

use std::error::Error;
use std::io::{self, Write};

use crate::command_line::CommandLine;
use crate::failure::Failure;

/// Prints a result, of one line or more.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let line_end = if text.ends_with('\n') { "" } else { "\n" };
    write!(output, "{text}{line_end}")
        .and_then(|()| output.flush())
        .map_err(|error| Failure::new("cannot write to standard output").with_source(error))
}

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
