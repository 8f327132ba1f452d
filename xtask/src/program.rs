//! The static program `iotorch`, built for a machine.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command_line::CommandLine;
use crate::environment;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::workspace;

/// The crate that makes the program, which has the name of the project.
pub(crate) const CRATE: &str = "iotorch-cli";
pub(crate) const PROGRAM: &str = "iotorch";

/// The segment of a program that names its dynamic linker (ELF-64 object file format 1.5, table 16).
const PT_INTERP: u32 = 3;

/// A program that may lie anywhere in memory lists the addresses in it that depend on where: a bit for most of them, not 24 bytes for
/// each (section type SHT_RELR of the generic ABI of ELF, which musl's start files know since 1.2.4).
const SMALL_RELOCATIONS: &str = "\"-Clink-arg=--pack-dyn-relocs=relr\"";

/// Builds the program for a machine by a `cargo build` that says where, and gives its path.
///
/// # Errors
///
/// It cannot be built, or is not static.
pub(crate) fn build(cargo: CommandLine, machine: Machine, profile: &str) -> Result<PathBuf, Failure> {
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
        .args(["--locked", "--profile", profile, "--package", CRATE, "--target", triple])
        .args(["--message-format", "json-render-diagnostics"])
        .args(["--config", &format!("target.{triple}.linker=\"rust-lld\"")])
        .args(["--config", &format!("target.{triple}.rustflags=[{}, {SMALL_RELOCATIONS}]", plain_paths()?)])
        .output()?;
    let program =
        executable(&output).ok_or_else(|| Failure::new("cannot find the program that cargo built"))?;
    let contents = fs::read(&program)
        .map_err(|error| Failure::new(format!("cannot read \"{}\"", program.display())).with_source(error))?;
    match is_static(&contents) {
        Some(true) => Ok(program),
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

/// The path of the program in what cargo says (The Cargo Book, External tools, "JSON messages").
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs = messages.filter(|message| message["target"]["name"] == PROGRAM);
    programs.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Whether a program names no dynamic linker; `None` if it is no little-endian ELF-64 file.
fn is_static(program: &[u8]) -> Option<bool> {
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let bytes = |at: usize, count: usize| program.get(at..at.checked_add(count)?);
    let number = |at: usize, count: usize| {
        let bytes = bytes(at, count)?.iter().rev();
        usize::try_from(bytes.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))).ok()
    };
    // The ELF header: e_phoff, e_phentsize and e_phnum (ELF-64 object file format 1.5, figure 2).
    let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let types: Option<Vec<usize>> = (0..count).map(|index| number(start + index * size, 4)).collect();
    Some(!types?.contains(&(PT_INTERP as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with program headers of these types and nothing else.
    fn elf(types: &[u8]) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01".to_vec();
        file.resize(64, 0);
        file[32] = 64;
        file[54] = 56;
        file[56] = u8::try_from(types.len()).unwrap();
        for kind in types {
            file.push(*kind);
            file.resize(file.len() + 55, 0);
        }
        file
    }

    #[test]
    fn a_program_that_names_a_dynamic_linker_is_not_static() {
        assert_eq!(is_static(&elf(&[6, 1, 1])), Some(true));
        assert_eq!(is_static(&elf(&[6, 3, 1])), Some(false));
    }

    #[test]
    fn what_is_no_program_is_not_taken_for_a_static_one() {
        assert_eq!(is_static(b"#!/bin/sh"), None);
        assert_eq!(is_static(&elf(&[1])[..70]), Some(true));
        assert_eq!(is_static(&elf(&[1])[..60]), None);
    }

    #[test]
    fn the_program_is_found_among_what_cargo_says() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"iotorch_core"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"iotorch"},"executable":"/t/dist/iotorch"}"#,
            "\n"
        );
        assert_eq!(executable(messages), Some(PathBuf::from("/t/dist/iotorch")));
        assert_eq!(executable(""), None);
    }
}
