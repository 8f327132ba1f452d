//! `schema`: the JSON Schemas of the documents, generated from the Rust types, and the page that people read.

mod combined;
mod definitions;
mod form;
mod reference;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::build_dir::BuildDir;
use crate::failure::Failure;
use crate::workspace;

use self::reference::Example;

/// Where the schemas lie in the source tree.
const FOLDER: &str = "docs/schema";
/// The schema of all kinds of documents, beside those of each kind.
const COMBINED: &str = "iotorch.json";
/// The page that people read.
const PAGE: &str = "docs/reference.md";
/// The documents that the page shows, by kind: those a newcomer runs.
const EXAMPLES: [(&str, &str); 2] =
    [("Slice", "examples/slices/greenhouse.yaml"), ("Infrastructure", "examples/slices/here.yaml")];

/// Writes the schemas and the page into the source tree.
pub(crate) fn generate(build: &BuildDir) -> Result<(), Failure> {
    write_into(build, workspace::root())
}

/// Fails, naming each file, when the source tree does not hold what [`generate`] would write.
pub(crate) fn check(build: &BuildDir) -> Result<(), Failure> {
    let generated = tempfile::tempdir()
        .map_err(|error| Failure::new("cannot create a temporary folder").with_source(error))?;
    write_into(build, generated.path())?;
    let stale = differing_files(workspace::root(), generated.path())?;
    if stale.is_empty() {
        return Ok(());
    }
    let files: Vec<String> = stale.iter().map(|name| format!("\"{name}\"")).collect();
    let verb = if files.len() == 1 { "is" } else { "are" };
    Err(Failure::new(format!("{} {verb} not current", files.join(", "))).with_help("run: cargo xtask schema"))
}

/// Writes everything below a folder, under the names that it has in the source tree.
fn write_into(build: &BuildDir, root: &Path) -> Result<(), Failure> {
    let folder = root.join(FOLDER);
    build
        .cargo("run")
        .args(["--quiet", "--locked", "--package", "iotorch-cli", "--", "schema", "--output-dir"])
        .arg(&folder)
        .run()?;
    let kinds = kinds(&folder)?;
    let combined = combined::combine(&kinds)?;
    write(&folder.join(COMBINED), &format!("{combined:#}\n"))?;
    write(&root.join(PAGE), &reference::page(&combined, &examples()?)?)
}

/// The schema of each kind of document, as the command wrote them.
fn kinds(folder: &Path) -> Result<Vec<Value>, Failure> {
    let mut names = json_files(folder)?;
    names.remove(COMBINED);
    if names.is_empty() {
        return Err(Failure::new("cannot find a schema: the iotorch command wrote none"));
    }
    names.iter().map(|name| parse(&folder.join(name))).collect()
}

fn parse(file: &Path) -> Result<Value, Failure> {
    let text = fs::read_to_string(file).map_err(|error| not_read(file, error))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::new(format!("cannot read \"{}\" as a schema", file.display())).with_source(error)
    })
}

fn examples() -> Result<Vec<Example>, Failure> {
    let example = |(kind, file): (&'static str, &'static str)| {
        let path = workspace::root().join(file);
        let text = fs::read_to_string(&path).map_err(|error| not_read(&path, error))?;
        Ok(Example { kind, file, text })
    };
    EXAMPLES.into_iter().map(example).collect()
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text)
        .map_err(|error| Failure::new(format!("cannot write \"{}\"", file.display())).with_source(error))
}

/// The generated files that are below one folder only, or whose contents differ, by their names below it.
fn differing_files(one: &Path, other: &Path) -> Result<BTreeSet<String>, Failure> {
    let mut names = generated_files(one)?;
    names.append(&mut generated_files(other)?);
    let mut differing = BTreeSet::new();
    for name in names {
        if contents(&one.join(&name))? != contents(&other.join(&name))? {
            differing.insert(name);
        }
    }
    Ok(differing)
}

fn generated_files(root: &Path) -> Result<BTreeSet<String>, Failure> {
    let schemas = json_files(&root.join(FOLDER))?;
    Ok(schemas.iter().map(|name| format!("{FOLDER}/{name}")).chain([PAGE.to_owned()]).collect())
}

/// The names of the JSON files in a folder; one that is not there is empty.
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

    /// A source tree with these schemas and this page.
    fn tree(schemas: &[(&str, &str)], page: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(FOLDER)).unwrap();
        for (name, contents) in schemas {
            fs::write(root.path().join(FOLDER).join(name), contents).unwrap();
        }
        fs::write(root.path().join(PAGE), page).unwrap();
        root
    }

    fn differing(one: &tempfile::TempDir, other: &tempfile::TempDir) -> Vec<String> {
        differing_files(one.path(), other.path()).unwrap().into_iter().collect()
    }

    #[test]
    fn a_tree_with_the_same_files_is_current_whatever_lies_beside_them() {
        let kept = tree(&[("slice.json", "{}"), ("README.md", "what these are")], "page");
        let generated = tree(&[("slice.json", "{}")], "page");
        assert!(differing(&kept, &generated).is_empty());
    }

    #[test]
    fn changed_missing_and_left_over_files_are_named() {
        let kept = tree(&[("same.json", "{}"), ("changed.json", "{}"), ("left-over.json", "{}")], "old");
        let generated = tree(&[("same.json", "{}"), ("changed.json", "[]"), ("missing.json", "{}")], "new");
        assert_eq!(
            differing(&kept, &generated),
            [
                "docs/reference.md",
                "docs/schema/changed.json",
                "docs/schema/left-over.json",
                "docs/schema/missing.json"
            ]
        );
    }

    #[test]
    fn an_empty_tree_lacks_every_file() {
        let generated = tree(&[("slice.json", "{}")], "page");
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(differing(&empty, &generated), ["docs/reference.md", "docs/schema/slice.json"]);
    }

    #[test]
    fn a_folder_without_a_schema_is_not_taken_for_one_that_has_no_kinds() {
        let tree = tree(&[(COMBINED, "{}")], "page");
        let failure = kinds(&tree.path().join(FOLDER)).unwrap_err();
        assert_eq!(failure.to_string(), "cannot find a schema: the iotorch command wrote none");
    }
}
