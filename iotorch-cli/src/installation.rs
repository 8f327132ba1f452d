//! The state directory: opened by one process at a time, shared with others through a socket.

use std::{
    collections::BTreeSet,
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use iotorch_core::{
    Context, Engine, Error, ErrorKind, Orchestrator, Places, Route,
    model::Documents,
    observer::Observer,
    resource::{Endpoint, Location},
    secret::{EnvSecretStore, FileSecretStore, SecretStore, SecretStores},
    store::{self, RedbStore, Store},
};
use iotorch_lite::LocalHost;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    check::{check, drivers, place},
    cli::Setting,
    clusters::Clusters,
    events::Hub,
    failure::{Result, cannot},
    remote::{Attachment, RemoteOrchestrator},
    serve::{Archive, Server, Service},
    wire::{Holder, SOCKET, Uses},
};

/// The store's file in the state directory.
pub(crate) const STORE: &str = "state.redb";

/// The file of secrets in the state directory.
const SECRETS: &str = "secrets.json";

/// What the `local` infrastructure hosts, in the state directory.
const LOCAL: &str = "local";

/// How long a process that holds the store and does not serve is waited for: it is starting or ending.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a process that only looks is waited for before it is worked through: it would have to stay until the work is done.
const A_LOOK: Duration = Duration::from_secs(1);

/// What is kept for clusters, in the state directory: charts, and what helm needs.
const CLUSTERS: &str = "clusters";

/// How long a call of a backend may take that belongs to no run.
const CALL: Duration = Duration::from_secs(60);

/// The pause between two attempts to open the store.
const ATTEMPTS: Duration = Duration::from_millis(25);

/// What the state directory is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To look, which ends soon.
    Look,
    /// To change what does not run in this process, which can take long.
    Work,
    /// To end what may run in this process: the `local` infrastructure is hosted for as long as it takes.
    End,
    /// To stay and host.
    Host,
}

impl Purpose {
    /// Whether it can be had through the process that holds the store, which was met this long ago.
    fn is_served_by(self, holder: &Holder, met: Duration) -> bool {
        match self {
            Self::Look => true,
            Self::Work => holder.works || met >= A_LOOK,
            Self::End => holder.hosts,
            Self::Host => false,
        }
    }
}

/// The installation, here or in the process that holds it.
pub(crate) struct Session {
    orchestrator: Arc<dyn Orchestrator>,
    events: Hub,
    secrets: Arc<dyn SecretStore>,
    clusters: Clusters,
    link: Link,
}

enum Link {
    /// This process holds the store.
    Held(Box<Held>),
    /// Another one does.
    Remote(Arc<RemoteOrchestrator>),
}

struct Held {
    server: Server,
    host: Arc<LocalHost>,
    archive: Arc<dyn Archive>,
    stays: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("hosting", &self.is_hosted()).finish_non_exhaustive()
    }
}

impl Session {
    /// Opens the state directory, or attaches to the process that has it open.
    pub(crate) async fn open(setting: &Setting, purpose: Purpose) -> Result<Self> {
        let directory = setting.state()?;
        make(directory)?;
        let begun = Instant::now();
        let events = Hub::default();
        loop {
            let busy = match open_store(directory).await {
                Ok(store) => return Self::hold(setting, directory, store, events, purpose).await,
                Err(error) if error.kind() == ErrorKind::Conflict => error,
                Err(error) => return Err(error.into()),
            };
            match RemoteOrchestrator::attach(&directory.join(SOCKET), events.clone()).await? {
                Attachment::Attached(remote) => {
                    let holder = remote.holder();
                    if purpose == Purpose::Host && holder.stays {
                        return Err(already_running(directory, holder).into());
                    }
                    if purpose.is_served_by(holder, begun.elapsed()) {
                        return Self::attached(setting, directory, *remote, events);
                    }
                    // It ends once nobody is attached.
                }
                Attachment::Nobody => {}
            }
            if begun.elapsed() > PATIENCE {
                return Err(unanswered(directory, busy).into());
            }
            tokio::time::sleep(ATTEMPTS).await;
        }
    }

    async fn hold(
        setting: &Setting,
        directory: &Path,
        store: RedbStore,
        events: Hub,
        purpose: Purpose,
    ) -> Result<Self> {
        let secrets = secrets(setting, directory)?;
        let host = open_host(directory, &secrets).await?;
        let store: Arc<dyn Store> = Arc::new(store);
        let (drivers, charts) = drivers(Arc::clone(&host), &setting.clusters, &directory.join(CLUSTERS))?;
        let engine = Engine::builder()
            .store(Arc::clone(&store))
            .secrets(Arc::clone(&secrets))
            .drivers(drivers)
            .observer(Arc::new(events.clone()) as Arc<dyn Observer>);
        let engine = match charts {
            Some(charts) => engine.charts(charts),
            None => engine,
        };
        let engine = engine.build();
        let orchestrator: Arc<dyn Orchestrator> = Arc::new(engine);
        let archive: Arc<dyn Archive> = Arc::new(StoreArchive(store));
        let (works, stays) = (purpose != Purpose::Look, purpose == Purpose::Host);
        let hosts = works && purpose != Purpose::Work;
        if hosts {
            for (name, resumed) in host.resume_hosting().await? {
                if let Err(error) = resumed {
                    setting
                        .screen
                        .complain(format!("warning: cannot host {name} again: {}", error.to_cause()));
                }
            }
        }
        let (version, pid) = (env!("CARGO_PKG_VERSION").to_owned(), std::process::id());
        let holder = Holder { version, pid, works, hosts, stays };
        let service = Service {
            orchestrator: Arc::clone(&orchestrator),
            events: events.clone(),
            holder,
            archive: Arc::clone(&archive),
        };
        let server = match Server::start(&directory.join(SOCKET), service) {
            Ok(server) => server,
            Err(failure) => {
                host.stop().await;
                return Err(failure);
            }
        };
        let held = Held { server, host, archive, stays };
        let clusters = setting.clusters.clone();
        Ok(Self { orchestrator, events, secrets, clusters, link: Link::Held(Box::new(held)) })
    }

    fn attached(
        setting: &Setting,
        directory: &Path,
        remote: RemoteOrchestrator,
        events: Hub,
    ) -> Result<Self> {
        if setting.clusters.are_named() {
            let holder = remote.holder().pid;
            setting.screen.complain(format!(
                "note: what is done on clusters is done by process {holder}, which reaches them as it was started: --kubeconfig and --context are not used for that"
            ));
        }
        let remote = Arc::new(remote);
        let orchestrator: Arc<dyn Orchestrator> = Arc::<RemoteOrchestrator>::clone(&remote);
        let (secrets, clusters) = (secrets(setting, directory)?, setting.clusters.clone());
        Ok(Self { orchestrator, events, secrets, clusters, link: Link::Remote(remote) })
    }

    /// Who does the work.
    pub(crate) fn orchestrator(&self) -> &dyn Orchestrator {
        &*self.orchestrator
    }

    /// The events of the runs that this process asked for; those of all runs where it holds the store.
    pub(crate) const fn events(&self) -> &Hub {
        &self.events
    }

    /// Checks documents together with what the installation knows.
    pub(crate) async fn check(&self, documents: &Documents) -> Result<()> {
        check(documents, self.orchestrator.infrastructures().await?).await
    }

    /// The values of secrets.
    pub(crate) fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::clone(&self.secrets)
    }

    /// A way from this process to an endpoint, open for as long as it is held.
    pub(crate) async fn route(&self, to: &Endpoint) -> Result<Route, Error> {
        self.places([to]).await?.open(to).await
    }

    /// The places that these endpoints are on, but for what everybody can reach.
    async fn places<'a>(&self, endpoints: impl IntoIterator<Item = &'a Endpoint>) -> Result<Places, Error> {
        let needed: BTreeSet<_> = endpoints
            .into_iter()
            .filter_map(|endpoint| match endpoint {
                Endpoint::Service { infrastructure, .. } => Some(infrastructure),
                Endpoint::Net(_) => None,
            })
            .collect();
        if needed.is_empty() {
            return Ok(Places::default());
        }
        let known = self.orchestrator.infrastructures().await?;
        let known = known.iter().filter(|document| needed.contains(&document.name));
        let found = known.map(|document| Ok((document.name.clone(), place(document, &self.clusters)?)));
        Ok(Places::new(found.collect::<Result<_, Error>>()?))
    }

    /// What calls of backends are made with that belong to no run, to an application with these endpoints.
    pub(crate) async fn context<'a>(
        &self,
        endpoints: impl IntoIterator<Item = &'a Endpoint>,
    ) -> Result<Context, Error> {
        Ok(Context {
            // Nothing is marked.
            installation: "".into(),
            deadline: Instant::now() + CALL,
            cancelled: CancellationToken::new(),
            secrets: self.secrets(),
            places: self.places(endpoints).await?,
        })
    }

    /// Whether somebody stays and hosts the `local` infrastructure.
    pub(crate) fn is_hosted(&self) -> bool {
        match &self.link {
            Link::Held(held) => held.stays,
            Link::Remote(remote) => remote.holder().stays,
        }
    }

    /// The whole state, for a backup.
    pub(crate) async fn export(&self) -> Result<serde_json::Value> {
        Ok(match &self.link {
            Link::Held(held) => held.archive.export().await?,
            Link::Remote(remote) => remote.export().await?,
        })
    }

    /// The slices that have something on each infrastructure.
    pub(crate) async fn uses(&self) -> Result<Uses> {
        Ok(match &self.link {
            Link::Held(held) => held.archive.uses().await?,
            Link::Remote(remote) => remote.uses().await?,
        })
    }

    /// Asks the runs that other processes began through this one to stop.
    pub(crate) fn interrupt(&self) {
        if let Link::Held(held) = &self.link {
            held.server.interrupt();
        }
    }

    /// Lets go of the state directory, once those who work through this process have done what they came for.
    pub(crate) async fn close(self) {
        if let Link::Held(held) = self.link {
            held.server.stop().await;
            held.host.stop().await;
        }
    }
}

/// Opens a session, works, and closes it, whatever came of the work.
pub(crate) async fn with<T>(
    setting: &Setting,
    purpose: Purpose,
    work: impl AsyncFnOnce(&Session) -> Result<T>,
) -> Result<T> {
    let session = Session::open(setting, purpose).await?;
    let result = work(&session).await;
    session.close().await;
    result
}

/// Makes the state directory, for its owner alone, where there is none.
pub(crate) fn make(directory: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
        cannot(format!("make the state directory \"{}\"", directory.display()), error).into()
    })
}

/// Takes the directory of what is hosted. The process that held the store before may still be letting go of it.
async fn open_host(directory: &Path, secrets: &Arc<dyn SecretStore>) -> Result<Arc<LocalHost>> {
    let until = Instant::now() + PATIENCE;
    loop {
        match LocalHost::open(directory.join(LOCAL), Arc::clone(secrets)) {
            Err(error) if error.kind() == ErrorKind::Conflict && Instant::now() < until => {
                tokio::time::sleep(ATTEMPTS).await;
            }
            opened => return Ok(opened?),
        }
    }
}

async fn open_store(directory: &Path) -> Result<RedbStore, Error> {
    let path: PathBuf = directory.join(STORE);
    tokio::task::spawn_blocking(move || RedbStore::open(path))
        .await
        .map_err(|error| Error::new(ErrorKind::Unexpected, "cannot open the store").with_source(error))?
}

fn secrets(setting: &Setting, directory: &Path) -> Result<Arc<dyn SecretStore>> {
    let file = FileSecretStore::open(directory.join(SECRETS))?;
    let variables = EnvSecretStore::from_vars(setting.variables.iter().cloned());
    Ok(Arc::new(SecretStores::new(Arc::new(file), variables)))
}

fn already_running(directory: &Path, holder: &Holder) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("cannot host here: process {} hosts \"{}\" already", holder.pid, directory.display()),
    )
    .with_help("hand it the documents with iotorch apply -f, or choose another directory with --state")
}

fn unanswered(directory: &Path, busy: Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("cannot open the state directory \"{}\"", directory.display()),
    )
    .with_help("another process has it open and goes on working; wait for it, end it, or choose another directory with --state")
    .with_source(busy)
}

/// The store as a backup.
struct StoreArchive(Arc<dyn Store>);

#[async_trait]
impl Archive for StoreArchive {
    async fn export(&self) -> Result<serde_json::Value, Error> {
        let export = store::export(&*self.0).await?;
        serde_json::to_value(&export)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "cannot write the state").with_source(error))
    }

    async fn uses(&self) -> Result<Uses, Error> {
        let mut uses = Uses::new();
        for (slice, state) in self.0.snapshot().await?.slices {
            for id in state.records.keys() {
                if let Location::Infrastructure(place) = id.location() {
                    uses.entry(place).or_default().insert(slice.clone());
                }
            }
        }
        Ok(uses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_work_is_not_done_through_a_process_that_only_looks_unless_that_takes_long() {
        let holder = |works, hosts| Holder { version: "0.1.0".into(), pid: 1, works, hosts, stays: false };
        let (looks, works, hosts) = (holder(false, false), holder(true, false), holder(true, true));
        let served = |purpose: Purpose, met: Duration| {
            [&looks, &works, &hosts].map(|holder| purpose.is_served_by(holder, met))
        };
        assert_eq!(served(Purpose::Look, Duration::ZERO), [true, true, true]);
        assert_eq!(served(Purpose::Work, Duration::ZERO), [false, true, true]);
        assert_eq!(served(Purpose::Work, A_LOOK), [true, true, true]);
        assert_eq!(served(Purpose::End, A_LOOK), [false, false, true]);
        assert_eq!(served(Purpose::Host, A_LOOK), [false, false, false]);
    }
}
