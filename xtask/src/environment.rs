//! The environment variables that change what a command does, read here and nowhere else.

#![expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::failure::Failure;

/// The systems that must be present for tests (`IOTORCH_REQUIRE`), if the caller chose them; empty demands none.
pub(crate) fn required_systems() -> Option<String> {
    env::var("IOTORCH_REQUIRE").ok()
}

/// Whether the caller has set a variable to something.
pub(crate) fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// The value of `NO_PROXY` by which these addresses are reached without a proxy, as well as the caller's own.
pub(crate) fn no_proxy_with(addresses: &str) -> OsString {
    let mut value = OsString::from(addresses);
    let own = ["NO_PROXY", "no_proxy"].into_iter().filter_map(env::var_os).find(|own| !own.is_empty());
    if let Some(own) = own {
        value.push(",");
        value.push(own);
    }
    value
}

/// Whether the caller chose a folder for cargo's output; it then is not ours to choose.
pub(crate) fn has_build_folder() -> bool {
    ["CARGO_BUILD_BUILD_DIR", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"].into_iter().any(is_set)
}

/// This project's part of the user's cache folder (XDG Base Directory Specification 0.8: relative paths are ignored).
pub(crate) fn cache_folder() -> Result<PathBuf, Failure> {
    let chosen = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = chosen.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    cache.map(|folder| folder.join("iotorch")).ok_or_else(|| {
        Failure::new("cannot find the cache folder: no home folder is known")
            .with_help("set XDG_CACHE_HOME to an absolute path")
    })
}

/// The time that what is generated is to bear (`SOURCE_DATE_EPOCH`), if the caller chose one.
pub(crate) fn source_date() -> Option<String> {
    env::var("SOURCE_DATE_EPOCH").ok()
}

/// Where cargo keeps the sources of dependencies (The Cargo Book, "Environment Variables": `CARGO_HOME`).
pub(crate) fn cargo_folder() -> Result<PathBuf, Failure> {
    let chosen = env::var_os("CARGO_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    chosen.or_else(|| env::home_dir().map(|home| home.join(".cargo"))).ok_or_else(|| {
        Failure::new("cannot find cargo's folder: no home folder is known").with_help("set CARGO_HOME")
    })
}
