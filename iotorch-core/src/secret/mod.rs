//! Secrets: referred to everywhere, held in one place.

mod env;
mod file;
mod memory;

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use async_trait::async_trait;
use rand::{Rng as _, rand_core::UnwrapErr, rngs::SysRng};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de};
use zeroize::{Zeroize, Zeroizing};

pub use self::{
    env::{ENV_PREFIX, EnvSecretStore, SecretStores},
    file::FileSecretStore,
    memory::MemorySecretStore,
};
use crate::error::{Error, ErrorKind, Result};

/// The name and version of a secret, written `name` or `name#version`. It is not itself secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    name: Arc<str>,
    version: u32,
}

impl SecretRef {
    /// Version `version` of the secret `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] unless `name` is 1 to 253 of letters, digits and `-._/:`.
    pub fn new(name: &str, version: u32) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._/:".contains(c);
        if name.is_empty() || name.len() > 253 || !name.chars().all(allowed) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("cannot use {name:?} as the name of a secret"),
            )
            .with_help("the name of a secret is 1 to 253 of letters, digits and \"-._/:\""));
        }
        Ok(Self { name: name.into(), version })
    }

    /// The name, without the version.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version, counted from 1.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.name, self.version)
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SecretRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, version) = match text.rsplit_once('#') {
            Some((name, version)) => match version.parse() {
                Ok(version) if version > 0 => (name, version),
                _ => {
                    return Err(Error::new(
                        ErrorKind::Invalid,
                        format!("cannot read {text:?} as a secret's name"),
                    )
                    .with_help("a version is a number from 1, as in \"mainflux-admin#2\""));
                }
            },
            None => (text, 1),
        };
        Self::new(name, version)
    }
}

impl Serialize for SecretRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for SecretRef {
    fn schema_name() -> Cow<'static, str> {
        "SecretRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[-A-Za-z0-9._/:]{1,253}(#[1-9][0-9]*)?$" })
    }
}

/// The value of a secret. It is wiped when dropped and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(String);

impl SecretValue {
    /// Takes a value.
    #[must_use]
    pub const fn new(value: String) -> Self {
        Self(value)
    }

    /// The value itself; keep it out of logs, errors and process lists.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

impl Drop for SecretValue {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Makes a new secret: 256 bits from the random generator of the operating system, as 64 hexadecimal digits, which every
/// protocol and configuration file takes without quoting.
///
/// # Panics
/// When the operating system has no random numbers to give: nothing made then would be a secret.
#[must_use]
pub fn mint() -> SecretValue {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    UnwrapErr(SysRng).fill_bytes(&mut *bytes);
    // Of its final size from the start, so that growing it leaves no copy behind.
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes.iter() {
        for digit in [byte >> 4, byte & 0xf] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    SecretValue::new(text)
}

/// Holds the values of secrets.
///
/// # Contract
/// - [`put`](Self::put) is durable when it returns; it never changes a value that is there: a second `put` of the same
///   reference is a [`ErrorKind::Conflict`] unless the value is equal.
/// - [`remove`](Self::remove) of what is not there succeeds.
///
/// # Guarantees
/// Core removes a value only when no record and no open run names it.
///
/// # Errors
/// [`ErrorKind::NotFound`] from [`fetch`](Self::fetch) when there is no such secret; [`ErrorKind::Unsupported`] from a store that
/// cannot be written to.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use iotorch_core::secret::{MemorySecretStore, SecretRef, SecretStore, SecretValue};
///
/// let store = MemorySecretStore::default();
/// let name: SecretRef = "greenhouse/gw/admin".parse()?;
/// store.put(&name, SecretValue::new("s3cret".into())).await?;
/// assert_eq!(store.fetch(&name).await?.expose(), "s3cret");
/// assert!(store.fetch(&"nothing".parse()?).await.is_err());
/// # Ok::<(), iotorch_core::Error>(()) }).unwrap();
/// ```
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Reads a value.
    async fn fetch(&self, secret: &SecretRef) -> Result<SecretValue>;
    /// Adds a value.
    async fn put(&self, secret: &SecretRef, value: SecretValue) -> Result<()>;
    /// Removes a value.
    async fn remove(&self, secret: &SecretRef) -> Result<()>;
    /// The references of all values that are here and begin with `prefix`, in order.
    async fn list(&self, prefix: &str) -> Result<Vec<SecretRef>>;
}

fn not_there(secret: &SecretRef) -> Error {
    Error::new(ErrorKind::NotFound, format!("cannot find secret \"{secret}\""))
}

fn already_there(secret: &SecretRef) -> Error {
    Error::new(ErrorKind::Conflict, format!("cannot store secret \"{secret}\""))
        .with_help("a secret never changes; a new value is a new version")
        .with_source("another value is stored under this name and version")
}
