//! What a datagram of DTLS 1.2 is, as far as it can be told without keys (RFC 6347 section 4.1).
//!
//! What cannot be part of a handshake or session is dropped before it costs anything.

/// A header of a record: type, version, epoch, sequence number, length.
const HEADER: usize = 13;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CLIENT_KEY_EXCHANGE: u8 = 16;

/// A client's largest flight is three records: key exchange, change of cipher, finished. Some split what is long.
const RECORDS: usize = 8;

/// An explicit nonce of 8 bytes, at least one byte, and the 8 bytes of the shortest tag (RFC 6655 section 3).
const SHORTEST_PROTECTED: usize = 8 + 1 + 8;

/// A datagram from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// It asks for a handshake, or answers the server's cookie.
    Hello,
    /// The client's last flight of a handshake.
    LastFlight,
    /// An alert in clear: the end of a handshake.
    Alert,
    /// Another part of a handshake.
    Handshake,
    /// Encrypted data or an encrypted alert.
    Protected,
}

/// A datagram to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// The client has returned the cookie, so it receives at its address.
    ServerHello,
    /// The server's last flight of a handshake.
    LastFlight,
    Other,
}

struct Record<'a> {
    kind: u8,
    epoch: u16,
    body: &'a [u8],
}

/// Tells what a client sent; `None` if no client would send it.
pub(super) fn received(datagram: &[u8]) -> Option<Received> {
    let records = records(datagram)?;
    let first = records.first()?;
    if records.iter().all(is_protected_data) {
        return Some(Received::Protected);
    }
    if !records.iter().all(is_part_of_handshake) {
        return None;
    }
    match (first.kind, first.epoch, first.body.first().copied()) {
        (HANDSHAKE, 0, Some(CLIENT_HELLO)) => Some(Received::Hello),
        (HANDSHAKE, 0, Some(CLIENT_KEY_EXCHANGE)) => Some(Received::LastFlight),
        (ALERT, 0, _) => Some(Received::Alert),
        _ => Some(Received::Handshake),
    }
}

/// Tells what the server sends.
pub(super) fn sent(datagram: &[u8]) -> Sent {
    match datagram.first() {
        Some(&HANDSHAKE) if datagram.get(HEADER) == Some(&SERVER_HELLO) => Sent::ServerHello,
        Some(&CHANGE_CIPHER_SPEC) => Sent::LastFlight,
        _ => Sent::Other,
    }
}

/// The records that a datagram consists of, if it consists of records.
fn records(mut datagram: &[u8]) -> Option<Vec<Record<'_>>> {
    let mut records = Vec::new();
    while !datagram.is_empty() {
        let (header, rest) = datagram.split_at_checked(HEADER)?;
        // Version 1.0 is what a first hello says for the sake of old servers.
        if !matches!(header[1..3], [0xfe, 0xfd | 0xff]) || records.len() == RECORDS {
            return None;
        }
        let length = u16::from_be_bytes([header[11], header[12]]).into();
        let (body, rest) = rest.split_at_checked(length)?;
        records.push(Record { kind: header[0], epoch: u16::from_be_bytes([header[3], header[4]]), body });
        datagram = rest;
    }
    Some(records)
}

fn is_protected_data(record: &Record<'_>) -> bool {
    record.epoch == 1
        && matches!(record.kind, ALERT | APPLICATION_DATA)
        && record.body.len() >= SHORTEST_PROTECTED
}

fn is_part_of_handshake(record: &Record<'_>) -> bool {
    match record.epoch {
        0 => matches!(record.kind, CHANGE_CIPHER_SPEC | ALERT | HANDSHAKE),
        1 => record.kind == HANDSHAKE && record.body.len() >= SHORTEST_PROTECTED || is_protected_data(record),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        let length = u8::try_from(body.len()).unwrap();
        let mut record = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 7, 0, length];
        record.extend_from_slice(body);
        record
    }

    #[test]
    fn what_clients_send_is_told_apart() {
        let hello = record(HANDSHAKE, 0, &[CLIENT_HELLO; 40]);
        assert_eq!(received(&hello), Some(Received::Hello));
        let parts = [
            record(HANDSHAKE, 0, &[CLIENT_KEY_EXCHANGE; 20]),
            record(CHANGE_CIPHER_SPEC, 0, &[1]),
            record(HANDSHAKE, 1, &[9; 40]),
        ];
        assert_eq!(received(&parts.concat()), Some(Received::LastFlight));
        assert_eq!(received(&parts[2]), Some(Received::Handshake));
        assert_eq!(received(&record(APPLICATION_DATA, 1, &[0; 30])), Some(Received::Protected));
        assert_eq!(received(&record(ALERT, 1, &[0; 18])), Some(Received::Protected));
        assert_eq!(received(&record(ALERT, 0, &[2, 40])), Some(Received::Alert));
    }

    #[test]
    fn what_no_client_sends_is_dropped() {
        let hello = record(HANDSHAKE, 0, &[CLIENT_HELLO; 40]);
        let unprotected = record(APPLICATION_DATA, 0, &[0; 30]);
        let too_short = record(APPLICATION_DATA, 1, &[0; 16]);
        let next_epoch = record(APPLICATION_DATA, 2, &[0; 30]);
        let other_version = [&[HANDSHAKE, 3, 3], &hello[3..]].concat();
        for datagram in [
            &b""[..],
            b"GET / HTTP/1.1\r\n\r\n",
            &[0; 1500],
            &hello[..hello.len() - 1],
            &[&hello[..], b"more"].concat(),
            &hello.repeat(RECORDS + 1),
            &unprotected,
            &too_short,
            &next_epoch,
            &other_version,
        ] {
            assert_eq!(received(datagram), None, "{datagram:?}");
        }
    }

    #[test]
    fn flights_of_the_server_are_told_apart() {
        assert_eq!(sent(&record(HANDSHAKE, 0, &[SERVER_HELLO; 40])), Sent::ServerHello);
        assert_eq!(sent(&record(HANDSHAKE, 0, &[3; 40])), Sent::Other);
        assert_eq!(sent(&record(CHANGE_CIPHER_SPEC, 0, &[1])), Sent::LastFlight);
        assert_eq!(sent(&record(ALERT, 0, &[2, 115])), Sent::Other);
    }
}
