//! Readings on their way to exports, durable and in order.
//!
//! Each reading has a sequence number and stays until every export has acknowledged it. An export's cursor is the
//! last number it has acknowledged. Sequence numbers start again in a new data directory, so each outbox has a
//! random identifier beside them: a receiver that has seen (origin, sequence) has seen the reading.

use crate::{
    Result,
    api::{ExportStatus, OutboxStatus},
    senml::{self, Record},
};
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

const READINGS: TableDefinition<u64, &[u8]> = TableDefinition::new("outbox");
/// By export: the cursor, and how many readings were acknowledged.
const CURSORS: TableDefinition<&str, (u64, u64)> = TableDefinition::new("outbox-cursors");
/// By export: how many readings its target can never take, and why the last one cannot be sent.
const UNSENDABLE: TableDefinition<&str, (u64, &str)> = TableDefinition::new("outbox-unsendable");
const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("outbox-numbers");
const ORIGIN: TableDefinition<(), &str> = TableDefinition::new("outbox-origin");

/// The extension fields of a SenML record that carry origin and sequence. RFC 8428 section 4.4 lets readers that do
/// not know them go past. The origin is in the first record of a pack and holds for all.
pub(crate) const ORIGIN_FIELD: &str = "origin";
pub(crate) const SEQUENCE_FIELD: &str = "seq";

/// The most readings in a pack, and the most bytes: with what MQTT adds it fits a packet of 64 KiB.
pub(super) const PACK_READINGS: usize = 200;
const PACK_BYTES: usize = 56 * 1024;

/// What the extension fields add to a record, at most.
const FIELD_BYTES: usize = 32;

/// What [`NUMBERS`] holds: the last sequence number, the readings that were dropped, and the bytes of those that wait.
const SEQUENCE: &str = "sequence";
const DROPPED: &str = "dropped";
const BYTES: &str = "bytes";

/// What waits for exports at most. Past it the oldest readings are dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) readings: u64,
    /// Of records and keys.
    pub(crate) bytes: u64,
}

/// Readings for one export, ready to be written as a pack.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) records: Vec<Record>,
    pub(crate) last: u64,
}

pub(crate) fn setup(txn: &WriteTransaction) -> Result<()> {
    txn.open_table(READINGS)?;
    txn.open_table(CURSORS)?;
    txn.open_table(UNSENDABLE)?;
    weigh(txn)?;
    let mut origin = txn.open_table(ORIGIN)?;
    if origin.is_empty()? {
        origin.insert((), format!("{:032x}", rand::random::<u128>()).as_str())?;
    }
    Ok(())
}

/// Counts the bytes of an outbox that was made before they were counted.
fn weigh(txn: &WriteTransaction) -> Result<()> {
    let mut numbers = txn.open_table(NUMBERS)?;
    if numbers.get(BYTES)?.is_none() {
        let mut bytes = 0;
        for row in txn.open_table(READINGS)?.iter()? {
            bytes += size(row?.1.value());
        }
        numbers.insert(BYTES, bytes)?;
    }
    Ok(())
}

/// The bytes of a reading: its record, and its key.
const fn size(record: &[u8]) -> u64 {
    (record.len() + size_of::<u64>()) as u64
}

/// Keeps readings for the exports there are; with none, nothing is kept. Past the bounds the oldest are dropped, and it
/// tells how many.
pub(crate) fn append<'a>(
    txn: &WriteTransaction,
    records: impl Iterator<Item = &'a Record>,
    bounds: Bounds,
) -> Result<u64> {
    if txn.open_table(CURSORS)?.is_empty()? {
        return Ok(0);
    }
    let mut readings = txn.open_table(READINGS)?;
    let mut numbers = txn.open_table(NUMBERS)?;
    let (mut sequence, mut bytes) = (number(&numbers, SEQUENCE)?, number(&numbers, BYTES)?);
    for record in records {
        sequence += 1;
        let record = senml::keep(record);
        bytes += size(&record);
        readings.insert(sequence, record.as_slice())?;
    }
    numbers.insert(SEQUENCE, sequence)?;
    let (mut left, mut dropped) = (readings.len()?, 0);
    while left > bounds.readings || bytes > bounds.bytes {
        let Some((_, oldest)) = readings.pop_first()? else { break };
        bytes = bytes.saturating_sub(size(oldest.value()));
        (left, dropped) = (left - 1, dropped + 1);
    }
    numbers.insert(BYTES, bytes)?;
    if dropped > 0 {
        let before = number(&numbers, DROPPED)?;
        numbers.insert(DROPPED, before + dropped)?;
    }
    Ok(dropped)
}

/// Lets an export take part from now on. One that does already goes on where it is.
pub(crate) fn join(txn: &WriteTransaction, export: &str) -> Result<()> {
    let mut cursors = txn.open_table(CURSORS)?;
    if cursors.get(export)?.is_none() {
        cursors.insert(export, (number(&txn.open_table(NUMBERS)?, SEQUENCE)?, 0))?;
    }
    Ok(())
}

/// Forgets an export, and the readings that waited only for it.
pub(crate) fn leave(txn: &WriteTransaction, export: &str) -> Result<()> {
    txn.open_table(CURSORS)?.remove(export)?;
    txn.open_table(UNSENDABLE)?.remove(export)?;
    trim(txn)
}

/// The next readings for an export, if any, no more than `most`.
pub(crate) fn next(txn: &ReadTransaction, export: &str, most: usize) -> Result<Option<Batch>> {
    let Some((cursor, _)) = txn.open_table(CURSORS)?.get(export)?.map(|row| row.value()) else {
        return Ok(None);
    };
    let readings = txn.open_table(READINGS)?;
    let mut batch = Batch { records: Vec::new(), last: cursor };
    let mut bytes = 0;
    for row in readings.range(cursor + 1..)?.take(most.min(PACK_READINGS)) {
        let (sequence, reading) = row?;
        bytes += reading.value().len() + FIELD_BYTES;
        if bytes > PACK_BYTES && !batch.records.is_empty() {
            break;
        }
        let mut record = senml::restore(reading.value())?;
        record.extensions.insert(SEQUENCE_FIELD.to_owned(), sequence.value().into());
        batch.records.push(record);
        batch.last = sequence.value();
    }
    let Some(first) = batch.records.first_mut() else { return Ok(None) };
    if let Some(origin) = txn.open_table(ORIGIN)?.get(())? {
        first.extensions.insert(ORIGIN_FIELD.to_owned(), origin.value().into());
    }
    Ok(Some(batch))
}

/// What an export is done with.
#[derive(Debug)]
pub(crate) struct Passed {
    /// The last reading.
    pub(crate) last: u64,
    /// How many its target has acknowledged.
    pub(crate) acknowledged: u64,
    /// How many its target can never take, and why not.
    pub(crate) unsendable: u64,
    pub(crate) why: Option<String>,
}

/// Notes that an export is done with everything up to a reading, and removes what every export is done with.
pub(crate) fn acknowledge(txn: &WriteTransaction, export: &str, passed: &Passed) -> Result<()> {
    {
        let mut cursors = txn.open_table(CURSORS)?;
        let Some((_, acknowledged)) = cursors.get(export)?.map(|row| row.value()) else { return Ok(()) };
        cursors.insert(export, (passed.last, acknowledged + passed.acknowledged))?;
        if let Some(why) = &passed.why {
            let mut unsendable = txn.open_table(UNSENDABLE)?;
            let before = unsendable.get(export)?.map_or(0, |row| row.value().0);
            unsendable.insert(export, (before + passed.unsendable, why.as_str()))?;
        }
    }
    trim(txn)
}

/// What tells the readings of this outbox from those of any other.
pub(crate) fn origin(txn: &ReadTransaction) -> Result<String> {
    Ok(txn.open_table(ORIGIN)?.get(())?.map_or_else(String::new, |origin| origin.value().to_owned()))
}

/// What is in the outbox, and what was dropped from it.
pub(crate) fn fill(txn: &ReadTransaction) -> Result<OutboxStatus> {
    let numbers = txn.open_table(NUMBERS)?;
    let records = txn.open_table(READINGS)?.len()?;
    Ok(OutboxStatus { records, bytes: number(&numbers, BYTES)?, dropped: number(&numbers, DROPPED)? })
}

/// How far an export is; whether it is connected is not known here.
pub(crate) fn progress(txn: &ReadTransaction, export: &str) -> Result<ExportStatus> {
    let Some((cursor, acknowledged)) = txn.open_table(CURSORS)?.get(export)?.map(|row| row.value()) else {
        return Ok(ExportStatus::default());
    };
    let (unsendable, last_unsendable) = match txn.open_table(UNSENDABLE)?.get(export)? {
        Some(row) => (row.value().0, Some(row.value().1.to_owned())),
        None => (0, None),
    };
    let readings = txn.open_table(READINGS)?;
    let before = readings.first()?.map_or(0, |(first, _)| first.value() - 1);
    let last = readings.last()?.map_or(0, |(last, _)| last.value());
    // Numbers in the outbox have no gaps, so nothing has to be counted.
    let pending = last.saturating_sub(cursor.max(before));
    Ok(ExportStatus { pending, acknowledged, unsendable, last_unsendable, ..ExportStatus::default() })
}

fn trim(txn: &WriteTransaction) -> Result<()> {
    let cursors = txn.open_table(CURSORS)?;
    let mut everyone = u64::MAX;
    for row in cursors.iter()? {
        everyone = everyone.min(row?.1.value().0);
    }
    let mut removed = 0;
    txn.open_table(READINGS)?.retain_in(..=everyone, |_, reading| {
        removed += size(reading);
        false
    })?;
    let mut numbers = txn.open_table(NUMBERS)?;
    let bytes = number(&numbers, BYTES)?.saturating_sub(removed);
    numbers.insert(BYTES, bytes)?;
    Ok(())
}

fn number(numbers: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<u64> {
    Ok(numbers.get(name)?.map_or(0, |number| number.value()))
}
