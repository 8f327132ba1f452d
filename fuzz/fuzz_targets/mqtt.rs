//! The bytes of an MQTT connection to a gateway.

#![no_main]

use iotorch_fuzz::{World, contains};
use iotorch_lite::{
    api::DeviceProtocol,
    fuzzing::{Mqtt, PASSWORD},
};
use libfuzzer_sys::fuzz_target;
use std::{
    net::TcpStream as StdStream,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::LazyLock,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::yield_now,
    time::sleep,
};

/// How often the gateway gets its turn before the client hangs up.
const TURNS: usize = 50;

static WORLD: LazyLock<(World, Mqtt)> = LazyLock::new(|| {
    let world = World::start(DeviceProtocol::Mqtt);
    let mqtt = Mqtt::new(world.gateway());
    (world, mqtt)
});

fuzz_target!(|bytes: &[u8]| {
    let (world, mqtt) = &*WORLD;
    let (received, status) = world.run(async {
        let (client, gateway) = pair();
        let (mut reading, mut writing) = client.into_split();
        let mut received = Vec::new();
        let sending = async {
            // The gateway may hang up before it has read everything.
            let _ = writing.write_all(bytes).await;
            for _ in 0..TURNS {
                yield_now().await;
            }
            sleep(Duration::from_millis(1)).await;
            let _ = writing.shutdown().await;
        };
        // The connection is reset where the gateway has not read everything.
        let _ = tokio::join!(mqtt.serve(gateway), sending, reading.read_to_end(&mut received));
        received
    });
    let packets = packets(&received);
    assert!(contains(bytes, PASSWORD.as_bytes()) || status.last_seen.is_none(), "it has not logged in");
    // The types of packets that a server sends (MQTT 5 section 2.1.2), and that for a connection first.
    assert!(packets.iter().all(|kind| matches!(kind, 2..=7 | 9 | 11 | 13..=15)), "{packets:?}");
    assert!(packets.first().is_none_or(|first| matches!(first, 2 | 14 | 15)), "{packets:?}");
});

/// Both ends of a stream. It is as one over the network, but takes no port.
fn pair() -> (TcpStream, TcpStream) {
    let (one, other) = UnixStream::pair().expect("there are streams");
    (over_network(one), over_network(other))
}

fn over_network(stream: UnixStream) -> TcpStream {
    let stream = StdStream::from(OwnedFd::from(stream));
    stream.set_nonblocking(true).expect("a stream may be polled");
    TcpStream::from_std(stream).expect("a stream may be polled")
}

/// The types of the packets that the bytes consist of (MQTT 5 section 2.1).
fn packets(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some((kind, rest)) = bytes.split_first() {
        let digits = rest.iter().take(4).position(|digit| digit & 0x80 == 0).expect("a length ends") + 1;
        let (length, rest) = rest.split_at(digits);
        let length = length.iter().rev().fold(0, |length, digit| length << 7 | usize::from(digit & 0x7f));
        kinds.push(kind >> 4);
        bytes = rest.get(length..).expect("a packet is as long as it says");
    }
    kinds
}
