//! A program with its arguments, printed before it runs.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use iotorch_testbed::quoted;

use crate::failure::Failure;
use crate::terminal;
use crate::workspace;

/// A command line that runs in the root folder of the workspace.
#[derive(Debug)]
pub(crate) struct CommandLine(Command);

impl CommandLine {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(workspace::root());
        Self(command)
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.0.env_remove(name);
        self
    }

    /// Runs it with this terminal as its own; an exit status other than zero is a failure.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        if self.succeeds()? { Ok(()) } else { Err(self.failed()) }
    }

    /// Runs it with this terminal as its own and tells whether it exited with zero.
    pub(crate) fn succeeds(&mut self) -> Result<bool, Failure> {
        terminal::about_to_run(self);
        let status = self.0.status().map_err(|error| self.not_started(error))?;
        Ok(status.success())
    }

    /// Tells whether it runs and exits with zero, hiding what it prints: for questions, not for work.
    pub(crate) fn answers(&mut self) -> bool {
        let quiet = self.0.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    }

    /// What it prints on standard output if it exits with zero, hiding the rest: for questions, not for work.
    pub(crate) fn answer(mut self) -> Option<String> {
        let output = self.0.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts it with all its output going to a file.
    pub(crate) fn spawn(mut self, output: File) -> Result<Child, Failure> {
        terminal::about_to_run(&self);
        let copy = output.try_clone().map_err(|error| self.not_started(error))?;
        let child = self.0.stdin(Stdio::null()).stdout(copy).stderr(output).spawn();
        child.map_err(|error| self.not_started(error))
    }

    /// Runs it and gives what it printed on standard output.
    pub(crate) fn output(mut self) -> Result<String, Failure> {
        terminal::about_to_run(&self);
        let output = self.0.stderr(Stdio::inherit()).output().map_err(|error| self.not_started(error))?;
        if !output.status.success() {
            return Err(self.failed());
        }
        String::from_utf8(output.stdout).map_err(|error| self.not_read(error))
    }

    /// Runs it and hands over its standard output line by line, each with its line end, as it comes; bytes that are
    /// no UTF-8 are replaced. Tells whether it exited with zero. A failure of `each` ends the program.
    pub(crate) fn stream(mut self, each: impl FnMut(&str) -> Result<(), Failure>) -> Result<bool, Failure> {
        terminal::about_to_run(&self);
        let mut child = self.0.stdout(Stdio::piped()).spawn().map_err(|error| self.not_started(error))?;
        let streamed = child.stdout.take().map_or(Ok(()), |stdout| self.each_line(stdout, each));
        if streamed.is_err() {
            // It may have ended by itself already; either way it is waited for below.
            let _ = child.kill();
        }
        let status = child.wait().map_err(|error| self.not_read(error))?;
        streamed.map(|()| status.success())
    }

    fn each_line(
        &self,
        output: impl Read,
        mut each: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).map_err(|error| self.not_read(error))? > 0 {
            each(&String::from_utf8_lossy(&line))?;
            line.clear();
        }
        Ok(())
    }

    pub(crate) fn failed(&self) -> Failure {
        Failure::new(format!("this command failed: {self}"))
    }

    fn not_started(&self, error: io::Error) -> Failure {
        Failure::new(format!("cannot run \"{}\"", self.0.get_program().display())).with_source(error)
    }

    fn not_read(&self, error: impl Into<Box<dyn Error>>) -> Failure {
        Failure::new(format!("cannot read the output of: {self}")).with_source(error)
    }
}

/// As it can be pasted into a shell.
impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.0.get_envs() {
            if let Some(value) = value {
                write!(f, "{}={} ", name.display(), quoted(value))?;
            }
        }
        f.write_str(&quoted(self.0.get_program()))?;
        self.0.get_args().try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> CommandLine {
        CommandLine::new("sh").args(["-c", script])
    }

    #[test]
    fn a_command_line_is_shown_as_a_shell_takes_it() {
        let command = CommandLine::new("cargo")
            .env("RUSTDOCFLAGS", "-D warnings")
            .without_env("CARGO_TARGET_DIR")
            .args(["test", "--", "it's", ""]);
        assert_eq!(command.to_string(), r"RUSTDOCFLAGS='-D warnings' cargo test -- 'it'\''s' ''");
    }

    #[test]
    fn a_failed_program_is_named_with_its_arguments() {
        let failure = shell("exit 3").run().unwrap_err();
        assert_eq!(failure.to_string(), "this command failed: sh -c 'exit 3'");
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_the_cause() {
        let failure = CommandLine::new("no-such-program").run().unwrap_err();
        assert_eq!(failure.to_string(), "cannot run \"no-such-program\"");
        assert!(failure.source().is_some());
    }

    #[test]
    fn output_is_streamed_by_line_with_an_unfinished_last_line_and_broken_text() {
        let mut lines = Vec::new();
        let succeeded = shell(r"printf 'one\ntw\377o\nthree'; exit 1")
            .stream(|line| {
                lines.push(line.to_owned());
                Ok(())
            })
            .unwrap();
        assert!(!succeeded);
        assert_eq!(lines, ["one\n", "tw\u{fffd}o\n", "three"]);
    }

    #[test]
    fn a_reader_that_refuses_a_line_ends_the_program() {
        let failure = shell("echo one; exec sleep 600").stream(|_| Err(Failure::new("refused")));
        assert_eq!(failure.unwrap_err().to_string(), "refused");
    }
}
