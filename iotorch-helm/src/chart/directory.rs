//! Charts in directories.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    archive::{Allowance, Files, MOST_FILES, Refusal},
    ignore::{self, Rules},
};
use crate::error::{Error, ErrorKind, Result};

/// How deep directories lie in each other at most; links could make them endless.
const DEEPEST: usize = 64;

/// The files of the chart in a directory, without what its `.helmignore` names. Links are followed as Helm does, but only to
/// what is in the directory, so that a chart from elsewhere cannot take along files of this machine.
pub(super) fn read(directory: &Path) -> Result<Files> {
    let shown = directory.display();
    if !directory.join("Chart.yaml").is_file() {
        let why = if directory.exists() { "it has no \"Chart.yaml\"" } else { "there is no such directory" };
        return Err(
            Error::new(ErrorKind::NotFound, format!("cannot find a chart in \"{shown}\"")).with_source(why)
        );
    }
    let cannot = |why: Refusal| {
        Error::new(ErrorKind::InvalidChart, format!("cannot read the chart in \"{shown}\"")).with_source(why)
    };
    let root = directory.canonicalize().map_err(|error| cannot(error.into()))?;
    let rules = match fs::read_to_string(root.join(ignore::FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(cannot(error.into())),
    };
    let rules = Rules::parse(&rules).map_err(|why| cannot(why.into()))?;
    let mut walk = Walk { root: &root, rules, allowance: Allowance::default(), files: Files::new() };
    walk.enter(&root, "", 0).map_err(cannot)?;
    Ok(walk.files)
}

struct Walk<'a> {
    root: &'a Path,
    rules: Rules,
    allowance: Allowance,
    files: Files,
}

impl Walk<'_> {
    fn enter(&mut self, directory: &Path, prefix: &str, depth: usize) -> Result<(), Refusal> {
        if depth > DEEPEST {
            return Err(format!("\"{prefix}\" lies too deep").into());
        }
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| format!("the name of {name:?} is not in UTF-8"))?;
            let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            // What is ignored may be anything, also a link that leads nowhere.
            let kind = entry.file_type()?;
            if !kind.is_dir() && !kind.is_symlink() && self.rules.ignore(&path, false) {
                continue;
            }
            let at = if kind.is_symlink() { self.follow(&entry.path(), &path)? } else { entry.path() };
            let kind = fs::metadata(&at)?;
            if self.rules.ignore(&path, kind.is_dir()) {
                continue;
            }
            if kind.is_dir() {
                self.enter(&at, &path, depth + 1)?;
            } else if kind.is_file() {
                self.take(&at, path, kind.len())?;
            } else {
                return Err(format!("\"{path}\" is no regular file").into());
            }
        }
        Ok(())
    }

    fn follow(&self, link: &Path, path: &str) -> Result<PathBuf, Refusal> {
        let target =
            fs::canonicalize(link).map_err(|error| format!("cannot follow the link \"{path}\": {error}"))?;
        if !target.starts_with(self.root) {
            return Err(format!("the link \"{path}\" leads out of the chart").into());
        }
        Ok(target)
    }

    fn take(&mut self, at: &Path, path: String, length: u64) -> Result<(), Refusal> {
        if self.files.len() == MOST_FILES {
            return Err(format!("it has more than {MOST_FILES} files").into());
        }
        self.allowance.take(length)?;
        let bytes = fs::read(at).map_err(|error| format!("cannot read \"{path}\": {error}"))?;
        self.files.insert(path, bytes);
        Ok(())
    }
}
