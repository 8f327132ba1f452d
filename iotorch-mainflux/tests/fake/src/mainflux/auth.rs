//! API keys of Mainflux: tokens whose lifetime is asked for.

use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::{MALFORMED, NO_CREDENTIALS, refused_as_text, token};
use crate::{
    ask::{Answer, Ask},
    state::ApiKey,
    world::World,
};

/// The type of a key that is not one of a login.
const API: u32 = 2;

#[derive(Deserialize)]
struct Wanted {
    #[serde(rename = "type", default)]
    kind: u32,
    /// Seconds.
    #[serde(default)]
    duration: u64,
}

pub(super) fn answer(world: &mut World, ask: &Ask) -> Answer {
    match (&ask.method, ask.segments().as_slice()) {
        (&Method::POST, ["keys"]) => create(world, ask),
        (&Method::GET, ["keys", id]) => view(world, ask, id),
        (&Method::DELETE, ["keys", id]) => delete(world, ask, id),
        (_, ["keys"] | ["keys", _]) => Answer::bare(405),
        _ => Answer::no_page(),
    }
}

fn create(world: &mut World, ask: &Ask) -> Answer {
    let wanted: Option<Wanted> = ask.read();
    let Some(wanted) = wanted.filter(|it| it.kind == API && !token(world, ask).is_empty()) else {
        return refused_as_text(400, MALFORMED);
    };
    let Some(user) = world.user_of(token(world, ask)).map(|user| user.id.clone()) else {
        return refused_as_text(403, NO_CREDENTIALS);
    };
    let id = world.mint();
    let issued_at = world.now();
    let lifetime = Some(wanted.duration).filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let value = world.issue(&user, false, &id, lifetime);
    let mut told = json!({ "id": id, "value": value, "issued_at": issued_at });
    if let Some(end) = world.state.tokens.get(&value).and_then(|token| token.expires_at) {
        told["expires_at"] = json!(end);
    }
    world.state.api_keys.insert(id, ApiKey { user, token: value, issued_at });
    Answer::json(201, &told)
}

fn view(world: &World, ask: &Ask, id: &str) -> Answer {
    let Some(user) = world.user_of(token(world, ask)) else {
        return refused_as_text(403, NO_CREDENTIALS);
    };
    let key = world.state.api_keys.get(id).filter(|key| key.user == user.id);
    let Some(key) = key.filter(|key| world.user_of(&key.token).is_some()) else {
        return refused_as_text(404, "entity not found");
    };
    let mut told = json!({
        "id": id,
        "issuer_id": user.id,
        "subject": user.email,
        "type": API,
        "issued_at": key.issued_at,
    });
    if let Some(end) = world.state.tokens.get(&key.token).and_then(|token| token.expires_at) {
        told["expires_at"] = json!(end);
    }
    Answer::json(200, &told)
}

fn delete(world: &mut World, ask: &Ask, id: &str) -> Answer {
    let Some(user) = world.user_of(token(world, ask)).map(|user| user.id.clone()) else {
        return refused_as_text(403, NO_CREDENTIALS);
    };
    if world.state.api_keys.get(id).is_some_and(|key| key.user == user)
        && let Some(key) = world.state.api_keys.remove(id)
    {
        world.state.tokens.remove(&key.token);
    }
    Answer::empty(204)
}
