//! Consul, as 3.1 has it for configuration and as the registry.
//!
//! Source: the HTTP API of Consul, key/value store (`/v1/kv`), health and agent.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    Service,
    answer::{Answer, Asked},
    export,
    world::World,
};

/// What Consul answers.
pub(crate) fn answer(world: &Arc<World>, asked: &Asked) -> Answer {
    let Some(parts) = asked.parts("/v1/") else { return Answer::empty(404) };
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (asked.method.as_str(), parts.as_slice()) {
        ("GET", ["kv", key @ ..]) => get(world, asked, &key.join("/")),
        ("PUT", ["kv", key @ ..]) => put(world, asked, &key.join("/")),
        ("DELETE", ["kv", key @ ..]) => delete(world, asked, &key.join("/")),
        ("PUT", ["txn"]) => transact(world, asked),
        ("GET", ["status", "leader"]) => Answer::json(200, &"127.0.0.1:8300".into()),
        ("GET", ["agent", "services"]) => Answer::json(200, &services(world)),
        ("GET", ["health", "service", name]) => health(world, name),
        _ => Answer::empty(404),
    }
}

/// Whether a parameter stands in the query, with or without a value.
fn has(asked: &Asked, name: &str) -> bool {
    asked.parameter(name).is_some()
}

fn get(world: &World, asked: &Asked, key: &str) -> Answer {
    let state = world.state();
    // Prefixes are no folders to Consul.
    let whole = has(asked, "recurse") || has(asked, "keys");
    let found: Vec<(&String, &String)> = state
        .stored
        .keys
        .all()
        .filter(|(name, _)| if whole { name.starts_with(key) } else { name.as_str() == key })
        .collect();
    let Some((_, first)) = found.first() else { return Answer::empty(404) };
    if has(asked, "raw") {
        return Answer::text(200, "text/plain", first.as_str());
    }
    let told = found.iter().map(|(name, value)| {
        if has(asked, "keys") {
            return Value::from(name.as_str());
        }
        json!({
            "LockIndex": 0,
            "Key": name,
            "Flags": 0,
            "Value": STANDARD.encode(value),
            "CreateIndex": 1,
            "ModifyIndex": 1,
        })
    });
    Answer::json(200, &told.collect())
}

fn put(world: &World, asked: &Asked, key: &str) -> Answer {
    let value = String::from_utf8_lossy(&asked.body).into_owned();
    let mut state = world.state();
    state.stored.keys.put(key.to_owned(), value);
    export::changed(world, &mut state, &[key.to_owned()]);
    Answer::json(200, &true.into())
}

/// Several changes at once, of which those that see the keys change hear as of one.
fn transact(world: &World, asked: &Asked) -> Answer {
    let mut state = world.state();
    let (mut names, mut results) = (Vec::new(), Vec::new());
    for operation in asked.json().as_array().into_iter().flatten() {
        let set = &operation["KV"];
        let value = set["Value"].as_str().and_then(|value| STANDARD.decode(value).ok());
        let value = value.and_then(|value| String::from_utf8(value).ok());
        let (Some("set"), Some(key), Some(value)) = (set["Verb"].as_str(), set["Key"].as_str(), value) else {
            return Answer::text(400, "text/plain", "Failed to parse body");
        };
        state.stored.keys.put(key.to_owned(), value);
        results.push(json!({ "KV": { "Key": key, "Flags": 0, "Value": null } }));
        names.push(key.to_owned());
    }
    export::changed(world, &mut state, &names);
    Answer::json(200, &json!({ "Results": results, "Errors": null }))
}

fn delete(world: &World, asked: &Asked, key: &str) -> Answer {
    let mut state = world.state();
    let whole = has(asked, "recurse");
    let names: Vec<String> = state
        .stored
        .keys
        .all()
        .map(|(name, _)| name.clone())
        .filter(|name| if whole { name.starts_with(key) } else { name == key })
        .collect();
    for name in &names {
        state.stored.keys.remove(name);
    }
    export::changed(world, &mut state, &names);
    // What was not there is gone as well.
    Answer::json(200, &true.into())
}

fn registered(world: &World) -> impl Iterator<Item = Service> {
    world.config.services.iter().copied().filter(|service| *service != Service::Consul)
}

fn entry(world: &World, service: Service) -> Value {
    let (host, port) = world.told(service);
    json!({ "ID": service.name(), "Service": service.name(), "Tags": [], "Address": host, "Port": port })
}

fn services(world: &World) -> Value {
    let all = registered(world).map(|service| (service.name().to_owned(), entry(world, service)));
    Value::Object(all.collect())
}

fn health(world: &World, name: &str) -> Answer {
    let state = world.state();
    let found = registered(world).filter(|service| service.name() == name);
    let told = found.map(|service| {
        let status = if world.runs(&state, service) { "passing" } else { "critical" };
        let check = json!({
            "CheckID": format!("Health Check: {name}"),
            "Name": format!("Health Check: {name}"),
            "Status": status,
            "ServiceID": name,
            "ServiceName": name,
        });
        json!({ "Service": entry(world, service), "Checks": [check] })
    });
    Answer::json(200, &told.collect())
}
