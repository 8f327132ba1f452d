//! Following what is new: each follower has a bounded queue, and what does not fit is skipped and counted.

use crate::{Error, ErrorKind, Result, api::Followed};
use axum::{
    body::{Body, Bytes},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio_util::sync::CancellationToken;

/// The most followers of one gateway's or server's news.
const FOLLOWERS: usize = 100;

/// How many items wait for one follower.
const QUEUE: usize = 1000;

/// How often an idle follower gets an empty line, so that both ends see a connection that is gone.
const ALIVE: Duration = Duration::from_secs(15);

/// Everybody who follows items of this type, each one topic.
#[derive(Debug)]
pub(crate) struct Followers<T>(Mutex<Vec<Queue<T>>>);

#[derive(Debug)]
struct Queue<T> {
    topic: String,
    items: mpsc::Sender<Followed<T>>,
    skipped: Arc<AtomicU64>,
}

/// One end of a queue. Dropping it ends the following.
#[derive(Debug)]
pub(crate) struct Follower<T> {
    items: mpsc::Receiver<Followed<T>>,
    skipped: Arc<AtomicU64>,
}

impl<T> Default for Followers<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Followers<T> {
    /// Follows a topic from now on.
    pub(crate) fn follow(&self, topic: &str) -> Result<Follower<T>> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|queue| !queue.items.is_closed());
        if queues.len() >= FOLLOWERS {
            return Err(Error::new(ErrorKind::InUse, format!("{FOLLOWERS} others are following already")));
        }
        let (items, receiver) = mpsc::channel(QUEUE);
        let skipped = Arc::new(AtomicU64::new(0));
        queues.push(Queue { topic: topic.to_owned(), items, skipped: Arc::clone(&skipped) });
        Ok(Follower { items: receiver, skipped })
    }

    /// Tells those who follow a topic. It never waits.
    pub(crate) fn tell(&self, topic: &str, items: &[T]) {
        let queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in queues.iter().filter(|queue| queue.topic == topic) {
            for item in items {
                queue.push(item);
            }
        }
    }
}

impl<T: Clone> Queue<T> {
    fn push(&self, item: &T) {
        let skipped = self.skipped.swap(0, Ordering::Relaxed);
        if skipped > 0 && self.items.try_send(Followed::Skipped { skipped }).is_err() {
            self.skipped.fetch_add(skipped + 1, Ordering::Relaxed);
        } else if self.items.try_send(Followed::Item(item.clone())).is_err() {
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<T> Follower<T> {
    /// The next item, or how many were skipped. Dropping the future loses nothing.
    async fn next(&mut self) -> Option<Followed<T>> {
        match self.items.try_recv() {
            Ok(item) => return Some(item),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {}
        }
        match self.skipped.swap(0, Ordering::Relaxed) {
            0 => self.items.recv().await,
            skipped => Some(Followed::Skipped { skipped }),
        }
    }
}

/// The form of an answer that has a JSON value on each line.
pub(crate) const LINES: &str = "application/x-ndjson";

/// Answers with a line of JSON for each item, until the client goes or `stop`.
pub(crate) fn lines<T: Serialize + Send + 'static>(
    follower: Follower<T>,
    stop: CancellationToken,
) -> Response {
    let lines = futures::stream::unfold((follower, stop), |(mut follower, stop)| async move {
        let mut line = tokio::select! {
            item = follower.next() => serde_json::to_vec(&item?).ok()?,
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(ALIVE) => Vec::new(),
        };
        line.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(line)), (follower, stop)))
    });
    ([(CONTENT_TYPE, LINES)], Body::from_stream(lines)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_follower_is_told_how_many_it_missed_where_it_missed_them() {
        let followers = Followers::default();
        let mut slow = followers.follow("a").unwrap();
        let all: Vec<_> = (0..QUEUE + 5).collect();
        followers.tell("a", &all);
        followers.tell("b", &[0]);
        for expected in 0..QUEUE {
            assert_eq!(slow.next().await, Some(Followed::Item(expected)));
        }
        assert_eq!(slow.next().await, Some(Followed::Skipped { skipped: 5 }));
        followers.tell("a", &[7]);
        assert_eq!(slow.next().await, Some(Followed::Item(7)));
    }

    #[test]
    fn followers_are_bounded_and_those_who_go_make_room() {
        let followers = Followers::<u8>::default();
        let mut all: Vec<_> = (0..FOLLOWERS).map(|_| followers.follow("a").unwrap()).collect();
        assert_eq!(followers.follow("a").unwrap_err().kind(), ErrorKind::InUse);
        all.pop();
        assert!(followers.follow("a").is_ok());
    }
}
