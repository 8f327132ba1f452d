//! A program that runs to its end, with what it prints kept for its error.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Write};
use std::process::{Command, Output, Stdio};
use std::thread;

use crate::environment;
use crate::error::{Error, Result};
use crate::progress::Progress;

#[derive(Debug)]
pub(crate) struct Tool {
    command: Command,
    input: Vec<u8>,
}

impl Tool {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.env("PATH", environment::search_path());
        Self { command, input: Vec::new() }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// What it is given on standard input.
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Runs it, telling so before, and gives what it printed on standard output.
    pub(crate) fn run(self, progress: Progress<'_>) -> Result<String> {
        progress(&format!("$ {self}"));
        self.ask()
    }

    /// Runs it without a word, for questions, and gives what it printed on standard output.
    pub(crate) fn ask(mut self) -> Result<String> {
        let output = self.output().map_err(|error| {
            Error::new(format!("cannot run \"{}\"", self.command.get_program().display())).with_source(error)
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(self.failed(&String::from_utf8_lossy(&output.stderr)))
    }

    /// Runs it with standard error left to the terminal, for programs that tell of long work there.
    pub(crate) fn run_in_sight(mut self, progress: Progress<'_>) -> Result<()> {
        progress(&format!("$ {self}"));
        let status = self.command.stdin(Stdio::null()).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(self.failed("")),
            Err(error) => Err(Error::new(format!("cannot run \"{}\"", self.command.get_program().display()))
                .with_source(error)),
        }
    }

    fn output(&mut self) -> io::Result<Output> {
        let mut child =
            self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let input = &self.input;
        thread::scope(|scope| {
            // A program that ends before it has read everything tells why by itself.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
            child.wait_with_output()
        })
    }

    fn failed(&self, said: &str) -> Error {
        let error = Error::new(format!("this command failed: {self}"));
        if said.trim().is_empty() { error } else { error.with_source(said.trim().to_owned()) }
    }
}

/// As it can be pasted into a shell.
impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.command.get_envs().filter(|(name, _)| *name != "PATH") {
            if let Some(value) = value {
                write!(f, "{}={} ", name.display(), quoted(value))?;
            }
        }
        f.write_str(&quoted(self.command.get_program()))?;
        self.command.get_args().try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

/// A word as a shell takes it.
#[must_use]
pub fn quoted(word: &OsStr) -> Cow<'_, str> {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word;
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress;

    #[test]
    fn what_a_failed_program_said_is_the_cause() {
        let error = Tool::new("sh").args(["-c", "echo no such thing >&2; exit 3"]).run(progress::SILENT);
        let error = error.unwrap_err();
        assert_eq!(error.to_string(), "this command failed: sh -c 'echo no such thing >&2; exit 3'");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no such thing");
    }

    #[test]
    fn a_program_is_given_its_input() {
        assert_eq!(Tool::new("cat").input("words").ask().unwrap(), "words");
    }

    #[test]
    fn a_program_may_end_without_reading_its_input() {
        assert_eq!(Tool::new("true").input(vec![0; 1 << 20]).ask().unwrap(), "");
    }
}
