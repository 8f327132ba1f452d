//! What clients of SuperMQ may do on channels.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{access::caller, conflict, read, refused};
use crate::{
    Service,
    ask::{Answer, Ask},
    state::Connection,
    world::World,
};

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    channel_ids: Vec<String>,
    #[serde(default)]
    client_ids: Vec<String>,
    #[serde(default)]
    types: Vec<Type>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Type {
    Publish,
    Subscribe,
}

/// A channel with a client.
type Pair = (String, String);

/// What a connection allows, as it is told.
pub(super) fn types(connection: &Connection) -> Value {
    let types = [("Publish", connection.publish), ("Subscribe", connection.subscribe)];
    types.into_iter().filter(|(_, is_allowed)| *is_allowed).map(|(name, _)| json!(name)).collect()
}

/// Connects all of them, or none.
pub(super) fn connect(
    world: &mut World,
    ask: &Ask,
    domain: &str,
    channel: Option<&str>,
) -> Result<Answer, Answer> {
    let (pairs, types) = pairs(world, ask, domain, channel)?;
    if !world.has(Service::Clients) {
        return Err(refused(422, "failed to create entity"));
    }
    let is_there = |(channel, client): &Pair| {
        let connection = world.state.connection(channel, client);
        connection.is_some_and(|it| types.iter().any(|kind| allows(it, *kind)))
    };
    if pairs.iter().any(is_there) {
        return Err(conflict(world, "entity already exists"));
    }
    for (channel, client) in pairs {
        set(world, &channel, &client, &types, true);
    }
    Ok(Answer::empty(201))
}

pub(super) fn disconnect(
    world: &mut World,
    ask: &Ask,
    domain: &str,
    channel: Option<&str>,
) -> Result<Answer, Answer> {
    let (pairs, types) = pairs(world, ask, domain, channel)?;
    for (channel, client) in pairs {
        set(world, &channel, &client, &types, false);
    }
    world.state.connections.retain(|it| it.publish || it.subscribe);
    Ok(Answer::empty(204))
}

/// All channels with all clients that a request is about, where the caller may do so.
fn pairs(
    world: &World,
    ask: &Ask,
    domain: &str,
    channel: Option<&str>,
) -> Result<(Vec<Pair>, Vec<Type>), Answer> {
    let caller = caller(world, ask)?;
    let Wanted { mut channel_ids, client_ids, types } = read(ask)?;
    channel_ids.extend(channel.map(str::to_owned));
    if channel_ids.is_empty() || client_ids.is_empty() {
        return Err(refused(400, "missing entity id"));
    }
    if types.is_empty() {
        return Err(refused(400, "missing connection type"));
    }
    let state = &world.state;
    let has_channel = |id: &String| state.channels.get(id).is_some_and(|channel| channel.domain == domain);
    let has_client = |id: &String| state.things.get(id).is_some_and(|client| client.domain == domain);
    let is_there = channel_ids.iter().all(has_channel) && client_ids.iter().all(has_client);
    caller.may_with(world, domain, is_there)?;
    let pairs =
        channel_ids.iter().flat_map(|channel| client_ids.iter().map(|it| (channel.clone(), it.clone())));
    Ok((pairs.collect(), types))
}

fn allows(connection: &Connection, kind: Type) -> bool {
    match kind {
        Type::Publish => connection.publish,
        Type::Subscribe => connection.subscribe,
    }
}

fn set(world: &mut World, channel: &str, client: &str, types: &[Type], is_allowed: bool) {
    let all = &mut world.state.connections;
    let at = all.iter().position(|it| it.channel == channel && it.thing == client).unwrap_or_else(|| {
        all.push(Connection {
            channel: channel.to_owned(),
            thing: client.to_owned(),
            publish: false,
            subscribe: false,
        });
        all.len() - 1
    });
    for kind in types {
        match kind {
            Type::Publish => all[at].publish = is_allowed,
            Type::Subscribe => all[at].subscribe = is_allowed,
        }
    }
}
