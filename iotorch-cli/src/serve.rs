//! The socket beside the store: lets other commands work through the process that holds it.

mod routes;

use std::{
    collections::HashMap,
    fmt, fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::serve::Listener;
use iotorch_core::{Error, ErrorKind, Orchestrator};
use tokio::{
    net::{UnixListener, UnixStream, unix::SocketAddr},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    events::Hub,
    failure::{Result, cannot},
    wire::{Holder, Uses},
};

/// The longest path that the address of a socket holds (`sun_path` less its closing zero; unix(7)).
const LONGEST_PATH: usize = 107;

/// How long a caller that does nothing keeps the holder from ending.
const IDLE: Duration = Duration::from_secs(3);

/// How long a caller that does not read may keep the holder from ending once all work is done.
const LAST_CALL: Duration = Duration::from_secs(2);

/// What is served.
#[derive(Clone)]
pub(crate) struct Service {
    /// Who does the work.
    pub(crate) orchestrator: Arc<dyn Orchestrator>,
    /// The events of its runs.
    pub(crate) events: Hub,
    /// Who this is.
    pub(crate) holder: Holder,
    /// Gives the whole state, for a backup.
    pub(crate) archive: Arc<dyn Archive>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// Gives the whole state, for a backup.
#[async_trait]
pub(crate) trait Archive: Send + Sync {
    /// All documents, records, runs and journals; no secret.
    async fn export(&self) -> Result<serde_json::Value, Error>;

    /// The slices that have something on each infrastructure.
    async fn uses(&self) -> Result<Uses, Error>;
}

/// A running server; it ends with [`stop`](Self::stop).
#[derive(Debug)]
pub(crate) struct Server {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    path: PathBuf,
}

#[derive(Debug)]
struct Shared {
    service: Service,
    /// Whether the holder wants to end, so that nobody new may attach.
    closing: AtomicBool,
    /// How many callers are attached.
    attached: watch::Sender<usize>,
    /// Set when callers are let go.
    ended: CancellationToken,
    /// Set when runs that callers asked for have to stop.
    interrupted: CancellationToken,
    /// The tokens of the runs under way, by the caller's key.
    keys: Mutex<HashMap<String, CancellationToken>>,
    /// The runs under way: they go on when their caller is gone.
    runs: TaskTracker,
}

impl Server {
    /// Begins to serve at `path`, in a directory whose store this process holds: a socket that is there is left over from a crash.
    pub(crate) fn start(path: &Path, service: Service) -> Result<Self> {
        let length = path.as_os_str().len();
        if length > LONGEST_PATH {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("cannot serve at \"{}\": the path has {length} bytes", path.display()),
            )
            .with_help(format!("choose a state directory so that it has at most {LONGEST_PATH}"))
            .into());
        }
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            fs::remove_file(path).map_err(|error| cannot(format!("remove \"{}\"", path.display()), error))?;
        }
        let serving = |error| cannot(format!("serve at \"{}\"", path.display()), error);
        let listener = UnixListener::bind(path).map_err(serving)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(serving)?;
        let shared = Arc::new(Shared {
            service,
            closing: AtomicBool::new(false),
            attached: watch::Sender::new(0),
            ended: CancellationToken::new(),
            interrupted: CancellationToken::new(),
            keys: Mutex::default(),
            runs: TaskTracker::new(),
        });
        let ended = shared.ended.clone();
        let router = routes::router(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            let serving =
                axum::serve(OwnerOnly(listener), router).with_graceful_shutdown(ended.cancelled_owned());
            if let Err(error) = serving.await {
                tracing::error!(%error, "the socket failed");
            }
        });
        Ok(Self { shared, task, path: path.to_owned() })
    }

    /// Asks the runs that callers began to stop.
    pub(crate) fn interrupt(&self) {
        self.shared.interrupted.cancel();
    }

    /// Takes no more callers, waits until those there are have done what they came for, and removes the socket.
    pub(crate) async fn stop(mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        let mut attached = self.shared.attached.subscribe();
        while timeout(IDLE, attached.wait_for(|count| *count == 0)).await.is_err() {
            if self.shared.runs.is_empty() {
                break;
            }
        }
        self.shared.runs.close();
        self.shared.runs.wait().await;
        self.shared.ended.cancel();
        if timeout(LAST_CALL, &mut self.task).await.is_err() {
            self.task.abort();
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the socket");
        }
    }
}

impl Shared {
    /// Counts a caller for as long as the guard lives; none once the holder wants to end.
    fn attach(self: &Arc<Self>) -> Option<Attached> {
        self.attached.send_modify(|count| *count += 1);
        let guard = Attached(Arc::clone(self));
        (!self.closing.load(Ordering::SeqCst)).then_some(guard)
    }

    /// A token that `key` cancels for as long as the guard lives.
    fn cancellable(self: &Arc<Self>, key: String) -> Cancellable {
        let token = self.interrupted.child_token();
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), token.clone());
        Cancellable { shared: Arc::clone(self), key, token }
    }

    fn cancel(&self, key: &str) {
        if let Some(token) = self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(key) {
            token.cancel();
        }
    }
}

/// A caller that is attached.
struct Attached(Arc<Shared>);

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.attached.send_modify(|count| *count -= 1);
    }
}

/// A run that its caller can cancel.
struct Cancellable {
    shared: Arc<Shared>,
    key: String,
    token: CancellationToken,
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Accepts connections of this process's user and of root, whatever the file's mode says.
struct OwnerOnly(UnixListener);

impl Listener for OwnerOnly {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let own = rustix::process::geteuid().as_raw();
        loop {
            let (stream, address) = Listener::accept(&mut self.0).await;
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == own || peer.uid() == 0 => return (stream, address),
                Ok(peer) => tracing::warn!(user = peer.uid(), "refused a connection of another user"),
                Err(error) => tracing::warn!(%error, "refused a connection of an unknown user"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}
