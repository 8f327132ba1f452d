//! Directories that say whose they are.

use crate::data_dir;
use iotorch_core::{Error, ErrorKind, Result, resource::Ownership};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// The format of the files. One of a newer format is refused.
const FORMAT: u32 = 1;

/// What is on its way in or out.
const COMING: &str = ".new-";
const GOING: &str = ".gone-";

/// The file in a directory that says whose it is and what it is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Marked {
    format: u32,
    /// The ownership mark.
    pub(super) mark: String,
    spec: Value,
    /// Present when the directory was taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adopted: Option<Adopted>,
}

/// How a directory was before it was taken over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Adopted {
    /// The file that was there; none if there was none.
    found: Option<Value>,
}

impl Marked {
    /// What the directory is for.
    pub(super) fn spec<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        T::deserialize(&self.spec)
    }
}

/// A kind of directory, by the file that marks it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sort {
    pub(super) file: &'static str,
    pub(super) noun: &'static str,
}

pub(super) const SPACE: Sort = Sort { file: "space.json", noun: "space" };
pub(super) const INSTANCE: Sort = Sort { file: "instance.json", noun: "workload" };

impl Sort {
    /// Reads whose a directory is; `None` without a mark.
    pub(super) fn read(self, dir: &Path) -> Result<Option<Marked>> {
        let Some(value) = self.raw(dir)? else { return Ok(None) };
        let path = dir.join(self.file);
        let format = value.get("format").and_then(Value::as_u64).unwrap_or_default();
        if format > u64::from(FORMAT) {
            let why = format!("it has format {format}, newer than {FORMAT}");
            return Err(failed("read", &path, why));
        }
        serde_json::from_value(value).map(Some).map_err(|error| failed("read", &path, error))
    }

    fn raw(self, dir: &Path) -> Result<Option<Value>> {
        let path = dir.join(self.file);
        data_dir::read_json(&path).map_err(|error| failed("read", &path, error))
    }

    /// Makes a directory with this mark, or changes what it is for.
    pub(super) fn put(
        self,
        dir: &Path,
        mark: &str,
        spec: &impl Serialize,
        ownership: Ownership,
    ) -> Result<()> {
        let spec = serde_json::to_value(spec).map_err(|error| failed("write", dir, error))?;
        let (there, found) = (dir.exists(), self.read(dir)?);
        let adopted = match found {
            Some(found) if found.mark == mark => found.adopted,
            found if there && ownership != Ownership::Adopt => return Err(self.foreign(dir, found.as_ref())),
            _ if there => Some(Adopted { found: self.raw(dir)? }),
            _ => None,
        };
        let marked = Marked { format: FORMAT, mark: mark.to_owned(), spec, adopted };
        if there {
            return self.write(dir, &marked);
        }
        let coming = beside(dir, COMING);
        remove_all(&coming)?;
        create(&coming)?;
        self.write(&coming, &marked)?;
        rename(&coming, dir)
    }

    fn write(self, dir: &Path, content: &impl Serialize) -> Result<()> {
        let path = dir.join(self.file);
        data_dir::write_json(&path, content).map_err(|error| failed("write", &path, error))
    }

    /// Gives a directory with this mark back as it was found; any other is left alone.
    pub(super) fn release(self, dir: &Path, mark: &str) -> Result<()> {
        match self.read(dir)? {
            Some(Marked { mark: there, adopted, .. }) if there == mark => {
                match adopted.and_then(|adopted| adopted.found) {
                    Some(found) => self.write(dir, &found),
                    None => {
                        fs::remove_file(dir.join(self.file)).map_err(|error| failed("release", dir, error))
                    }
                }
            }
            _ => Ok(()),
        }
    }

    /// Refuses a directory that does not carry this mark; `false` if there is none.
    pub(super) fn check(self, dir: &Path, mark: &str) -> Result<bool> {
        match self.read(dir)? {
            Some(there) if there.mark == mark => Ok(true),
            there if there.is_some() || dir.exists() => Err(self.foreign(dir, there.as_ref())),
            _ => Ok(false),
        }
    }

    fn foreign(self, dir: &Path, found: Option<&Marked>) -> Error {
        let owner = found.map_or("nobody (no mark)", |found| found.mark.as_str());
        let what = format!("cannot use directory \"{}\" for a {}", dir.display(), self.noun);
        Error::new(ErrorKind::Conflict, what).with_source(format!("it belongs to {owner}"))
    }
}

/// Removes a directory with all that is in it. It is gone as one, even if the process dies in the middle.
pub(super) fn remove(dir: &Path) -> Result<()> {
    let going = beside(dir, GOING);
    remove_all(&going)?;
    if dir.exists() {
        rename(dir, &going)?;
    }
    remove_all(&going)
}

/// The names of the directories in one, which may itself not be there; also of those that are only half made or half
/// removed.
pub(super) fn names(dir: &Path) -> Result<BTreeSet<String>> {
    let list = || -> io::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if let (true, Ok(name)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
                let whole = name.strip_prefix(COMING).or_else(|| name.strip_prefix(GOING));
                names.insert(whole.unwrap_or(&name).to_owned());
            }
        }
        Ok(names)
    };
    match list() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        listed => listed.map_err(|error| failed("list", dir, error)),
    }
}

/// Removes what a process that died left half made or half removed of a directory.
pub(super) fn sweep(dir: &Path) -> Result<()> {
    remove_all(&beside(dir, COMING))?;
    remove_all(&beside(dir, GOING))
}

pub(super) fn create(dir: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| failed("create", dir, error))
}

fn beside(dir: &Path, prefix: &str) -> PathBuf {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    dir.with_file_name(format!("{prefix}{name}"))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| failed("rename", from, error))
}

fn remove_all(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", dir, error)),
        _ => Ok(()),
    }
}

pub(super) fn failed(
    verb: &str,
    path: &Path,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    let what = format!("cannot {verb} \"{}\"", path.display());
    Error::new(ErrorKind::Unexpected, what).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark_in(dir: &Path) -> Option<String> {
        SPACE.read(dir).unwrap().map(|marked| marked.mark)
    }

    #[test]
    fn a_directory_that_was_taken_over_is_given_back_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let (theirs, nobodys) = (root.path().join("theirs"), root.path().join("nobodys"));
        SPACE.put(&theirs, "them", &1, Ownership::Ours).unwrap();
        fs::create_dir(&nobodys).unwrap();
        let before = SPACE.read(&theirs).unwrap();
        for dir in [&theirs, &nobodys] {
            let refused = SPACE.put(dir, "us", &2, Ownership::Ours).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Conflict);
            for _ in 0..2 {
                SPACE.put(dir, "us", &2, Ownership::Adopt).unwrap();
            }
            SPACE.put(dir, "us", &3, Ownership::Ours).unwrap();
            assert_eq!(mark_in(dir).as_deref(), Some("us"));
            for _ in 0..2 {
                SPACE.release(dir, "us").unwrap();
            }
        }
        assert_eq!((SPACE.read(&theirs).unwrap(), mark_in(&nobodys)), (before, None));
        assert!(nobodys.is_dir());
    }

    #[test]
    fn what_was_left_half_made_or_half_removed_does_no_harm() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a");
        for left in [".new-a", ".gone-a", ".gone-b"] {
            fs::create_dir_all(root.path().join(left).join("deep")).unwrap();
        }
        SPACE.put(&dir, "us", &1, Ownership::Ours).unwrap();
        assert_eq!(names(root.path()).unwrap(), ["a", "b"].map(str::to_owned).into());
        for _ in 0..2 {
            remove(&dir).unwrap();
        }
        sweep(&root.path().join("b")).unwrap();
        assert!(fs::read_dir(root.path()).unwrap().next().is_none());
    }

    #[test]
    fn a_file_of_a_newer_format_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("space.json"), r#"{"format":2,"owner":"them"}"#).unwrap();
        let error = SPACE.read(root.path()).unwrap_err().to_cause();
        assert_eq!(error.root(), "it has format 2, newer than 1");
    }
}
