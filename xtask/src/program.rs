//! Static programs, built for a machine.

use std::fs;
use std::path::{Path, PathBuf};

use iotorch_testbed::is_static;
use serde_json::Value;

use crate::command_line::CommandLine;
use crate::environment;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::workspace;

/// The crate that makes the program, which has the name of the project.
pub(crate) const CRATE: &str = "iotorch-cli";
pub(crate) const PROGRAM: &str = "iotorch";

/// A program of this workspace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    pub(crate) package: &'static str,
    pub(crate) name: &'static str,
}

/// What is handed out.
pub(crate) const IOTORCH: Program = Program { package: CRATE, name: PROGRAM };

/// A program that may lie anywhere in memory lists the addresses in it that depend on where: a bit for most of them, not 24 bytes for
/// each (section type SHT_RELR of the generic ABI of ELF, which musl's start files know since 1.2.4).
const SMALL_RELOCATIONS: &str = "\"-Clink-arg=--pack-dyn-relocs=relr\"";

/// Builds a program for a machine by a `cargo build` that says where, and gives its path.
///
/// # Errors
///
/// It cannot be built, or is not static.
pub(crate) fn build(
    cargo: CommandLine,
    program: Program,
    machine: Machine,
    profile: &str,
) -> Result<PathBuf, Failure> {
    let triple = machine.triple();
    let library =
        CommandLine::new("rustc").args(["--print", "target-libdir", "--target", triple]).output()?;
    if !Path::new(library.trim()).is_dir() {
        CommandLine::new("rustup").args(["target", "add", triple]).run()?;
    }
    let output = cargo
        .env(&format!("CC_{}", triple.replace('-', "_")), machine.c_compiler())
        // They would take the place of the flags below.
        .without_env("RUSTFLAGS")
        .without_env("CARGO_ENCODED_RUSTFLAGS")
        .args(["--locked", "--profile", profile, "--package", program.package, "--target", triple])
        .args(["--message-format", "json-render-diagnostics"])
        .args(["--config", &format!("target.{triple}.linker=\"rust-lld\"")])
        .args(["--config", &format!("target.{triple}.rustflags=[{}, {SMALL_RELOCATIONS}]", plain_paths()?)])
        .output()?;
    let path = executable(&output, program.name).ok_or_else(|| {
        Failure::new(format!("cannot find the program \"{}\" that cargo built", program.name))
    })?;
    let contents = fs::read(&path)
        .map_err(|error| Failure::new(format!("cannot read \"{}\"", path.display())).with_source(error))?;
    match is_static(&contents) {
        Some(true) => Ok(path),
        Some(false) => Err(Failure::new("cannot use a program that is linked dynamically")),
        None => Err(Failure::new("cannot read the program as 64-bit ELF")),
    }
}

/// Flags that keep the folders of this machine out of the program.
fn plain_paths() -> Result<String, Failure> {
    let flag =
        |path: &Path, word: &str| format!("{:?}", format!("--remap-path-prefix={}={word}", path.display()));
    let cargo = environment::cargo_folder()?;
    Ok(format!("{}, {}", flag(workspace::root(), PROGRAM), flag(&cargo, "cargo")))
}

/// The path of a program in what cargo says (The Cargo Book, External tools, "JSON messages").
fn executable(messages: &str, program: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs = messages.filter(|message| message["target"]["name"] == program);
    programs.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_what_cargo_says() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"iotorch_core"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"iotorch"},"executable":"/t/dist/iotorch"}"#,
            "\n"
        );
        assert_eq!(executable(messages, "other"), None);
        assert_eq!(executable(messages, PROGRAM), Some(PathBuf::from("/t/dist/iotorch")));
        assert_eq!(executable("", PROGRAM), None);
    }
}
