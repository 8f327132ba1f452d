//! Archives in the "ustar" format (POSIX.1-2017, pax, "ustar Interchange Format").

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

/// Everything in an archive fills blocks.
const BLOCK: usize = 512;

/// The longest file that eleven octal digits can tell.
const LARGEST: u64 = 0o777_7777_7777;

/// What an archive has at a path.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) kind: EntryKind,
    pub(super) mode: u32,
    pub(super) owner: u32,
}

#[derive(Debug, Clone)]
pub(super) enum EntryKind {
    File(PathBuf),
    Bytes(Vec<u8>),
    Folder,
    Link(String),
}

impl Entry {
    pub(super) fn new(kind: EntryKind, mode: u32) -> Self {
        Self { kind, mode, owner: 0 }
    }

    pub(super) fn bytes(contents: impl Into<Vec<u8>>, mode: u32) -> Self {
        Self::new(EntryKind::Bytes(contents.into()), mode)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(match &self.kind {
            EntryKind::File(path) => fs::metadata(path)?.len(),
            EntryKind::Bytes(bytes) => bytes.len() as u64,
            EntryKind::Folder | EntryKind::Link(_) => 0,
        })
    }
}

/// Whether a path can be told: up to 100 bytes, and up to 155 before one of its slashes.
pub(super) fn fits(path: &str) -> bool {
    split(path).is_some()
}

fn split(path: &str) -> Option<(&str, &str)> {
    // Folders have a slash at their end.
    const NAME: usize = 99;
    const PREFIX: usize = 155;
    if path.len() <= NAME {
        return Some(("", path));
    }
    path.match_indices('/')
        .map(|(at, _)| (&path[..at], &path[at + 1..]))
        .find(|(prefix, name)| prefix.len() <= PREFIX && name.len() <= NAME)
}

/// The bytes that an archive of these entries has.
pub(super) fn size<'a>(entries: impl Iterator<Item = &'a Entry>) -> io::Result<u64> {
    let block = BLOCK as u64;
    let mut size = 2 * block;
    for entry in entries {
        size += block + entry.size()?.next_multiple_of(block);
    }
    Ok(size)
}

/// An archive that is being written.
#[derive(Debug)]
pub(super) struct Archive<W>(W);

impl<W: Write> Archive<W> {
    pub(super) fn new(output: W) -> Self {
        Self(output)
    }

    pub(super) fn append(&mut self, path: &str, entry: &Entry) -> io::Result<()> {
        let size = entry.size()?;
        self.0.write_all(&header(path, entry, size)?)?;
        let written = match &entry.kind {
            EntryKind::File(source) => io::copy(&mut File::open(source)?.take(size), &mut self.0)?,
            EntryKind::Bytes(bytes) => self.0.write_all(bytes).map(|()| bytes.len() as u64)?,
            EntryKind::Folder | EntryKind::Link(_) => 0,
        };
        if written != size {
            return Err(io::Error::other(format!("the file at \"/{path}\" became shorter meanwhile")));
        }
        self.fill(size)
    }

    /// Appends an archive of a known size, whose bytes are added to a digest as they come.
    pub(super) fn nested(
        &mut self,
        path: &str,
        size: u64,
        digest: &mut Sha256,
        fill: impl FnOnce(&mut Archive<Digesting<'_, W>>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.0.write_all(&header(path, &Entry::bytes([], 0o644), size)?)?;
        let mut inner = Archive(Digesting { output: &mut self.0, digest, written: 0 });
        fill(&mut inner)?;
        inner.finish()?;
        if inner.0.written != size {
            return Err(io::Error::other("a file changed its size meanwhile"));
        }
        self.fill(size)
    }

    /// Two empty blocks are the end.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.0.write_all(&[0; 2 * BLOCK])?;
        self.0.flush()
    }

    fn fill(&mut self, size: u64) -> io::Result<()> {
        let missing = size.next_multiple_of(BLOCK as u64) - size;
        io::copy(&mut io::repeat(0).take(missing), &mut self.0).map(drop)
    }
}

/// An output whose bytes are counted and digested.
#[derive(Debug)]
pub(super) struct Digesting<'a, W> {
    output: &'a mut W,
    digest: &'a mut Sha256,
    written: u64,
}

impl<W: Write> Write for Digesting<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.digest.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

fn header(path: &str, entry: &Entry, size: u64) -> io::Result<[u8; BLOCK]> {
    let refuse = |why| io::Error::other(format!("\"/{path}\" {why}"));
    let (prefix, name) = split(path).ok_or_else(|| refuse("is too long"))?;
    if size > LARGEST {
        return Err(refuse("is too large"));
    }
    let (kind, target) = match &entry.kind {
        EntryKind::File(_) | EntryKind::Bytes(_) => (b'0', ""),
        EntryKind::Link(target) => (b'2', target.as_str()),
        EntryKind::Folder => (b'5', ""),
    };
    if target.len() > 100 {
        return Err(refuse("leads to a path that is too long"));
    }
    let slash = if kind == b'5' { "/" } else { "" };

    let mut header = [0; BLOCK];
    let mut field = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    field(0, &format!("{name}{slash}"));
    field(100, &format!("{:07o}", entry.mode));
    field(108, &format!("{:07o}", entry.owner));
    field(116, &format!("{:07o}", entry.owner));
    field(124, &format!("{size:011o}"));
    field(136, "00000000000");
    // The sum is over a header that has spaces in its place.
    field(148, "        ");
    field(157, target);
    field(257, "ustar\x0000");
    field(345, prefix);
    header[156] = kind;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    Ok(header)
}
