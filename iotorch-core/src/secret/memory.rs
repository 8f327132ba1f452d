//! Secrets in memory.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{SecretRef, SecretStore, SecretValue, already_there, not_there};
use crate::error::Result;

/// Secrets that live as long as the process: for tests and simulations.
#[derive(Default)]
pub struct MemorySecretStore {
    values: Mutex<BTreeMap<SecretRef, SecretValue>>,
}

impl MemorySecretStore {
    /// A copy with all values that are here now: what a process that died would find when it comes back.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { values: Mutex::new(self.values().clone()) }
    }

    fn values(&self) -> MutexGuard<'_, BTreeMap<SecretRef, SecretValue>> {
        // A value is added or removed in one step, so what a poisoned lock guards is whole.
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemorySecretStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values().keys()).finish()
    }
}

#[async_trait]
impl SecretStore for MemorySecretStore {
    async fn fetch(&self, secret: &SecretRef) -> Result<SecretValue> {
        self.values().get(secret).cloned().ok_or_else(|| not_there(secret))
    }

    async fn put(&self, secret: &SecretRef, value: SecretValue) -> Result<()> {
        let mut values = self.values();
        match values.get(secret) {
            Some(there) if *there != value => Err(already_there(secret)),
            Some(_) => Ok(()),
            None => {
                values.insert(secret.clone(), value);
                Ok(())
            }
        }
    }

    async fn remove(&self, secret: &SecretRef) -> Result<()> {
        self.values().remove(secret);
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<SecretRef>> {
        Ok(self.values().keys().filter(|secret| secret.name().starts_with(prefix)).cloned().collect())
    }
}
