//! What attackers say: the beginnings of MQTT 3.1.1, of HTTP/1.1 and of DTLS 1.2.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::RngExt as _;

use super::Known;

/// The most random bytes at a time.
const NOISE: usize = 4096;
/// The most bytes of a DTLS record's and of a handshake message's head (RFC 6347 sections 4.1 and 4.2.2).
const HEADS: usize = 13 + 12;

/// An MQTT client's first packet (CONNECT).
pub(super) fn connect(user: &str, password: &str) -> Vec<u8> {
    let mut body = field("MQTT");
    // Version 3.1.1, with user name, password and a clean session, kept alive for a minute.
    body.extend([4, 0b1100_0010, 0, 60]);
    // Two connections with one client identifier end each other; so each has its own, of those that the user may have.
    let client = format!("{user}:{:08x}", rand::random::<u32>());
    [&*client, user, password].into_iter().for_each(|text| body.extend(field(text)));
    packet(0x10, &body)
}

/// An MQTT publication at QoS 1.
pub(super) fn publish(topic: &str, message: &str) -> Vec<u8> {
    let mut body = field(topic);
    body.extend([0, 1]);
    body.extend(message.as_bytes());
    packet(0x32, &body)
}

fn field(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut rest = body.len();
    loop {
        let digit = (rest % 128) as u8;
        rest /= 128;
        packet.push(if rest > 0 { digit | 0x80 } else { digit });
        if rest == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

/// An HTTP request that posts a message.
pub(super) fn post(Known { user, password, path, message }: &Known) -> Vec<u8> {
    let login = STANDARD.encode(format!("{user}:{password}"));
    let length = message.len();
    format!(
        "POST /{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\nContent-Length: {length}\r\n\r\n{message}"
    )
    .into_bytes()
}

/// An HTTP request with a header that never ends.
pub(super) fn endless_request() -> Vec<u8> {
    let mut request = b"POST /devices/d/temperature HTTP/1.1\r\nHost: x\r\nX-Header: ".to_vec();
    request.resize(NOISE, b'a');
    request
}

/// An MQTT packet (CONNECT) that announces more than it brings.
pub(super) fn endless_connect() -> Vec<u8> {
    let mut packet = connect(&"u".repeat(NOISE), "p");
    packet.truncate(NOISE);
    packet
}

/// The first message of a DTLS handshake (ClientHello), with the server's cookie once it has given one.
pub(super) fn hello(cookie: &[u8]) -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend(rand::random::<[u8; 32]>());
    // No session to take up again; the cookie; TLS_PSK_WITH_AES_128_CCM_8; no compression.
    body.extend([0, u8::try_from(cookie.len()).unwrap_or(u8::MAX)]);
    body.extend(cookie);
    body.extend([0, 2, 0xc0, 0xa8, 1, 0]);
    fragment(&body, 0, body.len())
}

/// A datagram with one byte of a first message.
pub(super) fn hello_byte(at: usize) -> Vec<u8> {
    let whole = hello(&[]);
    fragment(&whole[HEADS..], at % (whole.len() - HEADS), 1)
}

/// A part of a handshake message in a record of its own (RFC 6347 section 4.2.3).
fn fragment(body: &[u8], from: usize, length: usize) -> Vec<u8> {
    let three = |number: usize| (u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes()[1..]).to_vec();
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0];
    record.extend(u16::try_from(12 + length).unwrap_or(u16::MAX).to_be_bytes());
    record.push(1);
    record.extend(three(body.len()));
    record.extend([0, 0]);
    record.extend(three(from));
    record.extend(three(length));
    record.extend(&body[from..from + length]);
    record
}

/// The cookie in the server's answer to a first message (HelloVerifyRequest).
pub(super) fn cookie(answer: &[u8]) -> Option<&[u8]> {
    let after_version = answer.get(HEADS + 2..)?;
    let (length, rest) = after_version.split_first()?;
    rest.get(..usize::from(*length))
}

/// A datagram that says it is a DTLS record, with random bytes in it.
pub(super) fn noisy_record() -> Vec<u8> {
    let mut rng = rand::rng();
    let noise = noise();
    let noise = &noise[..noise.len().min(1_000)];
    let mut record = vec![rng.random_range(20..24), 0xfe, 0xfd, 0, rng.random_range(0..2)];
    record.extend(rng.random::<[u8; 6]>());
    record.extend(u16::try_from(noise.len()).unwrap_or(u16::MAX).to_be_bytes());
    record.extend(noise);
    record
}

/// Random bytes.
pub(super) fn noise() -> Vec<u8> {
    let mut rng = rand::rng();
    let length = rng.random_range(1..NOISE);
    (0..length).map(|_| rng.random()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_mqtt_say_how_long_they_are() {
        assert_eq!(publish("a/b", "21.5"), b"\x32\x0b\0\x03a/b\0\x0121.5");
        let long = connect(&"u".repeat(200), "p");
        assert_eq!(long[..3], [0x10, 0xaa, 0x03]);
        assert_eq!(long.len(), 3 + 0x2a + 3 * 128);
    }

    #[test]
    fn a_cookie_is_found_behind_the_heads_and_the_version() {
        let mut answer = vec![0; HEADS];
        answer.extend([0xfe, 0xff, 3, 1, 2, 3]);
        assert_eq!(cookie(&answer), Some(&[1, 2, 3][..]));
        assert_eq!(cookie(&answer[..HEADS + 4]), None);
    }
}
