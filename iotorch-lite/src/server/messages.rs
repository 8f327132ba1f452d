//! The messages of channels: stored once each, and given up oldest first when they are too old or too many.

use super::tables::{BATCH, MESSAGES, NAMES, Tables, USAGE, microseconds, used};
use crate::{
    Result,
    access::Taken,
    api::{ChannelStats, NameStats, Usage},
    gateway::outbox::{ORIGIN_FIELD, SEQUENCE_FIELD},
    senml::{self, Record},
};
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use std::collections::BTreeMap;

/// By thing and origin: the last sequence number that is stored.
const SEEN: TableDefinition<(&str, &str), u64> = TableDefinition::new("message-origins");
/// By channel: how many packs and records were rejected, and why the last one was.
const REJECTED: TableDefinition<&str, (u64, &str)> = TableDefinition::new("messages-rejected");

/// A random identifier has 32 characters; what is longer is none of ours.
const LONGEST_ORIGIN: usize = 64;

/// How many origins of one thing are remembered: a gateway has a new one with each new data directory.
const ORIGINS: usize = 100;

/// Whose messages, and where they go.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) tenant: String,
    pub(crate) thing: String,
    pub(crate) channel: String,
}

/// What is kept of a tenant's messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Messages from this time on, in seconds since the Unix epoch.
    pub(crate) since: f64,
    /// At most so many bytes.
    pub(crate) bytes: u64,
}

/// What became of a pack.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) taken: Taken,
    /// The records that were not there before.
    pub(crate) fresh: Vec<Record>,
    /// Older messages that made room.
    pub(crate) dropped: u64,
}

pub(crate) fn setup(txn: &WriteTransaction, tenant: impl Fn(&str) -> Result<String>) -> Result<()> {
    txn.open_table(SEEN)?;
    txn.open_table(REJECTED)?;
    Tables::open(txn)?.index(tenant)
}

/// Stores the records of a pack. Those that this origin has sent before are left out; records without a sequence
/// number are left out if an equal one is there. If the tenant then has too many bytes, its oldest messages are dropped.
pub(crate) fn append(
    txn: &WriteTransaction,
    place: &Place,
    pack: &[u8],
    now: f64,
    bounds: Bounds,
) -> Result<Stored> {
    let mut stored = Stored::default();
    let records = match senml::parse(pack, now) {
        Ok(records) => records,
        Err(error) => {
            stored.taken.rejected.push(error.to_string());
            reject(txn, &place.channel, &stored.taken.rejected)?;
            return Ok(stored);
        }
    };
    let mut seen = Seen::open(txn, &place.thing, records.first())?;
    let mut tables = Tables::open(txn)?;
    let mut bytes = 0;
    for mut record in records {
        let sequence = seen.sequence(&record);
        if record.time < bounds.since {
            let age = (now - record.time) as u64;
            let reason = format!("\"{}\" is {age} s old, older than what is kept", record.name);
            stored.taken.rejected.push(reason);
            continue;
        }
        stored.taken.accepted += 1;
        if sequence.is_some_and(|sequence| !seen.advance(sequence)) {
            continue;
        }
        record.extensions.clear();
        if let Some(more) = tables.insert(&place.channel, &record, sequence.is_none())? {
            bytes += more;
            stored.fresh.push(record);
        }
    }
    seen.close(txn, &place.thing)?;
    let messages = stored.fresh.len() as u64;
    tables.account(&place.tenant, &place.channel, |usage| {
        usage.messages += messages;
        usage.bytes += bytes;
    })?;
    stored.dropped = tables.shrink(&place.tenant, bounds.bytes)?;
    if !stored.taken.rejected.is_empty() {
        reject(txn, &place.channel, &stored.taken.rejected)?;
    }
    Ok(stored)
}

fn reject(txn: &WriteTransaction, channel: &str, reasons: &[String]) -> Result<()> {
    let mut rejected = txn.open_table(REJECTED)?;
    let count = rejected.get(channel)?.map_or(0, |row| row.value().0);
    let last = reasons.last().map_or("", String::as_str);
    rejected.insert(channel, (count + reasons.len() as u64, last))?;
    Ok(())
}

/// What an origin has sent before.
struct Seen {
    origin: Option<String>,
    last: u64,
}

impl Seen {
    fn open(txn: &WriteTransaction, thing: &str, first: Option<&Record>) -> Result<Self> {
        let origin = first
            .and_then(|first| first.extensions.get(ORIGIN_FIELD)?.as_str())
            .filter(|origin| origin.len() <= LONGEST_ORIGIN)
            .map(str::to_owned);
        let last = match &origin {
            Some(origin) => {
                txn.open_table(SEEN)?.get((thing, origin.as_str()))?.map_or(0, |last| last.value())
            }
            None => 0,
        };
        Ok(Self { origin, last })
    }

    fn sequence(&self, record: &Record) -> Option<u64> {
        self.origin.as_ref().and_then(|_| record.extensions.get(SEQUENCE_FIELD)?.as_u64())
    }

    /// Whether this sequence number is new.
    fn advance(&mut self, sequence: u64) -> bool {
        let new = sequence > self.last;
        self.last = self.last.max(sequence);
        new
    }

    fn close(&self, txn: &WriteTransaction, thing: &str) -> Result<()> {
        let Some(origin) = &self.origin else { return Ok(()) };
        let mut seen = txn.open_table(SEEN)?;
        if seen.insert((thing, origin.as_str()), self.last)?.is_some() {
            return Ok(());
        }
        let after = format!("{thing}\0");
        let mut origins = Vec::new();
        for row in seen.range((thing, "")..(after.as_str(), ""))? {
            let (key, _) = row?;
            origins.push(key.value().1.to_owned());
        }
        if origins.len() > ORIGINS
            && let Some(other) = origins.iter().find(|other| *other != origin)
        {
            seen.remove((thing, other.as_str()))?;
        }
        Ok(())
    }
}

/// Forgets everything of a channel and its thing.
pub(crate) fn clear(txn: &WriteTransaction, place: &Place) -> Result<()> {
    let Place { tenant, thing, channel } = place;
    let (thing, after) = (thing.as_str(), format!("{thing}\0"));
    Tables::open(txn)?.clear(tenant, channel)?;
    txn.open_table(SEEN)?.retain_in((thing, "")..(after.as_str(), ""), |_, _| false)?;
    txn.open_table(REJECTED)?.remove(channel.as_str())?;
    Ok(())
}

/// Forgets a tenant whose channels have been cleared.
pub(crate) fn forget(txn: &WriteTransaction, tenant: &str) -> Result<()> {
    txn.open_table(USAGE)?.remove((tenant, ""))?;
    Ok(())
}

/// Gives up some messages from before a time, and of tenants with too many bytes, up to [`BATCH`]. It tells how many
/// were too old and how many were dropped for room.
pub(crate) fn trim(txn: &WriteTransaction, bounds: Bounds) -> Result<(u64, u64)> {
    let mut tables = Tables::open(txn)?;
    let (mut expired, mut dropped) = (0, 0);
    for (tenant, channel) in tables.places()? {
        let room = BATCH.saturating_sub((expired + dropped) as usize);
        if room == 0 {
            break;
        }
        if channel.is_empty() {
            dropped += tables.shrink(&tenant, bounds.bytes)?;
        } else {
            expired += tables.expire(&tenant, &channel, microseconds(bounds.since), room)?;
        }
    }
    Ok((expired, dropped))
}

/// What each tenant uses.
pub(crate) fn usage(txn: &ReadTransaction) -> Result<BTreeMap<String, Usage>> {
    let mut tenants = BTreeMap::new();
    for row in txn.open_table(USAGE)?.iter()? {
        let (key, usage) = row?;
        if let (tenant, "") = key.value() {
            tenants.insert(tenant.to_owned(), used(usage.value()));
        }
    }
    Ok(tenants)
}

/// What is in a channel, without messages from before `since`.
pub(crate) fn stats(txn: &ReadTransaction, tenant: &str, channel: &str, since: f64) -> Result<ChannelStats> {
    let mut stats = ChannelStats::default();
    if let Some(row) = txn.open_table(REJECTED)?.get(channel)? {
        let (rejected, reason) = row.value();
        (stats.rejected, stats.last_rejection) = (rejected, Some(reason.to_owned()));
    }
    if let Some(row) = txn.open_table(USAGE)?.get((tenant, channel))? {
        let Usage { bytes, dropped, .. } = used(row.value());
        (stats.bytes, stats.dropped) = (bytes, dropped);
    }
    let (messages, names) = (txn.open_table(MESSAGES)?, txn.open_table(NAMES)?);
    let after = format!("{channel}\0");
    for row in names.range((channel, "")..(after.as_str(), ""))? {
        let (key, count) = row?;
        let (name, count) = (key.value().1, count.value());
        let kept = (channel, name, microseconds(since), 0)..=(channel, name, i64::MAX, u32::MAX);
        if let Some(row) = messages.range(kept)?.next_back() {
            let last = senml::restore(row?.1.value())?;
            stats.count += count;
            stats.names.insert(name.to_owned(), NameStats { count, last });
        }
    }
    Ok(stats)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::tables::TIMES;
    use redb::{Database, ReadableDatabase, ReadableTableMetadata, backends::InMemoryBackend};

    const NOW: f64 = 1_700_000_000.0;
    const ALL: Bounds = Bounds { since: f64::NEG_INFINITY, bytes: u64::MAX };

    fn place() -> Place {
        Place { tenant: "acme".to_owned(), thing: "t".to_owned(), channel: "c".to_owned() }
    }

    fn write<T>(database: &Database, work: impl FnOnce(&WriteTransaction) -> Result<T>) -> T {
        let txn = database.begin_write().unwrap();
        let given = work(&txn).unwrap();
        txn.commit().unwrap();
        given
    }

    fn database() -> Database {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        write(&database, |txn| setup(txn, |_| Ok("acme".to_owned())));
        database
    }

    fn append(database: &Database, pack: &str) -> Stored {
        write(database, |txn| super::append(txn, &place(), pack.as_bytes(), NOW, ALL))
    }

    #[test]
    fn a_store_from_before_there_was_an_index_is_indexed_and_counted() {
        let database = database();
        append(&database, r#"[{"n":"b","v":1},{"n":"a","v":2},{"n":"a","t":-5,"v":3}]"#);
        let read = || {
            let txn = database.begin_read().unwrap();
            (usage(&txn).unwrap(), txn.open_table(TIMES).unwrap().len().unwrap())
        };
        let before = read();
        assert_eq!((before.0["acme"].messages, before.1), (3, 3));
        write(&database, |txn| Ok((txn.delete_table(TIMES)?, txn.delete_table(USAGE)?)));
        write(&database, |txn| setup(txn, |_| Ok("acme".to_owned())));
        assert_eq!(read(), before);
        write(&database, |txn| clear(txn, &place()));
        assert_eq!(read(), (BTreeMap::from([("acme".to_owned(), Usage::default())]), 0));
    }

    #[test]
    fn the_origins_of_a_thing_that_are_remembered_are_bounded() {
        let database = database();
        for origin in 0..=ORIGINS + 10 {
            let pack = format!(r#"[{{"n":"a","v":1,"seq":1,"origin":"o{origin}"}}]"#);
            assert_eq!(append(&database, &pack).fresh.len(), 1);
            assert_eq!(append(&database, &pack).fresh.len(), 0, "the last one is remembered");
        }
        let txn = database.begin_read().unwrap();
        assert_eq!(txn.open_table(SEEN).unwrap().len().unwrap(), ORIGINS as u64);
    }
}
