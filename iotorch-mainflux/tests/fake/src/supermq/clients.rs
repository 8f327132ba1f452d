//! Clients of SuperMQ.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    UNAUTHORIZED,
    access::{Caller, caller},
    conflict, connections, disabled,
    listing::{Page, value},
    read, refused,
    roles::{self, Of},
    status, tell_made, tell_texts,
};
use crate::{
    ask::{Answer, Ask},
    state::Thing,
    world::{World, is_uuid},
};

/// How long a name may be.
pub(super) const NAME: usize = 1024;

/// What a client is to be: its identity and its secret are honoured.
#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    credentials: Credentials,
    metadata: Option<Map<String, Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Credentials {
    identity: String,
    secret: String,
}

#[derive(Deserialize)]
struct Secret {
    #[serde(default)]
    secret: String,
}

pub(super) fn answer(world: &mut World, ask: &Ask) -> Answer {
    let path = ask.path.trim_end_matches('/').to_owned();
    let segments: Vec<&str> = path.split('/').collect();
    let answered = match (&ask.method, segments.as_slice()) {
        (&Method::POST, [domain, "clients"]) => create(world, ask, domain),
        (&Method::POST, [domain, "clients", "bulk"]) => create_many(world, ask, domain),
        (&Method::GET, [domain, "clients"]) => list(world, ask, domain),
        (&Method::GET, [domain, "clients", id]) => view(world, ask, domain, id),
        (&Method::PATCH, [domain, "clients", id]) => update(world, ask, domain, id),
        (&Method::DELETE, [domain, "clients", id]) => delete(world, ask, domain, id),
        (&Method::PATCH, [domain, "clients", id, "secret"]) => change_secret(world, ask, domain, id),
        (&Method::POST, [domain, "clients", id, "enable"]) => enable(world, ask, domain, id, true),
        (&Method::POST, [domain, "clients", id, "disable"]) => enable(world, ask, domain, id, false),
        (_, [_, "clients"] | [_, "clients", _] | [_, "clients", _, "secret" | "enable" | "disable"]) => {
            Ok(Answer::bare(405))
        }
        _ => Ok(Answer::no_page()),
    };
    answered.unwrap_or_else(|refusal| refusal)
}

fn create(world: &mut World, ask: &Ask, domain: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    let wanted = read(ask)?;
    let clients = add(world, &caller, domain, vec![wanted])?;
    let told = clients.first().map(|client| told(client, true)).unwrap_or_default();
    let at = format!("/clients/{}", told["id"].as_str().unwrap_or_default());
    Ok(Answer::json(201, &told).at(at))
}

fn create_many(world: &mut World, ask: &Ask, domain: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    let wanted: Vec<Wanted> = read(ask)?;
    if wanted.is_empty() {
        return Err(refused(400, "empty list provided"));
    }
    let clients: Vec<Value> =
        add(world, &caller, domain, wanted)?.iter().map(|client| told(client, true)).collect();
    Ok(Answer::json(200, &json!({ "total": clients.len(), "clients": clients })))
}

/// Adds clients: all of them, or none.
fn add(world: &mut World, caller: &Caller, domain: &str, wanted: Vec<Wanted>) -> Result<Vec<Thing>, Answer> {
    if wanted.iter().any(|it| it.name.len() > NAME) {
        return Err(refused(400, "invalid name size"));
    }
    if wanted.iter().any(|it| !it.id.is_empty() && !is_uuid(&it.id)) {
        return Err(refused(400, "invalid id format provided"));
    }
    caller.may_make(world, domain)?;
    let state = &world.state;
    if wanted.iter().any(|it| state.things.contains_key(&it.id)) {
        return Err(refused(422, "failed to create entity"));
    }
    let mut secrets: Vec<&str> =
        wanted.iter().map(|it| it.credentials.secret.as_str()).filter(|it| !it.is_empty()).collect();
    let count = secrets.len();
    secrets.sort_unstable();
    secrets.dedup();
    let is_taken = |secret: &&str| state.things.values().any(|it| it.domain == domain && it.key == **secret);
    if secrets.len() < count || secrets.iter().any(is_taken) {
        return Err(conflict(world, "client key is not available"));
    }
    let mut clients = Vec::new();
    for Wanted { id, name, credentials, metadata } in wanted {
        let client = Thing {
            id: if id.is_empty() { world.mint() } else { id },
            owner: caller.user.clone(),
            domain: domain.to_owned(),
            name,
            key: if credentials.secret.is_empty() { world.mint() } else { credentials.secret },
            identity: credentials.identity,
            metadata: metadata.map(Value::Object),
            is_enabled: true,
            role: roles::new(Of::Client),
            made: world.made(),
        };
        clients.push(client.clone());
        world.state.things.insert(client.id.clone(), client);
    }
    Ok(clients)
}

fn list(world: &World, ask: &Ask, domain: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    let page = Page::read(ask, "name")?;
    let channel = value(ask, "channel")?;
    if value(ask, "connection_type")?.is_some() {
        return Err(refused(422, "view entity failed"));
    }
    let clients = world.state.things.values().filter(|client| client.domain == domain);
    let clients = clients.filter(|client| {
        caller.owns(world, domain)
            && channel.is_none_or(|channel| world.state.connection(channel, &client.id).is_some())
    });
    let tell = |client: &Thing| {
        let is_own = client.owner == caller.user;
        let mut told = told(client, is_own);
        if is_own {
            roles::tell_direct(&mut told, world, Of::Client, &client.role);
        }
        if let Some(connection) = channel.and_then(|channel| world.state.connection(channel, &client.id)) {
            told["connection_types"] = connections::types(connection);
        }
        told
    };
    Ok(page.of("clients", clients, tell))
}

fn view(world: &World, ask: &Ask, domain: &str, id: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    let client = own(world, &caller, domain, id)?;
    let mut told = told(client, true);
    if value(ask, "roles")? == Some("true") {
        let (mut direct, mut of_domain) = (json!({}), json!({}));
        roles::tell_direct(&mut direct, world, Of::Client, &client.role);
        if let Some(domain) = world.state.domains.get(domain) {
            roles::tell(&mut of_domain, world, Of::Domain, &domain.role);
            of_domain["access_provider_id"] = json!(domain.id);
            of_domain["access_type"] = json!("domain");
        }
        told["roles"] = json!([direct, of_domain]);
    }
    Ok(Answer::json(200, &told))
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
    change(world, &caller, domain, id, true, |client| {
        if !name.is_empty() {
            client.name = name;
        }
        if let Some(metadata) = metadata {
            client.metadata = Some(Value::Object(metadata));
        }
    })
}

fn change_secret(world: &mut World, ask: &Ask, domain: &str, id: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    let Secret { secret } = read(ask)?;
    if secret.is_empty() {
        return Err(refused(400, "missing secret"));
    }
    if !own(world, &caller, domain, id)?.is_enabled {
        return Err(disabled(world));
    }
    let mut others = world.state.things.values().filter(|client| client.domain == domain && client.id != id);
    if others.any(|client| client.key == secret) {
        return Err(conflict(world, "client key is not available"));
    }
    // Whoever was let in by the old secret stays known by it for a while.
    change(world, &caller, domain, id, false, |client| client.key = secret)
}

fn enable(world: &mut World, ask: &Ask, domain: &str, id: &str, is_enabled: bool) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    if own(world, &caller, domain, id)?.is_enabled == is_enabled {
        return Err(refused(422, "status already assigned"));
    }
    forget(world, id);
    change(world, &caller, domain, id, false, |client| client.is_enabled = is_enabled)
}

fn delete(world: &mut World, ask: &Ask, domain: &str, id: &str) -> Result<Answer, Answer> {
    let caller = caller(world, ask)?;
    own(world, &caller, domain, id)?;
    world.state.things.remove(id);
    world.state.connections.retain(|it| it.thing != id);
    forget(world, id);
    Ok(Answer::empty(204))
}

/// Nobody is let in by what was known of a client.
fn forget(world: &mut World, id: &str) {
    world.state.cache.things.retain(|_, known| known.thing != id);
}

fn change(
    world: &mut World,
    caller: &Caller,
    domain: &str,
    id: &str,
    is_secret_told: bool,
    change: impl FnOnce(&mut Thing),
) -> Result<Answer, Answer> {
    own(world, caller, domain, id)?;
    let changed = world.changed(&caller.user);
    let client = world.state.things.get_mut(id).ok_or_else(|| refused(403, UNAUTHORIZED))?;
    change(client);
    changed.apply(&mut client.made);
    Ok(Answer::json(200, &told(client, is_secret_told)))
}

fn own<'a>(world: &'a World, caller: &Caller, domain: &str, id: &str) -> Result<&'a Thing, Answer> {
    let client = world.state.things.get(id).filter(|client| client.domain == domain);
    caller.may_with(world, domain, client.is_some())?;
    client.ok_or_else(|| refused(403, UNAUTHORIZED))
}

fn told(client: &Thing, is_secret_told: bool) -> Value {
    let mut credentials = json!({});
    if is_secret_told {
        tell_texts(&mut credentials, &[("identity", &client.identity), ("secret", &client.key)]);
    }
    let mut told = json!({
        "id": client.id,
        "domain_id": client.domain,
        "credentials": credentials,
        "status": status(client.is_enabled),
    });
    tell_texts(&mut told, &[("name", &client.name)]);
    if let Some(metadata) = &client.metadata {
        told["metadata"] = metadata.clone();
    }
    tell_made(&mut told, &client.made, true);
    told
}
