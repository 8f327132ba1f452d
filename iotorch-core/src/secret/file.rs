//! Secrets in a file.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct as _};
use zeroize::Zeroizing;

use super::{SecretRef, SecretStore, SecretValue, already_there, not_there};
use crate::error::{Error, ErrorKind, Result};

/// The number of the format of the file.
const FORMAT: u32 = 1;

/// Permissions of anybody but the owner.
const OTHERS: u32 = 0o077;

/// Secrets in one JSON file that only its owner can read.
///
/// The file is read anew for each request and replaced as a whole, so that several processes can use it at the same time, and one that
/// dies leaves the old file or the new one. It is made with the first secret, and the folders above it where there are none.
///
/// # Examples
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("private/secrets.json");
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use iotorch_core::{
///     ErrorKind,
///     secret::{FileSecretStore, SecretStore, mint},
/// };
///
/// let store = FileSecretStore::open(&path)?;
/// store.put(&"hub-admin".parse()?, mint()).await?;
/// assert!(FileSecretStore::open(&path)?.fetch(&"hub-admin".parse()?).await.is_ok());
///
/// std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
/// assert_eq!(FileSecretStore::open(&path).unwrap_err().kind(), ErrorKind::Denied);
/// # Ok::<(), iotorch_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct FileSecretStore {
    path: Arc<Path>,
}

type Values = BTreeMap<SecretRef, SecretValue>;

impl FileSecretStore {
    /// The secrets in the file at `path`, which need not be there yet.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when others than the owner can read the file, or this process cannot; [`ErrorKind::Unsupported`] when a
    /// newer version wrote it; [`ErrorKind::Unexpected`] when it is damaged; [`ErrorKind::Unavailable`] when the disk fails.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let store = Self { path: path.into().into() };
        store.read()?;
        Ok(store)
    }

    fn read(&self) -> Result<Values> {
        match File::open(&self.path) {
            Ok(file) => self.read_from(&file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Values::new()),
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    fn read_from(&self, mut file: &File) -> Result<Values> {
        let failed = |error: io::Error| self.failed("read", &error);
        let metadata = file.metadata().map_err(failed)?;
        if metadata.mode() & OTHERS != 0 {
            let path = self.path.display();
            return Err(Error::new(ErrorKind::Denied, format!("cannot use the secrets in \"{path}\""))
                .with_help(format!("chmod 600 {path}"))
                .with_source("others than its owner have access to the file"));
        }
        // Of its final size from the start, so that growing it leaves no copy behind.
        let size = usize::try_from(metadata.len()).unwrap_or_default() + 1;
        let mut text = Zeroizing::new(Vec::with_capacity(size));
        file.read_to_end(&mut text).map_err(failed)?;
        if text.is_empty() {
            // A process died before it wrote its first secret.
            return Ok(Values::new());
        }
        let format = self.parse::<Head>(&text)?.format;
        if format > FORMAT {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("cannot read the secrets in \"{}\"", self.path.display()),
            )
            .with_help("use the version of iotorch that wrote them, or a newer one")
            .with_source(format!(
                "they were written by a newer iotorch (format {format}, this one reads up to {FORMAT})"
            )));
        }
        let content: Content = self.parse(&text)?;
        Ok(content.secrets.into_iter().map(|(name, Plain(value))| (name, value)).collect())
    }

    fn parse<'a, T: Deserialize<'a>>(&self, text: &'a [u8]) -> Result<T> {
        serde_json::from_slice(text).map_err(|error| {
            // The parser's own message can quote what it found.
            self.damaged(&format!("line {}, column {} is not as expected", error.line(), error.column()))
        })
    }

    /// Lets `change` work on the values and replaces the file if it says so, while no other process does the same.
    fn update(&self, change: impl FnOnce(&mut Values) -> Result<bool>) -> Result<()> {
        let failed = |error: io::Error| self.failed("write", &error);
        let file = self.lock().map_err(failed)?;
        let mut values = self.read_from(&file)?;
        if change(&mut values)? {
            self.replace(&values)?;
        }
        Ok(())
    }

    /// Opens the file, made where there is none, and locks it.
    fn lock(&self) -> io::Result<File> {
        if let Some(folder) = self.folder() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&self.path)?;
            file.lock()?;
            // Another process can have replaced the file while this one waited; the lock is then on one that is gone.
            let (locked, there) = (file.metadata()?, fs::metadata(&self.path));
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (locked.dev(), locked.ino())) {
                return Ok(file);
            }
        }
    }

    fn replace(&self, values: &Values) -> Result<()> {
        // A character takes six bytes of JSON at most, a reference and what is around it less than 300.
        let size = values.values().map(|value| 6 * value.expose().len() + 300).sum::<usize>() + 100;
        let mut text = Zeroizing::new(Vec::with_capacity(size));
        serde_json::to_writer_pretty(&mut *text, &Sheet(values))
            .map_err(|_| self.damaged("no JSON can be made of it"))?;
        text.push(b'\n');
        self.write_new(&text).map_err(|error| self.failed("write", &error))
    }

    fn write_new(&self, text: &[u8]) -> io::Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = self.path.with_file_name(name);
        // Left by a process that died; the lock is held, so nobody else is at it.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| file.write_all(text).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&new, &self.path));
        if let Err(error) = written {
            // The first failure is the one that counts.
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        // Without this the name can still stand for the old file after a power failure.
        File::open(self.folder().unwrap_or_else(|| Path::new(".")))?.sync_all()
    }

    fn folder(&self) -> Option<&Path> {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty())
    }

    fn failed(&self, verb: &str, error: &io::Error) -> Error {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, format!("cannot {verb} the secrets in \"{}\"", self.path.display()))
            .with_source(error.to_string())
    }

    fn damaged(&self, cause: &str) -> Error {
        Error::new(ErrorKind::Unexpected, format!("cannot read the secrets in \"{}\"", self.path.display()))
            .with_help("the file is damaged; restore it from a backup")
            .with_source(cause)
    }

    /// Runs `work` on a thread that may wait for the disk.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(|error| {
            let path = self.path.display();
            Error::new(ErrorKind::Unexpected, format!("cannot use the secrets in \"{path}\""))
                .with_source(error)
        })?
    }
}

#[async_trait]
impl SecretStore for FileSecretStore {
    async fn fetch(&self, secret: &SecretRef) -> Result<SecretValue> {
        let wanted = secret.clone();
        self.apart(move |store| store.read()?.remove(&wanted).ok_or_else(|| not_there(&wanted))).await
    }

    async fn put(&self, secret: &SecretRef, value: SecretValue) -> Result<()> {
        let secret = secret.clone();
        self.apart(move |store| {
            store.update(|values| match values.get(&secret) {
                Some(there) if *there != value => Err(already_there(&secret)),
                Some(_) => Ok(false),
                None => {
                    values.insert(secret, value);
                    Ok(true)
                }
            })
        })
        .await
    }

    async fn remove(&self, secret: &SecretRef) -> Result<()> {
        let secret = secret.clone();
        self.apart(move |store| {
            // Nothing to remove is no reason to make a file.
            if !store.read()?.contains_key(&secret) {
                return Ok(());
            }
            store.update(|values| Ok(values.remove(&secret).is_some()))
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<SecretRef>> {
        let prefix = prefix.to_owned();
        self.apart(move |store| {
            let values = store.read()?;
            Ok(values.into_keys().filter(|secret| secret.name().starts_with(&prefix)).collect())
        })
        .await
    }
}

/// What every format of the file has.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// The file as it is read.
#[derive(Deserialize)]
struct Content {
    secrets: BTreeMap<SecretRef, Plain>,
}

/// The file as it is written.
struct Sheet<'a>(&'a Values);

impl Serialize for Sheet<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sheet = serializer.serialize_struct("Sheet", 2)?;
        sheet.serialize_field("format", &FORMAT)?;
        let exposed: BTreeMap<&SecretRef, &str> =
            self.0.iter().map(|(name, value)| (name, value.expose())).collect();
        sheet.serialize_field("secrets", &exposed)?;
        sheet.end()
    }
}

/// A value in plain text. [`SecretValue`] itself cannot be serialised, so that none gets into a document by mistake.
struct Plain(SecretValue);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretValue::new(text)))
    }
}
