//! core-data: the events that were kept.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    answer::{self, Answer, Asked},
    metadata::{Page, absent},
    state::State,
    values,
    world::World,
};

const PATHS: &[&str] = &[
    "event/all",
    "event/count",
    "event/device/name/*",
    "reading/all",
    "reading/count",
    "reading/device/name/*",
    "reading/device/name/*/resourceName/*",
];

/// Keeps an event, with what is lost of it on the way: the identities of readings, the ends of times.
pub(crate) fn keep(state: &mut State, event: &Value) {
    let mut event = values::rounded(event);
    for reading in event["readings"].as_array_mut().into_iter().flatten() {
        if let Some(fields) = reading.as_object_mut() {
            fields.remove("id");
        }
    }
    state.stored.events.push(event);
}

/// What core-data answers.
pub(crate) fn answer(world: &Arc<World>, asked: &Asked) -> Answer {
    let parts = asked.parts("/api/v3/").unwrap_or_default();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if asked.method != "GET" {
        return absent(&parts, PATHS);
    }
    let answer = match parts.as_slice() {
        ["event", "all"] => events(world, asked, |_| true),
        ["event", "count"] => count(world, |event| usize::from(!event.is_null())),
        ["event", "device", "name", name] => {
            answer::name(name).and_then(|name| events(world, asked, |event| event["deviceName"] == *name))
        }
        ["reading", "all"] => readings(world, asked, |_| true),
        ["reading", "count"] => count(world, |event| event["readings"].as_array().map_or(0, Vec::len)),
        ["reading", "device", "name", name] => {
            answer::name(name).and_then(|name| readings(world, asked, |one| one["deviceName"] == *name))
        }
        ["reading", "device", "name", name, "resourceName", resource] => {
            let names = answer::name(name).and_then(|name| Ok((name, answer::name(resource)?)));
            names.and_then(|(name, resource)| {
                readings(world, asked, |one| one["deviceName"] == *name && one["resourceName"] == *resource)
            })
        }
        _ => Ok(absent(&parts, PATHS)),
    };
    answer.unwrap_or_else(|refused| refused)
}

type Answered = Result<Answer, Answer>;

fn count(world: &World, of: fn(&Value) -> usize) -> Answered {
    let count: usize = world.state().stored.events.iter().map(of).sum();
    Ok(Answer::v3(200, json!({ "count": count })))
}

/// The latest first.
fn events(world: &World, asked: &Asked, fits: impl Fn(&Value) -> bool) -> Answered {
    let page = Page::of(asked)?;
    let state = world.state();
    let all: Vec<&Value> = state.stored.events.iter().rev().filter(|event| fits(event)).collect();
    Ok(page.tell("events", &all, |event| (*event).clone()))
}

fn readings(world: &World, asked: &Asked, fits: impl Fn(&Value) -> bool) -> Answered {
    let page = Page::of(asked)?;
    let state = world.state();
    let events = state.stored.events.iter().rev();
    let all = events.flat_map(|event| event["readings"].as_array().into_iter().flatten());
    let all: Vec<&Value> = all.filter(|reading| fits(reading)).collect();
    Ok(page.tell("readings", &all, |reading| (*reading).clone()))
}
