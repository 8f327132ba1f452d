//! `dist`: what is handed out: for each machine a static program, in an archive with all that belongs to it.
//!
//! ```text
//! target/dist/iotorch-VERSION-x86_64-linux.tar.gz         the program, licences, manual, completions, documentation
//!             iotorch-VERSION-x86_64-linux.image.tar.gz   a container image of the program
//!             iotorch-VERSION-x86_64-linux.cdx.json       what they were built from
//!             …-aarch64-linux…
//!             SHA256SUMS
//! ```
//!
//! Sources, compilers and the date of the commit decide every byte: neither the clone's place nor the clock is in it.

mod archive;
mod crates;
mod licences;
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
use crate::image;
use crate::machine::Machine;
use crate::program::{self, CRATE, PROGRAM};
use crate::systems;
use crate::terminal;
use crate::workspace;

use self::crates::Crates;

/// Where cargo builds: not in `target`, where it calls a folder of its own `dist`, after the profile, and not in the folder that
/// clones share, as of a release it must be clear what it was built from.
const BUILD: &str = "target/dist-build";

/// What a program may take: it is copied to boards, and over their links.
const LIMIT_BYTES: u64 = 25_000_000;

/// What images are called, as the values of the charts of gateways and servers do.
const IMAGE: &str = "ghcr.io/iotorch/iotorch";

/// Builds, tries and packs the program for each machine.
pub(crate) fn run(options: &DistOptions) -> Result<(), Failure> {
    let machines: &[Machine] =
        if options.targets.is_empty() { &[Machine::X86_64, Machine::Aarch64] } else { &options.targets };
    let systems: Vec<_> = machines.iter().copied().flat_map(Machine::systems).collect();
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
        terminal::note(&format!("{:>12}  {}", megabytes(size(file)?), file.display()));
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
        let cargo = CommandLine::new("cargo").args(["build", "--target-dir", BUILD]);
        let program = program::build(cargo, program::IOTORCH, self.machine, "dist")?;
        keep_to_limit(size(&program)?)?;
        trial::of(self.machine, &program, self.version)?;
        let crates = Crates::of(CRATE, self.machine)?;
        let bill = self.folder.join(format!("{}.cdx.json", self.name()));
        write(&bill, sbom::bill(PROGRAM, &crates, self.date)?.as_bytes())?;
        Ok(vec![archive::pack(self, &program, &crates)?, self.image(&program)?, bill])
    }

    /// The container image, as `docker load` and `ctr images import` take it.
    fn image(&self, program: &Path) -> Result<PathBuf, Failure> {
        let reference = format!("{IMAGE}:{}", self.version);
        let archive = self.folder.join(format!("{}.image.tar", self.name()));
        image::of(self.machine, program, &reference)?.save(&archive)?;
        CommandLine::new("gzip").args(["--no-name", "--best"]).arg(&archive).run()?;
        Ok(archive.with_added_extension("gz"))
    }

    /// The name that its files begin with.
    fn name(&self) -> String {
        format!("{PROGRAM}-{}-{}-linux", self.version, self.machine.name())
    }
}

fn keep_to_limit(bytes: u64) -> Result<(), Failure> {
    terminal::note(&format!("the program has {}", megabytes(bytes)));
    if bytes <= LIMIT_BYTES {
        return Ok(());
    }
    let (size, limit) = (megabytes(bytes), megabytes(LIMIT_BYTES));
    Err(Failure::new(format!("cannot hand out a program of {size}: the limit is {limit}")))
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_past_the_limit_is_refused() {
        assert!(keep_to_limit(25_000_000).is_ok());
        let failure = keep_to_limit(26_140_000).unwrap_err();
        assert_eq!(failure.to_string(), "cannot hand out a program of 26.1 MB: the limit is 25.0 MB");
    }
}
