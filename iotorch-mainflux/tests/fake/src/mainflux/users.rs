//! Users of Mainflux, and their logins.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{BAD_TYPE, MALFORMED, NO_CREDENTIALS, UNAUTHENTICATED, listing, refused, token, user};
use crate::{
    Dependency, Release, Service,
    ask::{Answer, Ask},
    matching::has_exactly,
    state::User,
    world::World,
};

#[derive(Deserialize)]
struct Registration {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
    metadata: Option<serde_json::Map<String, Value>>,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    password: String,
    #[serde(default)]
    old_password: String,
}

pub(super) fn answer(world: &mut World, ask: &Ask) -> Answer {
    let answered = match (&ask.method, ask.segments().as_slice()) {
        (&Method::POST, ["users"]) => register(world, ask),
        (&Method::GET, ["users"]) => list(world, ask),
        (&Method::PUT, ["users"]) => update(world, ask),
        (&Method::POST, ["tokens"]) => log_in(world, ask),
        (&Method::PATCH, ["password"]) => change_password(world, ask),
        (&Method::GET, ["users", "profile"]) => profile(world, ask),
        (&Method::GET, ["users", id]) => view(world, ask, id),
        (_, ["users"] | ["users", _] | ["tokens"] | ["password"]) => Ok(Answer::bare(405)),
        _ => Ok(Answer::no_page()),
    };
    answered.unwrap_or_else(|refusal| refusal)
}

fn register(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    let Registration { email, password, metadata } = read(ask)?;
    if !is_email(&email) {
        return Err(refused(400, MALFORMED));
    }
    check_password(&password)?;
    if !world.has(Dependency::Database) {
        return Err(refused(500, "Save user to DB failed"));
    }
    if world.state.users.values().any(|user| user.email == email) {
        return Err(refused(409, "email already taken"));
    }
    let user = User {
        id: world.mint(),
        name: email.clone(),
        email,
        first_name: String::new(),
        last_name: String::new(),
        password,
        metadata: metadata.map(Value::Object),
        is_admin: false,
        is_enabled: true,
        made: world.made(),
    };
    let at = format!("/users/{}", user.id);
    world.state.users.insert(user.id.clone(), user);
    Ok(Answer::empty(201).at(at))
}

fn log_in(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    let Registration { email, password, .. } = read(ask)?;
    if !is_email(&email) {
        return Err(refused(400, MALFORMED));
    }
    let users = world.state.users.values();
    let known = users.into_iter().find(|user| user.email == email && user.password == password);
    let known = known.filter(|_| world.has(Dependency::Database));
    let user = known.map(|user| user.id.clone()).ok_or_else(|| stranger(world))?;
    if !world.has(Service::Auth) {
        return Err(match world.release {
            Release::Mainflux013 => refused(404, "entity not found"),
            _ => refused(400, "non-existent user"),
        });
    }
    let lifetime = world.token_lifetime;
    let token = world.issue(&user, false, "", Some(lifetime));
    Ok(Answer::json(201, &json!({ "token": token })))
}

fn change_password(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    let Change { password, old_password } = read(ask)?;
    let id = known(world, ask)?;
    check_password(&password)?;
    let refusal = stranger(world);
    let user = world.state.users.get_mut(&id).filter(|user| user.password == old_password);
    user.ok_or(refusal)?.password = password;
    Ok(Answer::json(201, &json!({})))
}

fn update(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    let body: Value = read(ask)?;
    let id = known(world, ask)?;
    if let Some(user) = world.state.users.get_mut(&id) {
        user.metadata = body.get("metadata").filter(|metadata| metadata.is_object()).cloned();
    }
    Ok(Answer::empty(200))
}

fn profile(world: &World, ask: &Ask) -> Result<Answer, Answer> {
    let id = known(world, ask)?;
    view_known(world, &id)
}

fn view(world: &World, ask: &Ask, id: &str) -> Result<Answer, Answer> {
    known(world, ask)?;
    view_known(world, id)
}

fn view_known(world: &World, id: &str) -> Result<Answer, Answer> {
    let user = world.state.users.get(id).filter(|_| world.has(Dependency::Database));
    user.map(|user| Answer::json(200, &told(user))).ok_or_else(|| stranger(world))
}

fn list(world: &World, ask: &Ask) -> Result<Answer, Answer> {
    let offset = listing::number(ask, "offset", 0)?;
    let limit = listing::number(ask, "limit", 10)?;
    let email = listing::value(ask, "email")?.unwrap_or_default();
    known(world, ask)?;
    let mut users: Vec<_> = world
        .state
        .users
        .values()
        .filter(|user| email.is_empty() || has_exactly(&user.email, email))
        .collect();
    users.sort_by(|a, b| a.email.cmp(&b.email));
    let page = users.iter().skip(usize::try_from(offset).unwrap_or(usize::MAX));
    let page: Vec<Value> =
        page.take(usize::try_from(limit).unwrap_or(usize::MAX)).map(|user| told(user)).collect();
    Ok(Answer::json(200, &json!({ "total": users.len(), "offset": offset, "limit": limit, "users": page })))
}

fn told(user: &User) -> Value {
    let mut told = json!({ "id": user.id, "email": user.email });
    if let Some(metadata) = &user.metadata {
        told["metadata"] = metadata.clone();
    }
    told
}

fn read<T: serde::de::DeserializeOwned>(ask: &Ask) -> Result<T, Answer> {
    if !ask.is_json() {
        return Err(refused(415, BAD_TYPE));
    }
    ask.read().ok_or_else(|| refused(400, MALFORMED))
}

/// The user who asks.
fn known(world: &World, ask: &Ask) -> Result<String, Answer> {
    let is_there = !token(world, ask).is_empty();
    user(world, ask).filter(|_| is_there).ok_or_else(|| stranger(world))
}

/// What is said to somebody who is not known, or gives a wrong password.
fn stranger(world: &World) -> Answer {
    match world.release {
        Release::Mainflux013 => refused(401, UNAUTHENTICATED),
        _ => refused(403, NO_CREDENTIALS),
    }
}

fn check_password(password: &str) -> Result<(), Answer> {
    if password.chars().count() < 8 {
        return Err(refused(400, "password does not meet the requirements"));
    }
    Ok(())
}

/// Whether a text is an e-mail address with a domain that has a dot in it.
fn is_email(text: &str) -> bool {
    let Some((name, domain)) = text.rsplit_once('@') else { return false };
    !name.is_empty()
        && !text.contains(char::is_whitespace)
        && domain.rsplit_once('.').is_some_and(|(rest, last)| !rest.is_empty() && last.len() > 1)
}
