//! What is said in a session, in virtual time and without a network.

use super::{World, code, post, request};
use crate::{
    Limits,
    access::Access,
    coap::{conversation::Conversation, message},
};
use coap_lite::{CoapOption, MessageType, Packet, RequestType};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

const COMMANDS: &str = "devices/d1/commands";
const LIMIT: usize = 4096;

async fn conversation() -> (Arc<World>, Conversation) {
    let world = World::new().await;
    let access = Arc::clone(&world) as Arc<dyn Access>;
    (world, Conversation::new(access, "d1".to_owned(), LIMIT))
}

fn packet(datagram: Option<Vec<u8>>) -> Packet {
    Packet::from_bytes(&datagram.unwrap()).unwrap()
}

fn json(packet: &Packet) -> Value {
    serde_json::from_slice(&packet.payload).unwrap()
}

fn number(packet: &Packet, option: CoapOption) -> Option<u32> {
    let value = packet.get_first_option(option)?;
    Some(value.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_twice_is_carried_out_once_and_answered_alike() {
    let (world, mut conversation) = conversation().await;
    let message = post("devices/d1/temperature", 5, b"21.5");
    let first = conversation.receive(&message).await.unwrap();
    assert_eq!(conversation.receive(&message).await.unwrap(), first);
    let unconfirmed = request(RequestType::Put, "devices/d1", 6).not_confirmable().payload(b"{}").bytes();
    assert_eq!(code(&packet(conversation.receive(&unconfirmed).await)), "2.04");
    assert_eq!(conversation.receive(&unconfirmed).await, None);
    let published = world.published.lock().unwrap().clone();
    let expected = [("devices/d1/temperature", &b"21.5"[..]), ("devices/d1", b"{}")];
    assert_eq!(published, expected.map(|(topic, payload)| (topic.to_owned(), payload.to_vec())));
}

#[tokio::test(start_paused = true)]
async fn what_was_rejected_is_told_in_one_block_if_nothing_was_accepted() {
    let (world, mut conversation) = conversation().await;
    world.taken.lock().unwrap().rejected = vec!["\"a\" is not part of the profile".to_owned(); 100];
    let in_part = packet(conversation.receive(&post("devices/d1", 1, b"x")).await);
    assert_eq!(code(&in_part), "2.04");
    assert!(in_part.get_option(CoapOption::Block2).is_some(), "the rest is in further blocks");
    world.taken.lock().unwrap().accepted = 0;
    let nothing = packet(conversation.receive(&post("devices/d1", 2, b"x")).await);
    assert_eq!(code(&nothing), "4.22");
    let rejected = json(&nothing)["rejected"].as_array().unwrap().clone();
    assert!(nothing.payload.len() <= 1024 && rejected.len() > 10);
    assert_eq!(rejected.last().unwrap(), &format!("and {} more", 101 - rejected.len()));
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_an_answer_to_a_message_is_fetched_block_by_block() {
    let (world, mut conversation) = conversation().await;
    world.taken.lock().unwrap().rejected = vec!["no number".to_owned(); 200];
    let mut body = Vec::new();
    for block in 0.. {
        let wanted = request(RequestType::Post, "devices/d1", block)
            .option(CoapOption::Block2, u32::from(block) << 4 | 2);
        let part = packet(conversation.receive(&wanted.bytes()).await);
        body.extend_from_slice(&part.payload);
        let encoded = number(&part, CoapOption::Block2).unwrap();
        assert_eq!(encoded >> 4, u32::from(block));
        if encoded & 8 == 0 {
            break;
        }
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["rejected"].as_array().unwrap().len(), 200);
    assert_eq!(world.published.lock().unwrap().len(), 1);
    let gone = request(RequestType::Post, "devices/d1", 999).option(CoapOption::Block2, 1 << 4);
    assert_eq!(code(&packet(conversation.receive(&gone.bytes()).await)), "4.08");
}

#[tokio::test(start_paused = true)]
async fn an_answer_fits_in_a_datagram_whatever_the_path_is() {
    let (_world, mut conversation) = conversation().await;
    let segment = "\u{1}".repeat(200);
    for (number, start) in (0..).zip(["devices/d2", "elsewhere", "devices/d1/commands"]) {
        let path = format!("{start}/{segment}/{segment}/{segment}/{segment}");
        for (number, method) in
            (10 * number..).zip([RequestType::Post, RequestType::Get, RequestType::Delete])
        {
            let answer = conversation.receive(&request(method, &path, number).bytes()).await.unwrap();
            assert!(answer.len() <= 1152, "{} bytes", answer.len());
            assert_eq!(packet(Some(answer)).get_option(CoapOption::Block2), None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_very_many_rejections_the_first_are_told() {
    let (world, mut conversation) = conversation().await;
    world.taken.lock().unwrap().rejected = vec!["no number".to_owned(); 100_000];
    let first = packet(conversation.receive(&post("devices/d1", 1, b"x")).await);
    assert!(number(&first, CoapOption::Size2).unwrap() < 64 * 1024);
}

fn block1(number: u16, block: u32, more: bool, payload: &[u8]) -> Vec<u8> {
    let encoded = block << 4 | u32::from(more) << 3 | 2;
    request(RequestType::Post, "devices/d1", number)
        .option(CoapOption::Block1, encoded)
        .payload(payload)
        .bytes()
}

#[tokio::test(start_paused = true)]
async fn a_body_in_blocks_is_stored_as_one() {
    let (world, mut conversation) = conversation().await;
    for (number, block, more, said) in [(1, 0, true, "2.31"), (2, 1, true, "2.31"), (3, 2, false, "2.04")] {
        let length = if more { 64 } else { 10 };
        let datagram = block1(number, block, more, &vec![b'x'; length]);
        assert_eq!(code(&packet(conversation.receive(&datagram).await)), said);
    }
    assert_eq!(world.published.lock().unwrap()[0].1.len(), 138);
}

#[tokio::test(start_paused = true)]
async fn a_body_with_a_gap_or_too_large_or_late_is_not_stored() {
    let (world, mut conversation) = conversation().await;
    conversation.receive(&block1(1, 0, true, &[b'x'; 64])).await;
    let gap = packet(conversation.receive(&block1(2, 2, false, b"x")).await);
    assert_eq!(code(&gap), "4.08");
    let wrong_length = packet(conversation.receive(&block1(3, 0, true, b"x")).await);
    assert_eq!(code(&wrong_length), "4.00");
    let too_large = packet(conversation.receive(&block1(4, 64, true, &[b'x'; 64])).await);
    assert_eq!((code(&too_large).as_str(), number(&too_large, CoapOption::Size1)), ("4.13", Some(4096)));
    assert_eq!(world.last_refusal("d1").unwrap(), "its message is too big");
    conversation.receive(&block1(5, 0, true, &[b'x'; 64])).await;
    tokio::time::advance(Duration::from_secs(300)).await;
    assert!(conversation.due().unwrap() <= Instant::now());
    conversation.tick();
    assert_eq!(conversation.due(), None);
    let late = packet(conversation.receive(&block1(6, 1, false, b"x")).await);
    assert_eq!(code(&late), "4.08");
    assert!(world.published.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_its_own_or_not_there_is_refused() {
    let (world, mut conversation) = conversation().await;
    let mut number = 0;
    let mut said = async |method, path| {
        number += 1;
        code(&packet(conversation.receive(&request(method, path, number).bytes()).await))
    };
    assert_eq!(said(RequestType::Post, "devices/d2/x").await, "4.03");
    assert_eq!(world.last_refusal("d1").unwrap(), "published to \"devices/d2/x\", which is not its own");
    assert_eq!(said(RequestType::Get, "devices/d2/commands").await, "4.03");
    assert_eq!(said(RequestType::Delete, "devices/d2/commands/1").await, "4.03");
    assert_eq!(said(RequestType::Get, "devices/d1/temperature").await, "4.05");
    assert_eq!(said(RequestType::Get, "elsewhere").await, "4.04");
    assert_eq!(said(RequestType::Delete, "devices/d1").await, "4.05");
    assert_eq!(said(RequestType::Fetch, "devices/d1").await, "4.05");
    assert_eq!(said(RequestType::Delete, "devices/d1/commands/7").await, "4.04");
    let unknown_format = request(RequestType::Post, "devices/d1", 90).option(CoapOption::ContentFormat, 60);
    assert_eq!(code(&packet(conversation.receive(&unknown_format.bytes()).await)), "4.15");
    let not_acceptable = request(RequestType::Get, COMMANDS, 91).option(CoapOption::Accept, 60);
    assert_eq!(code(&packet(conversation.receive(&not_acceptable.bytes()).await)), "4.06");
    assert!(world.published.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_client_that_sends_too_fast_is_told_when_to_go_on() {
    let world = World::with(&Limits::builder().rate(0.1).build()).await;
    let mut conversation = Conversation::new(Arc::clone(&world) as Arc<dyn Access>, "d1".to_owned(), LIMIT);
    assert_eq!(code(&packet(conversation.receive(&post("devices/d1", 1, b"1")).await)), "2.04");
    let too_fast = packet(conversation.receive(&post("devices/d1", 2, b"1")).await);
    assert_eq!(code(&too_fast), "4.29");
    assert_eq!(number(&too_fast, CoapOption::MaxAge), Some(10));
}

fn observe(number: u16) -> Vec<u8> {
    request(RequestType::Get, COMMANDS, number).option(CoapOption::Observe, 0).bytes()
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_of_each_change_of_its_commands() {
    let (world, mut conversation) = conversation().await;
    let registered = packet(conversation.receive(&observe(1)).await);
    assert_eq!(
        (json(&registered), number(&registered, CoapOption::Observe)),
        (Value::from(Vec::<u8>::new()), Some(0))
    );
    assert_eq!(conversation.changed(), None, "nothing has changed");

    world.order(0.5, 60.0).await;
    let told = packet(conversation.changed());
    assert_eq!(told.header.get_type(), MessageType::Confirmable);
    assert_eq!((told.get_token(), json(&told)[0]["value"].as_f64()), (&[7][..], Some(0.5)));
    world.order(0.75, 60.0).await;
    assert_eq!(conversation.changed(), None, "one notification at a time");
    let acknowledgement = message::empty(MessageType::Acknowledgement, told.header.message_id);
    let both = packet(conversation.receive(&acknowledgement).await);
    assert_eq!((json(&both).as_array().unwrap().len(), number(&both, CoapOption::Observe)), (2, Some(2)));

    let done = request(RequestType::Delete, "devices/d1/commands/1", 2).bytes();
    assert_eq!(code(&packet(conversation.receive(&done).await)), "2.02");
    let again = request(RequestType::Delete, "devices/d1/commands/1", 3).bytes();
    assert_eq!(code(&packet(conversation.receive(&again).await)), "2.02");
    let reset = message::empty(MessageType::Reset, both.header.message_id);
    assert_eq!(conversation.receive(&reset).await, None);
    assert!(!conversation.is_observing(), "the client does not want to be told");
}

#[tokio::test(start_paused = true)]
async fn a_notification_that_is_not_acknowledged_is_sent_again_with_the_newest_and_given_up() {
    let (world, mut conversation) = conversation().await;
    conversation.receive(&observe(1)).await;
    world.order(0.25, 600.0).await;
    let first = packet(conversation.changed());
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(packet(conversation.tick()), first);
    world.order(0.5, 600.0).await;
    tokio::time::advance(Duration::from_secs(6)).await;
    let newer = packet(conversation.tick());
    assert_eq!(json(&newer).as_array().unwrap().len(), 2);
    let mut sent = 0;
    while conversation.is_observing() {
        let due = conversation.due().unwrap();
        tokio::time::advance(due - Instant::now()).await;
        sent += usize::from(conversation.tick().is_some());
    }
    assert_eq!(sent, 2, "the first, four times again, and no more");
    assert_eq!(conversation.due(), None);
}

#[tokio::test]
async fn a_command_that_expires_is_a_change() {
    let (world, mut conversation) = conversation().await;
    world.order(0.5, 0.05).await;
    let registered = packet(conversation.receive(&observe(1)).await);
    assert_eq!(json(&registered).as_array().unwrap().len(), 1);
    // The clock of expiry is not that of the wait, and may be behind by a moment.
    let told = loop {
        tokio::time::sleep_until(conversation.due().unwrap()).await;
        if let Some(told) = conversation.tick() {
            break told;
        }
    };
    assert_eq!(json(&packet(Some(told))), Value::from(Vec::<u8>::new()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ends_its_observation_is_not_told_any_more() {
    let (world, mut conversation) = conversation().await;
    conversation.receive(&observe(1)).await;
    let other = request(RequestType::Get, COMMANDS, 2).token(8).option(CoapOption::Observe, 1).bytes();
    conversation.receive(&other).await;
    assert!(conversation.is_observing(), "it was for another token");
    let end = request(RequestType::Get, COMMANDS, 3).option(CoapOption::Observe, 1).bytes();
    assert_eq!(number(&packet(conversation.receive(&end).await), CoapOption::Observe), None);
    world.order(0.5, 60.0).await;
    assert_eq!((conversation.is_observing(), conversation.changed()), (false, None));
}

#[tokio::test(start_paused = true)]
async fn a_list_of_commands_longer_than_a_block_is_read_block_by_block() {
    let (world, mut conversation) = conversation().await;
    for _ in 0..20 {
        world.order(0.5, 60.0).await;
    }
    let first = packet(conversation.receive(&observe(1)).await);
    let size = number(&first, CoapOption::Size2).unwrap();
    let mut body = first.payload.clone();
    world.order(0.75, 60.0).await;
    for block in 1.. {
        let wanted = request(RequestType::Get, COMMANDS, block + 1)
            .option(CoapOption::Block2, u32::from(block) << 4 | 6);
        let part = packet(conversation.receive(&wanted.bytes()).await);
        assert_eq!(part.get_option(CoapOption::ETag), first.get_option(CoapOption::ETag));
        body.extend_from_slice(&part.payload);
        if number(&part, CoapOption::Block2).unwrap() & 8 == 0 {
            break;
        }
    }
    assert_eq!(body.len(), size as usize);
    let list: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 20, "as it was when the first block was read");
}

#[tokio::test(start_paused = true)]
async fn what_there_is_is_listed() {
    let (_world, mut conversation) = conversation().await;
    let links = packet(conversation.receive(&request(RequestType::Get, ".well-known/core", 1).bytes()).await);
    assert_eq!(number(&links, CoapOption::ContentFormat), Some(40));
    let links = String::from_utf8(links.payload).unwrap();
    assert_eq!(links, "</devices/d1>;ct=\"0 50 110 112\",</devices/d1/commands>;ct=50;obs");
}

#[tokio::test(start_paused = true)]
async fn a_bad_option_is_answered_only_where_an_answer_is_waited_for() {
    let (_world, mut conversation) = conversation().await;
    let bad = || request(RequestType::Get, COMMANDS, 1).option(CoapOption::IfMatch, 1);
    assert_eq!(conversation.receive(&bad().not_confirmable().bytes()).await, None);
    assert_eq!(code(&packet(conversation.receive(&bad().bytes()).await)), "4.02");
    assert_eq!(conversation.receive(&[0x40, 0, 0, 9]).await.unwrap(), [0x70, 0, 0, 9], "a ping");
}
