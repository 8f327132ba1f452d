//! Messages to Mainflux, and the question whose key one is.
//!
//! What Redis knows is believed for ever: a key that was used stays good after it was changed, and mostly after its thing is deleted.

use hyper::Method;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::json;

use super::authorization;
use crate::{
    Dependency, Service,
    ask::{Answer, Ask},
    bus::Published,
    state::Known,
    world::World,
};

#[derive(Deserialize)]
struct Key {
    #[serde(default)]
    token: String,
    #[serde(default)]
    thing_id: String,
}

/// The thing whose key it is.
pub(crate) fn identify(world: &mut World, key: &str) -> Option<String> {
    if !world.has(Dependency::Cache) {
        return None;
    }
    if let Some(known) = world.state.cache.things.get(key) {
        return Some(known.thing.clone());
    }
    if !can_look_up(world) {
        return None;
    }
    let thing = world.state.things.values().find(|thing| thing.key == key)?.id.clone();
    remember(world, key, &thing);
    Some(thing)
}

/// Whether a thing may use a channel.
pub(crate) fn may_use(world: &mut World, channel: &str, thing: &str) -> bool {
    if !world.has(Dependency::Cache) {
        return false;
    }
    let pair = (channel.to_owned(), thing.to_owned());
    if world.state.cache.connections.contains(&pair) {
        return true;
    }
    let may = can_look_up(world) && world.state.connection(channel, thing).is_some();
    if may {
        world.state.cache.connections.insert(pair);
    }
    may
}

/// The thing that may use a channel by its key.
fn may_use_by_key(world: &mut World, channel: &str, key: &str) -> Option<String> {
    // Without the service of things nobody is asked, not even Redis.
    if !world.has(Service::Things) {
        return None;
    }
    identify(world, key).filter(|thing| may_use(world, channel, thing))
}

fn can_look_up(world: &World) -> bool {
    world.has(Service::Things) && world.has(Dependency::Database)
}

fn remember(world: &mut World, key: &str, thing: &str) {
    let cache = &mut world.state.cache;
    cache.things.insert(key.to_owned(), Known { thing: thing.to_owned(), until: None });
    cache.keys.insert(thing.to_owned(), key.to_owned());
}

/// The adapter of messages by HTTP.
pub(super) fn answer(world: &mut World, ask: &Ask) -> Answer {
    let segments = ask.segments();
    let ["channels", channel, "messages", rest @ ..] = segments.as_slice() else {
        return Answer::no_page();
    };
    if ask.method != Method::POST {
        return Answer::bare(405);
    }
    let Some(subtopic) = subtopic(&rest.join("/")) else {
        return Answer::bare(400);
    };
    let key = authorization(world, ask, "Thing ").to_owned();
    let Some(thing) = may_use_by_key(world, channel, &key) else {
        return Answer::bare(503);
    };
    let published = Published {
        topic: topic(channel, &subtopic),
        domain: String::new(),
        channel: (*channel).to_owned(),
        subtopic,
        publisher: thing,
        protocol: "http",
        payload: ask.body.to_vec(),
        at: world.now(),
        qos: 1,
        retain: false,
    };
    world.publish(published);
    Answer::bare(202)
}

fn topic(channel: &str, subtopic: &str) -> String {
    let mut topic = format!("channels/{channel}/messages");
    if !subtopic.is_empty() {
        topic = format!("{topic}/{}", subtopic.replace('.', "/"));
    }
    topic
}

/// A subtopic as it is stored, with dots; none if a part of it has a wildcard beside other signs.
fn subtopic(path: &str) -> Option<String> {
    let path = percent_decode_str(path).decode_utf8_lossy().replace('/', ".");
    let parts: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
    let is_right = |part: &&str| part.len() == 1 || !part.contains(['*', '>']);
    parts.iter().all(is_right).then(|| parts.join("."))
}

/// The channel and subtopic that a topic of MQTT is about; none if it is no topic of messages.
pub(crate) fn route(topic: &str) -> Option<(String, String)> {
    let topic = topic.strip_prefix('/').unwrap_or(topic);
    let mut parts = topic.splitn(4, '/');
    let ("channels", channel, "messages") = (parts.next()?, parts.next()?, parts.next()?) else {
        return None;
    };
    let is_word = |sign: char| sign.is_ascii_alphanumeric() || sign == '_' || sign == '-';
    if channel.is_empty() || !channel.chars().all(is_word) {
        return None;
    }
    let subtopic = subtopic(parts.next().unwrap_or_default())?;
    Some((channel.to_owned(), subtopic))
}

/// The service that others ask whose key one is.
pub(super) fn answer_whose(world: &mut World, ask: &Ask) -> Answer {
    let segments = ask.segments();
    let asked = ask.read::<Key>();
    match (&ask.method, segments.as_slice(), asked) {
        (&Method::POST, ["identify"], Some(key)) => match identify(world, &key.token) {
            Some(thing) => Answer::json(200, &json!({ "id": thing })),
            None => Answer::empty(500),
        },
        (&Method::POST, ["identify", "channels", channel, "access-by-key"], Some(key)) => {
            match may_use_by_key(world, channel, &key.token) {
                Some(thing) => Answer::json(200, &json!({ "id": thing })),
                None => Answer::empty(404),
            }
        }
        (&Method::POST, ["identify", "channels", channel, "access-by-id"], Some(key)) => {
            Answer::empty(if may_use(world, channel, &key.thing_id) { 200 } else { 404 })
        }
        (
            &Method::POST,
            ["identify"] | ["identify", "channels", _, "access-by-key" | "access-by-id"],
            None,
        ) => Answer::empty(400),
        _ => Answer::no_page(),
    }
}

/// Whose messages a request may read: those of a channel that its thing is connected to.
pub(super) fn may_read(world: &mut World, channel: &str, key: &str) -> bool {
    may_use_by_key(world, channel, key).is_some()
}
