//! The environment variables that matter here, read in this module and nowhere else.

#![expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// Where Debian has programs that a search path of an ordinary user may lack.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"];

/// The testbed's part of the user's cache folder (XDG Base Directory Specification 0.8: relative paths are ignored).
pub(crate) fn cache_folder() -> Result<PathBuf> {
    let chosen = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = chosen.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    cache.map(|folder| folder.join("iotorch/testbed")).ok_or_else(|| {
        Error::new("cannot find the cache folder: no home folder is known")
            .with_help("set XDG_CACHE_HOME to an absolute path")
    })
}

/// The search path for what the testbed starts: the caller's, and then the system's own folders.
pub(crate) fn search_path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(SYSTEM_FOLDERS.map(PathBuf::from));
    // The only folders that cannot be joined have a colon in their name, which `split_paths` never gives.
    env::join_paths(folders).unwrap_or(path)
}

/// Where a program lies, if it does: a name on the caller's search path or in the folders that Debian has for the system's own
/// programs, or an absolute path.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    env::split_paths(&search_path()).map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}
