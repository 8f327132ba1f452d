//! Channels of Mainflux.

use hyper::Method;
use serde_json::{Value, json};

use super::{
    ABSENT, MALFORMED, connections,
    listing::{Listed, NAME, Page},
    refused,
    things::{Wanted, check_database, known, read},
};
use crate::{
    Dependency,
    ask::{Answer, Ask},
    state::{Channel, Made},
    world::World,
};

impl Listed for Channel {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn metadata(&self) -> Option<&Value> {
        self.metadata.as_ref()
    }

    fn made(&self) -> &Made {
        &self.made
    }

    fn told(&self) -> Value {
        let mut told = json!({ "id": self.id });
        if !self.name.is_empty() {
            told["name"] = json!(self.name);
        }
        if let Some(metadata) = &self.metadata {
            told["metadata"] = metadata.clone();
        }
        told
    }
}

pub(super) fn answer(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    match (&ask.method, ask.segments().as_slice()) {
        (&Method::POST, ["channels"]) => create(world, ask),
        (&Method::POST, ["channels", "bulk"]) => create_many(world, ask),
        (&Method::GET, ["channels"]) => list(world, ask),
        (&Method::GET, ["channels", id]) => view(world, ask, id),
        (&Method::PUT, ["channels", id]) => update(world, ask, id),
        (&Method::DELETE, ["channels", id]) => delete(world, ask, id),
        (&Method::GET, ["channels", id, "things"]) => connections::things_of(world, ask, id),
        (&Method::PUT, ["channels", id, "things", thing]) => connections::connect_one(world, ask, id, thing),
        (&Method::DELETE, ["channels", id, "things", thing]) => {
            connections::disconnect(world, ask, id, thing)
        }
        (&Method::POST, ["connect"]) => connections::connect_many(world, ask),
        (_, ["channels"] | ["channels", _] | ["channels", _, "things"] | ["channels", _, "things", _])
        | (_, ["connect"]) => Ok(Answer::bare(405)),
        _ => Ok(Answer::no_page()),
    }
}

fn create(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    let wanted = read(ask)?;
    let owner = known(world, ask)?;
    let channels = add(world, &owner, vec![wanted])?;
    let at = channels.first().map(|channel| format!("/channels/{}", channel.id)).unwrap_or_default();
    Ok(Answer::empty(201).at(at))
}

fn create_many(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    let wanted: Vec<Wanted> = read(ask)?;
    let owner = known(world, ask)?;
    if wanted.is_empty() {
        return Err(refused(400, MALFORMED));
    }
    let channels: Vec<Value> = add(world, &owner, wanted)?.iter().map(Channel::told).collect();
    Ok(Answer::json(201, &json!({ "channels": channels })))
}

fn add(world: &mut World, owner: &str, wanted: Vec<Wanted>) -> Result<Vec<Channel>, Answer> {
    if wanted.iter().any(|it| it.name.len() > NAME) {
        return Err(refused(400, MALFORMED));
    }
    if !world.has(Dependency::Database) {
        return Err(refused(400, "create entity failed"));
    }
    let mut channels = Vec::new();
    for Wanted { name, metadata, .. } in wanted {
        let channel = Channel {
            id: world.mint(),
            owner: owner.to_owned(),
            domain: String::new(),
            name,
            route: String::new(),
            metadata: metadata.map(Value::Object),
            is_enabled: true,
            role: String::new(),
            made: world.made(),
        };
        channels.push(channel.clone());
        world.state.channels.insert(channel.id.clone(), channel);
    }
    Ok(channels)
}

fn list(world: &World, ask: &Ask) -> Result<Answer, Answer> {
    let page = Page::of_query(ask)?.or_ten();
    let owner = known(world, ask)?;
    check_database(world)?;
    Ok(page.of("channels", world.state.channels.values().filter(|channel| channel.owner == owner)))
}

fn view(world: &World, ask: &Ask, id: &str) -> Result<Answer, Answer> {
    let owner = known(world, ask)?;
    check_database(world)?;
    let channel = world.state.channels.get(id).filter(|channel| channel.owner == owner);
    channel.map(|channel| Answer::json(200, &channel.told())).ok_or_else(|| refused(404, ABSENT))
}

fn update(world: &mut World, ask: &Ask, id: &str) -> Result<Answer, Answer> {
    let wanted: Wanted = read(ask)?;
    let owner = known(world, ask)?;
    if wanted.name.len() > NAME {
        return Err(refused(400, MALFORMED));
    }
    check_database(world)?;
    let channel = world.state.channels.get_mut(id).filter(|channel| channel.owner == owner);
    let channel = channel.ok_or_else(|| refused(404, ABSENT))?;
    channel.name = wanted.name;
    channel.metadata = wanted.metadata.map(Value::Object);
    Ok(Answer::empty(200))
}

fn delete(world: &mut World, ask: &Ask, id: &str) -> Result<Answer, Answer> {
    let owner = known(world, ask)?;
    if !world.has(Dependency::Database) {
        return Err(refused(400, "remove entity failed"));
    }
    if world.state.channels.get(id).is_some_and(|channel| channel.owner == owner) {
        world.state.channels.remove(id);
        world.state.connections.retain(|it| it.channel != id);
        world.state.cache.connections.retain(|(channel, _)| channel != id);
    }
    Ok(Answer::empty(204))
}
