//! Channels of SuperMQ.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    UNAUTHORIZED,
    access::{Caller, caller},
    clients::NAME,
    conflict, connections, disabled,
    listing::{Page, value},
    read, refused,
    roles::{self, Of},
    status, tell_made, tell_texts,
};
use crate::{
    ask::{Answer, Ask},
    state::Channel,
    world::{World, is_uuid},
};

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    route: String,
    metadata: Option<Map<String, Value>>,
}

pub(super) fn answer(world: &mut World, ask: &Ask) -> Answer {
    let path = ask.path.trim_end_matches('/').to_owned();
    let segments: Vec<&str> = path.split('/').collect();
    let answered = match (&ask.method, segments.as_slice()) {
        (&Method::POST, [domain, "channels"]) => create(world, ask, domain),
        (&Method::POST, [domain, "channels", "bulk"]) => create_many(world, ask, domain),
        (&Method::POST, [domain, "channels", "connect"]) => connections::connect(world, ask, domain, None),
        (&Method::POST, [domain, "channels", "disconnect"]) => {
            connections::disconnect(world, ask, domain, None)
        }
        (&Method::GET, [domain, "channels"]) => list(world, ask, domain),
        (&Method::GET, [domain, "channels", id]) => view(world, ask, domain, id),
        (&Method::PATCH, [domain, "channels", id]) => update(world, ask, domain, id),
        (&Method::DELETE, [domain, "channels", id]) => delete(world, ask, domain, id),
        (&Method::POST, [domain, "channels", id, "connect"]) => {
            connections::connect(world, ask, domain, Some(id))
        }
        (&Method::POST, [domain, "channels", id, "disconnect"]) => {
            connections::disconnect(world, ask, domain, Some(id))
        }
        (&Method::POST, [domain, "channels", id, "enable"]) => enable(world, ask, domain, id, true),
        (&Method::POST, [domain, "channels", id, "disable"]) => enable(world, ask, domain, id, false),
        (_, [_, "channels", ..]) => Ok(Answer::bare(405)),
        _ => Ok(Answer::no_page()),
    };
    answered.unwrap_or_else(|refusal| refusal)
}

fn create(world: &mut World, ask: &Ask, domain: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    let wanted = read(ask)?;
    let channels = add(world, &caller, domain, vec![wanted])?;
    let told = channels.first().map(told).unwrap_or_default();
    let at = format!("/channels/{}", told["id"].as_str().unwrap_or_default());
    Ok(Answer::json(201, &told).at(at))
}

fn create_many(world: &mut World, ask: &Ask, domain: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    let wanted: Vec<Wanted> = read(ask)?;
    if wanted.is_empty() {
        return Err(refused(400, "empty list provided"));
    }
    let channels: Vec<Value> = add(world, &caller, domain, wanted)?.iter().map(told).collect();
    Ok(Answer::json(200, &json!({ "total": channels.len(), "channels": channels })))
}

/// Adds channels: all of them, or none.
fn add(
    world: &mut World,
    caller: &Caller,
    domain: &str,
    wanted: Vec<Wanted>,
) -> Result<Vec<Channel>, Answer> {
    if wanted.iter().any(|it| it.name.len() > NAME) {
        return Err(refused(400, "invalid name size"));
    }
    if wanted.iter().any(|it| !it.id.is_empty() && !is_uuid(&it.id)) {
        return Err(refused(400, "invalid id format provided"));
    }
    caller.may_make(world, domain)?;
    let state = &world.state;
    if wanted.iter().any(|it| state.channels.contains_key(&it.id)) {
        return Err(conflict(world, "channel id already exists"));
    }
    let is_taken = |it: &Wanted| {
        let mut own = state.channels.values().filter(|channel| channel.domain == domain);
        !it.route.is_empty() && own.any(|channel| channel.route == it.route)
    };
    if wanted.iter().any(is_taken) {
        return Err(conflict(world, "route not available"));
    }
    let mut channels = Vec::new();
    for Wanted { id, name, route, metadata } in wanted {
        let channel = Channel {
            id: if id.is_empty() { world.mint() } else { id },
            owner: caller.user.clone(),
            domain: domain.to_owned(),
            name,
            route,
            metadata: metadata.map(Value::Object),
            is_enabled: true,
            role: roles::new(Of::Channel),
            made: world.made(),
        };
        channels.push(channel.clone());
        world.state.channels.insert(channel.id.clone(), channel);
    }
    Ok(channels)
}

fn list(world: &World, ask: &Ask, domain: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    let page = Page::read(ask, "name")?;
    let client = value(ask, "client")?;
    let channels = world.state.channels.values().filter(|channel| channel.domain == domain);
    let channels = channels.filter(|channel| {
        caller.owns(world, domain)
            && client.is_none_or(|client| world.state.connection(&channel.id, client).is_some())
    });
    let tell = |channel: &Channel| {
        let mut told = told(channel);
        if channel.owner == caller.user {
            roles::tell_direct(&mut told, world, Of::Channel, &channel.role);
        }
        if let Some(connection) = client.and_then(|client| world.state.connection(&channel.id, client)) {
            told["connection_types"] = connections::types(connection);
        }
        told
    };
    Ok(page.of("channels", channels, tell))
}

fn view(world: &World, ask: &Ask, domain: &str, id: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    Ok(Answer::json(200, &told(own(world, &caller, domain, id)?)))
}

fn update(world: &mut World, ask: &Ask, domain: &str, id: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    let Wanted { name, metadata, .. } = read(ask)?;
    if name.len() > NAME {
        return Err(refused(400, "invalid name size"));
    }
    if !own(world, &caller, domain, id)?.is_enabled {
        return Err(disabled(world));
    }
    change(world, &caller, domain, id, |channel| {
        if !name.is_empty() {
            channel.name = name;
        }
        if let Some(metadata) = metadata {
            channel.metadata = Some(Value::Object(metadata));
        }
    })
}

fn enable(world: &mut World, ask: &Ask, domain: &str, id: &str, is_enabled: bool) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    if own(world, &caller, domain, id)?.is_enabled == is_enabled {
        return Err(refused(422, "status already assigned"));
    }
    change(world, &caller, domain, id, |channel| channel.is_enabled = is_enabled)
}

fn delete(world: &mut World, ask: &Ask, domain: &str, id: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    own(world, &caller, domain, id)?;
    world.state.channels.remove(id);
    world.state.connections.retain(|it| it.channel != id);
    Ok(Answer::empty(204))
}

fn change(
    world: &mut World,
    caller: &Caller,
    domain: &str,
    id: &str,
    change: impl FnOnce(&mut Channel),
) -> Result<Answer, Answer> {
    own(world, caller, domain, id)?;
    let changed = world.changed(&caller.user);
    let channel = world.state.channels.get_mut(id).ok_or_else(|| refused(403, UNAUTHORIZED))?;
    change(channel);
    changed.apply(&mut channel.made);
    Ok(Answer::json(200, &told(channel)))
}

fn own<'a>(world: &'a World, caller: &Caller, domain: &str, id: &str) -> Result<&'a Channel, Answer> {
    let channel = world.state.channels.get(id).filter(|channel| channel.domain == domain);
    caller.may_with(world, domain, channel.is_some())?;
    channel.ok_or_else(|| refused(403, UNAUTHORIZED))
}

fn told(channel: &Channel) -> Value {
    let mut told = json!({
        "id": channel.id,
        "domain_id": channel.domain,
        "status": status(channel.is_enabled),
    });
    tell_texts(&mut told, &[("name", &channel.name), ("route", &channel.route)]);
    if let Some(metadata) = &channel.metadata {
        told["metadata"] = metadata.clone();
    }
    tell_made(&mut told, &channel.made, true);
    told
}
