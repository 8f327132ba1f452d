//! Requests about exports, at export-client.

use serde_json::Value;

use super::{Answered, Stored, change, deleted, done, error, find, id_of, made, nothing, read, tell};
use crate::answer::{Answer, Asked};

const FORMATS: [&str; 9] = [
    "JSON",
    "XML",
    "SERIALIZED",
    "IOTCORE_JSON",
    "AZURE_JSON",
    "AWS_JSON",
    "CSV",
    "THINGSBOARD_JSON",
    "NOOP",
];

const DESTINATIONS: [&str; 7] = [
    "MQTT_TOPIC",
    "ZMQ_TOPIC",
    "IOTCORE_TOPIC",
    "AZURE_TOPIC",
    "AWS_TOPIC",
    "REST_ENDPOINT",
    "INFLUXDB_ENDPOINT",
];

/// What is answered to `/registration/…`.
pub(super) fn answer(stored: &mut Stored, asked: &Asked, rest: &[&str]) -> Answered {
    let things = &mut stored.registrations;
    if let Some(answer) = tell(things, asked, rest) {
        return answer;
    }
    if let Some(at) = deleted(things, asked, rest) {
        things.remove(at?);
        return Ok(done());
    }
    match (asked.method.as_str(), rest) {
        ("POST", []) => {
            let sent = read(asked)?;
            check(&sent)?;
            if find(things, "name", sent["name"].as_str().unwrap_or_default()).is_ok() {
                return Err(error(400, "Name already taken"));
            }
            let thing = made(sent);
            let answer = id_of(&thing);
            things.push(thing);
            Ok(answer)
        }
        ("PUT", []) => {
            let sent = read(asked)?;
            let text = |field: &str| sent[field].as_str().unwrap_or_default();
            let at = match (text("id"), text("name")) {
                ("", "") => return Err(error(400, "Need id or name")),
                ("", name) => find(things, "name", name)?,
                (id, _) => find(things, "id", id)?,
            };
            let mut changed = things[at].clone();
            change(&mut changed, sent);
            check(&changed)?;
            things[at] = changed;
            Ok(done())
        }
        _ => Err(nothing()),
    }
}

fn check(registration: &Value) -> Result<(), Answer> {
    let text = |field: &str| registration[field].as_str().unwrap_or_default();
    let compressed = ["", "NONE", "GZIP", "ZIP"].contains(&text("compression"));
    let algorithm = registration["encryption"]["encryptionAlgorithm"].as_str().unwrap_or_default();
    let right = !text("name").is_empty()
        && compressed
        && FORMATS.contains(&text("format"))
        && DESTINATIONS.contains(&text("destination"))
        && ["", "NONE", "AES"].contains(&algorithm);
    if right { Ok(()) } else { Err(error(400, "Could not validate json fields")) }
}
