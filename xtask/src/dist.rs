//! `dist`: what is handed out: for each machine a static program, in an archive with all that belongs to it.
//!
//! ```text
//! target/dist/iotorch-VERSION-x86_64-linux.tar.gz     the program, licences, manual, completions, documentation
//!             iotorch-VERSION-x86_64-linux.cdx.json   what it was built from
//!             …-aarch64-linux…
//!             SHA256SUMS
//! ```
//!
//! Sources, compilers and the date of the commit decide every byte: neither the clone's place nor the clock is in it.

mod archive;
mod crates;
mod licences;
mod machine;
mod program;
mod sbom;
mod sums;
mod trial;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::cli::DistOptions;
use crate::command_line::CommandLine;
use crate::environment;
use crate::failure::Failure;
use crate::systems;
use crate::terminal;
use crate::workspace;

use self::crates::Crates;
pub(crate) use self::machine::Machine;

/// The crate that makes the program, which has the name of the project.
const CRATE: &str = "iotorch-cli";

/// How its features are chosen: with the driver of clusters it does not fit its limit.
const FEATURES: [&str; 1] = ["--no-default-features"];
const PROGRAM: &str = "iotorch";

/// Builds, tries and packs the program for each machine.
pub(crate) fn run(options: &DistOptions) -> Result<(), Failure> {
    let machines: &[Machine] =
        if options.targets.is_empty() { &[Machine::X86_64, Machine::Aarch64] } else { &options.targets };
    let systems: Vec<_> = machines.iter().flat_map(Machine::systems).collect();
    systems::require(&systems)?;
    let version = version()?;
    let date = date()?;
    let folder = workspace::root().join("target/dist");
    clear(&folder)?;
    let mut files = Vec::new();
    for machine in machines {
        let release = Release { machine: *machine, version: &version, date, folder: &folder };
        files.append(&mut release.make()?);
    }
    sums::write_sums(&folder, &files)?;
    for file in &files {
        terminal::note(&format!("{:>12}  {}", program::megabytes(size(file)?), file.display()));
    }
    Ok(())
}

/// One machine's part of a release.
struct Release<'a> {
    machine: Machine,
    version: &'a str,
    date: Timestamp,
    folder: &'a Path,
}

impl Release<'_> {
    fn make(&self) -> Result<Vec<PathBuf>, Failure> {
        let program = program::build(self.machine)?;
        trial::of(self.machine, &program, self.version)?;
        let crates = Crates::of(CRATE, self.machine)?;
        let bill = self.folder.join(format!("{}.cdx.json", self.name()));
        write(&bill, sbom::bill(PROGRAM, &crates, self.date)?.as_bytes())?;
        Ok(vec![archive::pack(self, &program, &crates)?, bill])
    }

    /// The name that its files begin with.
    fn name(&self) -> String {
        format!("{PROGRAM}-{}-{}-linux", self.version, self.machine.name())
    }
}

fn version() -> Result<String, Failure> {
    let package = workspace::packages()?.into_iter().find(|package| package.name == CRATE);
    package
        .map(|package| package.version)
        .ok_or_else(|| Failure::new(format!("cannot find the crate \"{CRATE}\" in this workspace")))
}

/// The time that all files bear: SOURCE_DATE_EPOCH (reproducible-builds.org), or that of the commit.
fn date() -> Result<Timestamp, Failure> {
    let text = match environment::source_date() {
        Some(text) => text,
        None => CommandLine::new("git").args(["log", "-1", "--format=%ct"]).output().map_err(not_dated)?,
    };
    let seconds = text.trim().parse().map_err(not_dated)?;
    Timestamp::from_second(seconds).map_err(not_dated)
}

fn not_dated(cause: impl Into<Box<dyn Error>>) -> Failure {
    Failure::new("cannot find the date that the files are to bear")
        .with_source(cause)
        .with_help("set SOURCE_DATE_EPOCH to a number of seconds since 1970")
}

/// What an earlier release left behind must not be taken for a part of this one.
fn clear(folder: &Path) -> Result<(), Failure> {
    let cleared = || {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)
    };
    cleared()
        .map_err(|error| Failure::new(format!("cannot clear \"{}\"", folder.display())).with_source(error))
}

fn write(file: &Path, contents: &[u8]) -> Result<(), Failure> {
    fs::write(file, contents)
        .map_err(|error| Failure::new(format!("cannot write \"{}\"", file.display())).with_source(error))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file)
        .map_err(|error| Failure::new(format!("cannot read \"{}\"", file.display())).with_source(error))
}

fn size(file: &Path) -> Result<u64, Failure> {
    let metadata = fs::metadata(file);
    metadata
        .map(|metadata| metadata.len())
        .map_err(|error| Failure::new(format!("cannot read \"{}\"", file.display())).with_source(error))
}
