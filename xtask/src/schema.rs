//! `schema`: the JSON Schema of the documents, generated from the Rust types.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::build_dir::BuildDir;
use crate::failure::Failure;
use crate::workspace;

const FOLDER: &str = "docs/schema";

/// Writes the schema into the source tree.
pub(crate) fn generate(build: &BuildDir) -> Result<(), Failure> {
    write_into(build, Path::new(FOLDER))
}

/// Fails, naming each file, when the schema in the source tree is not what [`generate`] would write.
pub(crate) fn check(build: &BuildDir) -> Result<(), Failure> {
    let generated = tempfile::tempdir()
        .map_err(|error| Failure::new("cannot create a temporary folder").with_source(error))?;
    write_into(build, generated.path())?;
    if json_files(generated.path())?.is_empty() {
        return Err(Failure::new("cannot check the schema: the iotorch command wrote none"));
    }
    let stale = differing_files(&workspace::root().join(FOLDER), generated.path())?;
    if stale.is_empty() {
        return Ok(());
    }
    let files: Vec<String> = stale.iter().map(|name| format!("\"{FOLDER}/{name}\"")).collect();
    let verb = if files.len() == 1 { "is" } else { "are" };
    Err(Failure::new(format!("{} {verb} not current", files.join(", "))).with_help("run: cargo xtask schema"))
}

fn write_into(build: &BuildDir, folder: &Path) -> Result<(), Failure> {
    build
        .cargo("run")
        .args(["--quiet", "--locked", "--package", "iotorch-cli", "--", "schema", "--output-dir"])
        .arg(folder)
        .run()
}

/// The names of JSON files that are in one folder only, or whose contents differ; a folder that is not there is empty.
fn differing_files(one: &Path, other: &Path) -> Result<BTreeSet<String>, Failure> {
    let mut names = json_files(one)?;
    names.append(&mut json_files(other)?);
    let mut differing = BTreeSet::new();
    for name in names {
        if contents(&one.join(&name))? != contents(&other.join(&name))? {
            differing.insert(name);
        }
    }
    Ok(differing)
}

fn json_files(folder: &Path) -> Result<BTreeSet<String>, Failure> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(not_read(folder, error)),
    };
    let paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(|error| not_read(folder, error))?;
    let json = paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    Ok(json.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
}

fn contents(file: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(file) {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(not_read(file, error)),
    }
}

fn not_read(path: &Path, error: io::Error) -> Failure {
    Failure::new(format!("cannot read \"{}\"", path.display())).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, contents) in files {
            fs::write(folder.path().join(name), contents).unwrap();
        }
        folder
    }

    fn differing(one: &tempfile::TempDir, other: &tempfile::TempDir) -> Vec<String> {
        differing_files(one.path(), other.path()).unwrap().into_iter().collect()
    }

    #[test]
    fn a_schema_with_the_same_files_is_current_whatever_lies_beside_them() {
        let kept = folder(&[("slice.json", "{}"), ("README.md", "what these are")]);
        let generated = folder(&[("slice.json", "{}")]);
        assert!(differing(&kept, &generated).is_empty());
    }

    #[test]
    fn changed_missing_and_left_over_files_are_named() {
        let kept = folder(&[("same.json", "{}"), ("changed.json", "{}"), ("left-over.json", "{}")]);
        let generated = folder(&[("same.json", "{}"), ("changed.json", "[]"), ("missing.json", "{}")]);
        assert_eq!(differing(&kept, &generated), ["changed.json", "left-over.json", "missing.json"]);
    }

    #[test]
    fn a_folder_that_is_not_there_lacks_every_file() {
        let generated = folder(&[("slice.json", "{}")]);
        let absent = generated.path().join("absent");
        let stale = differing_files(&absent, generated.path()).unwrap();
        assert_eq!(stale.into_iter().collect::<Vec<_>>(), ["slice.json"]);
    }
}
