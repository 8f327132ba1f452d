//! The listener and clients over DTLS.

use super::{Client, PATIENCE, World, code, post, request, socket};
use crate::coap::peers::Delivered;
use coap_lite::{CoapOption, RequestType};
use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::Arc,
    time::Instant,
};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_client_that_knows_the_key_publishes() {
    let world = World::new().await;
    let listener = world.listen(10).await;
    let client = Client::connect(listener.port(), "d1", "secret").await.unwrap();
    let answer = client.ask(&post("devices/d1/temperature", 1, b"21.5")).await;
    assert_eq!(code(&answer), "2.04");
    assert_eq!(world.published.lock().unwrap()[0].0, "devices/d1/temperature");
    listener.stop().await;
    assert!(client.receive().await.is_none(), "it is told of the end");
}

async fn refusal(world: &World, user: &str) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(reason) = world.last_refusal(user) {
            return reason;
        }
        assert!(Instant::now() < until, "a refusal of {user} in vain");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_does_not_know_the_key_is_refused_by_name_and_learns_nothing_about_names() {
    let world = World::new().await;
    let listener = world.listen(10).await;
    let wrong_key = Client::connect(listener.port(), "d1", "guess").await.err().unwrap();
    assert_eq!(refusal(&world, "d1").await, "the key is wrong");
    let unknown = Client::connect(listener.port(), "d9:2", "guess").await.err().unwrap();
    assert_eq!(refusal(&world, "d9").await, "there is no such device");
    assert_eq!(wrong_key, unknown);
    listener.stop().await;
}

#[tokio::test]
async fn whoever_guesses_too_often_waits_and_those_with_a_session_do_not() {
    let world = World::new().await;
    let listener = world.listen(10).await;
    let client = Client::connect(listener.port(), "d1", "secret").await.unwrap();
    let mut guesses = JoinSet::new();
    for _ in 0..20 {
        guesses.spawn(Client::connect(listener.port(), "d1", "guess"));
    }
    let until = Instant::now() + PATIENCE;
    let told_to_wait = |reason: &str| reason.starts_with("the key is wrong; 127.0.0.1 was refused too often");
    while !world.last_refusal("d1").is_some_and(|reason| told_to_wait(&reason)) {
        assert!(Instant::now() < until, "{:?}", world.last_refusal("d1"));
        tokio::task::yield_now().await;
    }
    guesses.shutdown().await;
    let hello = [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60][..], &[1; 60]].concat();
    let waiting = listener.peers().deliver((Ipv4Addr::LOCALHOST, 1).into(), &hello);
    assert!(matches!(waiting, Delivered::Done));
    assert_eq!(code(&client.ask(&post("devices/d1", 1, b"1")).await), "2.04");
    // Its hello is sent again until it is let in.
    let late = Client::connect(listener.port(), "d1", "secret").await.unwrap();
    assert_eq!(code(&late.ask(&post("devices/d1", 1, b"1")).await), "2.04");
    listener.stop().await;
}

#[tokio::test]
async fn stalled_handshakes_and_garbage_hold_up_nobody() {
    let world = World::new().await;
    let listener = world.listen(10).await;
    let mut hello = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60];
    hello.extend([1; 60]);
    let garbage = [&b""[..], b"\x16", b"GET / HTTP/1.1\r\n\r\n", &[0xff; 2000], &hello];
    let mut others = Vec::new();
    for _ in 0..100 {
        let other = socket(listener.port()).await;
        for datagram in garbage {
            other.send(datagram).await.unwrap();
        }
        others.push(other);
    }
    let client = Client::connect(listener.port(), "d1", "secret").await.unwrap();
    for number in 0..20 {
        for datagram in &garbage[..4] {
            client.socket.send(datagram).await.unwrap();
        }
        assert_eq!(code(&client.ask(&post("devices/d1", number, b"1")).await), "2.04");
    }
    // What is no CoAP is answered by nothing, or by a reset.
    client.send(b"\x00\x01").await;
    client.send(&[0xff; 100]).await;
    assert_eq!(code(&client.ask(&[0x40, 2, 0, 99, 0xff]).await), "0.00");
    assert_eq!(code(&client.ask(&post("devices/d1", 100, b"1")).await), "2.04");
    listener.stop().await;
}

#[tokio::test]
async fn a_client_that_begins_again_at_its_address_is_served() {
    let world = World::new().await;
    let listener = world.listen(1).await;
    let socket = socket(listener.port()).await;
    for number in 0..3 {
        let client = Client::connect_from(Arc::clone(&socket), "d1", "secret").await.unwrap();
        assert_eq!(code(&client.ask(&post("devices/d1", number, b"1")).await), "2.04");
        // As if it had lost power: the connection is not closed.
        drop(client);
    }
    listener.stop().await;
}

#[tokio::test]
async fn a_session_ends_when_its_key_is_removed_and_the_next_handshake_fails() {
    let world = World::new().await;
    let listener = world.listen(10).await;
    let client = Client::connect(listener.port(), "d1", "secret").await.unwrap();
    world.keys.lock().unwrap().clear();
    listener.peers().disconnect("d1", Some(1));
    assert!(client.receive().await.is_none());
    assert!(Client::connect(listener.port(), "d1", "secret").await.is_err());
    listener.stop().await;
}

#[tokio::test]
async fn a_client_is_notified_while_it_is_silent() {
    let world = World::new().await;
    let listener = world.listen(10).await;
    let client = Client::connect(listener.port(), "d1", "secret").await.unwrap();
    let observe = request(RequestType::Get, "devices/d1/commands", 1).option(CoapOption::Observe, 0).bytes();
    assert_eq!(client.ask(&observe).await.payload, b"[]");
    world.order(0.5, 60.0).await;
    let told = client.receive().await.unwrap();
    assert!(told.get_option(CoapOption::Observe).is_some() && told.payload.starts_with(b"[{"));
    listener.stop().await;
}

#[tokio::test]
async fn a_listener_that_has_ended_has_left_its_port() {
    let world = World::new().await;
    let listener = world.listen(10).await;
    let port = listener.port();
    let taken = world.listen(10).await;
    assert_ne!(taken.port(), port);
    let _client = Client::connect(port, "d1", "secret").await.unwrap();
    listener.stop().await;
    UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    taken.stop().await;
}
