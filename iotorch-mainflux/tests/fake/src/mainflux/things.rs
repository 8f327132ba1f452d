//! Things of Mainflux.

use hyper::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    ABSENT, BAD_TYPE, EXISTS, MALFORMED, NO_CREDENTIALS, channels, connections,
    listing::{Listed, NAME, Page},
    refused, user,
};
use crate::{
    Dependency,
    ask::{Answer, Ask},
    state::{Made, Thing},
    world::{World, is_uuid},
};

/// How long a key may be, as the column of the database is.
const KEY: usize = 4096;

/// What a thing is to be: its key is honoured, an id is not looked at.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    key: String,
    pub(super) metadata: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Key {
    #[serde(default)]
    key: String,
}

impl Listed for Thing {
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
        let mut told = json!({ "id": self.id, "key": self.key });
        if !self.name.is_empty() {
            told["name"] = json!(self.name);
        }
        if let Some(metadata) = &self.metadata {
            told["metadata"] = metadata.clone();
        }
        told
    }
}

pub(super) fn answer(world: &mut World, ask: &Ask) -> Answer {
    let answered = match (&ask.method, ask.segments().as_slice()) {
        (&Method::POST, ["things"]) => create(world, ask),
        (&Method::POST, ["things", "bulk"]) => create_many(world, ask),
        (&Method::POST, ["things", "search"]) => search(world, ask),
        (&Method::GET, ["things"]) => list(world, ask),
        (&Method::GET, ["things", id]) => view(world, ask, id),
        (&Method::PUT, ["things", id]) => update(world, ask, id),
        (&Method::DELETE, ["things", id]) => delete(world, ask, id),
        (&Method::PATCH, ["things", id, "key"]) => change_key(world, ask, id),
        (&Method::GET, ["things", id, "channels"]) => connections::channels_of(world, ask, id),
        (_, ["things"] | ["things", _] | ["things", _, "key" | "channels"]) => Ok(Answer::bare(405)),
        (_, ["channels", ..] | ["connect"]) => channels::answer(world, ask),
        _ => Ok(Answer::no_page()),
    };
    answered.unwrap_or_else(|refusal| refusal)
}

fn create(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    let wanted = read(ask)?;
    let owner = known(world, ask)?;
    let things = add(world, &owner, vec![wanted])?;
    let at = things.first().map(|thing| format!("/things/{}", thing.id)).unwrap_or_default();
    Ok(Answer::empty(201).at(at))
}

fn create_many(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    let wanted: Vec<Wanted> = read(ask)?;
    let owner = known(world, ask)?;
    if wanted.is_empty() {
        return Err(refused(400, MALFORMED));
    }
    let things: Vec<Value> = add(world, &owner, wanted)?.iter().map(Thing::told).collect();
    Ok(Answer::json(201, &json!({ "things": things })))
}

/// Adds things: all of them, or none.
fn add(world: &mut World, owner: &str, wanted: Vec<Wanted>) -> Result<Vec<Thing>, Answer> {
    if wanted.iter().any(|it| it.name.len() > NAME || it.key.len() > KEY) {
        return Err(refused(400, MALFORMED));
    }
    if !world.has(Dependency::Database) {
        return Err(refused(400, "create entity failed"));
    }
    let mut keys: Vec<&str> = wanted.iter().map(|it| it.key.as_str()).filter(|key| !key.is_empty()).collect();
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() < count || keys.iter().any(|key| is_taken(world, key)) {
        return Err(refused(409, EXISTS));
    }
    let mut things = Vec::new();
    for Wanted { name, key, metadata } in wanted {
        let id = world.mint();
        let thing = Thing {
            id: id.clone(),
            owner: owner.to_owned(),
            domain: String::new(),
            name,
            key: if key.is_empty() { world.mint() } else { key },
            identity: String::new(),
            metadata: metadata.map(Value::Object),
            is_enabled: true,
            role: String::new(),
            made: world.made(),
        };
        things.push(thing.clone());
        world.state.things.insert(id, thing);
    }
    Ok(things)
}

fn is_taken(world: &World, key: &str) -> bool {
    world.state.things.values().any(|thing| thing.key == key)
}

fn list(world: &World, ask: &Ask) -> Result<Answer, Answer> {
    let page = Page::of_query(ask)?.or_ten();
    let owner = known(world, ask)?;
    page_of(world, &page, &owner)
}

fn search(world: &World, ask: &Ask) -> Result<Answer, Answer> {
    if !ask.is_json() {
        return Err(refused(415, BAD_TYPE));
    }
    let page = Page::of_body(ask)?;
    let owner = known(world, ask)?;
    page_of(world, &page, &owner)
}

fn page_of(world: &World, page: &Page, owner: &str) -> Result<Answer, Answer> {
    check_database(world)?;
    Ok(page.of("things", world.state.things.values().filter(|thing| thing.owner == owner)))
}

fn view(world: &World, ask: &Ask, id: &str) -> Result<Answer, Answer> {
    let owner = known(world, ask)?;
    check_database(world)?;
    let thing = world.state.things.get(id).filter(|thing| thing.owner == owner);
    thing.map(|thing| Answer::json(200, &thing.told())).ok_or_else(|| refused(404, ABSENT))
}

fn update(world: &mut World, ask: &Ask, id: &str) -> Result<Answer, Answer> {
    let wanted: Wanted = read(ask)?;
    let owner = known(world, ask)?;
    if wanted.name.len() > NAME {
        return Err(refused(400, MALFORMED));
    }
    check_database(world)?;
    let thing = own(world, &owner, id)?;
    thing.name = wanted.name;
    thing.metadata = wanted.metadata.map(Value::Object);
    Ok(Answer::empty(200))
}

fn change_key(world: &mut World, ask: &Ask, id: &str) -> Result<Answer, Answer> {
    let Key { key } = read(ask)?;
    let owner = known(world, ask)?;
    if key.is_empty() || key.len() > KEY {
        return Err(refused(400, MALFORMED));
    }
    check_database(world)?;
    own(world, &owner, id)?;
    if world.state.things.values().any(|thing| thing.key == key && thing.id != id) {
        return Err(refused(409, EXISTS));
    }
    // Whoever was let in by the old key stays known by it.
    own(world, &owner, id)?.key = key;
    Ok(Answer::empty(200))
}

fn delete(world: &mut World, ask: &Ask, id: &str) -> Result<Answer, Answer> {
    let owner = known(world, ask)?;
    if !is_uuid(id) || !world.has(Dependency::Database) {
        return Err(refused(400, "remove entity failed"));
    }
    if world.state.things.get(id).is_some_and(|thing| thing.owner == owner) {
        world.state.things.remove(id);
        world.state.connections.retain(|it| it.thing != id);
        // Only the key that was used last is forgotten.
        if let Some(key) = world.state.cache.keys.remove(id) {
            world.state.cache.things.remove(&key);
        }
    }
    Ok(Answer::empty(204))
}

fn own<'a>(world: &'a mut World, owner: &str, id: &str) -> Result<&'a mut Thing, Answer> {
    let thing = world.state.things.get_mut(id).filter(|thing| thing.owner == owner);
    thing.ok_or_else(|| refused(404, ABSENT))
}

pub(super) fn read<T: DeserializeOwned>(ask: &Ask) -> Result<T, Answer> {
    if !ask.is_json() {
        return Err(refused(415, BAD_TYPE));
    }
    ask.read().ok_or_else(|| refused(400, MALFORMED))
}

/// The user who asks.
pub(super) fn known(world: &World, ask: &Ask) -> Result<String, Answer> {
    user(world, ask).ok_or_else(|| refused(401, NO_CREDENTIALS))
}

pub(super) fn check_database(world: &World) -> Result<(), Answer> {
    if world.has(Dependency::Database) { Ok(()) } else { Err(refused(422, "select entity from db error")) }
}
