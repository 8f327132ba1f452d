//! What becomes of datagrams before DTLS: which begin a handshake, belong to one or to a session, and are dropped.

#![no_main]

use iotorch_fuzz::{World, steps};
use iotorch_lite::{api::DeviceProtocol, fuzzing::Crowd};
use libfuzzer_sys::fuzz_target;
use std::{collections::HashMap, sync::LazyLock};

/// The most sessions, handshakes, datagrams that wait for one client, and times that a flight is sent again.
const SESSIONS: usize = 4;
const HANDSHAKES: usize = 256;
const WAITING: usize = 16;
const REPEATS: usize = 8;

static WORLD: LazyLock<World> = LazyLock::new(|| World::start(DeviceProtocol::Coap));

fuzz_target!(|input: &[u8]| {
    let mut crowd = Crowd::new(WORLD.gateway(), SESSIONS);
    // By client: the last flight of its session, and how often it may be sent again.
    let mut flights = HashMap::new();
    let mut ports = Vec::new();
    for (what, with) in steps(input) {
        let port = u16::from(what >> 3);
        ports.push(port);
        match what % 8 {
            0..4 => {
                if let Some(again) = crowd.deliver(port, with) {
                    let (flight, left): &mut (Vec<u8>, usize) =
                        flights.get_mut(&port).expect("it has a session");
                    *left = left.checked_sub(1).expect("a flight is not sent again for ever");
                    assert_eq!(again, *flight);
                }
            }
            4 => crowd.sent(port, with),
            5 => match crowd.establish(port, with) {
                Ok(()) => drop(flights.insert(port, (with.to_vec(), REPEATS))),
                Err(why) => assert!(!why.is_empty()),
            },
            6 if with.is_empty() => crowd.leave(port),
            6 => assert!(crowd.take(port).len() <= WAITING),
            _ => crowd.disconnect(with.first().map(|generation| u64::from(*generation))),
        }
        let (handshakes, sessions, places) = crowd.here();
        assert!(handshakes <= HANDSHAKES && sessions <= SESSIONS && handshakes + sessions <= places);
    }
    for port in ports {
        crowd.leave(port);
    }
    assert_eq!(crowd.here(), (0, 0, 0));
});
