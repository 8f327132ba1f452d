//! What a device says in a session: datagrams as they come out of DTLS, time that passes, and commands that are added.

#![no_main]

use coap_lite::{MessageClass, MessageType, Packet};
use iotorch_fuzz::{World, steps};
use iotorch_lite::{
    api::DeviceProtocol,
    fuzzing::{PACKET, Talk},
};
use libfuzzer_sys::fuzz_target;
use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
    time::Duration,
};
use tokio::time::{Instant, advance};

/// The largest datagram in bytes (RFC 7252 section 4.6).
const DATAGRAM: usize = 1152;

/// What a session may keep: the last 32 answers, a body that comes, an answer that is fetched, and what the device was told
/// of a hundred commands.
const HELD: usize = 32 * DATAGRAM + PACKET + 64 * 1024 + 32 * 1024;

static WORLD: LazyLock<World> = LazyLock::new(|| World::start(DeviceProtocol::Coap));

fuzz_target!(|input: &[u8]| {
    WORLD.run(converse(input));
});

async fn converse(input: &[u8]) {
    let gateway = WORLD.gateway();
    let (mut talk, mut said) = (Talk::new(gateway), Said::default());
    for (what, with) in steps(input) {
        match what % 8 {
            0..4 => {
                said.note(with);
                if let Some(answer) = talk.receive(with).await {
                    said.check(with, &answer);
                }
            }
            4 => {
                let seconds = with.iter().take(2).fold(0, |number, byte| number << 8 | u64::from(*byte));
                advance(Duration::from_secs(seconds % 1000)).await;
            }
            5 => gateway.order("open", (with.len() % 2 == 0).into()).await.expect("the profile allows it"),
            6 => talk.changed().iter().for_each(|told| said.check_told(told)),
            _ => talk.ask().iter().for_each(|told| said.check_told(told)),
        }
        // What is due is done once, and not due again at once.
        for turn in 0.. {
            assert!(turn < 8, "it is always due");
            if !talk.due().is_some_and(|due| due <= Instant::now()) {
                break;
            }
            talk.tick().iter().for_each(|told| said.check_told(told));
        }
        assert!(talk.held() <= HELD, "{} bytes are kept", talk.held());
    }
}

/// The tokens that the device has used, with the numbers of the messages.
#[derive(Default)]
struct Said(HashMap<u16, HashSet<Vec<u8>>>);

impl Said {
    fn note(&mut self, datagram: &[u8]) {
        if let Ok(packet) = Packet::from_bytes(datagram) {
            self.0.entry(packet.header.message_id).or_default().insert(packet.get_token().to_vec());
        }
    }

    /// Checks what follows a datagram: its answer, or what the device has not been told before.
    fn check(&self, datagram: &[u8], answer: &[u8]) {
        let packet = read(answer);
        let number = u16::from_be_bytes([datagram[2], datagram[3]]);
        match packet.header.get_type() {
            MessageType::Reset => {
                assert_eq!((packet.header.message_id, answer.len()), (number, 4));
                assert_eq!(datagram[0] >> 4, 0b01_00, "only what is confirmable is rejected");
            }
            MessageType::Acknowledgement => {
                assert_eq!(packet.header.message_id, number);
                assert!(
                    self.0[&number].contains(packet.get_token()),
                    "an answer has the token of the request"
                );
                assert!(matches!(packet.header.code, MessageClass::Response(_)));
            }
            MessageType::NonConfirmable if datagram[0] >> 4 == 0b01_01 => {
                assert!(
                    self.0[&number].contains(packet.get_token()),
                    "an answer has the token of the request"
                );
                assert!(matches!(packet.header.code, MessageClass::Response(_)));
            }
            _ => self.check_told(answer),
        }
    }

    /// Checks what the device is told without having asked now.
    fn check_told(&self, told: &[u8]) {
        let packet = read(told);
        assert!(matches!(packet.header.get_type(), MessageType::Confirmable | MessageType::NonConfirmable));
        assert!(matches!(packet.header.code, MessageClass::Response(_)));
        assert!(self.0.values().any(|tokens| tokens.contains(packet.get_token())), "it has asked once");
    }
}

fn read(datagram: &[u8]) -> Packet {
    assert!(datagram.len() <= DATAGRAM, "a datagram of {} bytes", datagram.len());
    let packet = Packet::from_bytes(datagram).expect("a datagram is a message");
    assert_eq!(packet.to_bytes_unlimited().as_deref(), Ok(datagram));
    packet
}
