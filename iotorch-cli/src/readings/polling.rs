//! Following a server that has no stream: it is asked again and again.
//!
//! Once a second it is asked how many messages there are, and when there are more, for the newest, until as many were found as came.
//! Messages are sorted by their own times, so one that arrives more than [`LATE`] after its time may lie among older ones that were
//! not looked through, and is not shown.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use iotorch_core::{Error, Result};
use iotorch_lite::{api::Followed, senml::Record};
use jiff::Timestamp;

use super::{
    paged::{LONGEST, Pages, Wanted},
    reader::Arriving,
};

/// The pause between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// How late a message may arrive and is still found, in seconds.
const LATE: f64 = 300.0;

/// What is known of a channel.
#[derive(Debug)]
struct Known<P> {
    pages: Arc<P>,
    /// How many messages there were.
    total: u64,
    /// Those that are not new, by time and by what they are.
    seen: BTreeSet<(i64, u64)>,
    /// Messages before this time are not looked at, in microseconds.
    floor: i64,
}

#[allow(clippy::cast_possible_truncation, reason = "it saturates")]
fn micros(seconds: f64) -> i64 {
    (seconds * 1e6).round() as i64
}

fn key(record: &Record) -> (i64, u64) {
    let mut hasher = DefaultHasher::new();
    record.name.hash(&mut hasher);
    record.time.to_bits().hash(&mut hasher);
    format!("{:?}", record.value).hash(&mut hasher);
    (micros(record.time), hasher.finish())
}

/// The start of what is looked at, by this machine's clock.
fn earliest() -> i64 {
    Timestamp::now().as_microsecond().saturating_sub(micros(LATE))
}

/// What arrives from now on.
pub(super) async fn follow<P: Pages>(pages: Arc<P>) -> Result<Arriving> {
    let newest = pages.ask(&Wanted { limit: LONGEST, ..Wanted::default() }).await?;
    let seen: BTreeSet<_> = newest.records.iter().map(key).collect();
    // Of what is older than the oldest that was seen here, nothing is known.
    let is_all = newest.records.len() as u64 == newest.total;
    let oldest = newest.records.last().map(|record| micros(record.time)).filter(|_| !is_all);
    let floor = oldest.unwrap_or(i64::MIN).max(earliest());
    let known = Known { pages, total: newest.total, seen, floor };
    let batches = stream::try_unfold(known, |mut known| async move {
        let arrived = known.arrived().await?;
        Ok::<_, Error>(Some((arrived, known)))
    });
    let items =
        |records: Vec<Record>| stream::iter(records.into_iter().map(|record| Ok(Followed::Item(record))));
    Ok(batches.map_ok(items).try_flatten().boxed())
}

impl<P: Pages> Known<P> {
    /// The next that have arrived, the oldest first.
    async fn arrived(&mut self) -> Result<Vec<Record>> {
        loop {
            tokio::time::sleep(PAUSE).await;
            self.floor = self.floor.max(earliest());
            self.seen = self.seen.split_off(&(self.floor, 0));
            let mut found = self.look().await?;
            if !found.is_empty() {
                found.sort_by(|a, b| a.time.total_cmp(&b.time));
                return Ok(found);
            }
        }
    }

    /// Looks from the newest on until as many are found as have come.
    async fn look(&mut self) -> Result<Vec<Record>> {
        let mut found = Vec::new();
        let (mut offset, mut limit) = (0, 1);
        loop {
            let page = self.pages.ask(&Wanted { offset, limit, ..Wanted::default() }).await?;
            let come = page.total.saturating_sub(self.total);
            for record in &page.records {
                let key = key(record);
                if key.0 >= self.floor && self.seen.insert(key) {
                    found.push(record.clone());
                }
            }
            let is_below = page.records.last().is_none_or(|record| micros(record.time) < self.floor);
            if found.len() as u64 >= come || is_below {
                // A server that forgets old messages has fewer after a while.
                self.total = page.total;
                return Ok(found);
            }
            offset += page.records.len() as u64;
            limit = LONGEST;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::paged::tests::{Shelf, record},
        *,
    };

    #[tokio::test(start_paused = true)]
    async fn what_arrives_is_told_once_and_in_order_also_when_it_is_late() {
        #[allow(clippy::cast_precision_loss, reason = "a time in seconds is below 2^53")]
        let now = Timestamp::now().as_second() as f64;
        let shelf = Arc::new(Shelf::default());
        shelf.stored.lock().unwrap().extend([record("a-1:t", now - 5.0), record("a-1:t", now - 1.0)]);
        let mut arriving = follow(Arc::clone(&shelf)).await.unwrap();
        let late = [record("a-1:t", now - 3.0), record("b-1:t", now), record("b-1:t", now - 100.0)];
        shelf.stored.lock().unwrap().extend(late);
        let mut told = Vec::new();
        for _ in 0..3 {
            match arriving.next().await.unwrap().unwrap() {
                Followed::Item(record) => told.push(record.time - now),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(told, [-100.0, -3.0, 0.0]);
        shelf.stored.lock().unwrap().push(record("a-1:t", now + 1.0));
        let Some(Ok(Followed::Item(next))) = arriving.next().await else { panic!("the stream has ended") };
        assert_eq!(next.time, now + 1.0);
    }
}
