//! Channels at servers that give pages, the newest message first, and nothing more.
//!
//! Readers of Mainflux and Magistrala know exact names, times, an offset from the newest message, and how many there are. All else is
//! made of that here: names that start so, the oldest first, one value for each interval, and following.

use std::{collections::BTreeSet, fmt};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use iotorch_core::{Error, ErrorKind, Result};
use iotorch_lite::{
    api::{Aggregate, MessageQuery, Order, Page},
    senml::Record,
};

use super::{
    aggregate::aggregated,
    polling,
    reader::{Arriving, Reader, Summary},
};

/// The most messages of a page (the readers of Mainflux 0.12 and Magistrala 0.30 refuse more).
pub(super) const LONGEST: u64 = 1000;

/// How many requests count names at the same time.
const SIDE_BY_SIDE: usize = 8;

/// What is asked for in one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wanted {
    /// Only this name.
    pub(super) name: Option<String>,
    /// Only from this time on, in seconds since the Unix epoch.
    pub(super) from: Option<f64>,
    /// Only before this time.
    pub(super) to: Option<f64>,
    /// So many of the newest are left out.
    pub(super) offset: u64,
    /// At most so many, [`LONGEST`] or fewer.
    pub(super) limit: u64,
}

/// What a request gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Newest {
    /// How many there are of what was asked for, on all pages.
    pub(super) total: u64,
    /// Those of this page, the newest first.
    pub(super) records: Vec<Record>,
}

/// A server that gives pages.
#[async_trait]
pub(super) trait Pages: fmt::Debug + Send + Sync + 'static {
    /// Asks for a page.
    async fn ask(&self, wanted: &Wanted) -> Result<Newest>;
}

/// A channel at such a server.
#[derive(Debug)]
pub(super) struct Paged<P>(pub(super) std::sync::Arc<P>);

/// Where a page ended: how many messages were passed from the end that was begun at, and how many there were at first. Messages that
/// arrive meanwhile move offsets, and what is left is counted from the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    passed: u64,
    total: u64,
}

impl Position {
    fn read(cursor: &str) -> Result<Self> {
        let numbers = cursor.split_once('/').and_then(|(passed, total)| {
            Some(Self { passed: passed.parse().ok()?, total: total.parse().ok()? })
        });
        numbers.ok_or_else(|| Error::new(ErrorKind::Invalid, format!("cannot go on at {cursor:?}")))
    }

    fn written(self) -> String {
        format!("{}/{}", self.passed, self.total)
    }

    /// The offset of the next `limit` messages, and how many of them there are, where now `total` are there.
    fn next(self, order: Order, limit: u64, total: u64) -> (u64, u64) {
        match order {
            Order::Desc => {
                let newer = total.saturating_sub(self.total);
                (newer + self.passed, limit.min(self.total.saturating_sub(self.passed)))
            }
            Order::Asc => {
                let count = limit.min(total.saturating_sub(self.passed));
                (total.saturating_sub(self.passed + count), count)
            }
        }
    }
}

impl<P: Pages> Paged<P> {
    /// The next messages after `position`, which is moved, whatever their names start with.
    async fn next(
        &self,
        wanted: &Wanted,
        order: Order,
        position: &mut Option<Position>,
        limit: u64,
    ) -> Result<Vec<Record>> {
        let mut total = match position {
            Some(position) => position.total,
            None => self.0.ask(&Wanted { limit: 1, ..wanted.clone() }).await?.total,
        };
        let begun = position.get_or_insert(Position { passed: 0, total });
        loop {
            let (offset, count) = begun.next(order, limit, total);
            if count == 0 && order == Order::Desc {
                return Ok(Vec::new());
            }
            let page = self.0.ask(&Wanted { offset, limit: count.max(1), ..wanted.clone() }).await?;
            if page.total > total {
                // Others have arrived, and the offset was that of other messages.
                total = page.total;
                continue;
            }
            let mut records = page.records;
            records.truncate(usize::try_from(count).unwrap_or(usize::MAX));
            if order == Order::Asc {
                records.reverse();
                begun.total = total;
            }
            begun.passed += records.len() as u64;
            return Ok(records);
        }
    }

    /// All that a query asks for, the oldest first.
    async fn all(&self, query: &MessageQuery) -> Result<Vec<Record>> {
        let mut query = MessageQuery {
            order: Some(Order::Asc),
            interval: None,
            aggregate: None,
            limit: Some(usize::try_from(LONGEST).unwrap_or(usize::MAX)),
            cursor: None,
            ..query.clone()
        };
        let mut all = Vec::new();
        loop {
            let page = self.page(&query).await?;
            all.extend(page.messages);
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(all),
            }
        }
    }
}

#[async_trait]
impl<P: Pages> Reader for Paged<P> {
    async fn page(&self, query: &MessageQuery) -> Result<Page> {
        let order = query.order.unwrap_or_default();
        if let Some(interval) = query.interval {
            let aggregate = query.aggregate.unwrap_or(Aggregate::Mean);
            let mut messages = aggregated(&self.all(query).await?, interval, aggregate);
            if order == Order::Desc {
                messages.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| b.time.total_cmp(&a.time)));
            }
            // All of them at once, whatever was asked for: what goes on after them would have to read all again.
            return Ok(Page { messages, next: None });
        }
        let start = query.name.as_deref().and_then(|name| name.strip_suffix('*'));
        let wanted = Wanted {
            name: query.name.clone().filter(|_| start.is_none()),
            from: query.from,
            to: query.to,
            ..Wanted::default()
        };
        let limit = query.limit.map_or(LONGEST, |limit| (limit as u64).clamp(1, LONGEST));
        let mut position = query.cursor.as_deref().map(Position::read).transpose()?;
        // Names that start so are found among all, so a whole page is looked through.
        let asked = if start.is_some() { LONGEST } else { limit };
        let mut messages = self.next(&wanted, order, &mut position, asked).await?;
        let is_last = (messages.len() as u64) < asked;
        if let (Some(start), Some(position)) = (start, &mut position) {
            let before = position.passed - messages.len() as u64;
            let mut passed = 0;
            let mut found = Vec::new();
            let looked = messages.len() as u64;
            for record in messages {
                if found.len() as u64 == limit {
                    break;
                }
                passed += 1;
                if record.name.starts_with(start) {
                    found.push(record);
                }
            }
            position.passed = before + passed;
            messages = found;
            let next = (!is_last || passed < looked).then(|| position.written());
            return Ok(Page { messages, next });
        }
        Ok(Page { messages, next: position.filter(|_| !is_last).map(Position::written) })
    }

    async fn follow(&self) -> Result<Arriving> {
        polling::follow(std::sync::Arc::clone(&self.0)).await
    }

    /// The last of the names that are among the newest messages; of those that have said nothing for longer there is none.
    async fn summary(&self) -> Result<Summary> {
        let newest = self.0.ask(&Wanted { limit: LONGEST, ..Wanted::default() }).await?;
        let mut names = BTreeSet::new();
        let mut last: Vec<Record> =
            newest.records.into_iter().filter(|record| names.insert(record.name.clone())).collect();
        last.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Summary { count: newest.total, last })
    }

    async fn count(&self, names: &BTreeSet<String>) -> Result<u64> {
        let counted = stream::iter(names.iter().cloned()).map(async |name| {
            let wanted = Wanted { name: Some(name), limit: 1, ..Wanted::default() };
            self.0.ask(&wanted).await.map(|newest| newest.total)
        });
        counted.buffer_unordered(SIDE_BY_SIDE).try_fold(0, async |sum, total| Ok(sum + total)).await
    }
}

#[cfg(test)]
pub(super) mod tests;
