//! Reading messages back: which ones, in which order, a page at a time with bounded work for each.

use super::{
    summary,
    tables::{MESSAGES, NAMES, TIMES, microseconds},
};
use crate::{
    Error, Result,
    api::{Aggregate, MessageQuery, Order, Page},
    objects::unreadable,
    senml::{self, Record},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use redb::ReadTransaction;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{cmp::Ordering, collections::BinaryHeap};

const DEFAULT_LIMIT: usize = 100;
const LARGEST_LIMIT: usize = 1000;

/// The most names that are read side by side. More of them are read by time, past the names that are not wanted.
const SIDE_BY_SIDE: usize = 256;

/// The most rows that are looked at for one page.
pub(super) const LOOKED_AT: usize = 20_000;

/// Which names are wanted.
#[derive(Debug)]
pub(super) enum Names {
    One(String),
    /// All that start so.
    From(String),
}

impl Names {
    fn read(text: Option<&str>) -> Result<Self> {
        match text.map(|text| (text, text.strip_suffix('*').unwrap_or(text))) {
            None => Ok(Self::From(String::new())),
            Some((_, name)) if name.contains('*') => {
                Err(Error::invalid("name: use a name, or the start of names with one \"*\" at its end"))
            }
            Some((text, name)) if text == name => Ok(Self::One(name.to_owned())),
            Some((_, start)) => Ok(Self::From(start.to_owned())),
        }
    }

    /// Where in the alphabet they start, and whether a name is one of them.
    pub(super) fn start(&self) -> &str {
        match self {
            Self::One(name) | Self::From(name) => name,
        }
    }

    pub(super) fn include(&self, name: &str) -> bool {
        match self {
            Self::One(only) => name == only,
            Self::From(start) => name.starts_with(start),
        }
    }
}

/// Which messages are wanted; times are in microseconds, from the first up to and without the second.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) channel: &'a str,
    pub(super) names: Names,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) order: Order,
    pub(super) limit: usize,
}

/// Reads a page of a channel. What is from before `since`, in seconds, is not there.
pub(crate) fn page(txn: &ReadTransaction, channel: &str, query: &MessageQuery, since: f64) -> Result<Page> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=LARGEST_LIMIT).contains(&limit) {
        return Err(Error::invalid(format!("limit: use 1 to {LARGEST_LIMIT}")));
    }
    let wanted = Wanted {
        channel,
        names: Names::read(query.name.as_deref())?,
        from: time("from", query.from)?.unwrap_or(i64::MIN).max(microseconds(since)),
        to: time("to", query.to)?.unwrap_or(i64::MAX),
        order: query.order.unwrap_or_default(),
        limit,
    };
    match (query.interval, query.aggregate) {
        (None, None) => messages(txn, &wanted, query.cursor.as_deref().map(read_cursor).transpose()?),
        (Some(interval), aggregate) => {
            let cursor = query.cursor.as_deref().map(read_cursor).transpose()?;
            summary::page(txn, &wanted, interval, aggregate.unwrap_or(Aggregate::Mean), cursor)
        }
        (None, Some(_)) => Err(Error::invalid("interval: an aggregate needs one, such as 60s")),
    }
}

fn time(parameter: &str, seconds: Option<f64>) -> Result<Option<i64>> {
    match seconds {
        Some(seconds) if !seconds.is_finite() => {
            Err(Error::invalid(format!("{parameter}: use seconds since the Unix epoch")))
        }
        seconds => Ok(seconds.map(microseconds)),
    }
}

pub(super) fn write_cursor(cursor: &impl Serialize) -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).map_err(unreadable)?))
}

fn read_cursor<T: DeserializeOwned>(text: &str) -> Result<T> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| Error::invalid("cursor: use the one that a page of this query gave as its next"))
}

/// Where a message is among all of a channel: pages go up or down by time, then name, then number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Position(i64, String, u32);

impl Position {
    /// The first time and number of this name that are not before the position, or `past` it.
    fn within(&self, name: &str, past: bool) -> (i64, u32) {
        let Self(time, at, number) = self;
        match name.cmp(at) {
            Ordering::Less => (time.saturating_add(1), 0),
            Ordering::Equal => (*time, number.saturating_add(u32::from(past))),
            Ordering::Greater => (*time, 0),
        }
    }
}

type Row = (Position, Vec<u8>);
type Rows<'a> = Box<dyn Iterator<Item = Result<Row>> + 'a>;

/// A page of messages as they are, after the position where the one before ended.
fn messages(txn: &ReadTransaction, wanted: &Wanted<'_>, after: Option<Position>) -> Result<Page> {
    let names = match &wanted.names {
        Names::One(name) => Some(vec![name.clone()]),
        Names::From(start) => few_names(txn, wanted.channel, start)?,
    };
    match names {
        Some(names) => side_by_side(txn, wanted, names, after),
        None => by_time(txn, wanted, after),
    }
}

/// The names of a channel that start so, unless they are too many to be read side by side.
fn few_names(txn: &ReadTransaction, channel: &str, start: &str) -> Result<Option<Vec<String>>> {
    let mut found = Vec::new();
    for row in txn.open_table(NAMES)?.range((channel, start)..)? {
        let (key, _) = row?;
        let (of, name) = key.value();
        if of != channel || !name.starts_with(start) {
            break;
        }
        if found.len() == SIDE_BY_SIDE {
            return Ok(None);
        }
        found.push(name.to_owned());
    }
    Ok(Some(found))
}

/// The next row of one name. Of several, the one that comes first in the order is the greatest.
struct Head {
    row: Row,
    rest: usize,
    order: Order,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        let up = self.row.0.cmp(&other.row.0);
        if self.order == Order::Asc { up.reverse() } else { up }
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

/// Reads each of the names in order, always the one that comes next.
fn side_by_side(
    txn: &ReadTransaction,
    wanted: &Wanted<'_>,
    names: Vec<String>,
    after: Option<Position>,
) -> Result<Page> {
    let messages = txn.open_table(MESSAGES)?;
    let (channel, order) = (wanted.channel, wanted.order);
    let mut rests: Vec<Rows<'_>> = Vec::with_capacity(names.len());
    let mut heads = BinaryHeap::with_capacity(names.len());
    for name in names {
        let (mut start, mut end) = ((wanted.from, 0), (wanted.to, 0));
        match (&after, order) {
            (Some(after), Order::Asc) => start = start.max(after.within(&name, true)),
            (Some(after), Order::Desc) => end = end.min(after.within(&name, false)),
            (None, _) => {}
        }
        let range = (channel, name.as_str(), start.0, start.1)..(channel, name.as_str(), end.0, end.1);
        if start >= end {
            continue;
        }
        let rows = messages.range(range)?.map(|row| {
            let (key, record) = row?;
            let (_, name, time, number) = key.value();
            Ok((Position(time, name.to_owned(), number), record.value().to_vec()))
        });
        let mut rows: Rows<'_> = if order == Order::Asc { Box::new(rows) } else { Box::new(rows.rev()) };
        if let Some(row) = rows.next().transpose()? {
            heads.push(Head { row, rest: rests.len(), order });
        }
        rests.push(rows);
    }
    let mut page = Page { messages: Vec::new(), next: None };
    while let Some(Head { row: (position, record), rest, order }) = heads.pop() {
        page.messages.push(decode(&record)?);
        if let Some(row) = rests[rest].next().transpose()? {
            heads.push(Head { row, rest, order });
        }
        if page.messages.len() == wanted.limit {
            if !heads.is_empty() {
                page.next = Some(write_cursor(&position)?);
            }
            break;
        }
    }
    Ok(page)
}

/// Reads all names by time, and of those the wanted ones. It stops after [`LOOKED_AT`] rows, however few were wanted.
fn by_time(txn: &ReadTransaction, wanted: &Wanted<'_>, after: Option<Position>) -> Result<Page> {
    let (times, messages) = (txn.open_table(TIMES)?, txn.open_table(MESSAGES)?);
    let channel = wanted.channel;
    let (mut start, mut end) =
        (Position(wanted.from, String::new(), 0), Position(wanted.to, String::new(), 0));
    match (after, wanted.order) {
        (Some(Position(time, name, number)), Order::Asc) => {
            start = start.max(Position(time, name, number.saturating_add(1)));
        }
        (Some(after), Order::Desc) => end = end.min(after),
        (None, _) => {}
    }
    let mut page = Page { messages: Vec::new(), next: None };
    if start >= end {
        return Ok(page);
    }
    let range = times
        .range((channel, start.0, start.1.as_str(), start.2)..(channel, end.0, end.1.as_str(), end.2))?;
    let positions = range.map(|row| {
        let (key, _) = row?;
        let (_, time, name, number) = key.value();
        Ok(Position(time, name.to_owned(), number))
    });
    let mut positions: Box<dyn Iterator<Item = Result<Position>>> =
        if wanted.order == Order::Asc { Box::new(positions) } else { Box::new(positions.rev()) };
    let mut last = None;
    for position in positions.by_ref().take(LOOKED_AT) {
        let position = position?;
        let Position(time, name, number) = &position;
        if wanted.names.include(name)
            && let Some(record) = messages.get((channel, name.as_str(), *time, *number))?
        {
            page.messages.push(decode(record.value())?);
        }
        let full = page.messages.len() == wanted.limit;
        last = Some(position);
        if full {
            break;
        }
    }
    if let (Some(last), Some(_)) = (last, positions.next()) {
        page.next = Some(write_cursor(&last)?);
    }
    Ok(page)
}

pub(super) fn decode(record: &[u8]) -> Result<Record> {
    senml::restore(record)
}
