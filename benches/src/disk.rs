//! What a disk does by itself, without iotorch: the measure for what the store does with it.

use std::{
    fs::{File, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    time::Instant,
};

use crate::Result;

/// A file that is overwritten and flushed: the least that any durable write takes.
#[derive(Debug)]
pub struct Flushes(File);

impl Flushes {
    const BLOCK: [u8; 4096] = [0x5a; 4096];

    /// A new file in `folder`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(folder: &Path) -> Result<Self> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(folder.join("flushes"))?;
        file.write_all(&Self::BLOCK)?;
        // From here on the length stays, so that a flush has nothing but the block to write.
        file.sync_all()?;
        Ok(Self(file))
    }

    /// Writes 4 KiB over the last ones and waits until they are on the disk (`fdatasync`); gives the seconds that took.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn once(&mut self) -> Result<f64> {
        let begun = Instant::now();
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(&Self::BLOCK)?;
        self.0.sync_data()?;
        Ok(begun.elapsed().as_secs_f64())
    }
}

/// The simplest journal there is: a line of text for each event, each flushed before the next.
#[derive(Debug)]
pub struct Lines(File);

impl Lines {
    /// A new file in `folder`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(folder: &Path) -> Result<Self> {
        Ok(Self(OpenOptions::new().append(true).create_new(true).open(folder.join("lines"))?))
    }

    /// Appends `event` as a line of JSON and waits until it is on the disk (`fdatasync`).
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn append(&mut self, event: &impl serde::Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.0.write_all(&line)?;
        Ok(self.0.sync_data()?)
    }
}
