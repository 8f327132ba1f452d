//! The host: one directory of spaces, and the gateways and servers in them that run in this process.

use super::{
    directory::{self, INSTANCE, failed},
    instance::{self, Instance},
};
use crate::ports::PATIENCE;
use futures::future::join_all;
use iotorch_core::{
    Error, ErrorKind, Result,
    resource::{ResourceId, WorkloadSpec},
    secret::SecretStore,
};
use std::{
    collections::BTreeMap,
    fmt,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Mutex as Turns, OwnedMutexGuard};
use tokio_util::task::TaskTracker;

/// The gateways and servers in one space, by name.
pub(super) type Instances = BTreeMap<String, Instance>;

/// By the name of their directory.
type Spaces = BTreeMap<String, Arc<Turns<Instances>>>;

/// The name of the directory of the space that `id` is or lives in; neither of its parts has a dot.
pub(super) fn space_name(id: &ResourceId) -> String {
    format!("{}.{}", id.place(), id.slice())
}

/// Hosts gateways and servers in this process, and remembers them in a directory for the next one.
///
/// A directory has one host at a time. The secrets that manage the gateways and servers are not in it: they are fetched
/// from the store at every start. Dropping the host ends them soon after; [`LocalHost::stop`] returns when all has ended.
///
/// # Examples
/// ```
/// use iotorch_core::secret::MemorySecretStore;
/// use iotorch_lite::LocalHost;
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let host = LocalHost::open(dir.path(), Arc::new(MemorySecretStore::default()))?;
/// assert!(host.resume_hosting().await?.is_empty(), "nothing is there yet");
///
/// let second = LocalHost::open(dir.path(), Arc::new(MemorySecretStore::default()));
/// assert!(second.is_err(), "the directory has a host");
/// host.stop().await;
/// # Ok(())
/// # }
/// ```
pub struct LocalHost {
    dir: PathBuf,
    /// The directory itself, locked as long as this is open.
    lock: Mutex<Option<File>>,
    secrets: Arc<dyn SecretStore>,
    spaces: Mutex<Spaces>,
    tasks: TaskTracker,
}

impl fmt::Debug for LocalHost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LocalHost").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl LocalHost {
    /// Takes a directory, which is created where needed. Nothing is started yet.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when another host has the directory, and [`ErrorKind::Unexpected`] when it cannot be used.
    pub fn open(dir: impl Into<PathBuf>, secrets: Arc<dyn SecretStore>) -> Result<Arc<Self>> {
        let dir = dir.into();
        directory::create(&dir)?;
        let lock = File::open(&dir).map_err(|error| failed("open", &dir, error))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                Error::new(ErrorKind::Conflict, format!("cannot host from \"{}\"", dir.display()))
                    .with_source("another process hosts from it")
            }
            TryLockError::Error(error) => failed("lock", &dir, error),
        })?;
        let (spaces, tasks) = (Mutex::default(), TaskTracker::new());
        Ok(Arc::new(Self { dir, lock: Mutex::new(Some(lock)), secrets, spaces, tasks }))
    }

    /// Starts everything that the directory holds and that does not run yet, on the ports it had. The answer names each as
    /// `infrastructure/slice/workload`, with the reason where one cannot start; the others run all the same, and it is
    /// tried again by itself, at least once a minute.
    ///
    /// # Errors
    /// [`ErrorKind::Unexpected`] when the directory cannot be read.
    pub async fn resume_hosting(self: &Arc<Self>) -> Result<BTreeMap<String, Result<()>>> {
        let mut resumed = BTreeMap::new();
        for space in directory::names(&self.dir)? {
            let (host, at, shown) = (Arc::clone(self), space.clone(), space.replacen('.', "/", 1));
            let started = self.turn(space, async move |instances| host.start_all(&at, instances).await);
            match started.await {
                Ok(all) => resumed.extend(all.into_iter().map(|(name, it)| (format!("{shown}/{name}"), it))),
                Err(error) => drop(resumed.insert(shown, Err(error))),
            }
        }
        Ok(resumed)
    }

    /// Starts what a space holds and does not run yet.
    async fn start_all(
        self: &Arc<Self>,
        space: &str,
        mut instances: OwnedMutexGuard<Instances>,
    ) -> Result<Vec<(String, Result<()>)>> {
        let dir = &self.dir.join(space);
        directory::sweep(dir)?;
        let mut names = directory::names(dir)?;
        names.iter().try_for_each(|name| directory::sweep(&dir.join(name)))?;
        names.retain(|name| dir.join(name).exists() && !instances.contains_key(name));
        let mut all = Vec::with_capacity(names.len());
        let starting = names.into_iter().map(async |name| {
            let started = self.start_again(&dir.join(&name), PATIENCE).await;
            (name, started)
        });
        for (name, started) in join_all(starting).await {
            let failure = started.map(|instance| self.hold(&mut instances, space, &name, instance));
            all.push((name, failure.and_then(|failure| failure.map_or(Ok(()), Err))));
        }
        Ok(all)
    }

    /// Starts what a directory holds.
    pub(super) async fn start_again(&self, dir: &Path, patience: Duration) -> Result<Instance> {
        let nothing = || failed("start", dir, format!("there is no {}", INSTANCE.file));
        let marked = INSTANCE.read(dir)?.ok_or_else(nothing)?;
        let spec: WorkloadSpec = marked.spec().map_err(|error| failed("read", dir, error))?;
        let prepared = instance::prepare(&spec, &*self.secrets).await;
        Ok(Instance::start(dir, spec, prepared, patience).await)
    }

    /// Ends everything: when it returns, all ports and files are free, the directory among them, and what was acknowledged is
    /// on disk. Nothing can be started after it.
    pub async fn stop(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        let spaces: Vec<_> = self.spaces().values().map(Arc::clone).collect();
        for space in spaces {
            let instances = std::mem::take(&mut *space.lock().await);
            join_all(instances.into_values().map(Instance::stop)).await;
        }
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn secrets(&self) -> &dyn SecretStore {
        &*self.secrets
    }

    /// The directory of the space that `id` is or lives in.
    pub(super) fn space_dir(&self, id: &ResourceId) -> PathBuf {
        self.dir.join(space_name(id))
    }

    /// Takes a turn at the space that `id` is or lives in: one after the other, and to the end once begun, even if the caller
    /// goes away in the middle. A caller that goes away while it waits changes nothing.
    pub(super) async fn turn<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
        &self,
        space: String,
        work: impl FnOnce(OwnedMutexGuard<Instances>) -> F,
    ) -> Result<T> {
        let space = Arc::clone(self.spaces().entry(space).or_default());
        let instances = space.lock_owned().await;
        if self.tasks.is_closed() {
            let what = format!("cannot host from \"{}\"", self.dir.display());
            return Err(Error::new(ErrorKind::Unavailable, what).with_source("the host has stopped"));
        }
        let done = self.tasks.spawn(work(instances)).await;
        done.map_err(|error| Error::new(ErrorKind::Unexpected, "cannot finish a step").with_source(error))?
    }

    fn spaces(&self) -> MutexGuard<'_, Spaces> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
