//! Downsampling: one record for each name and interval, the names in alphabetical order and the intervals of each in
//! the order asked for.

use super::{
    reading::{LOOKED_AT, Names, Wanted, decode, write_cursor},
    sum::Sum,
    tables::{MESSAGES, NAMES},
};
use crate::{
    Result,
    api::{Aggregate, Interval, Order, Page},
    senml::{Record, Value},
};
use redb::{ReadOnlyTable, ReadTransaction};
use serde::{Deserialize, Serialize};

/// The least time in seconds of a record that is not relative to now (RFC 8428 section 4.5.3).
const LEAST_TIME: f64 = 268_435_456.0;

type Messages = ReadOnlyTable<(&'static str, &'static str, i64, u32), &'static [u8]>;

/// Where a page ended: the next row to look at, and what is known of the interval it ended in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Cursor {
    name: String,
    time: i64,
    number: u32,
    open: Option<Group>,
}

/// What is known of one interval of one name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Group {
    /// In microseconds.
    start: i64,
    count: u64,
    sum: Sum,
    min: f64,
    max: f64,
    /// The unit of the first record that has one.
    unit: Option<String>,
}

impl Group {
    fn new(start: i64) -> Self {
        Self { start, count: 0, sum: Sum::default(), min: f64::MAX, max: f64::MIN, unit: None }
    }

    fn add(&mut self, number: f64, unit: Option<String>) {
        self.count += 1;
        self.sum.add(number);
        self.min = self.min.min(number);
        self.max = self.max.max(number);
        self.unit = self.unit.take().or(unit);
    }

    /// The record of the interval, unless nothing in it could be aggregated.
    fn record(self, name: &str, aggregate: Aggregate) -> Option<Record> {
        if self.count == 0 {
            return None;
        }
        let value = match aggregate {
            Aggregate::Count => self.count as f64,
            Aggregate::Sum => self.sum.total(),
            Aggregate::Min => self.min,
            Aggregate::Max => self.max,
            _ => self.sum.mean(self.count),
        };
        let unit = self.unit.filter(|_| aggregate != Aggregate::Count);
        Some(Record { unit, ..Record::new(name, seconds(self.start), Value::Number(value)) })
    }
}

/// Reads a page of aggregates. It looks at no more than [`LOOKED_AT`] rows.
pub(super) fn page(
    txn: &ReadTransaction,
    wanted: &Wanted<'_>,
    interval: Interval,
    aggregate: Aggregate,
    cursor: Option<Cursor>,
) -> Result<Page> {
    let messages = txn.open_table(MESSAGES)?;
    let mut reader = Reader {
        messages: &messages,
        wanted,
        interval: interval.microseconds(),
        aggregate,
        left: LOOKED_AT,
        page: Page { messages: Vec::new(), next: None },
    };
    if let Names::One(name) = &wanted.names {
        reader.read(name, cursor)?;
        return Ok(reader.page);
    }
    let mut cursor = cursor.filter(|cursor| cursor.name.as_str() >= wanted.names.start());
    let first = cursor.as_ref().map_or_else(|| wanted.names.start(), |cursor| &cursor.name).to_owned();
    for row in txn.open_table(NAMES)?.range((wanted.channel, first.as_str())..)? {
        let (key, _) = row?;
        let (channel, name) = key.value();
        if channel != wanted.channel || !wanted.names.include(name) {
            break;
        }
        let continued = cursor.take().filter(|cursor| cursor.name == name);
        if reader.read(name, continued)? {
            break;
        }
    }
    Ok(reader.page)
}

struct Reader<'a> {
    messages: &'a Messages,
    wanted: &'a Wanted<'a>,
    /// In microseconds.
    interval: i64,
    aggregate: Aggregate,
    /// How many rows may still be looked at.
    left: usize,
    page: Page,
}

impl Reader<'_> {
    /// Reads the intervals of one name, and tells whether the page has ended with it.
    fn read(&mut self, name: &str, cursor: Option<Cursor>) -> Result<bool> {
        if self.left == 0 {
            let time = if self.ascending() { self.wanted.from } else { self.wanted.to };
            return self.end(Cursor { name: name.to_owned(), time, number: 0, open: None });
        }
        // A name without messages costs a look as well.
        self.left -= 1;
        match self.aggregate {
            Aggregate::First | Aggregate::Last => self.ends(name, cursor),
            _ => self.folds(name, cursor),
        }
    }

    /// Aggregates that need every message of an interval.
    fn folds(&mut self, name: &str, cursor: Option<Cursor>) -> Result<bool> {
        let (start, end) = self.range(cursor.as_ref());
        let mut open = cursor.and_then(|cursor| cursor.open);
        if start < end {
            let key = |(time, number)| (self.wanted.channel, name, time, number);
            let mut rows = self.messages.range(key(start)..key(end))?;
            while let Some(row) = if self.ascending() { rows.next() } else { rows.next_back() } {
                let (key, record) = row?;
                let (_, _, time, number) = key.value();
                let interval_start = self.start_of(time);
                if let Some(closed) = open.take_if(|group| group.start != interval_start) {
                    self.page.messages.extend(closed.record(name, self.aggregate));
                }
                if self.left == 0 || self.page.messages.len() >= self.wanted.limit {
                    return self.end(Cursor { name: name.to_owned(), time, number, open });
                }
                self.left -= 1;
                let group = open.get_or_insert_with(|| Group::new(interval_start));
                let record = decode(record.value())?;
                match record.value {
                    Some(Value::Number(number)) => group.add(number, record.unit),
                    _ if self.aggregate == Aggregate::Count => group.add(0.0, None),
                    _ => {}
                }
            }
        }
        if let Some(closed) = open {
            self.page.messages.extend(closed.record(name, self.aggregate));
        }
        Ok(false)
    }

    /// The first or last message of each interval; those between are not looked at.
    fn ends(&mut self, name: &str, cursor: Option<Cursor>) -> Result<bool> {
        let (mut start, mut end) = self.range(cursor.as_ref());
        let key = |(time, number)| (self.wanted.channel, name, time, number);
        while start < end {
            let mut rows = self.messages.range(key(start)..key(end))?;
            let Some(row) = (if self.ascending() { rows.next() } else { rows.next_back() }) else { break };
            let (_, _, time, number) = row?.0.value();
            if self.left == 0 || self.page.messages.len() >= self.wanted.limit {
                return self.end(Cursor { name: name.to_owned(), time, number, open: None });
            }
            self.left -= 1;
            let from = (self.start_of(time), 0);
            let to = (from.0.saturating_add(self.interval), 0);
            let mut inside = self.messages.range(key(from.max(start))..key(to.min(end)))?;
            let first = self.aggregate == Aggregate::First;
            if let Some(row) = if first { inside.next() } else { inside.next_back() } {
                let record = Record { time: seconds(from.0), ..decode(row?.1.value())? };
                self.page.messages.push(record);
            }
            if self.ascending() {
                start = to;
            } else {
                end = from;
            }
        }
        Ok(false)
    }

    /// The rows still to be read of the name that the cursor is in, as times and numbers.
    fn range(&self, cursor: Option<&Cursor>) -> ((i64, u32), (i64, u32)) {
        let (mut start, mut end) = ((self.wanted.from, 0), (self.wanted.to, 0));
        if let Some(Cursor { time, number, .. }) = cursor {
            if self.ascending() {
                start = start.max((*time, *number));
            } else {
                end = end.min((*time, number.saturating_add(1)));
            }
        }
        (start, end)
    }

    fn end(&mut self, cursor: Cursor) -> Result<bool> {
        self.page.next = Some(write_cursor(&cursor)?);
        Ok(true)
    }

    fn start_of(&self, time: i64) -> i64 {
        time.div_euclid(self.interval).saturating_mul(self.interval)
    }

    const fn ascending(&self) -> bool {
        matches!(self.wanted.order, Order::Asc)
    }
}

fn seconds(start: i64) -> f64 {
    (start as f64 / 1e6).max(LEAST_TIME)
}
