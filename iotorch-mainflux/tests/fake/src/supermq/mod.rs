//! The services of SuperMQ 0.17 to 0.19 and Magistrala 0.30.

mod access;
mod channels;
mod clients;
mod connections;
mod domains;
mod health;
mod listing;
mod publishing;
mod reader;
mod roles;
mod rules;
mod topics;
mod users;

pub(crate) use topics::{admit, permit};

use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    Dependency, Release, Service,
    ask::{Answer, Ask},
    state::Made,
    world::World,
};

const NOT_JSON: &str = "request body is not a valid JSON, expecting a valid JSON";
const UNAUTHENTICATED: &str = "failed to perform authentication over the entity";
const UNAUTHORIZED: &str = "failed to perform authorization over the entity";
const ABSENT: &str = "entity not found";

/// A time that never was: Go's zero time.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// What a service answers.
pub(crate) fn answer(world: &mut World, ask: &Ask) -> Answer {
    if ask.method == Method::GET && ask.path == "health" {
        return health::answer(world, ask.service);
    }
    let answer = match ask.service {
        Service::Users => users::answer(world, ask),
        Service::Domains => domains::answer(world, ask),
        Service::Clients => clients::answer(world, ask),
        Service::Channels => channels::answer(world, ask),
        Service::Rules => rules::answer(world, ask),
        Service::Reader => return reader::answer(world, ask),
        Service::Http => return publishing::answer(world, ask),
        _ => Answer::no_page(),
    };
    let answer = if world.release == Release::SuperMq017 { answer.with_wrapped() } else { answer };
    // What is done is told to NATS; without it, it is done all the same, but nobody hears so.
    if !world.has(Dependency::Nats) && (200..300).contains(&answer.status) {
        return Answer::empty(500).after(world.bus_patience);
    }
    answer
}

/// A refusal in words.
fn refused(status: u16, why: &str) -> Answer {
    Answer::json(status, &json!({ "message": why }))
}

/// A refusal of what is there already: 409 until SuperMQ 0.18.4 made it 400.
fn conflict(world: &World, why: &str) -> Answer {
    refused(if world.release == Release::SuperMq017 { 409 } else { 400 }, why)
}

/// A refusal to change what is disabled.
fn disabled(world: &World) -> Answer {
    match world.release {
        Release::SuperMq017 => refused(422, "update entity failed"),
        _ => refused(404, ABSENT),
    }
}

/// The body as JSON.
fn read<T: DeserializeOwned>(ask: &Ask) -> Result<T, Answer> {
    if !ask.is_json() {
        return Err(refused(415, "unsupported content type"));
    }
    ask.read().ok_or_else(|| refused(400, NOT_JSON))
}

/// Adds to what is told of something when it was made and changed; `is_by` says whether also who has changed it.
fn tell_made(told: &mut Value, made: &Made, is_by: bool) {
    told["created_at"] = json!(made.at);
    told["updated_at"] = json!(NEVER);
    if let Some((at, by)) = &made.changed {
        told["updated_at"] = json!(at);
        if is_by {
            told["updated_by"] = json!(by);
        }
    }
}

/// Adds what is not empty.
fn tell_texts(told: &mut Value, texts: &[(&str, &str)]) {
    for (name, text) in texts.iter().filter(|(_, text)| !text.is_empty()) {
        told[*name] = json!(text);
    }
}

fn status(is_enabled: bool) -> &'static str {
    if is_enabled { "enabled" } else { "disabled" }
}
