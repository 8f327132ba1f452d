//! Messages that a device sends again because it has not received the acknowledgement, which it cannot tell from a lost message.
//!
//! A message is known by the readings it brings, times included. What the device gave no time has that of its arrival, so it
//! always is new; what the device gave an absolute time is not, however often it is sent.

use crate::{
    Result,
    senml::{self, Record},
};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use sha2::{Digest, Sha256};

/// By device: the digests of its last messages, the oldest first.
const MESSAGES: TableDefinition<&str, &[u8]> = TableDefinition::new("device-messages");

/// The bytes of a digest that are kept.
const DIGEST: usize = 16;

/// How many messages of a device are remembered. It is more than devices send before they wait for acknowledgements.
const REMEMBERED: usize = 64;

pub(crate) fn setup(txn: &WriteTransaction) -> Result<()> {
    txn.open_table(MESSAGES)?;
    Ok(())
}

/// Whether a message with these readings has come before; from now on it has.
pub(crate) fn is_known<'a>(
    txn: &WriteTransaction,
    device: &str,
    readings: impl Iterator<Item = &'a Record> + Clone,
    now: f64,
) -> Result<bool> {
    let mut given = readings.clone().peekable();
    // What arrives now cannot have come before, and need not be remembered.
    if given.peek().is_none() || given.any(|record| record.time == now) {
        return Ok(false);
    }
    let digest = digest(readings)?;
    let mut messages = txn.open_table(MESSAGES)?;
    let mut known = messages.get(device)?.map_or_else(Vec::new, |row| row.value().to_vec());
    if known.chunks(DIGEST).any(|other| other == digest) {
        return Ok(true);
    }
    known.extend(digest);
    let oldest = known.len().saturating_sub(REMEMBERED * DIGEST);
    messages.insert(device, &known[oldest..])?;
    Ok(false)
}

/// Forgets a device.
pub(crate) fn forget(txn: &WriteTransaction, device: &str) -> Result<()> {
    txn.open_table(MESSAGES)?.remove(device)?;
    Ok(())
}

fn digest<'a>(readings: impl Iterator<Item = &'a Record>) -> Result<[u8; DIGEST]> {
    let mut hash = Sha256::new();
    for record in readings {
        // JSON has no line feed outside of its texts, and there it is escaped.
        hash.update(senml::keep(record));
        hash.update(b"\n");
    }
    let mut digest = [0; DIGEST];
    digest.copy_from_slice(&hash.finalize()[..DIGEST]);
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::senml::Value;
    use redb::{Database, backends::InMemoryBackend};

    const NOW: f64 = 1_700_000_000.0;

    fn message(time: f64, values: &[f64]) -> Vec<Record> {
        values.iter().map(|value| Record::new("d1:a", time, Value::Number(*value))).collect()
    }

    #[test]
    fn a_message_with_times_of_the_device_is_known_as_long_as_it_is_remembered() {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let txn = database.begin_write().unwrap();
        setup(&txn).unwrap();
        let known = |device, message: &[Record]| is_known(&txn, device, message.iter(), NOW).unwrap();
        let first = message(NOW - 100.0, &[1.0, 2.0]);
        assert!(!known("d1", &first) && known("d1", &first));
        assert!(!known("d2", &first), "of another device");
        assert!(!known("d1", &message(NOW - 100.0, &[2.0, 1.0])) && !known("d1", &first[..1]));
        for second in 0..REMEMBERED - 3 {
            assert!(!known("d1", &message(NOW - 200.0 - second as f64, &[1.0])));
        }
        assert!(known("d1", &first));
        assert!(!known("d1", &message(NOW - 99.0, &[1.0])));
        assert!(!known("d1", &first), "others came after it");
        forget(&txn, "d2").unwrap();
        assert!(!known("d2", &first));
    }

    #[test]
    fn what_has_the_time_of_its_arrival_is_always_new() {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let txn = database.begin_write().unwrap();
        setup(&txn).unwrap();
        let plain = [message(NOW, &[1.0]), message(NOW - 1.0, &[1.0])].concat();
        for _ in 0..2 {
            assert!(!is_known(&txn, "d1", plain.iter(), NOW).unwrap());
            assert!(!is_known(&txn, "d1", [].iter(), NOW).unwrap());
        }
    }
}
