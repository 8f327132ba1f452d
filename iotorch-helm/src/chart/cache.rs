//! Charts that were resolved once, kept by their digests.

use std::{
    fs,
    io::{ErrorKind as IoErrorKind, Write},
    path::{Path, PathBuf},
};

use super::{archive, digest::Digest};
use crate::error::{Error, ErrorKind, Result};

/// A folder of archives, each named by its digest. That is the digest of the archive, or of the tar in it for charts that were
/// packed here: an archive whose bytes fit neither way is never given out.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let folder = folder.join("charts");
        fs::create_dir_all(&folder).map_err(|error| {
            Error::new(ErrorKind::Unexpected, format!("cannot make the folder \"{}\"", folder.display()))
                .with_source(error)
        })?;
        Ok(Self { folder })
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{}.tgz", digest.hex()))
    }

    /// Keeps an archive under a digest that fits it. Whoever reads sees all of it or nothing.
    pub(super) fn put(&self, digest: &Digest, archive: &[u8]) -> Result<PathBuf> {
        let path = self.path(digest);
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(archive)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok::<_, std::io::Error>(())
        };
        write().map_err(|error| Error::io(format!("cannot write \"{}\"", path.display()), error))?;
        Ok(path)
    }

    /// The archive with this digest. One that was damaged is removed.
    pub(super) fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let path = self.path(digest);
        let archive = match fs::read(&path) {
            Ok(archive) => archive,
            Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("cannot read \"{}\"", path.display()), error)),
        };
        let is_packed_here = || archive::decompress(&archive).is_ok_and(|tar| Digest::of(&tar) == *digest);
        if Digest::of(&archive) == *digest || is_packed_here() {
            return Ok(Some(archive));
        }
        fs::remove_file(&path)
            .map_err(|error| Error::io(format!("cannot remove \"{}\"", path.display()), error))?;
        Ok(None)
    }

    /// Removes what `keep` does not want.
    pub(super) fn retain(&self, keep: impl Fn(&Digest) -> bool) -> Result<()> {
        let cannot = |error| Error::io(format!("cannot tidy \"{}\"", self.folder.display()), error);
        for entry in fs::read_dir(&self.folder).map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            let name =
                path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".tgz"));
            if name.and_then(Digest::from_hex).is_some_and(|digest| !keep(&digest)) {
                fs::remove_file(&path).map_err(cannot)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_with_another_digest_are_never_given_out() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let digest = Digest::of(b"archive");
        let path = cache.put(&digest, b"archive").unwrap();
        assert_eq!(cache.get(&digest).unwrap().unwrap(), b"archive");

        fs::write(&path, b"forged").unwrap();
        assert!(cache.get(&digest).unwrap().is_none());
        assert!(!path.exists(), "what is damaged makes room");
    }

    #[test]
    fn an_archive_packed_here_is_known_by_the_digest_of_its_tar() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let digest = Digest::of(b"tar");
        cache.put(&digest, &archive::compress(b"tar").unwrap()).unwrap();
        assert!(cache.get(&digest).unwrap().is_some());
        cache.put(&digest, &archive::compress(b"rat").unwrap()).unwrap();
        assert!(cache.get(&digest).unwrap().is_none());
    }

    #[test]
    fn what_nobody_wants_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let (wanted, other) = (Digest::of(b"1"), Digest::of(b"2"));
        cache.put(&wanted, b"1").unwrap();
        cache.put(&other, b"2").unwrap();
        cache.retain(|digest| *digest == wanted).unwrap();
        assert!(cache.get(&wanted).unwrap().is_some() && cache.get(&other).unwrap().is_none());
    }
}
