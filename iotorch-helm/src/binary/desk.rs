//! A folder for each release: its lock, and what is handed to helm and back while helm changes it.
//!
//! The lock is the file `lock`, locked by us, and the standard input of the helm that is at work (which does not read it). A lock
//! of this kind (`flock`) belongs to the opened file, which the child has too: when this process dies, the lock is held until helm
//! has ended. The lock file is never removed, as somebody could just have opened it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, ErrorKind, Result},
    request::Release,
};

/// What lies in the folder only while helm is at work. There can be secrets in it.
const PASSING: [&str; 3] = [VALUES, OUTPUT, ERRORS];

/// The values, as helm is given them.
pub(super) const VALUES: &str = "values.json";
const OUTPUT: &str = "output";
const ERRORS: &str = "errors";

/// The folders of all releases.
#[derive(Clone, Debug)]
pub(super) struct Desks {
    root: PathBuf,
}

/// The folder of a release that nobody else works on as long as this is there.
#[derive(Debug)]
pub(super) struct Desk {
    folder: PathBuf,
    lock: File,
    /// Whether a helm is at work, which still needs what lies here.
    is_handed_over: bool,
}

/// What helm said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) output: Vec<u8>,
    pub(super) errors: Vec<u8>,
}

impl Desks {
    /// Makes the folder, and removes what calls left behind that were broken off.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let desks = Self { root: super::access::absolute(root)? };
        make_folder(&desks.root)
            .and_then(|()| desks.tidy())
            .map_err(|error| cannot_use(&desks.root, error))?;
        Ok(desks)
    }

    fn tidy(&self) -> io::Result<()> {
        for namespace in folders(&self.root)? {
            for release in folders(&namespace)? {
                // One that is taken is in use.
                drop(Desk::take(&release)?);
            }
        }
        Ok(())
    }

    fn folder(&self, release: &Release) -> PathBuf {
        self.root.join(release.namespace.as_str()).join(release.name.as_str())
    }

    /// Takes the folder of a release; [`ErrorKind::Busy`] while a helm is at work on it.
    pub(super) fn take(&self, release: &Release) -> Result<Desk> {
        let folder = self.folder(release);
        make_folder(&folder)
            .and_then(|()| Desk::take(&folder))
            .map_err(|error| cannot_use(&folder, error))?
            .ok_or_else(|| {
                Error::new(ErrorKind::Busy, format!("cannot change release {release}"))
                    .with_source("an earlier helm is still at work on it")
            })
    }

    /// Whether no helm can be at work on a release.
    pub(super) fn is_free(&self, release: &Release) -> Result<bool> {
        let folder = self.folder(release);
        match open_lock(&folder) {
            Ok(lock) => match lock.try_lock_shared() {
                Ok(()) => Ok(true),
                Err(TryLockError::WouldBlock) => Ok(false),
                Err(TryLockError::Error(error)) => Err(cannot_use(&folder, error)),
            },
            // Nobody ever worked on it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(cannot_use(&folder, error)),
        }
    }
}

impl Desk {
    /// Nothing while somebody else has it.
    fn take(folder: &Path) -> io::Result<Option<Self>> {
        let lock = open_lock(folder)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let desk = Self { folder: folder.to_owned(), lock, is_handed_over: false };
        desk.clear()?;
        Ok(Some(desk))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// From now on, until [`take_back`](Self::take_back), what lies here stays, whatever becomes of this process.
    pub(super) const fn hand_over(&mut self) {
        self.is_handed_over = true;
    }

    /// The helm has ended.
    pub(super) const fn take_back(&mut self) {
        self.is_handed_over = false;
    }

    /// What the child gets as its standard input to hold the lock, too.
    pub(super) fn lock(&self) -> io::Result<File> {
        self.lock.try_clone()
    }

    pub(super) fn put_values(&self, values: &str) -> io::Result<()> {
        self.make(VALUES)?.write_all(values.as_bytes())
    }

    /// Files for what helm says. A pipe would break when this process dies, and helm with it.
    pub(super) fn output(&self) -> io::Result<(File, File)> {
        Ok((self.make(OUTPUT)?, self.make(ERRORS)?))
    }

    pub(super) fn said(&self) -> io::Result<Said> {
        let read = |name| fs::read(self.folder.join(name));
        Ok(Said { output: read(OUTPUT)?, errors: read(ERRORS)? })
    }

    fn make(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.folder.join(name))
    }

    fn clear(&self) -> io::Result<()> {
        for name in PASSING {
            match fs::remove_file(self.folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if !self.is_handed_over {
            // What stays is removed by whoever takes the desk next.
            let _ = self.clear();
        }
    }
}

fn folders(of: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(of)?.collect::<io::Result<Vec<_>>>()?;
    Ok(entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

fn open_lock(folder: &Path) -> io::Result<File> {
    let is_there = folder.is_dir();
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(is_there)
        .truncate(false)
        .mode(0o600)
        .open(folder.join("lock"))
}

/// A folder for this user alone.
fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn cannot_use(folder: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Unexpected, format!("cannot use the folder \"{}\"", folder.display()))
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn release(name: &str) -> Release {
        Release { name: name.parse().unwrap(), namespace: "space".parse().unwrap() }
    }

    #[test]
    fn only_one_works_on_a_release_and_any_number_on_others() {
        let dir = tempfile::tempdir().unwrap();
        let desks = Desks::open(dir.path()).unwrap();
        assert!(desks.is_free(&release("a")).unwrap());
        let desk = desks.take(&release("a")).unwrap();
        assert_eq!(desks.take(&release("a")).unwrap_err().kind(), ErrorKind::Busy);
        assert!(!desks.is_free(&release("a")).unwrap() && desks.is_free(&release("b")).unwrap());
        drop(desks.take(&release("b")).unwrap());
        drop(desk);
        assert!(desks.is_free(&release("a")).unwrap() && desks.take(&release("a")).is_ok());
    }

    #[test]
    fn the_lock_is_held_as_long_as_somebody_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let desks = Desks::open(dir.path()).unwrap();
        let desk = desks.take(&release("a")).unwrap();
        let of_the_child = desk.lock().unwrap();
        drop(desk);
        assert!(!desks.is_free(&release("a")).unwrap());
        drop(of_the_child);
        assert!(desks.is_free(&release("a")).unwrap());
    }

    #[test]
    fn values_are_for_the_owner_alone_and_go_when_the_work_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let desks = Desks::open(dir.path()).unwrap();
        let desk = desks.take(&release("a")).unwrap();
        desk.put_values("{}").unwrap();
        let path = desk.folder().join(VALUES);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(desk.folder()).unwrap().permissions().mode() & 0o777, 0o700);
        drop(desk);
        assert!(!path.exists());
    }

    #[test]
    fn what_was_left_behind_is_removed_unless_it_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let desks = Desks::open(dir.path()).unwrap();
        let in_use = desks.take(&release("a")).unwrap();
        in_use.put_values("{}").unwrap();
        let left = desks.folder(&release("b"));
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join(VALUES), "{}").unwrap();
        Desks::open(dir.path()).unwrap();
        assert!(in_use.folder().join(VALUES).exists() && !left.join(VALUES).exists());
    }
}
