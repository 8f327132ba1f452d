//! The messages of channels: stored once each, read back newest first.

use crate::{
    Error, Result,
    api::{ChannelStats, MessageQuery, NameStats, Page},
    gateway::outbox::{ORIGIN_FIELD, SEQUENCE_FIELD},
    objects::unreadable,
    senml::{self, Record},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use std::collections::BinaryHeap;

/// By channel, name, time in microseconds, and a number that tells messages of one name and time apart.
type Key<'a> = (&'a str, &'a str, i64, u32);

const MESSAGES: TableDefinition<Key<'_>, &[u8]> = TableDefinition::new("messages");
/// By channel and name: how many messages.
const NAMES: TableDefinition<(&str, &str), u64> = TableDefinition::new("message-names");
/// By thing and origin: the last sequence number that is stored.
const SEEN: TableDefinition<(&str, &str), u64> = TableDefinition::new("message-origins");
/// By channel: how many packs could not be read, and why the last one could not.
const REJECTED: TableDefinition<&str, (u64, &str)> = TableDefinition::new("messages-rejected");

const DEFAULT_LIMIT: usize = 100;
const LARGEST_LIMIT: usize = 1000;

/// A random identifier has 32 characters; what is longer is none of ours.
const LONGEST_ORIGIN: usize = 64;

pub(crate) fn setup(txn: &WriteTransaction) -> Result<()> {
    txn.open_table(MESSAGES)?;
    txn.open_table(NAMES)?;
    txn.open_table(SEEN)?;
    txn.open_table(REJECTED)?;
    Ok(())
}

/// Stores the records of a pack. Those that this origin has sent before are left out; records without a sequence
/// number are left out if an equal one is there.
pub(crate) fn append(
    txn: &WriteTransaction,
    thing: &str,
    channel: &str,
    pack: &[u8],
    now: f64,
) -> Result<()> {
    let records = match senml::parse(pack, now) {
        Ok(records) => records,
        Err(error) => {
            let mut rejected = txn.open_table(REJECTED)?;
            let count = rejected.get(channel)?.map_or(0, |row| row.value().0);
            rejected.insert(channel, (count + 1, error.to_string().as_str()))?;
            return Ok(());
        }
    };
    let field = |record: &Record, name| record.extensions.get(name).cloned();
    let origin = records.first().and_then(|first| field(first, ORIGIN_FIELD));
    let origin =
        origin.as_ref().and_then(|origin| origin.as_str()).filter(|origin| origin.len() <= LONGEST_ORIGIN);
    let mut messages = txn.open_table(MESSAGES)?;
    let mut names = txn.open_table(NAMES)?;
    let mut seen_by_origin = txn.open_table(SEEN)?;
    let mut seen = match origin {
        Some(origin) => seen_by_origin.get((thing, origin))?.map_or(0, |seen| seen.value()),
        None => 0,
    };
    for record in records {
        let sequence =
            origin.and_then(|_| field(&record, SEQUENCE_FIELD)).and_then(|sequence| sequence.as_u64());
        if let Some(sequence) = sequence {
            if sequence <= seen {
                continue;
            }
            seen = sequence;
        }
        let record = Record { extensions: Default::default(), ..record };
        let (name, time) = (record.name.as_str(), microseconds(record.time));
        let bytes = serde_json::to_vec(&record).map_err(unreadable)?;
        let (mut next, mut known) = (0, false);
        for row in messages.range((channel, name, time, 0)..=(channel, name, time, u32::MAX))? {
            let (key, message) = row?;
            next = key.value().3 + 1;
            known |= sequence.is_none() && message.value() == bytes;
        }
        if !known {
            messages.insert((channel, name, time, next), bytes.as_slice())?;
            let count = names.get((channel, name))?.map_or(0, |count| count.value());
            names.insert((channel, name), count + 1)?;
        }
    }
    if let Some(origin) = origin {
        seen_by_origin.insert((thing, origin), seen)?;
    }
    Ok(())
}

/// Forgets everything of a channel and its thing.
pub(crate) fn clear(txn: &WriteTransaction, thing: &str, channel: &str) -> Result<()> {
    let (after_thing, after_channel) = (format!("{thing}\0"), format!("{channel}\0"));
    let (after_thing, after_channel) = (after_thing.as_str(), after_channel.as_str());
    let all = (channel, "", i64::MIN, 0)..(after_channel, "", i64::MIN, 0);
    txn.open_table(MESSAGES)?.retain_in(all, |_, _| false)?;
    txn.open_table(NAMES)?.retain_in((channel, "")..(after_channel, ""), |_, _| false)?;
    txn.open_table(SEEN)?.retain_in((thing, "")..(after_thing, ""), |_, _| false)?;
    txn.open_table(REJECTED)?.remove(channel)?;
    Ok(())
}

/// A page ends with this message. Pages go down by time, then name, then number.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor(i64, String, u32);

impl Cursor {
    fn write(&self) -> Result<String> {
        Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).map_err(unreadable)?))
    }

    fn read(text: &str) -> Result<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| Error::invalid("the cursor is not one that a page gave"))
    }

    /// The first time and number of this name that the cursor is past, going up.
    fn end(&self, name: &str) -> (i64, u32) {
        match name.cmp(&self.1) {
            std::cmp::Ordering::Less => (self.0.saturating_add(1), 0),
            std::cmp::Ordering::Equal => (self.0, self.2),
            std::cmp::Ordering::Greater => (self.0, 0),
        }
    }
}

/// Reads a page of a channel: the names side by side, always the newest of them next.
pub(crate) fn page(txn: &ReadTransaction, channel: &str, query: &MessageQuery) -> Result<Page> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=LARGEST_LIMIT).contains(&limit) {
        return Err(Error::invalid(format!("the limit must be 1 to {LARGEST_LIMIT}")));
    }
    let cursor = query.cursor.as_deref().map(Cursor::read).transpose()?;
    let from = query.from.map_or(i64::MIN, microseconds);
    let to = query.to.map_or((i64::MAX, 0), |to| (microseconds(to), 0));
    let names = match &query.name {
        Some(name) => vec![name.clone()],
        None => names(txn, channel)?.into_iter().map(|(name, _)| name).collect(),
    };
    let messages = txn.open_table(MESSAGES)?;
    let mut ranges = Vec::with_capacity(names.len());
    let mut newest = BinaryHeap::new();
    for (index, name) in names.into_iter().enumerate() {
        let end = cursor.as_ref().map_or(to, |cursor| cursor.end(&name).min(to));
        let start = (from, 0);
        let empty = start >= end;
        let end = if empty { start } else { end };
        let mut range = messages
            .range((channel, name.as_str(), start.0, start.1)..(channel, name.as_str(), end.0, end.1))?
            .rev()
            .map(|row| row.map(|(key, record)| ((key.value().2, key.value().3), record.value().to_vec())));
        if let Some(row) = range.next() {
            let ((time, number), record) = row?;
            newest.push((time, name, number, index, record));
        }
        ranges.push(range);
    }
    let mut page = Page { messages: Vec::new(), next: None };
    while let Some((time, name, number, index, record)) = newest.pop() {
        page.messages.push(serde_json::from_slice(&record).map_err(unreadable)?);
        if let Some(row) = ranges[index].next() {
            let ((time, number), record) = row?;
            newest.push((time, name.clone(), number, index, record));
        }
        if page.messages.len() == limit {
            if !newest.is_empty() {
                page.next = Some(Cursor(time, name, number).write()?);
            }
            break;
        }
    }
    Ok(page)
}

pub(crate) fn stats(txn: &ReadTransaction, channel: &str) -> Result<ChannelStats> {
    let mut stats = ChannelStats::default();
    if let Some(row) = txn.open_table(REJECTED)?.get(channel)? {
        let (rejected, reason) = row.value();
        (stats.rejected, stats.last_rejection) = (rejected, Some(reason.to_owned()));
    }
    let messages = txn.open_table(MESSAGES)?;
    for (name, count) in names(txn, channel)? {
        let all = (channel, name.as_str(), i64::MIN, 0)..=(channel, name.as_str(), i64::MAX, u32::MAX);
        if let Some(row) = messages.range(all)?.next_back() {
            let last = serde_json::from_slice(row?.1.value()).map_err(unreadable)?;
            stats.count += count;
            stats.names.insert(name, NameStats { count, last });
        }
    }
    Ok(stats)
}

fn names(txn: &ReadTransaction, channel: &str) -> Result<Vec<(String, u64)>> {
    let after = format!("{channel}\0");
    let names = txn.open_table(NAMES)?;
    let mut all = Vec::new();
    for row in names.range((channel, "")..(after.as_str(), ""))? {
        let (key, count) = row?;
        all.push((key.value().1.to_owned(), count.value()));
    }
    Ok(all)
}

fn microseconds(seconds: f64) -> i64 {
    (seconds * 1e6).round() as i64
}
