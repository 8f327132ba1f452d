//! Where cargo keeps intermediate files, so that a fresh clone need not compile every dependency again.
//!
//! All clones share one folder, one at a time. Cargo tells compilers, profiles and features apart there, but not clones:
//! a crate of the workspace has the same file names in each, and is taken for current if it was compiled after its
//! sources were last changed, be it from another clone's sources. So the folder remembers the clone it was last used
//! for; the next one has cargo forget the crates of the workspace and keeps the dependencies. While one clone
//! builds or tests there, another uses its own target folder.
//!
//! Finished programs stay in each clone's target folder: only cargo's *build* directory is shared.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::command_line::CommandLine;
use crate::environment;
use crate::failure::Failure;
use crate::terminal;
use crate::workspace;

/// Cargo never removes what older versions of dependencies and compilers have left behind. This is several times what
/// a build of everything takes, so a folder past it is mostly waste.
const LIMIT_BYTES: u64 = 24 << 30;

/// The choice of a build directory, which holds while this value lives.
#[derive(Debug)]
pub(crate) struct BuildDir(Option<Shared>);

impl BuildDir {
    /// The folder that all clones share, unless `here` or the environment names another, or another clone uses it now.
    pub(crate) fn choose(here: bool) -> Result<Self, Failure> {
        if here || environment::has_build_folder() {
            return Ok(Self(None));
        }
        let shared =
            Shared::open(&environment::cache_folder()?, workspace::root(), LIMIT_BYTES, forget_workspace)?;
        if shared.is_none() {
            terminal::note("another clone is using the shared build folder, so this one builds in its own");
        }
        Ok(Self(shared))
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

/// Has cargo remove what it compiled of the workspace's own crates, whichever clone they were from.
fn forget_workspace(folder: &Path) -> Result<(), Failure> {
    let packages = workspace::packages()?;
    // Cargo cleans one profile at a time.
    for profile in ["dev", "release"] {
        CommandLine::new("cargo")
            // Also as the target folder, so that this clone's own, where xtask itself runs from, is left alone.
            .env("CARGO_BUILD_BUILD_DIR", folder)
            .env("CARGO_TARGET_DIR", folder)
            .args(["clean", "--quiet", "--profile", profile])
            .args(packages.iter().flat_map(|package| ["--package", &package.name]))
            .run()?;
    }
    Ok(())
}

/// The shared folder, in use by this clone.
#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    /// Holds the path of the clone that the folder is used for. Locked by all commands of that clone together, or by one
    /// that is about to change it alone.
    _owner: File,
}

impl Shared {
    /// Opens the folder for a clone; `None` when another clone uses it.
    fn open(
        cache: &Path,
        clone: &Path,
        limit_bytes: u64,
        forget_workspace: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<Option<Self>, Failure> {
        let folder = cache.join("build");
        let unusable = |error: io::Error| {
            Failure::new(format!("cannot use the build folder \"{}\"", folder.display()))
                .with_help("give --here to build in this clone's own target folder")
                .with_source(error)
        };
        let clone = clone.as_os_str().as_encoded_bytes();
        fs::create_dir_all(&folder).map_err(unusable)?;
        let mut owner = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(cache.join("build.owner"))
            .map_err(unusable)?;
        match owner.try_lock() {
            Ok(()) => {
                bound(&folder, limit_bytes).map_err(unusable)?;
                if contents(&mut owner).map_err(unusable)? != clone {
                    // Nobody's until it is done: if this is killed half-way, the next clone begins again.
                    owner.set_len(0).map_err(unusable)?;
                    forget_workspace(&folder)?;
                    owner.rewind().and_then(|()| owner.write_all(clone)).map_err(unusable)?;
                }
                owner.unlock().map_err(unusable)?;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        // Another clone may have come between the two locks, so the owner is read under this one.
        owner.lock_shared().map_err(unusable)?;
        let is_ours = contents(&mut owner).map_err(unusable)? == clone;
        Ok(is_ours.then_some(Self { folder, _owner: owner }))
    }
}

fn contents(file: &mut File) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut contents)?;
    Ok(contents)
}

fn bound(folder: &Path, limit_bytes: u64) -> io::Result<()> {
    if size(folder)? > limit_bytes {
        terminal::note(&format!(
            "clearing \"{}\", which has grown past {} GiB",
            folder.display(),
            limit_bytes >> 30
        ));
        fs::remove_dir_all(folder)?;
        fs::create_dir(folder)?;
    }
    Ok(())
}

/// The bytes of all files below a folder; what vanishes meanwhile counts nothing.
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

    const ONE: &str = "/clones/one";
    const OTHER: &str = "/clones/other";

    /// A cache folder with a file of 100 bytes among the intermediate ones.
    fn cache() -> (tempfile::TempDir, PathBuf) {
        let cache = tempfile::tempdir().unwrap();
        let file = cache.path().join("build/debug/file");
        fs::create_dir_all(cache.path().join("build/debug")).unwrap();
        fs::write(&file, [0; 100]).unwrap();
        (cache, file)
    }

    /// Opens the folder for a clone and tells whether that made cargo forget the workspace.
    fn open(cache: &tempfile::TempDir, clone: &str) -> (Option<Shared>, bool) {
        let mut forgot = false;
        let forget = |_: &Path| {
            forgot = true;
            Ok(())
        };
        let shared = Shared::open(cache.path(), Path::new(clone), 100, forget).unwrap();
        (shared, forgot)
    }

    #[test]
    fn the_workspace_is_forgotten_when_the_folder_changes_hands_and_only_then() {
        let (cache, _) = cache();
        let forgotten = [ONE, ONE, OTHER, ONE].map(|clone| open(&cache, clone).1);
        assert_eq!(forgotten, [true, false, true, true]);
    }

    #[test]
    fn a_clone_shares_the_folder_with_itself_and_not_with_another() {
        let (cache, _) = cache();
        let (first, _) = open(&cache, ONE);
        let (second, _) = open(&cache, ONE);
        assert!(first.is_some() && second.is_some());
        drop(first);
        assert!(open(&cache, OTHER).0.is_none());
        drop(second);
        assert!(open(&cache, OTHER).0.is_some());
    }

    #[test]
    fn a_change_of_hands_that_fails_is_made_again() {
        let (cache, _) = cache();
        open(&cache, ONE);
        let refuse = |_: &Path| Err(Failure::new("killed"));
        assert!(Shared::open(cache.path(), Path::new(OTHER), 100, refuse).is_err());
        assert!(open(&cache, ONE).1);
    }

    #[test]
    fn a_folder_past_its_limit_is_cleared() {
        let (cache, file) = cache();
        open(&cache, ONE);
        assert!(file.exists());
        fs::write(cache.path().join("build/one more"), [0]).unwrap();
        let (shared, _) = open(&cache, ONE);
        assert!(!file.exists());
        assert!(shared.unwrap().folder.is_dir());
    }

    #[test]
    fn a_folder_in_use_is_not_cleared() {
        let (cache, file) = cache();
        let (_in_use, _) = open(&cache, ONE);
        fs::write(cache.path().join("build/one more"), [0]).unwrap();
        open(&cache, ONE);
        assert!(file.exists());
    }
}
