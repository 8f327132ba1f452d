//! API v1, as Delhi (0.7.1) has it: core-metadata with addressables, profiles, device services and devices, and export-client with
//! registrations.
//!
//! Sources: the RAML of core-metadata and export-client of edgex-go at 0.7.1, and what its handlers answer.

mod registrations;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Service,
    answer::{self, Answer, Asked},
    now,
    world::World,
};

const JSON: &str = "application/json";

/// Things of one kind, the oldest first.
type Things = Vec<Value>;

/// What a gateway of v1 keeps.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Stored {
    addressables: Things,
    profiles: Things,
    services: Things,
    devices: Things,
    registrations: Things,
}

/// The device service of the gateway registers itself, with its addressable.
pub(crate) fn register(stored: &mut Stored, service: Service, (host, port): (String, u16)) {
    if stored.services.iter().any(|one| one["name"] == service.name()) {
        return;
    }
    let addressable = json!({ "name": service.name(), "protocol": "HTTP", "address": host, "port": port, "path": "/api/v1/callback" });
    let addressable = made(addressable);
    stored.services.push(made(json!({
        "name": service.name(),
        "adminState": "UNLOCKED",
        "operatingState": "ENABLED",
        "addressable": addressable,
    })));
    stored.addressables.push(addressable);
}

/// What a service of v1 answers.
pub(crate) fn answer(world: &Arc<World>, asked: &Asked) -> Answer {
    let Some(parts) = asked.parts("/api/v1/") else { return nothing() };
    let names: Result<Vec<String>, Answer> = parts.iter().map(|part| answer::name(part)).collect();
    let Ok(parts) = names else { return error(400, "invalid URL escape") };
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if asked.method == "GET" && parts == ["ping"] {
        return Answer::text(200, "text/plain; charset=utf-8", "pong");
    }
    let mut state = world.state();
    if state.lost.database {
        return error(503, "no reachable servers");
    }
    let stored = &mut state.stored.v1;
    let answer = match (asked.service, parts.as_slice()) {
        (Service::Metadata, ["addressable", rest @ ..]) => addressables(stored, asked, rest),
        (Service::Metadata, ["deviceprofile", rest @ ..]) => profiles(stored, asked, rest),
        (Service::Metadata, ["deviceservice", rest @ ..]) => services(stored, asked, rest),
        (Service::Metadata, ["device", rest @ ..]) => devices(stored, asked, rest),
        (Service::ExportClient, ["registration", rest @ ..]) => registrations::answer(stored, asked, rest),
        _ => return nothing(),
    };
    answer.unwrap_or_else(|refused| refused)
}

type Answered = Result<Answer, Answer>;

/// As `http.Error` of Go writes it.
fn error(status: u16, why: &str) -> Answer {
    Answer::text(status, "text/plain; charset=utf-8", format!("{why}\n"))
}

fn nothing() -> Answer {
    error(404, "404 page not found")
}

fn not_found() -> Answer {
    error(404, "Item not found")
}

fn done() -> Answer {
    Answer::text(200, JSON, "true")
}

fn told(value: &Value) -> Answer {
    Answer::text(200, JSON, format!("{value}\n"))
}

fn id_of(thing: &Value) -> Answer {
    Answer::text(200, "text/plain; charset=utf-8", thing["id"].as_str().unwrap_or_default())
}

/// A thing that is new from now on, with an identity as MongoDB gives it.
fn made(mut thing: Value) -> Value {
    let now = now::milliseconds();
    let id: String = now::uuid().chars().filter(|c| *c != '-').take(24).collect();
    (thing["id"], thing["created"], thing["modified"]) = (id.into(), now.into(), now.into());
    thing
}

fn read(asked: &Asked) -> Result<Value, Answer> {
    let value: Value = serde_json::from_slice(&asked.body).map_err(|why| {
        error(400, if why.is_eof() { "unexpected end of JSON input" } else { "invalid character in JSON" })
    })?;
    if value.is_object() { Ok(value) } else { Err(error(400, "json: cannot unmarshal into Go value")) }
}

/// The place of a thing by its name, or else by its identity.
fn place(things: &[Value], like: &Value) -> Option<usize> {
    let by = |field: &str| {
        let wanted = like[field].as_str().filter(|text| !text.is_empty())?;
        things.iter().position(|thing| thing[field] == wanted)
    };
    by("name").or_else(|| by("id"))
}

fn find(things: &[Value], field: &str, value: &str) -> Result<usize, Answer> {
    things.iter().position(|thing| thing[field] == value).ok_or_else(not_found)
}

/// The requests that are alike for all kinds: reading.
fn tell(things: &[Value], asked: &Asked, rest: &[&str]) -> Option<Answered> {
    if asked.method != "GET" {
        return None;
    }
    let answer = match rest {
        [] => Ok(told(&things.to_vec().into())),
        ["name", name] => find(things, "name", name).map(|at| told(&things[at])),
        ["label", label] => {
            let has = |thing: &&Value| {
                thing["labels"].as_array().is_some_and(|all| all.iter().any(|one| one == *label))
            };
            Ok(told(&things.iter().filter(has).cloned().collect()))
        }
        [id] => find(things, "id", id).map(|at| told(&things[at])),
        _ => return None,
    };
    Some(answer)
}

/// Which thing a request is to delete.
fn deleted(things: &[Value], asked: &Asked, rest: &[&str]) -> Option<Result<usize, Answer>> {
    match rest {
        [field @ ("name" | "id"), value] if asked.method == "DELETE" => Some(find(things, field, value)),
        _ => None,
    }
}

/// Takes over the fields that were sent, but not who it is.
fn change(thing: &mut Value, sent: Value) {
    let Value::Object(fields) = sent else { return };
    for (name, value) in fields {
        if !["id", "created", "modified"].contains(&name.as_str()) && !value.is_null() {
            thing[name] = value;
        }
    }
    thing["modified"] = now::milliseconds().into();
}

/// The requests to make or change something, with what is said of a name that is taken.
fn keep(things: &mut Things, asked: &Asked, rest: &[&str], taken: &str) -> Option<Answered> {
    let answer = match (asked.method.as_str(), rest) {
        ("POST", []) => read(asked).and_then(|sent| {
            if things.iter().any(|thing| thing["name"] == sent["name"]) {
                return Err(error(409, taken));
            }
            let thing = made(sent);
            let answer = id_of(&thing);
            things.push(thing);
            Ok(answer)
        }),
        ("PUT", []) => read(asked).and_then(|sent| {
            let at = place(things, &sent).ok_or_else(not_found)?;
            change(&mut things[at], sent);
            Ok(done())
        }),
        _ => return None,
    };
    Some(answer)
}

fn addressables(stored: &mut Stored, asked: &Asked, rest: &[&str]) -> Answered {
    if asked.method == "POST" && read(asked)?["name"].as_str().is_none_or(str::is_empty) {
        return Err(error(400, "name is required for addressable"));
    }
    if let Some(answer) = tell(&stored.addressables, asked, rest) {
        return answer;
    }
    if let Some(at) = deleted(&stored.addressables, asked, rest) {
        let at = at?;
        let name = &stored.addressables[at]["name"];
        let mut users = stored.devices.iter().chain(&stored.services);
        if users.any(|user| user["addressable"]["name"] == *name) {
            return Err(error(409, "Addressable is still in use by device service"));
        }
        stored.addressables.remove(at);
        return Ok(done());
    }
    let taken = "Duplicate name for addressable";
    keep(&mut stored.addressables, asked, rest, taken).unwrap_or_else(|| Err(nothing()))
}

fn profiles(stored: &mut Stored, asked: &Asked, rest: &[&str]) -> Answered {
    if let Some(answer) = tell(&stored.profiles, asked, rest) {
        return answer;
    }
    if let Some(at) = deleted(&stored.profiles, asked, rest) {
        let at = at?;
        let name = &stored.profiles[at]["name"];
        if stored.devices.iter().any(|device| device["profile"]["name"] == *name) {
            return Err(error(409, "Can't delete device profile, the profile is still in use by a device"));
        }
        stored.profiles.remove(at);
        return Ok(done());
    }
    if asked.method == "POST" && rest.is_empty() {
        let sent = read(asked)?;
        let mut names: Vec<&str> = sent["commands"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["name"].as_str())
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        if names.len() < all {
            return Err(error(409, "Error adding device profile: Duplicate names in the commands"));
        }
    }
    let taken = "Duplicate name for device profile";
    keep(&mut stored.profiles, asked, rest, taken).unwrap_or_else(|| Err(nothing()))
}

fn services(stored: &mut Stored, asked: &Asked, rest: &[&str]) -> Answered {
    if let Some(answer) = tell(&stored.services, asked, rest) {
        return answer;
    }
    if let Some(at) = deleted(&stored.services, asked, rest) {
        stored.services.remove(at?);
        return Ok(done());
    }
    let taken = "Duplicate name for device service";
    keep(&mut stored.services, asked, rest, taken).unwrap_or_else(|| Err(nothing()))
}

fn devices(stored: &mut Stored, asked: &Asked, rest: &[&str]) -> Answered {
    if let Some(answer) = tell(&stored.devices, asked, rest) {
        return answer;
    }
    let of = |field: &str, name: &str| {
        let has = |device: &&Value| device[field]["name"] == name;
        Ok(told(&stored.devices.iter().filter(has).cloned().collect()))
    };
    match (asked.method.as_str(), rest) {
        ("GET", ["profilename", name]) => return of("profile", name),
        ("GET", ["servicename", name]) => return of("service", name),
        ("GET", ["addressablename", name]) => return of("addressable", name),
        ("GET", ["check", token]) => {
            let found = find(&stored.devices, "name", token).or_else(|_| find(&stored.devices, "id", token));
            let found = found.map_err(|_| error(404, &format!("device not found: {token}")))?;
            return Ok(told(&stored.devices[found]));
        }
        ("PUT", [id, field @ ("adminstate" | "opstate"), state]) => {
            let at = find(&stored.devices, "id", id)?;
            return set_state(&mut stored.devices[at], field, state);
        }
        ("PUT", ["name", name, field @ ("adminstate" | "opstate"), state]) => {
            let at = find(&stored.devices, "name", name)?;
            return set_state(&mut stored.devices[at], field, state);
        }
        _ => {}
    }
    if let Some(at) = deleted(&stored.devices, asked, rest) {
        stored.devices.remove(at?);
        return Ok(done());
    }
    let mut whole = asked.clone();
    if ["POST", "PUT"].contains(&asked.method.as_str()) && rest.is_empty() {
        let mut sent = read(asked)?;
        attach(stored, asked.method == "POST", &mut sent)?;
        whole.body = sent.to_string().into_bytes();
    }
    keep(&mut stored.devices, &whole, rest, "Duplicate name for device").unwrap_or_else(|| Err(nothing()))
}

/// Puts the things in place that a device names, which all have to be there for a new one.
fn attach(stored: &Stored, new: bool, sent: &mut Value) -> Result<(), Answer> {
    let parts = [
        ("addressable", &stored.addressables, "A device must be associated to an Addressable"),
        ("service", &stored.services, "A device must be associated with a device service"),
        ("profile", &stored.profiles, "A device must be associated with a device profile"),
    ];
    for (field, things, why) in parts {
        if sent[field].is_null() && !new {
            continue;
        }
        let at = place(things, &sent[field]).ok_or_else(|| error(400, &format!("Item not found: {why}")))?;
        sent[field] = things[at].clone();
    }
    let state = |sent: &Value, field: &str| sent[field].as_str().unwrap_or_default().to_uppercase();
    if new && (state(sent, "adminState").is_empty() || state(sent, "operatingState").is_empty()) {
        return Err(error(400, "Device can't have null operating state or admin state"));
    }
    for (field, known) in
        [("adminState", ["LOCKED", "UNLOCKED"]), ("operatingState", ["ENABLED", "DISABLED"])]
    {
        let state = state(sent, field);
        if !state.is_empty() && !known.contains(&state.as_str()) {
            let shown = sent[field].as_str().unwrap_or_default();
            return Err(error(400, &format!("Invalid {field} {shown:?}")));
        }
        if !state.is_empty() {
            sent[field] = state.into();
        }
    }
    Ok(())
}

fn set_state(device: &mut Value, field: &str, state: &str) -> Answered {
    let (field, known) = match field {
        "adminstate" => ("adminState", ["LOCKED", "UNLOCKED"]),
        _ => ("operatingState", ["ENABLED", "DISABLED"]),
    };
    let state = state.to_uppercase();
    if !known.contains(&state.as_str()) {
        return Err(error(400, &format!("Invalid {field}")));
    }
    device[field] = state.into();
    Ok(done())
}
