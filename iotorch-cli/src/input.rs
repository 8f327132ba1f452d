//! Documents from files, directories and standard input.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    io::{Read, stdin},
    path::{Path, PathBuf},
};

use clap::Args;
use iotorch_core::{
    Error, ErrorKind, Intent,
    model::{Documents, Source},
};

use crate::failure::{Result, cannot};

/// The file of a directory that names those of its documents that the directory does not stand for, one a line.
const LEFT_OUT: &str = ".iotorchignore";

/// The endings of the files that a directory is read for.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// The documents to work on.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Files {
    /// A file of documents, a directory of .yaml, .yml and .json files (but for those that its .iotorchignore names), or - for standard
    /// input; may be repeated
    #[arg(id = "file", short = 'f', long = "file", value_name = "FILE|DIR", num_args = 1.., action = clap::ArgAction::Append)]
    pub(crate) paths: Vec<PathBuf>,
}

impl Files {
    /// Refuses when none was named.
    pub(crate) fn require(&self) -> Result<()> {
        if self.paths.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "cannot tell which documents to work on")
                .with_help("name files or directories with -f")
                .into());
        }
        Ok(())
    }

    /// The options as they were typed, for telling a person what to type again.
    pub(crate) fn typed(&self) -> String {
        self.paths.iter().map(|path| format!(" -f {}", path.display())).collect()
    }

    /// Reads all of them.
    pub(crate) fn read(&self) -> Result<Documents> {
        let mut sources = Vec::new();
        for path in &self.paths {
            if path.as_os_str() == OsStr::new("-") {
                let mut bytes = Vec::new();
                stdin()
                    .lock()
                    .read_to_end(&mut bytes)
                    .map_err(|error| cannot("read standard input", error))?;
                sources.push(Source::from_bytes("<stdin>", bytes)?);
            } else if path.is_dir() {
                for file in files_of(path)? {
                    sources.push(read_file(&file)?);
                }
            } else {
                sources.push(read_file(path)?);
            }
        }
        Ok(Documents::read(sources)?)
    }
}

/// What documents ask for.
pub(crate) fn wish(documents: Documents) -> Intent {
    let (infrastructures, slices) = documents.into_parts();
    Intent { infrastructures, slices, ..Intent::default() }
}

fn read_file(path: &Path) -> Result<Source> {
    let bytes = fs::read(path).map_err(|error| cannot(format!("read \"{}\"", path.display()), error))?;
    Ok(Source::from_bytes(path.display().to_string(), bytes)?)
}

/// The files of a directory that hold documents, by name, but for those that are left out; directories in it are not entered.
fn files_of(directory: &Path) -> Result<Vec<PathBuf>> {
    let reading = |error| cannot(format!("read directory \"{}\"", directory.display()), error);
    let left_out = left_out(directory).map_err(reading)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(reading)? {
        let path = entry.map_err(reading)?.path();
        let ending = path.extension().and_then(OsStr::to_str);
        if path.file_name().and_then(OsStr::to_str).is_some_and(|name| left_out.contains(name)) {
            continue;
        }
        if path.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("cannot find a document in directory \"{}\"", directory.display()),
        )
        .with_help("a document is a file that ends in .yaml, .yml or .json")
        .into());
    }
    files.sort();
    Ok(files)
}

/// The names of files that a directory does not stand for; a `#` begins a comment.
fn left_out(directory: &Path) -> std::io::Result<BTreeSet<String>> {
    let text = match fs::read_to_string(directory.join(LEFT_OUT)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        read => read?,
    };
    let names = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_directory_leaves_out_is_read_only_where_it_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.yaml", "b.yaml", "c.yaml"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::write(dir.path().join(LEFT_OUT), "# needs a cluster\n b.yaml # this too\n\n").unwrap();
        let files = files_of(dir.path()).unwrap();
        assert_eq!(files, ["a.yaml", "c.yaml"].map(|name| dir.path().join(name)));
        let slice = "apiVersion: iotorch.dev/v1alpha1\nkind: Slice\nmetadata: { name: b }\nspec: {}\n";
        fs::write(dir.path().join("b.yaml"), slice).unwrap();
        let named = Files { paths: vec![dir.path().join("b.yaml")] };
        assert!(named.read().is_ok());
    }

    #[test]
    fn a_directory_stands_for_its_documents_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.json", "c.yml", "notes.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("deeper.yaml")).unwrap();
        let names: Vec<_> = files_of(dir.path())
            .unwrap()
            .iter()
            .filter_map(|path| path.file_name().and_then(OsStr::to_str).map(str::to_owned))
            .collect();
        assert_eq!(names, ["a.json", "b.yaml", "c.yml"]);
    }

    #[test]
    fn a_directory_without_documents_is_an_error_that_says_what_is_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let failure = files_of(dir.path()).unwrap_err();
        let crate::failure::Failure::Error(error) = failure else { panic!("{failure:?}") };
        assert!(error.help().unwrap().contains(".yaml"));
    }
}
