//! The trial of a program before it is packed: it tells its version, checks documents, and brings a slice up and down again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::command_line::CommandLine;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::terminal;

use super::archive::run;
use super::read;

/// The documents of the trial, and one of their slices.
const DOCUMENTS: &str = "examples/slices";
const SLICE: &str = "greenhouse";

/// How long it may take until the first reading is stored, also under an emulator on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long to wait before the next look.
const PAUSE: Duration = Duration::from_millis(500);

/// Tries a program; under an emulator where it is for another machine.
pub(super) fn of(machine: Machine, program: &Path, version: &str) -> Result<(), Failure> {
    let told = run(machine, program).arg("--version").output()?;
    if told.trim() != format!("iotorch {version}") {
        return Err(Failure::new(format!("cannot hand out a program that calls itself {:?}", told.trim())));
    }
    run(machine, program).args(["validate", "-f", DOCUMENTS]).run()?;
    let folder = tempfile::tempdir()
        .map_err(|error| Failure::new("cannot create a temporary folder").with_source(error))?;
    let trial = Trial { machine, program, folder: folder.path() };
    let host = trial.host()?;
    trial.await_reading()?;
    trial.iotorch().args(["delete", SLICE, "workshop"]).run()?;
    let left = trial.iotorch().args(["status", "--output", "json"]).output()?;
    if left.trim() != "[]" {
        return Err(Failure::new(format!("cannot hand out a program that leaves slices behind: {left}")));
    }
    host.stop()
}

/// A program with a folder for its state.
struct Trial<'a> {
    machine: Machine,
    program: &'a Path,
    folder: &'a Path,
}

impl Trial<'_> {
    fn iotorch(&self) -> CommandLine {
        run(self.machine, self.program).arg("--state").arg(self.folder.join("state"))
    }

    /// What `iotorch run` prints, for when it fails.
    fn log(&self) -> PathBuf {
        self.folder.join("run.log")
    }

    fn host(&self) -> Result<Host, Failure> {
        let log = File::create(self.log())
            .map_err(|error| Failure::new("cannot write the log of a trial").with_source(error))?;
        Ok(Host(self.iotorch().args(["run", "-f", DOCUMENTS]).spawn(log)?))
    }

    /// Waits until the slice's server has stored a reading.
    fn await_reading(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let look = self.iotorch().args(["messages", SLICE, "--limit", "1", "--output", "json"]);
            if look.answer().is_some_and(|stored| stored.trim().len() > "[]".len()) {
                terminal::note(&format!(
                    "a reading was stored within {:.1} s",
                    begun.elapsed().as_secs_f64()
                ));
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
        let log = read(&self.log())?;
        Err(Failure::new(format!("no reading was stored within {} s", PATIENCE.as_secs()))
            .with_source(String::from_utf8_lossy(&log).into_owned()))
    }
}

/// A process that hosts slices, and ends with this value.
struct Host(Child);

impl Host {
    /// Asks it to end, as Ctrl-C does, and waits until it has.
    fn stop(mut self) -> Result<(), Failure> {
        self.signal(Signal::INT);
        let status = self.0.wait();
        let status = status.map_err(|error| Failure::new("cannot await iotorch run").with_source(error))?;
        if status.success() { Ok(()) } else { Err(Failure::new(format!("iotorch run ended with {status}"))) }
    }

    fn signal(&self, signal: Signal) {
        // One that has ended and was not waited for keeps its number, so that no other process is meant.
        let _ = kill_process(Pid::from_child(&self.0), signal);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal(Signal::KILL);
            let _ = self.0.wait();
        }
    }
}
