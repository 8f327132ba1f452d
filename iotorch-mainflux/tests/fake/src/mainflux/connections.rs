//! Which things of Mainflux are connected to which channels.

use serde::Deserialize;

use super::{
    ABSENT, EXISTS, MALFORMED,
    listing::Page,
    refused,
    things::{check_database, known, read},
};
use crate::{
    Dependency,
    ask::{Answer, Ask},
    state::Connection,
    world::{World, is_uuid},
};

#[derive(Deserialize)]
struct Pairs {
    #[serde(default)]
    channel_ids: Vec<String>,
    #[serde(default)]
    thing_ids: Vec<String>,
}

pub(super) fn connect_one(
    world: &mut World,
    ask: &Ask,
    channel: &str,
    thing: &str,
) -> Result<Answer, Answer> {
    let owner = known(world, ask)?;
    connect(world, &owner, &[channel.to_owned()], &[thing.to_owned()])
}

pub(super) fn connect_many(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    let Pairs { channel_ids, thing_ids } = read(ask)?;
    let owner = known(world, ask)?;
    if channel_ids.is_empty() || thing_ids.is_empty() {
        return Err(refused(400, MALFORMED));
    }
    connect(world, &owner, &channel_ids, &thing_ids)
}

/// Connects all of them, or none.
fn connect(world: &mut World, owner: &str, channels: &[String], things: &[String]) -> Result<Answer, Answer> {
    if !world.has(Dependency::Database) || !channels.iter().chain(things).all(|id| is_uuid(id)) {
        return Err(refused(400, "add connection failed"));
    }
    let state = &mut world.state;
    let has_channel = |id: &String| state.channels.get(id).is_some_and(|channel| channel.owner == owner);
    let has_thing = |id: &String| state.things.get(id).is_some_and(|thing| thing.owner == owner);
    if !channels.iter().all(has_channel) || !things.iter().all(has_thing) {
        return Err(refused(404, ABSENT));
    }
    let mut pairs = channels.iter().flat_map(|channel| things.iter().map(move |thing| (channel, thing)));
    if pairs.clone().any(|(channel, thing)| state.connection(channel, thing).is_some()) {
        return Err(refused(409, EXISTS));
    }
    let connections = pairs.by_ref().map(|(channel, thing)| Connection {
        channel: channel.clone(),
        thing: thing.clone(),
        publish: true,
        subscribe: true,
    });
    state.connections.extend(connections);
    Ok(Answer::empty(200))
}

pub(super) fn disconnect(world: &mut World, ask: &Ask, channel: &str, thing: &str) -> Result<Answer, Answer> {
    let owner = known(world, ask)?;
    check_database(world)?;
    let state = &mut world.state;
    let is_own = state.channels.get(channel).is_some_and(|channel| channel.owner == owner);
    if !is_own || state.connection(channel, thing).is_none() {
        return Err(refused(404, ABSENT));
    }
    state.connections.retain(|it| it.channel != channel || it.thing != thing);
    state.cache.connections.remove(&(channel.to_owned(), thing.to_owned()));
    Ok(Answer::empty(204))
}

pub(super) fn things_of(world: &World, ask: &Ask, channel: &str) -> Result<Answer, Answer> {
    let (page, owner) = page_of_one(world, ask, channel)?;
    let things = world.state.things.values().filter(|thing| thing.owner == owner);
    let is_meant = |thing: &str| world.state.connection(channel, thing).is_some() != page.is_disconnected;
    Ok(page.of("things", things.filter(|thing| is_meant(&thing.id))))
}

pub(super) fn channels_of(world: &World, ask: &Ask, thing: &str) -> Result<Answer, Answer> {
    let (page, owner) = page_of_one(world, ask, thing)?;
    let channels = world.state.channels.values().filter(|channel| channel.owner == owner);
    let is_meant = |channel: &str| world.state.connection(channel, thing).is_some() != page.is_disconnected;
    Ok(page.of("channels", channels.filter(|channel| is_meant(&channel.id))))
}

/// The page that is asked for of what belongs to something, and who asks.
fn page_of_one(world: &World, ask: &Ask, id: &str) -> Result<(Page, String), Answer> {
    let page = Page::of_query(ask)?;
    let owner = known(world, ask)?;
    if page.limit == 0 {
        return Err(refused(400, MALFORMED));
    }
    check_database(world)?;
    if !is_uuid(id) {
        return Err(refused(404, ABSENT));
    }
    Ok((page, owner))
}
