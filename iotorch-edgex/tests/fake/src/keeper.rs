//! core-keeper: keys with values, and the registry of services.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Service,
    answer::{self, Answer, Asked},
    export,
    metadata::{Page, absent},
    now,
    state::State,
    world::World,
};

const PATHS: &[&str] = &["registry", "registry/all", "registry/serviceId/*"];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Key {
    created: i64,
    modified: i64,
    pub(crate) value: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Keys(BTreeMap<String, Key>);

impl Keys {
    /// What the services of a fresh gateway write into it, under `root`.
    pub(crate) fn fresh(root: &str) -> Self {
        let recorded: BTreeMap<String, String> =
            serde_json::from_str(include_str!("recorded/keys.json")).unwrap_or_default();
        let mut keys = Self::default();
        recorded.into_iter().for_each(|(key, value)| keys.put(format!("{root}{key}"), value));
        keys
    }

    pub(crate) fn put(&mut self, key: String, value: String) {
        let now = now::milliseconds();
        let created = self.0.get(&key).map_or(now, |key| key.created);
        self.0.insert(key, Key { created, modified: now, value });
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Key> {
        self.0.get(key)
    }

    pub(crate) fn remove(&mut self, key: &str) -> bool {
        self.0.remove(key).is_some()
    }

    /// Itself and what lies under it.
    pub(crate) fn under<'a>(&'a self, key: &'a str) -> impl Iterator<Item = (&'a String, &'a Key)> {
        let all = self.0.range(key.to_owned()..).take_while(move |(other, _)| other.starts_with(key));
        all.filter(move |(other, _)| {
            other.len() == key.len() || key.is_empty() || other[key.len()..].starts_with('/')
        })
    }

    /// All names and values.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter().map(|(name, key)| (name, &key.value))
    }

    /// Whether something lies under a key.
    fn has_more(&self, key: &str) -> bool {
        self.under(key).any(|(other, _)| other != key)
    }
}

/// What core-keeper answers.
pub(crate) fn answer(world: &Arc<World>, asked: &Asked) -> Answer {
    let answer = if let Some(parts) = asked.parts("/api/v3/kvs/key/") {
        let key = parts.join("/");
        match asked.method.as_str() {
            "GET" => get(world, asked, &key),
            "PUT" => put(world, asked, &key),
            "DELETE" => delete(world, asked, &key),
            _ => Err(Answer::message(405, "Method Not Allowed")),
        }
    } else {
        registry(world, asked)
    };
    answer.unwrap_or_else(|refused| refused)
}

type Answered = Result<Answer, Answer>;

/// A parameter that is a boolean as Go reads one.
fn flag(asked: &Asked, name: &str) -> Result<bool, Answer> {
    match asked.parameter(name).as_deref() {
        None | Some("" | "false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
        Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
        Some(text) => {
            let message = format!(
                "failed to parse querystring {name} into bool. Error:strconv.ParseBool: parsing \"{text}\": \
                 invalid syntax"
            );
            Err(Answer::refused(400, message))
        }
    }
}

fn get(world: &World, asked: &Asked, key: &str) -> Answered {
    let (only, plain) = (flag(asked, "keyOnly")?, flag(asked, "plaintext")?);
    let state = world.state();
    check_database(&state, key)?;
    let found: Vec<Value> = state
        .stored
        .keys
        .under(key)
        .map(|(name, Key { created, modified, value })| {
            let value = if plain { value.clone() } else { STANDARD.encode(value) };
            let whole = json!({ "key": name, "Created": created, "Modified": modified, "value": value });
            if only { name.clone().into() } else { whole }
        })
        .collect();
    if found.is_empty() {
        return Err(Answer::refused(404, format!("no key starting with '{key}' found")));
    }
    Ok(Answer::v3(200, json!({ "response": found })))
}

fn check_database(state: &State, key: &str) -> Result<(), Answer> {
    let lost = state.lost.database;
    if lost { Err(Answer::refused(500, format!("failed to query rows by key '{key}'"))) } else { Ok(()) }
}

fn put(world: &World, asked: &Asked, key: &str) -> Answered {
    let sent = answer::value(&asked.body)?;
    let flatten = flag(asked, "flatten")?;
    let value = &sent["value"];
    if value.is_null() {
        return Err(Answer::refused(400, "the value field is undefined"));
    }
    let mut pairs = Vec::new();
    if flatten {
        flat(key, value, &mut pairs);
    } else {
        pairs.push((key.to_owned(), value.clone()));
    }
    let mut state = world.state();
    check_database(&state, key)?;
    for (key, value) in &pairs {
        state.stored.keys.put(key.clone(), text(value));
        say(world, key, Some(value));
    }
    let names: Vec<String> = pairs.into_iter().map(|(key, _)| key).collect();
    export::changed(world, &mut state, &names);
    Ok(Answer::v3(200, json!({ "response": names })))
}

fn flat(key: &str, value: &Value, pairs: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| flat(&format!("{key}/{name}"), value, pairs));
        }
        value => pairs.push((key.to_owned(), value.clone())),
    }
}

/// As it is kept: JSON, if it is no text.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn delete(world: &World, asked: &Asked, key: &str) -> Answered {
    let prefix = flag(asked, "prefixMatch")?;
    let mut state = world.state();
    check_database(&state, key)?;
    let keys = &mut state.stored.keys;
    let names: Vec<String> = if prefix {
        keys.under(key).filter(|(name, _)| *name != key).map(|(name, _)| name.clone()).collect()
    } else if keys.has_more(key) {
        let message = format!("keys having the same prefix {key} exist and cannot be deleted");
        return Err(Answer::refused(409, message));
    } else {
        keys.get(key).map(|_| key.to_owned()).into_iter().collect()
    };
    if names.is_empty() {
        return Err(Answer::refused(404, format!("key '{key}' not found")));
    }
    if prefix {
        // The key itself goes as well, without being named.
        keys.remove(key);
    }
    for name in &names {
        keys.remove(name);
        // A key with a slash at its end takes the one without with it.
        keys.remove(name.trim_end_matches('/'));
        say(world, name, None);
    }
    export::changed(world, &mut state, &names);
    Ok(Answer::v3(200, json!({ "response": names })))
}

/// Says on the bus that a key was written, or removed.
pub(crate) fn say(world: &World, key: &str, value: Option<&Value>) {
    let mut payload = json!({ "key": key, "Created": 0, "Modified": 0 });
    if let Some(value) = value {
        payload["value"] = value.clone();
    }
    world.say(&format!("edgex/configs/{key}"), payload);
}

/// The services that register themselves: all but the keeper.
fn registry(world: &World, asked: &Asked) -> Answered {
    let parts = asked.parts("/api/v3/").unwrap_or_default();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let state = world.state();
    let of = |service: Service| {
        let (host, port) = world.told(service);
        let now = now::milliseconds();
        json!({
            "created": now,
            "modified": now,
            "serviceId": service.name(),
            "status": state.health.get(&service).unwrap_or(&"UP"),
            "host": host,
            "port": port,
            "HealthCheck": { "interval": "10s", "path": "/api/v3/ping", "type": "http" },
        })
    };
    let mut registered = world.config.services.iter().copied().filter(|one| *one != Service::Keeper);
    match (asked.method.as_str(), parts.as_slice()) {
        ("GET", ["registry", "serviceId", id]) => {
            let found = registered.find(|service| service.name() == *id);
            let absent = || Answer::refused(404, "registration not found by serviceId");
            let found = found.ok_or_else(absent)?;
            Ok(Answer::v3(200, json!({ "registration": of(found) })))
        }
        ("GET", ["registry", "all"]) => {
            let page = Page::of(asked)?;
            // One that has stopped has deregistered itself.
            let whole = flag(asked, "deregistered")?;
            let all: Vec<Service> =
                registered.filter(|one| whole || state.health.get(one) != Some(&"HALT")).collect();
            Ok(page.tell("registrations", &all, |service| of(*service)))
        }
        _ => Ok(absent(&parts, PATHS)),
    }
}
