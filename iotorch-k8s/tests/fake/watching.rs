//! Watches: what changed, as it changes
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>).

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use futures::Stream;
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Inner,
    kinds::Kind,
    refusal::Refusal,
    request::Request,
    selector::Selector,
    server::{cut, shown},
    state::State,
    store::{Change, Key},
};

/// How often a watch says up to which version it has told everything.
const BOOKMARKS: Duration = Duration::from_secs(60);

/// How long a watch lasts at most where its caller does not say.
const LONGEST: Duration = Duration::from_secs(1800);

struct Watch {
    inner: Arc<Inner>,
    changed: watch::Receiver<u64>,
    /// Broken off when the cluster has another number.
    unbroken: u32,
    kind: &'static Kind,
    selector: Selector,
    is_metadata: bool,
    wants_bookmarks: bool,
    seen: u64,
    lines: VecDeque<Bytes>,
    bookmark: Instant,
    end: Instant,
    is_over: bool,
}

/// The lines of a watch.
pub fn open(
    inner: &Arc<Inner>,
    selector: Selector,
    request: &Request,
) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let changed = inner.changes();
    let state = inner.state();
    let seconds = request.query("timeoutSeconds").parse().map(Duration::from_secs).unwrap_or(LONGEST);
    let from: u64 = request.query("resourceVersion").parse().unwrap_or_default();
    let mut watch = Watch {
        changed,
        unbroken: inner.breaks(),
        kind: request.kind,
        selector,
        is_metadata: request.wants_metadata,
        wants_bookmarks: request.is_set("allowWatchBookmarks"),
        seen: from,
        lines: VecDeque::new(),
        bookmark: Instant::now() + BOOKMARKS,
        end: Instant::now() + seconds,
        is_over: false,
        inner: Arc::clone(inner),
    };
    if from == 0 {
        watch.tell_all(&state, request.is_set("sendInitialEvents"));
    }
    drop(state);
    futures::stream::unfold(watch, |mut watch| async move { Some((watch.next().await?, watch)) })
}

impl Watch {
    /// What is there already.
    fn tell_all(&mut self, state: &State, is_asked_for: bool) {
        for (key, object) in state.store.all(self.kind, None) {
            if self.selector.matches(key, object) {
                let line = self.line("ADDED", object.clone());
                self.lines.push_back(line);
            }
        }
        self.seen = state.store.version();
        if is_asked_for {
            let end = json!({ "k8s.io/initial-events-end": "true" });
            let metadata = json!({ "resourceVersion": self.seen.to_string(), "annotations": end });
            let line = self.line("BOOKMARK", json!({ "metadata": metadata }));
            self.lines.push_back(line);
        }
    }

    fn line(&self, what: &str, object: Value) -> Bytes {
        let object = shown(self.kind, object, self.is_metadata);
        format!("{}\n", json!({ "type": what, "object": object })).into()
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if self.is_over && self.lines.is_empty() {
                return None;
            }
            if self.inner.breaks() != self.unbroken {
                self.is_over = true;
                self.lines.clear();
                return Some(Err(cut()));
            }
            if let Some(line) = self.lines.pop_front() {
                return Some(Ok(line));
            }
            self.changed.mark_unchanged();
            self.gather();
            if !self.lines.is_empty() || self.is_over {
                continue;
            }
            let bookmark = if self.wants_bookmarks { self.bookmark.min(self.end) } else { self.end };
            tokio::select! {
                changed = self.changed.changed() => {
                    // The cluster is gone.
                    changed.ok()?;
                    let delay = self.inner.state().faults.watch_delay;
                    if !delay.is_zero() {
                        sleep(delay).await;
                    }
                }
                () = sleep_until(bookmark) => {
                    if self.wants_bookmarks {
                        let line = self.line("BOOKMARK", json!({ "metadata": { "resourceVersion": self.seen.to_string() } }));
                        self.lines.push_back(line);
                    }
                    self.bookmark = Instant::now() + BOOKMARKS;
                    self.is_over = Instant::now() >= self.end;
                }
            }
        }
    }

    /// What has changed since the last time.
    fn gather(&mut self) {
        let inner = Arc::clone(&self.inner);
        let state = inner.state();
        match state.store.since(self.seen) {
            Some(changes) => {
                let lines: Vec<_> = changes.iter().filter_map(|change| self.told(change)).collect();
                self.lines.extend(lines);
                self.seen = self.seen.max(state.store.version());
            }
            None => {
                let refusal = Refusal::too_old(self.seen, state.store.compacted());
                self.lines
                    .push_back(format!("{}\n", json!({ "type": "ERROR", "object": refusal.json() })).into());
                self.is_over = true;
            }
        }
    }

    /// A change as this watch sees it: an object that is selected no longer is gone.
    fn told(&self, change: &Change) -> Option<Bytes> {
        let is_seen =
            |key: &Key, object: Option<&Value>| object.is_some_and(|it| self.selector.matches(key, it));
        let was = is_seen(&change.key, change.before.as_ref());
        let is = !change.is_gone && is_seen(&change.key, Some(&change.after));
        let (what, object) = match (was, is) {
            (false, true) => ("ADDED", change.after.clone()),
            (true, true) => ("MODIFIED", change.after.clone()),
            // As it was when it was selected.
            (true, false) => {
                let mut last = change.before.clone()?;
                last["metadata"]["resourceVersion"] = change.version.to_string().into();
                ("DELETED", last)
            }
            (false, false) => return None,
        };
        Some(self.line(what, object))
    }
}
