//! Who is at which address, without DTLS.

use super::World;
use crate::{
    access::Access,
    coap::peers::{Delivered, Peers, Place},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

const HELLO: u8 = 1;
const KEY_EXCHANGE: u8 = 16;

/// A record of a handshake in clear.
fn handshake(kind: u8) -> Vec<u8> {
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30];
    record.extend([kind; 30]);
    record
}

fn protected() -> Vec<u8> {
    let mut record = vec![23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 30];
    record.extend([0; 30]);
    record
}

fn peers(most_sessions: usize) -> Arc<Peers> {
    Arc::new(Peers::new(most_sessions, CancellationToken::new()))
}

fn at(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn begin(peers: &Arc<Peers>, port: u16) -> Place {
    match peers.deliver(at(port), &handshake(HELLO)) {
        Delivered::New(place) => place,
        other => panic!("a hello begins a handshake: {other:?}"),
    }
}

fn waiting(place: &mut Place) -> usize {
    let datagrams = place.datagrams.as_mut().unwrap();
    std::iter::from_fn(|| datagrams.try_recv().ok()).count()
}

fn session(world: &World, peers: &Arc<Peers>, port: u16) -> Result<Place, String> {
    let place = begin(peers, port);
    peers.verified(at(port), place.number());
    let key = world.key("d1").unwrap();
    place.establish(world, "d1", &key, b"last flight".to_vec()).map(|()| place)
}

#[tokio::test]
async fn a_flood_of_hellos_takes_no_more_than_its_room_and_ends_no_handshake_that_has_got_on() {
    let peers = peers(10);
    let honest = begin(&peers, 1);
    peers.verified(at(1), honest.number());
    let begun = |port| match peers.deliver(at(port), &handshake(HELLO)) {
        Delivered::New(place) => Some(place),
        _ => None,
    };
    let flood: Vec<_> = (1000..3000).filter_map(begun).collect();
    assert!(flood.len() < 1000, "the others are dropped at once, and come again");
    let going_on = flood.iter().filter(|place| !place.stop.is_cancelled()).count();
    assert_eq!(going_on, 255);
    assert!(!honest.stop.is_cancelled());
    assert!(!flood.last().unwrap().stop.is_cancelled(), "the newest has its chance");
}

#[tokio::test]
async fn datagrams_of_a_handshake_are_limited_and_those_that_fit_nowhere_are_dropped() {
    let peers = peers(10);
    let mut place = begin(&peers, 1);
    assert_eq!(waiting(&mut place), 1);
    let mut taken = 0;
    for _ in 0..1000 {
        peers.deliver(at(1), &handshake(KEY_EXCHANGE));
        taken += waiting(&mut place);
    }
    assert_eq!(taken, 64);
    assert!(matches!(peers.deliver(at(2), &handshake(KEY_EXCHANGE)), Delivered::Done));
    assert!(matches!(peers.deliver(at(2), &protected()), Delivered::Done));
}

#[tokio::test]
async fn a_session_stays_until_a_new_handshake_at_its_address_has_shown_that_it_is_there() {
    let (world, peers) = (World::new().await, peers(10));
    let mut old = session(&world, &peers, 1).unwrap();
    waiting(&mut old);
    let new = begin(&peers, 1);
    peers.deliver(at(1), &protected());
    assert_eq!(waiting(&mut old), 1);
    assert!(!old.stop.is_cancelled());
    peers.verified(at(1), new.number());
    assert!(old.stop.is_cancelled());
    drop(old);
    assert!(new.establish(&*world, "d1", &world.key("d1").unwrap(), Vec::new()).is_ok());
}

#[tokio::test]
async fn a_client_that_missed_the_last_flight_gets_it_again_some_times() {
    let (world, peers) = (World::new().await, peers(10));
    let mut place = session(&world, &peers, 1).unwrap();
    waiting(&mut place);
    let repeated = (0..100).filter(|_| {
        let delivered = peers.deliver(at(1), &handshake(KEY_EXCHANGE));
        matches!(delivered, Delivered::Again(flight) if flight == b"last flight")
    });
    assert_eq!(repeated.count(), 8);
    assert_eq!(waiting(&mut place), 0, "DTLS does not see what is not protected any more");
}

#[tokio::test]
async fn a_key_that_was_removed_or_changed_during_the_handshake_makes_no_session() {
    let (world, peers) = (World::new().await, peers(10));
    let place = begin(&peers, 1);
    let key = world.key("d1").unwrap();
    world.add_key("d1", 1, "another secret");
    assert_eq!(place.establish(&*world, "d1", &key, Vec::new()).unwrap_err(), "the key is no longer valid");
    world.keys.lock().unwrap().clear();
    assert_eq!(place.establish(&*world, "d1", &key, Vec::new()).unwrap_err(), "there is no such device");
}

#[tokio::test]
async fn a_user_keeps_its_last_sessions_and_all_users_together_have_a_limit() {
    let (world, peers) = (World::new().await, peers(5));
    let mut sessions = Vec::new();
    for port in 1..=5 {
        sessions.push(session(&world, &peers, port).unwrap());
    }
    assert_eq!(session(&world, &peers, 6).unwrap_err(), "there are 5 sessions already");
    drop(sessions);
    let peers = self::peers(100);
    let mut sessions = Vec::new();
    for port in 1..=10 {
        sessions.push(session(&world, &peers, port).unwrap());
    }
    let ended: Vec<_> = sessions.iter().map(|place| place.stop.is_cancelled()).collect();
    assert_eq!(ended, [vec![true; 2], vec![false; 8]].concat());
}

#[tokio::test]
async fn sessions_end_by_user_and_generation() {
    let (world, peers) = (World::new().await, peers(10));
    let place = session(&world, &peers, 1).unwrap();
    peers.disconnect("d2", None);
    peers.disconnect("d1", Some(2));
    assert!(!place.stop.is_cancelled());
    peers.disconnect("d1", Some(1));
    assert!(place.stop.is_cancelled());
}
