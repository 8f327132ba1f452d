//! Where cargo keeps intermediate files, so that a fresh clone need not compile every dependency again.
//!
//! Only cargo's *build* directory is shared, never its *target* directory: in the former each file carries a hash of the
//! clone it belongs to, while finished programs lie in the latter under plain names, where two clones that test at the
//! same time would run each other's. Compilers, profiles and features are told apart by cargo itself.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::command_line::CommandLine;
use crate::environment;
use crate::failure::Failure;
use crate::terminal;

/// Clones that are gone leave files behind that cargo never removes. A whole build of the workspace with its checks,
/// docs and tests takes some 5 GiB, so this holds a few clones.
const LIMIT_BYTES: u64 = 24 << 30;

/// The choice of a build directory, which holds while this value lives.
#[derive(Debug)]
pub(crate) struct BuildDir(Option<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    // Locked while the folder is in use, so that no other clone clears it.
    _in_use: File,
}

impl BuildDir {
    /// The folder that all clones share, unless `here` or the environment names another.
    pub(crate) fn choose(here: bool) -> Result<Self, Failure> {
        if here || environment::has_build_folder() {
            return Ok(Self(None));
        }
        let cache = environment::cache_folder()?;
        let shared = Shared::open(&cache, LIMIT_BYTES).map_err(|error| {
            Failure::new(format!("cannot use the build folder in \"{}\"", cache.display()))
                .with_help("give --here to build in this clone's own target folder")
                .with_source(error)
        })?;
        Ok(Self(Some(shared)))
    }

    /// A cargo command line that builds there.
    pub(crate) fn cargo(&self, subcommand: &str) -> CommandLine {
        let cargo = CommandLine::new("cargo");
        match &self.0 {
            Some(shared) => cargo.env("CARGO_BUILD_BUILD_DIR", &shared.folder),
            None => cargo,
        }
        .arg(subcommand)
    }
}

impl Shared {
    fn open(cache: &Path, limit_bytes: u64) -> io::Result<Self> {
        let folder = cache.join("build");
        fs::create_dir_all(&folder)?;
        let lock = File::create(cache.join("build.lock"))?;
        match lock.try_lock() {
            Ok(()) => {
                if size(&folder)? > limit_bytes {
                    terminal::note(&format!(
                        "clearing \"{}\", which has grown past {} GiB",
                        folder.display(),
                        limit_bytes >> 30
                    ));
                    fs::remove_dir_all(&folder)?;
                    fs::create_dir(&folder)?;
                }
                lock.unlock()?;
            }
            // Another clone builds there, so it is not cleared now.
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        lock.lock_shared()?;
        Ok(Self { folder, _in_use: lock })
    }
}

/// The bytes of all files below a folder. What vanishes meanwhile (cargo by hand in another clone) counts nothing.
fn size(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path())?,
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(cache: &Path) -> PathBuf {
        let old = cache.join("build/debug/old");
        fs::create_dir_all(cache.join("build/debug")).unwrap();
        fs::write(&old, [0; 100]).unwrap();
        old
    }

    #[test]
    fn a_folder_past_its_limit_is_cleared() {
        let cache = tempfile::tempdir().unwrap();
        let old = filled(cache.path());
        let shared = Shared::open(cache.path(), 99).unwrap();
        assert!(!old.exists());
        assert!(shared.folder.is_dir());
    }

    #[test]
    fn a_folder_within_its_limit_is_kept() {
        let cache = tempfile::tempdir().unwrap();
        let old = filled(cache.path());
        Shared::open(cache.path(), 100).unwrap();
        assert!(old.exists());
    }

    #[test]
    fn a_folder_that_another_clone_uses_is_not_cleared() {
        let cache = tempfile::tempdir().unwrap();
        let other = Shared::open(cache.path(), 1).unwrap();
        let old = filled(cache.path());
        Shared::open(cache.path(), 1).unwrap();
        assert!(old.exists());
        drop(other);
        Shared::open(cache.path(), 1).unwrap();
        assert!(!old.exists());
    }
}
