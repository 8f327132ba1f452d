//! What would be published: packed, and compiled from the packages.
//!
//! Cargo can verify packages itself, but of a crate that others of the workspace depend on it compiles what it had
//! unpacked the first time (seen with cargo 1.95), so that a change of that crate is judged by its past. It would also
//! compile all dependencies anew for each crate. So the packages are unpacked side by side here, and checked as one
//! workspace, where each takes the others from beside it.

use std::fs;
use std::io;
use std::path::Path;

use crate::build_dir::BuildDir;
use crate::command_line::CommandLine;
use crate::failure::Failure;
use crate::workspace::{self, Package};

/// Packs every crate that is published and compiles the result.
pub(super) fn check(build: &BuildDir) -> Result<(), Failure> {
    let (published, kept_back): (Vec<Package>, Vec<Package>) =
        workspace::packages()?.into_iter().partition(|package| package.is_published);
    let folder = tempfile::tempdir().map_err(|error| not_unpacked(&published, error))?;
    let packed = folder.path().join("packed");
    let unpacked = folder.path().join("unpacked");

    CommandLine::new("cargo")
        // Checks run before a commit as well as after it.
        .args(["package", "--locked", "--allow-dirty", "--no-verify", "--workspace"])
        .args(kept_back.iter().flat_map(|package| ["--exclude", &package.name]))
        .arg("--target-dir")
        .arg(&packed)
        .run()?;

    fs::create_dir(&unpacked).map_err(|error| not_unpacked(&published, error))?;
    for package in &published {
        CommandLine::new("tar")
            // Sources must look new, or cargo takes what it compiled of an earlier package for current.
            .args(["--extract", "--gzip", "--touch", "--file"])
            .arg(packed.join("package").join(format!("{}.crate", package.full_name())))
            .arg("--directory")
            .arg(&unpacked)
            .run()?;
    }
    join(&published, &unpacked).map_err(|error| not_unpacked(&published, error))?;
    build.cargo("check").args(["--workspace", "--manifest-path"]).arg(unpacked.join("Cargo.toml")).run()
}

/// Makes a workspace of the packages, with the dependencies' versions of this one.
fn join(published: &[Package], folder: &Path) -> io::Result<()> {
    fs::write(folder.join("Cargo.toml"), manifest(published))?;
    fs::copy(workspace::root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    Ok(())
}

fn manifest(published: &[Package]) -> String {
    let members: Vec<String> = published.iter().map(|package| format!("{:?}", package.full_name())).collect();
    let mut manifest =
        format!("[workspace]\nresolver = \"3\"\nmembers = [{}]\n\n[patch.crates-io]\n", members.join(", "));
    for package in published {
        manifest.push_str(&format!("{} = {{ path = {:?} }}\n", package.name, package.full_name()));
    }
    manifest
}

fn not_unpacked(published: &[Package], error: io::Error) -> Failure {
    let names: Vec<String> = published.iter().map(|package| format!("\"{}\"", package.name)).collect();
    Failure::new(format!("cannot unpack the packages {}", names.join(", "))).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_take_each_other_from_beside_them() {
        let package = |name: &str| Package {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            is_published: true,
            benches: Vec::new(),
        };
        let expected = "\
[workspace]
resolver = \"3\"
members = [\"core-0.1.0\", \"cli-0.1.0\"]

[patch.crates-io]
core = { path = \"core-0.1.0\" }
cli = { path = \"cli-0.1.0\" }
";
        assert_eq!(manifest(&[package("core"), package("cli")]), expected);
    }
}
