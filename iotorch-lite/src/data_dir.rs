//! The data directory of a gateway or server: private to its user, with the ports that were chosen once.

use crate::{Error, ErrorKind, Ports, Result, store::Store};
use redb::{Database, DatabaseError, StorageError};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Memory for cached pages of one store. The default of the store, 1 GiB, is for programs that have only one.
const CACHE: usize = 16 * 1024 * 1024;

const PORTS: &str = "ports.json";

#[derive(Debug)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// Creates the directory where needed, readable by its user only.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let prepare = || {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        };
        prepare().map_err(|error| Self::failed("prepare", path, error))?;
        Ok(Self(path.to_owned()))
    }

    /// Opens the store of this name. It stays locked against other processes until it is closed.
    pub(crate) fn store(
        &self,
        name: &str,
        setup: fn(&redb::WriteTransaction) -> Result<()>,
    ) -> Result<Store> {
        let path = self.0.join(name);
        if !path.exists() {
            // A kill while a store is made must not leave half of one under its name.
            let unfinished = path.with_extension("new");
            let create = || {
                private().truncate(true).open(&unfinished)?;
                drop(Database::create(&unfinished).map_err(io::Error::other)?);
                fs::rename(&unfinished, &path)
            };
            create().map_err(|error| Self::failed("create", &path, error))?;
        }
        let file = path.clone();
        // Without the check, damage is found when it is met, which may be much later. It reads the file: 2 s for each GiB that the
        // system has in memory.
        let open = move || {
            let opened =
                Database::builder().set_cache_size(CACHE).set_check_integrity_on_open(true).open(&file);
            opened.map_err(|error| unopened(&error).caused_by(error))
        };
        Store::start(open, setup)
            .map_err(|error| error.within(format!("cannot open store \"{}\"", path.display())))
    }

    /// The ports to listen on: a configured one wins, else the one used before, else 0 (any).
    pub(crate) fn ports(&self, configured: Ports) -> Result<Ports> {
        let recorded = recorded_ports(&self.0)?.unwrap_or_default();
        let choose = |configured, recorded| if configured == 0 { recorded } else { configured };
        Ok(Ports {
            mqtt: choose(configured.mqtt, recorded.mqtt),
            http: choose(configured.http, recorded.http),
            coap: choose(configured.coap, recorded.coap),
            management: choose(configured.management, recorded.management),
        })
    }

    pub(crate) fn record(&self, ports: Ports) -> Result<()> {
        let path = self.0.join(PORTS);
        write_json(&path, &ports).map_err(|error| Self::failed("write", &path, error))
    }

    fn failed(verb: &str, path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::store(format!("cannot {verb} \"{}\"", path.display())).caused_by(error)
    }
}

/// Why a store cannot be opened, and what a person can do.
fn unopened(error: &DatabaseError) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen => Error::new(ErrorKind::Taken, "another process has it open"),
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            Error::store("it cannot be read")
        }
        _ => Error::store("it is damaged").with_help(
            "put a copy of the directory in its place, or move it away to begin with an empty one",
        ),
    }
}

/// The ports that were chosen in this directory, if any were.
pub(crate) fn recorded_ports(dir: &Path) -> Result<Option<Ports>> {
    let path = dir.join(PORTS);
    read_json(&path).map_err(|error| DataDir::failed("read", &path, error))
}

/// Reads a file; `None` if there is none.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file durably and as one: whoever reads it sees the old content or the new one.
pub(crate) fn write_json(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let next = path.with_extension("json.next");
    let mut file = private().truncate(true).open(&next)?;
    file.write_all(&serde_json::to_vec(content)?)?;
    file.sync_all()?;
    fs::rename(&next, path)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_kept_and_those_of_an_older_release_too() {
        let path = tempfile::tempdir().unwrap();
        let dir = DataDir::open(path.path()).unwrap();
        fs::write(path.path().join(PORTS), r#"{"mqtt":1883,"management":8080}"#).unwrap();
        let older = Ports { mqtt: 1883, management: 8080, ..Ports::default() };
        assert_eq!(dir.ports(Ports::default()).unwrap(), older);
        let configured = Ports { mqtt: 1884, http: 8081, ..Ports::default() };
        let chosen = Ports { management: 8080, ..configured };
        assert_eq!(dir.ports(configured).unwrap(), chosen);
        dir.record(chosen).unwrap();
        assert_eq!(dir.ports(Ports::default()).unwrap(), chosen);
    }
}
