//! Secrets from variables of the environment, and the store that sends each reference to where it belongs.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;

use super::{SecretRef, SecretStore, SecretValue, not_there};
use crate::error::{Error, ErrorKind, Result};

/// How a reference begins that names a variable of the environment.
pub const ENV_PREFIX: &str = "env:";

/// Secrets that were handed to the process in variables: `env:MAINFLUX_PASSWORD` is the value of `MAINFLUX_PASSWORD`. It cannot be
/// written to. A variable has no versions: only version 1 is there.
///
/// A library does not read the environment on its own, so the values are given to it once.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use iotorch_core::secret::{EnvSecretStore, SecretStore};
///
/// let store = EnvSecretStore::from_vars([("HUB_TOKEN", "t0ken")]);
/// assert_eq!(store.fetch(&"env:HUB_TOKEN".parse()?).await?.expose(), "t0ken");
/// assert!(store.fetch(&"env:NO_SUCH".parse()?).await.is_err());
/// # Ok::<(), iotorch_core::Error>(()) }).unwrap();
/// ```
#[derive(Default)]
pub struct EnvSecretStore {
    values: BTreeMap<SecretRef, SecretValue>,
}

impl EnvSecretStore {
    /// Takes variables and their values, as `std::env::vars()` gives them. Those whose names cannot be in a reference (see
    /// [`SecretRef::new`]) are left out.
    pub fn from_vars(vars: impl IntoIterator<Item = (impl AsRef<str>, impl Into<String>)>) -> Self {
        let named = vars.into_iter().filter_map(|(name, value)| {
            let secret = SecretRef::new(&format!("{ENV_PREFIX}{}", name.as_ref()), 1).ok()?;
            Some((secret, SecretValue::new(value.into())))
        });
        Self { values: named.collect() }
    }
}

impl fmt::Debug for EnvSecretStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[async_trait]
impl SecretStore for EnvSecretStore {
    async fn fetch(&self, secret: &SecretRef) -> Result<SecretValue> {
        self.values.get(secret).cloned().ok_or_else(|| {
            let variable = secret.name().trim_start_matches(ENV_PREFIX);
            not_there(secret).with_help(format!("set the variable {variable} before the process starts"))
        })
    }

    async fn put(&self, secret: &SecretRef, _: SecretValue) -> Result<()> {
        Err(unwritable("store", secret))
    }

    async fn remove(&self, secret: &SecretRef) -> Result<()> {
        Err(unwritable("remove", secret))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<SecretRef>> {
        Ok(self.values.keys().filter(|secret| secret.name().starts_with(prefix)).cloned().collect())
    }
}

fn unwritable(verb: &str, secret: &SecretRef) -> Error {
    Error::new(ErrorKind::Unsupported, format!("cannot {verb} secret \"{secret}\""))
        .with_help("choose a name that does not begin with \"env:\"")
        .with_source("variables of the environment can only be read")
}

/// The secrets of an installation: references that begin with `env:` are read from the environment, all others are in the
/// main store.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use iotorch_core::secret::{EnvSecretStore, MemorySecretStore, SecretStore, SecretStores, mint};
///
/// let env = EnvSecretStore::from_vars([("HUB_TOKEN", "t0ken")]);
/// let secrets = SecretStores::new(Arc::new(MemorySecretStore::default()), env);
/// secrets.put(&"greenhouse/gw".parse()?, mint()).await?;
/// assert!(secrets.fetch(&"greenhouse/gw".parse()?).await.is_ok());
/// assert_eq!(secrets.fetch(&"env:HUB_TOKEN".parse()?).await?.expose(), "t0ken");
/// # Ok::<(), iotorch_core::Error>(()) }).unwrap();
/// ```
pub struct SecretStores {
    main: Arc<dyn SecretStore>,
    env: EnvSecretStore,
}

impl SecretStores {
    /// Sends references to `main`, but those to the environment to `env`.
    #[must_use]
    pub fn new(main: Arc<dyn SecretStore>, env: EnvSecretStore) -> Self {
        Self { main, env }
    }

    fn of(&self, secret: &SecretRef) -> &dyn SecretStore {
        if secret.name().starts_with(ENV_PREFIX) { &self.env } else { &*self.main }
    }
}

impl fmt::Debug for SecretStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretStores").field("env", &self.env).finish_non_exhaustive()
    }
}

#[async_trait]
impl SecretStore for SecretStores {
    async fn fetch(&self, secret: &SecretRef) -> Result<SecretValue> {
        self.of(secret).fetch(secret).await
    }

    async fn put(&self, secret: &SecretRef, value: SecretValue) -> Result<()> {
        self.of(secret).put(secret, value).await
    }

    async fn remove(&self, secret: &SecretRef) -> Result<()> {
        self.of(secret).remove(secret).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<SecretRef>> {
        let mut all = self.main.list(prefix).await?;
        all.extend(self.env.list(prefix).await?);
        all.sort();
        Ok(all)
    }
}
