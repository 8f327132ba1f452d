//! The archive of a release, the same bytes wherever and whenever it is packed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::command_line::CommandLine;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::program::PROGRAM;
use crate::workspace;

use super::crates::Crates;
use super::{Release, licences, write};

/// What is taken from the source tree as it is: the README, and what it leads users of the program to.
const FILES: [&str; 8] = [
    "README.md",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "docs",
    "examples/slices",
    "examples/clusters",
    "examples/figure-4",
];

/// The shells, and where their completions go.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "completions/iotorch.bash"),
    ("zsh", "completions/_iotorch"),
    ("fish", "completions/iotorch.fish"),
];

/// Packs the program with all that belongs to it, and gives the archive's path.
pub(super) fn pack(release: &Release<'_>, program: &Path, crates: &Crates) -> Result<PathBuf, Failure> {
    let staging = tempfile::tempdir()
        .map_err(|error| Failure::new("cannot create a temporary folder").with_source(error))?;
    let folder = staging.path().join(release.name());
    copy_all(program, &folder).map_err(|error| {
        Failure::new(format!("cannot gather the files of \"{}\"", release.name())).with_source(error)
    })?;
    write(&folder.join("THIRD-PARTY-LICENSES.txt"), licences::texts(crates)?.as_bytes())?;
    for (shell, file) in COMPLETIONS {
        let script = run(release.machine, program).args(["completions", shell]).output()?;
        write(&folder.join(file), script.as_bytes())?;
    }
    run(release.machine, program).args(["man", "--quiet"]).arg(folder.join("man")).run()?;
    let archive = release.folder.join(format!("{}.tar.gz", release.name()));
    tar(staging.path(), &release.name(), release.date, &archive)?;
    Ok(archive)
}

/// A command line of the program, under an emulator where this machine is another.
pub(super) fn run(machine: Machine, program: &Path) -> CommandLine {
    match machine.emulator() {
        Some(emulator) => CommandLine::new(emulator).arg(program),
        None => CommandLine::new(program),
    }
}

fn copy_all(program: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder.join("completions"))?;
    fs::copy(program, folder.join(PROGRAM))?;
    for name in FILES {
        copy(&workspace::root().join(name), &folder.join(name))?;
    }
    Ok(())
}

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Packs a folder with names in order, one owner, one date and modes that do not depend on who packs
/// (reproducible-builds.org, "Archive metadata").
fn tar(parent: &Path, name: &str, date: Timestamp, archive: &Path) -> Result<(), Failure> {
    CommandLine::new("tar")
        .args(["--create", "--format=ustar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mode=u+rw,go=rX", &format!("--mtime=@{}", date.as_second())])
        .arg("--use-compress-program=gzip --no-name --best")
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(parent)
        .arg(name)
        .run()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_same_files_make_the_same_archive_whoever_wrote_them_and_when() {
        let date = Timestamp::from_second(1_700_000_000).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let archive = |place: &str, names: [&str; 2], mode: u32| {
            let release = folder.path().join(place).join("release");
            fs::create_dir_all(&release).unwrap();
            for name in names {
                fs::write(release.join(name), name).unwrap();
                fs::set_permissions(release.join(name), fs::Permissions::from_mode(mode)).unwrap();
            }
            let archive = folder.path().join(format!("{place}.tar.gz"));
            tar(&folder.path().join(place), "release", date, &archive).unwrap();
            fs::read(archive).unwrap()
        };
        assert_eq!(archive("one", ["a", "b"], 0o600), archive("other", ["b", "a"], 0o664));
    }
}
