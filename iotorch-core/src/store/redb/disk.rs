//! What the database lies on.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use ::redb::{StorageBackend, backends::FileBackend};

use super::fault;
use crate::error::{Error, ErrorKind, Result};

/// A backend that outlives the database on it, so that after a failed write the database can be opened again without letting go
/// of the lock in between. Hence `close` is not passed on, and locking is left to whoever made the backend.
///
/// It remembers what was written since the last flush. After a flush that failed, an operating system reads back what it was
/// given although that never reached the disk, and the next flush succeeds without it; [`Self::settle`] therefore writes it
/// again.
#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backend: Box<dyn StorageBackend>,
    /// What was written where, in order: later writes can overlap earlier ones.
    unflushed: Mutex<Vec<(u64, Vec<u8>)>>,
}

impl Disk {
    pub(super) fn new(backend: impl StorageBackend) -> Self {
        Self(Arc::new(Inner { backend: Box::new(backend), unflushed: Mutex::default() }))
    }

    /// Makes sure that what can be read is what is on the disk, whatever failed before.
    pub(super) fn settle(&self) -> io::Result<()> {
        let mut unflushed = self.0.unflushed.lock().unwrap_or_else(PoisonError::into_inner);
        if unflushed.is_empty() {
            return Ok(());
        }
        let length = self.len()?;
        for (offset, data) in unflushed.iter().filter(|(offset, data)| *offset + data.len() as u64 <= length)
        {
            self.0.backend.write(*offset, data)?;
        }
        self.0.backend.sync_data()?;
        unflushed.clear();
        Ok(())
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
        let begin = || {
            if is_unfinished(&file)? {
                file.set_len(0)?;
            }
            // A new file can be forgotten in a power failure until its folder is flushed.
            if cfg!(unix) && file.metadata()?.len() == 0 {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
            }
            Ok::<(), io::Error>(())
        };
        begin().map_err(|error| fault::open(&name, error))?;
        Ok(Self::new(FileBackend::new(file).map_err(|error| fault::open(&name, error))?))
    }
}

/// Whether a process died while it made the file. The database writes its magic number last, so that such a file has
/// zeros there and nothing behind its header yet; a damaged one has.
fn is_unfinished(mut file: &File) -> io::Result<bool> {
    const HEADER: u64 = 4096;
    const MAGIC: usize = 9;
    // A new file has about 1 MiB. One that is far longer held a store before somebody wrote zeros into it.
    const LONGEST: u64 = 8 << 20;
    let length = file.metadata()?.len();
    if length > LONGEST {
        return Ok(false);
    }
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
        self.0.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut unflushed = self.0.unflushed.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.backend.sync_data()?;
        unflushed.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut unflushed = self.0.unflushed.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.backend.write(offset, data)?;
        unflushed.push((offset, data.to_vec()));
        Ok(())
    }
}
