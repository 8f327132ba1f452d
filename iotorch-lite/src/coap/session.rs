//! A session: a client that has proved who it is, until it is silent for too long, leaves, or has to go.

use super::conversation::Conversation;
use std::{future, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use webrtc_dtls::conn::DTLSConn;

/// A client that is silent this long is asked whether it still is there if it observes, and otherwise has to make a
/// handshake again when it comes back.
const SILENCE: Duration = Duration::from_secs(10 * 60);

/// No datagram is larger; RFC 7252 section 4.6 suggests half of it where the path is not known.
pub(super) const DATAGRAM: usize = 2048;

enum Event {
    Received(usize),
    Changed,
    Due,
    Silent,
    Ended,
}

/// Serves a client until its session ends.
pub(super) async fn hold(
    connection: DTLSConn,
    mut conversation: Conversation,
    mut changes: Option<watch::Receiver<()>>,
    stop: CancellationToken,
) {
    let mut buffer = [0; DATAGRAM];
    let mut heard = Instant::now();
    loop {
        let silent = (!conversation.is_asking()).then_some(heard + SILENCE);
        let changes = changes.as_mut().filter(|_| conversation.is_observing());
        let event = tokio::select! {
            biased;
            () = stop.cancelled() => Event::Ended,
            read = connection.read(&mut buffer, None) => read.map_or(Event::Ended, Event::Received),
            () = change(changes) => Event::Changed,
            () = at(conversation.due()) => Event::Due,
            () = at(silent) => Event::Silent,
        };
        let datagram = match event {
            Event::Received(length) => {
                heard = Instant::now();
                conversation.receive(&buffer[..length]).await
            }
            Event::Changed => conversation.changed(),
            Event::Due => conversation.tick(),
            Event::Silent => match conversation.ask() {
                None => break,
                question => question,
            },
            Event::Ended => break,
        };
        if let Some(datagram) = datagram {
            // A datagram that cannot be sent is a lost one.
            let _ = connection.write(&datagram, None).await;
        }
    }
    // The client may be gone, and is told in vain then.
    let _ = connection.close().await;
}

async fn change(changes: Option<&mut watch::Receiver<()>>) {
    let changed = match changes {
        Some(changes) => changes.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        future::pending().await
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => future::pending().await,
    }
}
