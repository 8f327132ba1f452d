//! Users of SuperMQ, and their logins.

use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    ABSENT, NEVER, UNAUTHENTICATED, UNAUTHORIZED,
    access::caller,
    conflict,
    listing::{Page, value},
    read, refused, status, tell_made, tell_texts,
};
use crate::{
    Dependency, Release, Service,
    ask::{Answer, Ask},
    matching::has,
    state::User,
    world::{World, uuid},
};

/// How long a refresh token is valid by default.
const REFRESH: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Deserialize)]
struct Registration {
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    credentials: Credentials,
    metadata: Option<Map<String, Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Credentials {
    username: String,
    secret: String,
}

#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    old_secret: String,
    #[serde(default)]
    new_secret: String,
}

pub(super) fn answer(world: &mut World, ask: &Ask) -> Answer {
    let answered = match (&ask.method, ask.segments().as_slice()) {
        (&Method::POST, ["users"]) => register(world, ask),
        (&Method::GET, ["users"]) => list(world, ask),
        (&Method::GET, ["users", "search"]) => search(world, ask),
        (&Method::GET, ["users", "profile"]) => profile(world, ask),
        (&Method::PATCH, ["users", "secret"]) => change_secret(world, ask),
        (&Method::POST, ["users", "tokens", "issue"]) => log_in(world, ask),
        (&Method::POST, ["users", "tokens", "refresh"]) => refresh(world, ask),
        (&Method::POST, ["users", id, "enable"]) => enable(world, ask, id, true),
        (&Method::POST, ["users", id, "disable"]) => enable(world, ask, id, false),
        (
            _,
            ["users"]
            | ["users", "search" | "profile" | "secret"]
            | ["users", "tokens", "issue" | "refresh"]
            | ["users", _, "enable" | "disable"],
        ) => Ok(Answer::bare(405)),
        _ => Ok(Answer::no_page()),
    };
    answered.unwrap_or_else(|refusal| refusal)
}

fn register(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    let Registration { first_name, last_name, email, credentials, metadata } = read(ask)?;
    let Credentials { username, secret } = credentials;
    for (text, what) in [
        (&first_name, "missing first name"),
        (&last_name, "missing last name"),
        (&username, "missing username"),
        (&email, "missing email"),
        (&secret, "missing password"),
    ] {
        if text.is_empty() {
            return Err(refused(400, what));
        }
    }
    if !email.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && domain.contains('.')) {
        return Err(refused(400, "invalid email"));
    }
    check_secret(&secret)?;
    if world.state.users.values().any(|user| user.email == email) {
        return Err(conflict(world, "email id already registered"));
    }
    if world.state.users.values().any(|user| user.name == username) {
        return Err(conflict(world, "username not available"));
    }
    let user = User {
        id: world.mint(),
        email,
        name: username,
        first_name,
        last_name,
        password: secret,
        metadata: metadata.map(Value::Object),
        is_admin: false,
        is_enabled: true,
        made: world.made(),
    };
    let answer = Answer::json(201, &told(&user)).at(format!("/users/{}", user.id));
    world.state.users.insert(user.id.clone(), user);
    Ok(answer)
}

fn log_in(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    let Login { username, password } = read(ask)?;
    if username.is_empty() {
        return Err(refused(400, "missing username / email"));
    }
    if password.is_empty() {
        return Err(refused(400, "missing password"));
    }
    if !world.has(Dependency::Database) {
        return Err(refused(401, "failed to perform authentication over the entity"));
    }
    let user = world.state.users.values().find(|user| user.name == username || user.email == username);
    // It is said of one that is disabled too.
    let user = user.filter(|user| user.is_enabled).ok_or_else(|| refused(404, ABSENT))?;
    if user.password != password {
        return Err(refused(422, "compare hash and password failed"));
    }
    let user = user.id.clone();
    if !world.has(Service::Auth) || !world.has(Dependency::SpiceDb) {
        return Err(refused(422, "failed to issue token"));
    }
    Ok(issue(world, &user, &uuid()))
}

/// A pair of tokens. Those of one login are the same within a second.
fn issue(world: &mut World, user: &str, name: &str) -> Answer {
    let lifetime = world.token_lifetime;
    let access = world.issue(user, false, "", Some(lifetime));
    let refresh = world.issue(user, true, name, Some(REFRESH.max(lifetime)));
    Answer::json(201, &json!({ "access_token": access, "refresh_token": refresh }))
}

fn refresh(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    let user = caller(world, ask)?.user;
    let token = ask.authorized_by("Bearer ").and_then(|token| world.state.tokens.get(token));
    let Some(token) = token.filter(|token| token.is_refresh) else {
        return Err(match world.release {
            Release::Magistrala030 => Answer::empty(500),
            _ => refused(422, "failed to issue token"),
        });
    };
    let name = token.name.clone();
    Ok(issue(world, &user, &name))
}

fn change_secret(world: &mut World, ask: &Ask) -> Result<Answer, Answer> {
    let id = caller(world, ask)?.user;
    let Change { old_secret, new_secret } = read(ask)?;
    check_secret(&new_secret)?;
    let now = world.now();
    let user = world.state.users.get_mut(&id).filter(|user| user.password == old_secret);
    let user = user.ok_or_else(|| refused(401, UNAUTHENTICATED))?;
    user.password = new_secret;
    user.made.changed = Some((now, id));
    Ok(Answer::json(200, &told(user)))
}

fn enable(world: &mut World, ask: &Ask, id: &str, is_enabled: bool) -> Result<Answer, Answer> {
    if !caller(world, ask)?.is_admin {
        return Err(refused(403, UNAUTHORIZED));
    }
    let user = world.state.users.get_mut(id).ok_or_else(|| refused(404, ABSENT))?;
    user.is_enabled = is_enabled;
    Ok(Answer::json(200, &told(user)))
}

fn profile(world: &World, ask: &Ask) -> Result<Answer, Answer> {
    let id = caller(world, ask)?.user;
    let user = world.state.users.get(&id).ok_or_else(|| refused(404, ABSENT))?;
    Ok(Answer::json(200, &told(user)))
}

fn list(world: &World, ask: &Ask) -> Result<Answer, Answer> {
    if !caller(world, ask)?.is_admin {
        return Err(refused(404, ABSENT));
    }
    let part = value(ask, "email")?.unwrap_or_default();
    let users = world.state.users.values().filter(|user| part.is_empty() || has(&user.email, part));
    Ok(Page::read(ask, "username")?.of("users", users, told))
}

/// Whoever asks finds users, but not their e-mail addresses.
fn search(world: &World, ask: &Ask) -> Result<Answer, Answer> {
    caller(world, ask)?;
    let tell = |user| {
        let mut told = told(user);
        if let Some(told) = told.as_object_mut() {
            told.remove("email");
        }
        told
    };
    Ok(Page::read(ask, "username")?.of("users", world.state.users.values(), tell))
}

fn told(user: &User) -> Value {
    let mut told = json!({
        "id": user.id,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "status": status(user.is_enabled),
        "role": if user.is_admin { "admin" } else { "user" },
        "credentials": { "username": user.name },
        "verified_at": NEVER,
    });
    tell_texts(&mut told, &[("email", &user.email)]);
    if let Some(metadata) = &user.metadata {
        told["metadata"] = metadata.clone();
    }
    tell_made(&mut told, &user.made, true);
    told
}

fn check_secret(secret: &str) -> Result<(), Answer> {
    if secret.chars().count() < 8 {
        return Err(refused(400, "password does not meet the requirements"));
    }
    // It hashes them by bcrypt, which takes no more.
    if secret.len() > 72 {
        return Err(refused(422, "generate hash from password failed"));
    }
    Ok(())
}
