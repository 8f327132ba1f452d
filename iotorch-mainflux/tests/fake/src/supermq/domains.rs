//! Domains of SuperMQ.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    ABSENT, UNAUTHORIZED,
    access::caller,
    conflict,
    listing::Page,
    read, refused,
    roles::{self, Of},
    status, tell_made,
};
use crate::{
    Dependency, Release,
    ask::{Answer, Ask},
    state::Domain,
    world::World,
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
    let answered = match (&ask.method, ask.segments().as_slice()) {
        (&Method::POST, ["domains"]) => create(world, ask),
        (&Method::GET, ["domains"]) => list(world, ask),
        (&Method::GET, ["domains", id]) => view(world, ask, id),
        (&Method::PATCH, ["domains", id]) => update(world, ask, id),
        (&Method::POST, ["domains", id, "enable"]) => enable(world, ask, id, true),
        (&Method::POST, ["domains", id, "disable"]) => enable(world, ask, id, false),
        (_, ["domains"] | ["domains", _] | ["domains", _, "enable" | "disable"]) => Ok(Answer::bare(405)),
        _ => Ok(Answer::no_page()),
    };
    answered.unwrap_or_else(|refusal| refusal)
}

fn create(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    let Wanted { id, name, route, metadata } = read(ask)?;
    if name.is_empty() {
        return Err(refused(400, "missing identity name"));
    }
    if route.is_empty() {
        return Err(refused(400, "missing route"));
    }
    let is_right = |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || "-_".contains(sign);
    if !route.chars().all(is_right) {
        return Err(refused(400, "invalid route format"));
    }
    if !world.has(Dependency::SpiceDb) {
        return Err(refused(403, UNAUTHORIZED));
    }
    if world.state.domains.contains_key(&id) {
        return Err(conflict(world, "domain already exists"));
    }
    if world.state.domains.values().any(|domain| domain.route == route) {
        return Err(conflict(world, "route not available"));
    }
    let domain = Domain {
        id: if id.is_empty() { world.mint() } else { id },
        name,
        route,
        metadata: metadata.map(Value::Object),
        is_enabled: true,
        owner: caller.user,
        role: roles::new(Of::Domain),
        made: world.made(),
    };
    let answer = Answer::json(201, &told(&domain));
    world.state.domains.insert(domain.id.clone(), domain);
    Ok(answer)
}

fn view(world: &World, ask: &Ask, id: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    let found = world.state.domains.get(id);
    if found.is_none() && caller.is_admin && world.release == Release::SuperMq017 {
        return Err(refused(400, "view entity failed"));
    }
    caller.may(world, id)?;
    let domain = found.ok_or_else(|| refused(404, ABSENT))?;
    Ok(Answer::json(200, &told(domain)))
}

fn update(world: &mut World, ask: &Ask, id: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    let Wanted { name, metadata, .. } = read(ask)?;
    caller.may(world, id)?;
    let changed = world.changed(&caller.user);
    let domain = world.state.domains.get_mut(id).ok_or_else(|| refused(404, ABSENT))?;
    if !name.is_empty() {
        domain.name = name;
    }
    if let Some(metadata) = metadata {
        domain.metadata = Some(Value::Object(metadata));
    }
    changed.apply(&mut domain.made);
    Ok(Answer::json(200, &told(domain)))
}

fn enable(world: &mut World, ask: &Ask, id: &str, is_enabled: bool) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    caller.may(world, id)?;
    let changed = world.changed(&caller.user);
    let domain = world.state.domains.get_mut(id).ok_or_else(|| refused(404, ABSENT))?;
    domain.is_enabled = is_enabled;
    changed.apply(&mut domain.made);
    Ok(Answer::json(200, &told(domain)))
}

fn list(world: &World, ask: &Ask) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    let own = world.state.domains.values().filter(|domain| caller.owns(world, &domain.id));
    let tell = |domain: &Domain| {
        let mut told = told(domain);
        if domain.owner == caller.user {
            roles::tell(&mut told, world, Of::Domain, &domain.role);
        }
        told
    };
    Ok(Page::read(ask, "name")?.of("domains", own, tell))
}

fn told(domain: &Domain) -> Value {
    let mut told = json!({
        "id": domain.id,
        "name": domain.name,
        "route": domain.route,
        "status": status(domain.is_enabled),
        "created_by": domain.owner,
    });
    if let Some(metadata) = &domain.metadata {
        told["metadata"] = metadata.clone();
    }
    tell_made(&mut told, &domain.made, false);
    told
}
