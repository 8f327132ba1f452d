//! Packets of MQTT 3.1, 3.1.1 and 5, as far as adapters need them.
//!
//! No crate that is at hand reads all three on the side of a server: the one for MQTT 5 refuses 3.1, which these adapters let in.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The largest packet that is read, in bytes.
const LARGEST: usize = 1024 * 1024;

/// The level of MQTT 5 in CONNECT.
pub(crate) const V5: u8 = 5;

/// What a client sends.
#[derive(Debug, PartialEq)]
pub(crate) enum Packet {
    Connect { level: u8, client: String, user: Option<String>, password: Option<String> },
    Publish { topic: String, qos: u8, retain: bool, id: u16, payload: Vec<u8> },
    PubAck,
    PubRec(u16),
    PubRel(u16),
    PubComp,
    Subscribe { id: u16, filters: Vec<(String, u8)> },
    Unsubscribe { id: u16, filters: Vec<String> },
    PingReq,
    Disconnect,
}

/// Reads a packet of a client that speaks MQTT of this level.
///
/// # Errors
/// The connection has ended, or what was sent is no packet.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin), level: u8) -> io::Result<Packet> {
    let head = stream.read_u8().await?;
    let mut length = 0;
    for place in 0..4 {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            break;
        }
        if place == 3 {
            return Err(malformed());
        }
    }
    if length > LARGEST {
        return Err(malformed());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    parse(head, &body, level).ok_or_else(malformed)
}

fn malformed() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

fn parse(head: u8, body: &[u8], level: u8) -> Option<Packet> {
    let mut rest = Rest(body);
    let packet = match head >> 4 {
        1 => connect(&mut rest)?,
        3 => {
            let topic = rest.text()?;
            let qos = (head >> 1) & 3;
            let id = if qos > 0 { rest.number()? } else { 0 };
            rest.skip_properties(level)?;
            Packet::Publish { topic, qos, retain: head & 1 == 1, id, payload: rest.0.to_vec() }
        }
        4 => Packet::PubAck,
        5 => Packet::PubRec(rest.number()?),
        6 => Packet::PubRel(rest.number()?),
        7 => Packet::PubComp,
        8 => {
            let id = rest.number()?;
            rest.skip_properties(level)?;
            let mut filters = Vec::new();
            while !rest.0.is_empty() {
                filters.push((rest.text()?, rest.byte()? & 3));
            }
            Packet::Subscribe { id, filters }
        }
        10 => {
            let id = rest.number()?;
            rest.skip_properties(level)?;
            let mut filters = Vec::new();
            while !rest.0.is_empty() {
                filters.push(rest.text()?);
            }
            Packet::Unsubscribe { id, filters }
        }
        12 => Packet::PingReq,
        14 => Packet::Disconnect,
        _ => return None,
    };
    Some(packet)
}

fn connect(rest: &mut Rest<'_>) -> Option<Packet> {
    let (name, level) = (rest.text()?, rest.byte()?);
    if !matches!((name.as_str(), level), ("MQIsdp", 3) | ("MQTT", 4 | V5)) {
        return None;
    }
    let flags = rest.byte()?;
    // How long the client may be silent: nobody is cut off here.
    rest.number()?;
    rest.skip_properties(level)?;
    let client = rest.text()?;
    if flags & 0x04 != 0 {
        rest.skip_properties(level)?;
        rest.bytes()?;
        rest.bytes()?;
    }
    let user = if flags & 0x80 != 0 { Some(rest.text()?) } else { None };
    let password = if flags & 0x40 != 0 { Some(rest.text()?) } else { None };
    Some(Packet::Connect { level, client, user, password })
}

/// What of a packet is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length.into())
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    /// Properties, which only MQTT 5 has.
    fn skip_properties(&mut self, level: u8) -> Option<()> {
        if level != V5 {
            return Some(());
        }
        let mut length = 0;
        for place in 0..4 {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
        }
        self.take(length).map(|_| ())
    }
}

/// What a server sends to a client that speaks MQTT of this level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing(pub(crate) u8);

impl Writing {
    fn is_v5(self) -> bool {
        self.0 == V5
    }

    /// The client is let in.
    pub(crate) fn connack(self) -> Vec<u8> {
        if self.is_v5() { vec![0x20, 3, 0, 0, 0] } else { vec![0x20, 2, 0, 0] }
    }

    /// An answer to a packet of a publication: its first byte, its number, and with MQTT 5 why, unless all is well.
    pub(crate) fn answer(self, head: u8, id: u16, reason: u8) -> Vec<u8> {
        let [high, low] = id.to_be_bytes();
        if self.is_v5() && reason != 0 { vec![head, 3, high, low, reason] } else { vec![head, 2, high, low] }
    }

    /// The answer to a subscription, or to its end: a code for each filter.
    pub(crate) fn answers(self, head: u8, id: u16, codes: &[u8]) -> Vec<u8> {
        let mut body = id.to_be_bytes().to_vec();
        if self.is_v5() {
            body.push(0);
        }
        body.extend(codes);
        packet(head, &body)
    }

    /// A message.
    pub(crate) fn publish(self, topic: &str, qos: u8, retain: bool, id: u16, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(topic.len()).unwrap_or(u16::MAX);
        let mut body = length.to_be_bytes().to_vec();
        body.extend(topic.as_bytes());
        if qos > 0 {
            body.extend(id.to_be_bytes());
        }
        if self.is_v5() {
            body.push(0);
        }
        body.extend(payload);
        packet(0x30 | (qos << 1) | u8::from(retain), &body)
    }
}

/// A packet with the length of its body.
fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![head];
    let mut length = body.len();
    loop {
        let byte = u8::try_from(length & 0x7f).unwrap_or_default();
        length >>= 7;
        if length == 0 {
            packet.push(byte);
            break;
        }
        packet.push(byte | 0x80);
    }
    packet.extend(body);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_of_each_version_is_read() {
        for (name, level) in [("MQIsdp", 3), ("MQTT", 4), ("MQTT", V5)] {
            let mut body = vec![0, u8::try_from(name.len()).unwrap()];
            body.extend(name.as_bytes());
            body.extend([level, 0xc2, 0, 60]);
            if level == V5 {
                body.push(0);
            }
            body.extend(b"\0\x02id\0\x01u\0\x01p");
            let wanted = Packet::Connect {
                level,
                client: "id".to_owned(),
                user: Some("u".to_owned()),
                password: Some("p".to_owned()),
            };
            assert_eq!(parse(0x10, &body, 4), Some(wanted));
        }
    }

    #[test]
    fn what_is_cut_off_is_no_packet() {
        let body = b"\0\x04MQTT\x04\xc2\0\x3c\0\x02id\0\x01u\0\x01p";
        assert!(parse(0x10, body, 4).is_some());
        for length in 0..body.len() {
            assert_eq!(parse(0x10, &body[..length], 4), None, "{length}");
        }
    }

    #[test]
    fn a_long_message_has_a_long_length() {
        let written = Writing(4).publish("t", 1, false, 7, &[0; 200]);
        assert_eq!(written[..8], [0x32, 0xcd, 0x01, 0, 1, b't', 0, 7]);
        assert_eq!(written.len(), 3 + 205);
    }
}
