//! A home directory of its own for every test.

use std::{
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An infrastructure in the process of `iotorch run` and a slice on it, one of whose devices is this machine.
pub(crate) const GREENHOUSE: &str = "apiVersion: iotorch.dev/v1alpha1
kind: Infrastructure
metadata: { name: desk }
spec: { driver: local, tier: edge }
---
apiVersion: iotorch.dev/v1alpha1
kind: Slice
metadata: { name: greenhouse }
spec:
  gateways: [ { name: gw } ]
  servers: [ { name: hub } ]
  profiles:
    - { name: machine, resources: [ { name: load, type: float }, { name: memory, type: float, unit: \"%\" } ] }
  devices:
    - { name: here, profile: machine, labels: { iotorch.dev/sensor: host } }
    - { name: bench-1, profile: machine }
";

/// A home directory, which is the working directory and holds the state directory too.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn state(&self) -> std::path::PathBuf {
        self.path().join(".local/state/iotorch")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iotorch"));
        command.args(arguments).current_dir(self.path()).env_clear().env("HOME", self.path());
        command
    }

    pub(crate) fn iotorch(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// What a command prints that has to succeed.
    pub(crate) fn told(&self, arguments: &[&str]) -> String {
        let output = self.iotorch(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        stdout(&output).to_owned()
    }

    /// The same as data.
    pub(crate) fn data(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.told(&[arguments, &["--output", "json"]].concat())).unwrap()
    }

    /// Starts `iotorch run` and waits until it holds the state, so that the commands after it go through it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Running {
        let mut run = self.start("run", &[&["run"], arguments].concat());
        let socket = self.state().join("iotorch.sock");
        eventually("iotorch run holds the state", || {
            UnixStream::connect(&socket).is_ok() || run.0.try_wait().unwrap().is_some()
        });
        run
    }

    /// Starts a command that stays. What it prints goes to the files `name.out` and `name.err`.
    pub(crate) fn start(&self, name: &str, arguments: &[&str]) -> Running {
        let file =
            |ending: &str| std::fs::File::create(self.path().join(format!("{name}.{ending}"))).unwrap();
        Running::of(self.command(arguments).stdout(file("out")).stderr(file("err")))
    }

    /// What a command that stays has printed so far.
    pub(crate) fn printed(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(format!("{name}.out"))).unwrap()
    }

    /// Waits until a slice is as wanted: all of it ready.
    pub(crate) fn wait_until_ready(&self, slice: &str) {
        eventually(&format!("{slice} is ready"), || {
            let all = self.data(&["status"]);
            all.as_array()
                .unwrap()
                .iter()
                .any(|it| it["slice"] == slice && it["condition"]["state"] == "ready")
        });
    }

    /// Waits for readings of a slice that are newer than `since` seconds.
    pub(crate) fn wait_for_readings(&self, slice: &str, since: &str) -> Value {
        let mut messages = Value::Null;
        eventually(&format!("readings of {slice}"), || {
            messages = self.data(&["messages", slice, "--since", since]);
            !messages.as_array().unwrap().is_empty()
        });
        messages
    }
}

/// A command that stays, killed at the end of the test if it still runs.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn of(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually("the command ends", || {
            ended = self.has_ended();
            ended.is_some()
        });
        ended.unwrap()
    }

    /// How it has ended, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a condition is true, and fails when it does not become so.
pub(crate) fn eventually(what: &str, is_true: impl FnMut() -> bool) {
    within(PATIENCE, what, is_true);
}

/// The same for what takes longer, or less long, than others.
pub(crate) fn within(patience: Duration, what: &str, mut is_true: impl FnMut() -> bool) {
    let until = Instant::now() + patience;
    while !is_true() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}
