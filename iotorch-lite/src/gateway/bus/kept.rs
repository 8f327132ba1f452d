//! What a gateway keeps of its bus: the events that it has taken, so that one that comes again is known, and counts.

use super::edgex::{self, Event};
use crate::{
    Result,
    access::Taken,
    api::BusStatus,
    config::BusFormat,
    gateway::outbox::{self, Bounds},
};
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use sha2::{Digest, Sha256};

/// By digest of an event: its number. By number: the digest.
const EVENTS: TableDefinition<&[u8], u64> = TableDefinition::new("bus-events");
const ORDER: TableDefinition<u64, &[u8]> = TableDefinition::new("bus-events-order");
const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("bus-numbers");
/// What is subscribed to in the session at the broker.
const TOPICS: TableDefinition<&str, ()> = TableDefinition::new("bus-topics");
const REFUSAL: TableDefinition<(), &str> = TableDefinition::new("bus-refusal");

/// How many events are remembered. It is more than brokers send before they wait for acknowledgements.
const REMEMBERED: u64 = 4096;

/// The bytes of a digest that are kept.
const DIGEST: usize = 16;

const MESSAGES: &str = "messages";
const TAKEN: &str = "taken";
const AS_TEXT: &str = "as-text";
const REFUSED: &str = "refused";
const REPEATED: &str = "repeated";

pub(crate) fn setup(txn: &WriteTransaction) -> Result<()> {
    txn.open_table(EVENTS)?;
    txn.open_table(ORDER)?;
    txn.open_table(NUMBERS)?;
    txn.open_table(REFUSAL)?;
    txn.open_table(TOPICS)?;
    Ok(())
}

/// What may be subscribed to in the session at the broker, beside these topics.
pub(super) fn other_topics(txn: &ReadTransaction, topics: &[String]) -> Result<Vec<String>> {
    let mut others = Vec::new();
    for row in txn.open_table(TOPICS)?.iter()? {
        let topic = row?.0.value().to_owned();
        others.extend((!topics.contains(&topic)).then_some(topic));
    }
    Ok(others)
}

/// Notes that these topics may be subscribed to from now on and, if they are the `only` ones, no others.
pub(super) fn note_topics(txn: &WriteTransaction, topics: &[String], only: bool) -> Result<()> {
    let mut known = txn.open_table(TOPICS)?;
    if only {
        known.retain(|_, ()| false)?;
    }
    for topic in topics {
        known.insert(topic.as_str(), ())?;
    }
    Ok(())
}

/// Keeps the readings of messages, each event once. It gives what became of each message, and how many older readings were
/// dropped.
pub(super) fn take(
    txn: &WriteTransaction,
    format: BusFormat,
    messages: &[Vec<u8>],
    now: f64,
    bounds: Bounds,
) -> Result<(Vec<Taken>, u64)> {
    let (mut all, mut records) = (Vec::with_capacity(messages.len()), Vec::new());
    let (mut as_text, mut repeated) = (0, 0);
    for message in messages {
        let BusFormat::Edgex = format;
        let event = match edgex::read(message, now) {
            Ok(event) => event,
            Err(why) => {
                all.push(Taken { accepted: 0, rejected: vec![why] });
                continue;
            }
        };
        if is_known(txn, &event, message)? {
            repeated += 1;
            all.push(Taken::default());
            continue;
        }
        let mut taken = Taken::default();
        for reading in event.readings {
            match reading {
                Ok(reading) => {
                    taken.accepted += 1;
                    as_text += u64::from(reading.as_text);
                    records.push(reading.record);
                }
                Err(why) => taken.rejected.push(why),
            }
        }
        all.push(taken);
    }
    let dropped = outbox::append(txn, records.iter(), bounds)?;
    let mut numbers = txn.open_table(NUMBERS)?;
    let refused = all.iter().map(|taken| taken.rejected.len() as u64).sum();
    for (name, more) in [
        (MESSAGES, messages.len() as u64),
        (TAKEN, records.len() as u64),
        (AS_TEXT, as_text),
        (REFUSED, refused),
        (REPEATED, repeated),
    ] {
        if more > 0 {
            let before = number(&numbers, name)?;
            numbers.insert(name, before + more)?;
        }
    }
    if let Some(why) = all.iter().rev().find_map(|taken| taken.rejected.last()) {
        txn.open_table(REFUSAL)?.insert((), why.as_str())?;
    }
    Ok((all, dropped))
}

/// Whether an event has come before; from now on it has.
fn is_known(txn: &WriteTransaction, event: &Event, message: &[u8]) -> Result<bool> {
    // One without an identifier is known by all that it says, its times included.
    let digest = Sha256::digest(event.id.as_deref().map_or(message, str::as_bytes));
    let digest = &digest[..DIGEST];
    let mut events = txn.open_table(EVENTS)?;
    if events.get(digest)?.is_some() {
        return Ok(true);
    }
    let mut order = txn.open_table(ORDER)?;
    let next = order.last()?.map_or(0, |(last, _)| last.value() + 1);
    events.insert(digest, next)?;
    order.insert(next, digest)?;
    if order.len()? > REMEMBERED
        && let Some((_, oldest)) = order.pop_first()?
    {
        events.remove(oldest.value())?;
    }
    Ok(false)
}

/// How the bus is doing; whether it is connected is not known here.
pub(super) fn status(txn: &ReadTransaction) -> Result<BusStatus> {
    let numbers = txn.open_table(NUMBERS)?;
    Ok(BusStatus {
        messages: number(&numbers, MESSAGES)?,
        taken: number(&numbers, TAKEN)?,
        as_text: number(&numbers, AS_TEXT)?,
        refused: number(&numbers, REFUSED)?,
        repeated: number(&numbers, REPEATED)?,
        last_refusal: txn.open_table(REFUSAL)?.get(())?.map(|row| row.value().to_owned()),
        ..BusStatus::default()
    })
}

fn number(numbers: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<u64> {
    Ok(numbers.get(name)?.map_or(0, |number| number.value()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::{Database, ReadableDatabase, backends::InMemoryBackend};

    const BOUNDS: Bounds = Bounds { readings: 100, bytes: 100_000 };

    fn event(id: &str, value: &str) -> Vec<u8> {
        let reading = format!(r#"{{"resourceName":"r","valueType":"Int64","value":"{value}"}}"#);
        let id = if id.is_empty() { String::new() } else { format!(r#""id":"{id}","#) };
        format!(r#"{{"payload":{{"event":{{{id}"deviceName":"d","readings":[{reading}]}}}}}}"#).into_bytes()
    }

    fn write<T>(database: &Database, work: impl FnOnce(&WriteTransaction) -> Result<T>) -> T {
        let txn = database.begin_write().unwrap();
        let given = work(&txn).unwrap();
        txn.commit().unwrap();
        given
    }

    fn database() -> Database {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        write(&database, |txn| {
            setup(txn)?;
            outbox::setup(txn)?;
            outbox::join(txn, "main")
        });
        database
    }

    fn accepted(database: &Database, messages: &[Vec<u8>]) -> Vec<u64> {
        let all = write(database, |txn| take(txn, BusFormat::Edgex, messages, 1_700_000_000.0, BOUNDS)).0;
        all.iter().map(|taken| taken.accepted).collect()
    }

    #[test]
    fn an_event_that_comes_again_is_known_by_its_identifier_or_by_all_that_it_says() {
        let database = database();
        let messages = [event("e1", "1"), event("e2", "2"), event("e1", "1"), event("", "3")];
        assert_eq!(accepted(&database, &messages), [1, 1, 0, 1]);
        assert_eq!(accepted(&database, &messages), [0, 0, 0, 0]);
        assert_eq!(accepted(&database, &[b"no event".to_vec(), event("e3", "9007199254740993")]), [0, 1]);
        let status = status(&database.begin_read().unwrap()).unwrap();
        let expected = BusStatus {
            messages: 10,
            taken: 4,
            as_text: 1,
            refused: 1,
            repeated: 5,
            last_refusal: status.last_refusal.clone(),
            ..BusStatus::default()
        };
        assert_eq!(status, expected);
        assert!(status.last_refusal.unwrap().starts_with("it is no event"));
    }

    #[test]
    fn the_events_that_are_remembered_are_bounded() {
        let database = database();
        let messages: Vec<_> = (0..=REMEMBERED).map(|id| event(&id.to_string(), "1")).collect();
        for some in messages.chunks(500) {
            assert!(accepted(&database, some).iter().all(|accepted| *accepted == 1));
        }
        assert_eq!(accepted(&database, &[messages[1].clone(), messages[0].clone()]), [0, 1]);
        let txn = database.begin_read().unwrap();
        assert_eq!(txn.open_table(EVENTS).unwrap().len().unwrap(), REMEMBERED);
        assert_eq!(txn.open_table(ORDER).unwrap().len().unwrap(), REMEMBERED);
    }

    #[test]
    fn topics_of_earlier_settings_are_known_until_they_are_given_up() {
        let database = database();
        let topics = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        write(&database, |txn| note_topics(txn, &topics(&["a", "b"]), true));
        write(&database, |txn| note_topics(txn, &topics(&["b", "c"]), false));
        let others = |mine: &[&str]| other_topics(&database.begin_read().unwrap(), &topics(mine)).unwrap();
        assert_eq!(others(&["b", "c"]), ["a"]);
        write(&database, |txn| note_topics(txn, &topics(&["b", "c"]), true));
        assert_eq!(others(&["b", "c"]), topics(&[]));
    }
}
