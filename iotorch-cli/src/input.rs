//! Documents from files, directories and standard input.

use std::{
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

/// The endings of the files that a directory is read for.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// The documents to work on.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Files {
    /// A file of documents, a directory of .yaml, .yml and .json files, or - for standard input; may be repeated
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

/// The files of a directory that hold documents, by name; directories in it are not entered.
fn files_of(directory: &Path) -> Result<Vec<PathBuf>> {
    let reading = |error| cannot(format!("read directory \"{}\"", directory.display()), error);
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(reading)? {
        let path = entry.map_err(reading)?.path();
        let ending = path.extension().and_then(OsStr::to_str);
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

#[cfg(test)]
mod tests {
    use super::*;

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
