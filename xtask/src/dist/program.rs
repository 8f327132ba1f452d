//! The program: built, and looked at.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command_line::CommandLine;
use crate::environment;
use crate::failure::Failure;
use crate::terminal;
use crate::workspace;

use super::{CRATE, FEATURES, Machine, PROGRAM, read};

/// Where cargo builds: not in `target`, where it calls a folder of its own `dist`, after the profile.
const BUILD: &str = "target/dist-build";

/// What a program may take: it is copied to boards, and over their links.
const LIMIT_BYTES: u64 = 25_000_000;

/// The segment of a program that names its dynamic linker (ELF-64 object file format 1.5, table 16).
const PT_INTERP: u32 = 3;

/// Builds the program for a machine, and gives its path.
pub(super) fn build(machine: Machine) -> Result<PathBuf, Failure> {
    let triple = machine.triple();
    let library =
        CommandLine::new("rustc").args(["--print", "target-libdir", "--target", triple]).output()?;
    if !Path::new(library.trim()).is_dir() {
        CommandLine::new("rustup").args(["target", "add", triple]).run()?;
    }
    // Not in the folder that clones share: of a release it must be clear what it was built from.
    let output = CommandLine::new("cargo")
        .env(&format!("CC_{}", triple.replace('-', "_")), machine.c_compiler())
        // They would take the place of the flags below.
        .without_env("RUSTFLAGS")
        .without_env("CARGO_ENCODED_RUSTFLAGS")
        .args(["build", "--locked", "--profile", "dist", "--package", CRATE, "--target", triple])
        .args(FEATURES)
        .args(["--message-format", "json-render-diagnostics", "--target-dir", BUILD])
        .args(["--config", &format!("target.{triple}.linker=\"rust-lld\"")])
        .args(["--config", &format!("target.{triple}.rustflags=[{}]", plain_paths()?)])
        .output()?;
    let program =
        executable(&output).ok_or_else(|| Failure::new("cannot find the program that cargo built"))?;
    look_at(&read(&program)?)?;
    Ok(program)
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

/// Refuses a program that is too large or that needs libraries of the machine it runs on.
fn look_at(program: &[u8]) -> Result<(), Failure> {
    let size = program.len() as u64;
    terminal::note(&format!("the program has {}", megabytes(size)));
    if size > LIMIT_BYTES {
        return Err(Failure::new(format!(
            "cannot hand out a program of {}: the limit is {}",
            megabytes(size),
            megabytes(LIMIT_BYTES)
        )));
    }
    match is_static(program) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::new("cannot hand out a program that is linked dynamically")),
        None => Err(Failure::new("cannot read the program as 64-bit ELF")),
    }
}

pub(super) fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
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
    fn a_program_that_names_a_dynamic_linker_is_refused() {
        assert!(look_at(&elf(&[6, 1, 1])).is_ok());
        let failure = look_at(&elf(&[6, 3, 1])).unwrap_err();
        assert_eq!(failure.to_string(), "cannot hand out a program that is linked dynamically");
    }

    #[test]
    fn what_is_no_program_is_not_taken_for_a_static_one() {
        assert_eq!(is_static(b"#!/bin/sh"), None);
        assert_eq!(is_static(&elf(&[1])[..70]), Some(true));
        assert_eq!(is_static(&elf(&[1])[..60]), None);
    }

    #[test]
    fn a_program_past_the_limit_is_refused() {
        let mut program = elf(&[1]);
        program.resize(26_140_000, 0);
        let failure = look_at(&program).unwrap_err();
        assert_eq!(failure.to_string(), "cannot hand out a program of 26.1 MB: the limit is 25.0 MB");
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
