//! Messages that are too old, or too many, are given up a few at a time, so that new ones do not wait for it.

use super::{Core, messages};
use crate::clock;
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often it is looked for messages to give up, at most and at least.
const OFTEN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(60);

/// Gives up messages at once, and again and again until `stop`.
pub(super) fn start(core: Arc<Core>, stop: CancellationToken) -> JoinHandle<()> {
    let pause = core.retention.map_or(SELDOM, |retention| (retention / 10).clamp(OFTEN, SELDOM));
    let mut ticks = tokio::time::interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = ticks.tick() => sweep(&core, &stop).await,
                () = stop.cancelled() => return,
            }
        }
    })
}

/// Gives up everything that has to go, a transaction for each batch.
async fn sweep(core: &Core, stop: &CancellationToken) {
    let (mut expired, mut dropped) = (0, 0);
    while !stop.is_cancelled() {
        let bounds = core.bounds(clock::now());
        match core.store.write(move |txn| messages::trim(txn, bounds)).await {
            Ok((0, 0)) => break,
            Ok((old, many)) => {
                expired += old;
                dropped += many;
            }
            Err(error) => {
                core.log.error("retention", "", format!("cannot give up old messages: {error}"));
                return;
            }
        }
    }
    if expired > 0 {
        core.log.info(
            "retention",
            "",
            format!("{expired} messages were older than what is kept and are gone"),
        );
    }
    if dropped > 0 {
        core.log.warning("dropped", "", format!("{dropped} messages were dropped to make room"));
    }
}
