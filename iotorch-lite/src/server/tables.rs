//! The tables of messages: each message under its name and under its time, and how much of them there is.

use crate::{
    Result,
    api::Usage,
    senml::{self, Record},
};
use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

/// By channel, name, time in microseconds, and a number that tells messages of one name and time apart.
type Key<'a> = (&'a str, &'a str, i64, u32);

pub(super) const MESSAGES: TableDefinition<Key<'_>, &[u8]> = TableDefinition::new("messages");
/// The keys of the same messages by channel, time, name and number: what is oldest, and what is next over all names.
pub(super) const TIMES: TableDefinition<(&str, i64, &str, u32), ()> = TableDefinition::new("message-times");
/// By channel and name: how many messages.
pub(super) const NAMES: TableDefinition<(&str, &str), u64> = TableDefinition::new("message-names");
/// By tenant and channel: messages, their bytes, and messages that were dropped. The empty channel is all of them.
pub(super) const USAGE: TableDefinition<(&str, &str), (u64, u64, u64)> =
    TableDefinition::new("message-usage");

/// How many messages of one name and time are compared with a new one, so that a client that never sets its clock
/// does not slow down the others.
const COMPARED: usize = 1000;

/// The most messages that one transaction gives up. As messages are at least 100 bytes each, that is more than a pack
/// of the usual 64 KiB brings.
pub(super) const BATCH: usize = 1000;

/// The tables of messages, which change together.
pub(super) struct Tables<'txn> {
    messages: Table<'txn, Key<'static>, &'static [u8]>,
    times: Table<'txn, (&'static str, i64, &'static str, u32), ()>,
    names: Table<'txn, (&'static str, &'static str), u64>,
    usage: Table<'txn, (&'static str, &'static str), (u64, u64, u64)>,
}

/// A message of a channel: its time, name and number.
type Position = (i64, String, u32);

impl<'txn> Tables<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self> {
        Ok(Self {
            messages: txn.open_table(MESSAGES)?,
            times: txn.open_table(TIMES)?,
            names: txn.open_table(NAMES)?,
            usage: txn.open_table(USAGE)?,
        })
    }

    /// Indexes and counts the messages of a store that was made before there was an index.
    pub(super) fn index(&mut self, tenant: impl Fn(&str) -> Result<String>) -> Result<()> {
        if self.messages.is_empty()? || !self.times.is_empty()? {
            return Ok(());
        }
        let mut usage: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for row in self.messages.iter()? {
            let (key, record) = row?;
            let (channel, name, time, number) = key.value();
            self.times.insert((channel, time, name, number), ())?;
            let (messages, bytes) = usage.entry(channel.to_owned()).or_default();
            *messages += 1;
            *bytes += size(channel, name, record.value());
        }
        for (channel, (messages, bytes)) in usage {
            self.account(&tenant(&channel)?, &channel, |usage| {
                usage.messages += messages;
                usage.bytes += bytes;
            })?;
        }
        Ok(())
    }

    /// Inserts a record and gives its bytes. If it `may_be_known`, it is left out if an equal one is there.
    pub(super) fn insert(
        &mut self,
        channel: &str,
        record: &Record,
        may_be_known: bool,
    ) -> Result<Option<u64>> {
        let (name, time) = (record.name.as_str(), microseconds(record.time));
        let bytes = senml::keep(record);
        let mut number = 0;
        let same_time = (channel, name, time, 0)..=(channel, name, time, u32::MAX);
        for (index, row) in self.messages.range(same_time)?.rev().take(COMPARED).enumerate() {
            let (key, message) = row?;
            if index == 0 {
                number = key.value().3.saturating_add(1);
            }
            if !may_be_known {
                break;
            }
            if message.value() == bytes {
                return Ok(None);
            }
        }
        self.messages.insert((channel, name, time, number), bytes.as_slice())?;
        self.times.insert((channel, time, name, number), ())?;
        let count = self.names.get((channel, name))?.map_or(0, |count| count.value());
        self.names.insert((channel, name), count + 1)?;
        Ok(Some(size(channel, name, &bytes)))
    }

    /// Gives up the oldest messages of a channel from before a time.
    pub(super) fn expire(&mut self, tenant: &str, channel: &str, before: i64, limit: usize) -> Result<u64> {
        let mut old: Vec<Position> = Vec::new();
        for row in self.times.range((channel, i64::MIN, "", 0)..(channel, before, "", 0))?.take(limit) {
            let (key, _) = row?;
            let (_, time, name, number) = key.value();
            old.push((time, name.to_owned(), number));
        }
        let (count, mut bytes) = (old.len() as u64, 0);
        for position in old {
            bytes += self.remove(channel, &position)?;
        }
        if count > 0 {
            self.account(tenant, channel, |usage| usage.lose(count, bytes))?;
        }
        Ok(count)
    }

    /// Drops the oldest messages of a tenant until it has no more than so many bytes, up to [`BATCH`] messages.
    pub(super) fn shrink(&mut self, tenant: &str, limit: u64) -> Result<u64> {
        let mut excess = self.usage(tenant, "")?.bytes.saturating_sub(limit);
        if excess == 0 {
            return Ok(0);
        }
        let channels = self.channels(tenant)?;
        let mut oldest = BinaryHeap::new();
        for (index, channel) in channels.iter().enumerate() {
            oldest.extend(self.oldest(channel)?.map(|position| Reverse((position, index))));
        }
        let mut dropped = vec![(0, 0); channels.len()];
        for _ in 0..BATCH {
            let Some(Reverse((position, index))) = oldest.pop().filter(|_| excess > 0) else { break };
            let bytes = self.remove(&channels[index], &position)?;
            excess = excess.saturating_sub(bytes);
            dropped[index].0 += 1;
            dropped[index].1 += bytes;
            oldest.extend(self.oldest(&channels[index])?.map(|position| Reverse((position, index))));
        }
        for (channel, (count, bytes)) in channels.iter().zip(&dropped) {
            if *count > 0 {
                self.account(tenant, channel, |usage| {
                    usage.lose(*count, *bytes);
                    usage.dropped += count;
                })?;
            }
        }
        Ok(dropped.iter().map(|(count, _)| count).sum())
    }

    /// The oldest message of a channel.
    fn oldest(&self, channel: &str) -> Result<Option<Position>> {
        let after = format!("{channel}\0");
        let first = self.times.range((channel, i64::MIN, "", 0)..(after.as_str(), i64::MIN, "", 0))?.next();
        first
            .map(|row| {
                let (key, _) = row?;
                let (_, time, name, number) = key.value();
                Ok((time, name.to_owned(), number))
            })
            .transpose()
    }

    /// Removes a message and gives its bytes.
    fn remove(&mut self, channel: &str, (time, name, number): &Position) -> Result<u64> {
        let name = name.as_str();
        self.times.remove((channel, *time, name, *number))?;
        let removed = self.messages.remove((channel, name, *time, *number))?;
        let bytes = removed.map_or(0, |record| size(channel, name, record.value()));
        let left = self.names.get((channel, name))?.map_or(0, |count| count.value().saturating_sub(1));
        if left == 0 {
            self.names.remove((channel, name))?;
        } else {
            self.names.insert((channel, name), left)?;
        }
        Ok(bytes)
    }

    /// Removes everything of a channel.
    pub(super) fn clear(&mut self, tenant: &str, channel: &str) -> Result<()> {
        let after = format!("{channel}\0");
        let after = after.as_str();
        self.messages.retain_in((channel, "", i64::MIN, 0)..(after, "", i64::MIN, 0), |_, _| false)?;
        self.times.retain_in((channel, i64::MIN, "", 0)..(after, i64::MIN, "", 0), |_, _| false)?;
        self.names.retain_in((channel, "")..(after, ""), |_, _| false)?;
        let Usage { messages, bytes, .. } = self.usage(tenant, channel)?;
        self.account(tenant, channel, |usage| usage.lose(messages, bytes))?;
        self.usage.remove((tenant, channel))?;
        Ok(())
    }

    fn usage(&self, tenant: &str, channel: &str) -> Result<Usage> {
        Ok(self.usage.get((tenant, channel))?.map_or_else(Usage::default, |row| used(row.value())))
    }

    /// Changes what a channel, and with it its tenant, uses.
    pub(super) fn account(&mut self, tenant: &str, channel: &str, change: impl Fn(&mut Usage)) -> Result<()> {
        for channel in [channel, ""] {
            let mut usage = self.usage(tenant, channel)?;
            change(&mut usage);
            self.usage.insert((tenant, channel), (usage.messages, usage.bytes, usage.dropped))?;
        }
        Ok(())
    }

    pub(super) fn channels(&self, tenant: &str) -> Result<Vec<String>> {
        let after = format!("{tenant}\0");
        let mut channels = Vec::new();
        for row in self.usage.range((tenant, "\0")..(after.as_str(), ""))? {
            channels.push(row?.0.value().1.to_owned());
        }
        Ok(channels)
    }

    /// Every tenant, with each of its channels and the empty one.
    pub(super) fn places(&self) -> Result<Vec<(String, String)>> {
        let mut places = Vec::new();
        for row in self.usage.iter()? {
            let (key, _) = row?;
            let (tenant, channel) = key.value();
            places.push((tenant.to_owned(), channel.to_owned()));
        }
        Ok(places)
    }
}

impl Usage {
    fn lose(&mut self, messages: u64, bytes: u64) {
        self.messages = self.messages.saturating_sub(messages);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

pub(super) const fn used((messages, bytes, dropped): (u64, u64, u64)) -> Usage {
    Usage { messages, bytes, dropped }
}

/// The bytes of a message: its record, and its key in two tables.
const fn size(channel: &str, name: &str, record: &[u8]) -> u64 {
    let key = channel.len() + name.len() + size_of::<i64>() + size_of::<u32>();
    (2 * key + record.len()) as u64
}

pub(super) fn microseconds(seconds: f64) -> i64 {
    (seconds * 1e6).round() as i64
}
