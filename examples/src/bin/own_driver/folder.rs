//! The other system: a folder with a file for each profile and device, which a gateway reads.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use iotorch_core::{Error, ErrorKind, Result, resource::Spec};
use serde::{Deserialize, Serialize};

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Object {
    /// The ownership mark; none in a file that a person wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<String>,
    /// What the gateway is told.
    pub(crate) spec: Spec,
}

/// The folder of one gateway.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Fails where the folder is away, such as when it is on a share that is not mounted.
    pub(crate) fn reach(&self) -> Result<()> {
        fs::read_dir(&self.0).map(drop).map_err(|error| self.failed("open", "", error))
    }

    /// The object in a file, if there is one.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Object>> {
        let text = match fs::read(self.0.join(name)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.reach()?;
                return Ok(None);
            }
            Err(error) => return Err(self.failed("read", name, error)),
        };
        let object = serde_json::from_slice(&text).map_err(|error| {
            Error::new(ErrorKind::Unexpected, format!("cannot read \"{name}\" as a profile or device"))
                .with_source(error)
        })?;
        Ok(Some(object))
    }

    /// Puts a file in place, whole or not at all: the gateway may be reading.
    pub(crate) fn write(&self, name: &str, object: &Object) -> Result<()> {
        self.reach()?;
        let path = self.0.join(name);
        let new = path.with_extension("new");
        let written = || -> io::Result<()> {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&new, serde_json::to_vec_pretty(object)?)?;
            fs::rename(&new, &path)
        };
        written().map_err(|error| self.failed("write", name, error))
    }

    /// Removes a file; one that is not there is removed already.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        self.reach()?;
        match fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed("remove", name, error)),
            _ => Ok(()),
        }
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        self.reach()?;
        let mut names = Vec::new();
        for kind in ["profiles", "devices"] {
            let Ok(files) = fs::read_dir(self.0.join(kind)) else { continue };
            let files = files.flatten().map(|file| file.file_name().to_string_lossy().into_owned());
            names.extend(files.filter(|name| name.ends_with(".json")).map(|name| format!("{kind}/{name}")));
        }
        Ok(names)
    }

    fn failed(&self, verb: &str, name: &str, error: io::Error) -> Error {
        let path = self.0.join(name);
        Error::new(ErrorKind::Unavailable, format!("cannot {verb} \"{}\"", path.display())).with_source(error)
    }
}
