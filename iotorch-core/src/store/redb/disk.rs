//! What the database lies on.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use ::redb::{StorageBackend, backends::FileBackend};

use super::fault;
use crate::error::{Error, ErrorKind, Result};

/// A backend that outlives the database on it, so that after a failed write the database can be opened again without letting go
/// of the lock in between. Hence `close` is not passed on, and locking is left to whoever made the backend.
#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<dyn StorageBackend>);

impl Disk {
    pub(super) fn new(backend: impl StorageBackend) -> Self {
        Self(Arc::new(backend))
    }

    /// Opens the file at `path`, made where there is none, and locks it for this process.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true);
        Self::locked(path, options)
    }

    /// Makes the file at `path`, where there must be none.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.create_new(true);
        Self::locked(path, options)
    }

    fn locked(path: &Path, mut options: OpenOptions) -> Result<Self> {
        let name = path.display().to_string();
        options.read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| fault::open(&name, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(ErrorKind::Conflict, format!("cannot open the store \"{name}\""))
                    .with_help("wait for that process to end, or send the request to it")
                    .with_source("another process holds it"));
            }
            Err(TryLockError::Error(error)) => return Err(fault::open(&name, error)),
        }
        if is_unfinished(&file).map_err(|error| fault::open(&name, error))? {
            file.set_len(0).map_err(|error| fault::open(&name, error))?;
        }
        Ok(Self::new(FileBackend::new(file).map_err(|error| fault::open(&name, error))?))
    }
}

/// Whether a process died while it made the file. The database writes its magic number last, so that such a file has
/// zeros there and nothing behind its header yet; a damaged one has.
fn is_unfinished(mut file: &File) -> io::Result<bool> {
    const HEADER: u64 = 4096;
    const MAGIC: usize = 9;
    let length = file.metadata()?.len();
    let mut block = [0_u8; HEADER as usize];
    let mut at = 0;
    while at < length {
        let read = file.read(&mut block)?;
        if read == 0 {
            break;
        }
        let zeros = if at == 0 { &block[..read.min(MAGIC)] } else { &block[..read] };
        if zeros.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += read as u64;
    }
    Ok(length > 0)
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}
