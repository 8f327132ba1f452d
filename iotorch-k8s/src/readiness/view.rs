//! What is in a namespace, kept up to date by watches that all who wait in it share.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use iotorch_core::{Error, ErrorKind, Result};
use kube::Client;
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use super::{contents::Contents, kinds::Watch, watcher::Watcher};

/// How long a view is kept that nobody looks at: those who wait come back at once, to tell what they wait for.
const LINGER: Duration = Duration::from_secs(10);

/// The views that somebody looks at, by namespace.
#[derive(Debug, Default)]
pub(crate) struct Views(Arc<Mutex<HashMap<String, Kept>>>);

#[derive(Debug)]
struct Kept {
    view: Arc<View>,
    _sweeper: AbortOnDropHandle<()>,
}

impl Views {
    /// The view of a namespace, made if nobody looks at it yet.
    pub(crate) fn open(&self, client: &Client, namespace: &str) -> Arc<View> {
        let mut views = locked(&self.0);
        // One that was refused is made anew: the credentials may be others now.
        if let Some(kept) = views.get(namespace).filter(|kept| !kept.view.contents().is_denied()) {
            return Arc::clone(&kept.view);
        }
        let view = Arc::new(View::new(client.clone(), namespace));
        let sweeper =
            AbortOnDropHandle::new(tokio::spawn(sweep(Arc::downgrade(&self.0), namespace.to_owned())));
        views.insert(namespace.to_owned(), Kept { view: Arc::clone(&view), _sweeper: sweeper });
        view
    }
}

/// Drops a view when nobody has looked at it for a while.
async fn sweep(views: Weak<Mutex<HashMap<String, Kept>>>, namespace: String) {
    let mut was_idle = false;
    loop {
        tokio::time::sleep(LINGER).await;
        let Some(views) = views.upgrade() else { return };
        let mut views = locked(&views);
        let is_idle = views.get(&namespace).is_none_or(|kept| Arc::strong_count(&kept.view) == 1);
        if is_idle && was_idle {
            views.remove(&namespace);
            return;
        }
        was_idle = is_idle;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A namespace that is watched, as far as somebody has asked.
pub(crate) struct View {
    client: Client,
    namespace: String,
    contents: Arc<watch::Sender<Contents>>,
    /// What is known of the waits for releases that have not come to their end, by name.
    waits: Mutex<HashMap<String, Waiting>>,
    watches: Mutex<JoinSet<()>>,
}

/// A wait for a release, which may take several calls.
#[derive(Debug)]
struct Waiting {
    /// What had failed before it began.
    before: Option<String>,
    note: Option<Note>,
}

/// Why a release is not ready.
#[derive(Clone, Debug)]
pub(super) struct Note {
    text: String,
    pub(super) since: Instant,
    /// Whether the person has seen it.
    pub(super) is_told: bool,
}

impl View {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            contents: Arc::new(watch::channel(Contents::default()).0),
            waits: Mutex::default(),
            watches: Mutex::default(),
        }
    }

    /// Has these watched from now on, and waits until each was listed once.
    ///
    /// # Errors
    /// What is in the way of listing them, such as a right that is missing.
    pub(crate) async fn see(&self, watches: &BTreeSet<Watch>) -> Result<()> {
        for watch in watches {
            self.begin(watch);
        }
        let mut contents = self.contents.subscribe();
        let contents = contents.wait_for(|contents| watches.iter().all(|watch| contents.has_tried(watch)));
        let contents = contents
            .await
            .map_err(|_| Error::new(ErrorKind::Unexpected, "cannot watch the namespace any more"))?;
        let unlisted = watches.iter().filter(|watch| !contents.has_listed(watch));
        match contents.trouble_with(unlisted) {
            Some(trouble) => Err(trouble.to_error()),
            None => Ok(()),
        }
    }

    /// What was seen last.
    pub(crate) fn contents(&self) -> watch::Ref<'_, Contents> {
        self.contents.borrow()
    }

    /// Tells each change from now on.
    pub(crate) fn changes(&self) -> Changes {
        Changes(self.contents.subscribe())
    }

    fn begin(&self, watch: &Watch) {
        let mut watches = locked(&self.watches);
        let is_new = self.contents.send_if_modified(|contents| contents.expect(watch));
        if is_new {
            let watcher = Watcher {
                client: self.client.clone(),
                namespace: self.namespace.clone(),
                watch: watch.clone(),
                told: Arc::clone(&self.contents),
            };
            watches.spawn(watcher.run());
        }
    }

    /// Begins to wait for a release, or goes on. Gives what had failed when that began.
    pub(super) fn wait_for(&self, release: &str, failed: impl FnOnce() -> Option<String>) -> Option<String> {
        let mut waits = locked(&self.waits);
        let new = || Waiting { before: failed(), note: None };
        waits.entry(release.to_owned()).or_insert_with(new).before.clone()
    }

    /// The wait for a release has come to its end.
    pub(super) fn end_wait(&self, release: &str) {
        locked(&self.waits).remove(release);
    }

    /// Notes why a release is not ready.
    pub(super) fn note(&self, release: &str, text: &str) -> Note {
        let mut waits = locked(&self.waits);
        let waiting = waits.entry(release.to_owned()).or_insert_with(|| Waiting { before: None, note: None });
        match &waiting.note {
            Some(note) if note.text == text => note.clone(),
            _ => {
                let new = Note { text: text.to_owned(), since: Instant::now(), is_told: false };
                waiting.note.insert(new).clone()
            }
        }
    }

    /// The person has seen why the release is not ready.
    pub(super) fn told(&self, release: &str) {
        if let Some(note) = locked(&self.waits).get_mut(release).and_then(|wait| wait.note.as_mut()) {
            note.is_told = true;
        }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// The changes of a view.
pub(crate) struct Changes(watch::Receiver<Contents>);

impl Changes {
    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        // The sender lives as long as the view, which whoever waits holds.
        let _ = self.0.changed().await;
    }
}
