//! The bytes of an HTTP connection to a gateway: as they are, and with a login after the first line.

#![no_main]

use iotorch_fuzz::{World, contains};
use iotorch_lite::{api::DeviceProtocol, fuzzing::Http};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::LazyLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

/// The name and the password of the device, as Basic authentication writes them.
const LOGIN: &[u8] = b"ZDE6c2VjcmV0IG9mIGQx";

static WORLD: LazyLock<(World, Http)> = LazyLock::new(|| {
    let world = World::start(DeviceProtocol::Http);
    let http = Http::new(world.gateway());
    (world, http)
});

fuzz_target!(|bytes: &[u8]| {
    converse(bytes);
    if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = bytes.split_at(end + 1);
        converse(&[line, b"Authorization: Basic ", LOGIN, b"\r\n", rest].concat());
    }
});

/// Sends bytes until the gateway ends the connection.
fn converse(bytes: &[u8]) {
    let (world, http) = &*WORLD;
    let (received, status) = world.run(async {
        let (client, gateway) = duplex(16 * 1024);
        let (mut reading, mut writing) = split(client);
        let mut received = Vec::new();
        // The gateway may hang up before it has read everything.
        let (_, _, read) =
            tokio::join!(http.serve(gateway), writing.write_all(bytes), reading.read_to_end(&mut received));
        read.expect("memory can be read");
        received
    });
    let answers = answers(&received);
    let logged_in = contains(bytes, LOGIN);
    assert!(logged_in || status.last_seen.is_none(), "a message was taken without a login");
    let mut rejected = 0;
    for Answer { status, body } in answers {
        assert!((100..500).contains(&status), "{status}");
        let allowed = logged_in || !(200..300).contains(&status) || contains(bytes, b"/health");
        assert!(allowed, "{status} without a login");
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        rejected += body["rejected"].as_array().map_or(0, Vec::len) as u64;
    }
    assert!(rejected >= status.rejected.min(1), "what is rejected is said");
}

struct Answer<'a> {
    status: u16,
    body: &'a [u8],
}

/// The answers on a connection (RFC 9112).
fn answers(mut bytes: &[u8]) -> Vec<Answer<'_>> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head ends");
        let head = str::from_utf8(&bytes[..end]).expect("a head is text");
        bytes = &bytes[end + 4..];
        let (line, fields) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "));
        let status = status.and_then(|rest| rest.get(..3)?.parse().ok()).expect("an answer has a status");
        let mut length = None;
        for field in fields.split("\r\n").filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once(": ").expect("a field has a name");
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.parse().expect("a length is a number"));
            }
        }
        let has_none = status < 200 || status == 204;
        let length: usize = if has_none { 0 } else { length.expect("a body has a length") };
        // To a HEAD there is a length without a body.
        let length = if bytes.is_empty() || bytes.starts_with(b"HTTP/1.") { 0 } else { length };
        let (body, rest) = bytes.split_at_checked(length).expect("a body is as long as it says");
        answers.push(Answer { status, body });
        bytes = rest;
    }
    answers
}
