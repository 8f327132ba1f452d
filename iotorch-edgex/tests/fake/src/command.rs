//! core-command: what devices can do, and having it done.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::{
    Release, Service,
    answer::{self, Answer, Asked, Refusal, go_text},
    metadata::{Page, absent, device::Device, profile::Profile},
    south,
    world::World,
};

const PATHS: &[&str] = &["device/all", "device/name/*", "device/name/*/*"];

/// What core-command answers.
pub(crate) async fn answer(world: &Arc<World>, asked: &Asked) -> Answer {
    let parts = asked.parts("/api/v3/").unwrap_or_default();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let answer = match (asked.method.as_str(), parts.as_slice()) {
        ("GET", ["device", "all"]) => list(world, asked),
        ("GET", ["device", "name", name]) => device(world, name),
        ("GET", ["device", "name", name, source]) => get(world, asked, name, source).await,
        ("PUT", ["device", "name", name, source]) => set(world, asked, name, source).await,
        _ => Ok(absent(&parts, PATHS)),
    };
    answer.unwrap_or_else(|refused| refused)
}

type Answered = Result<Answer, Answer>;

/// What core-command says of what another service refused.
fn passed_on(status: u16, said: &str) -> Answer {
    Answer::refused(status, format!("request failed, status code: {status}, err: {said}"))
}

fn unknown(name: &str) -> Answer {
    passed_on(404, &format!("no device with name '{name}' found"))
}

/// Whether the services are there that core-command asks.
fn check(world: &World) -> Result<(), Answer> {
    let state = world.state();
    if world.config.release == Release::V4 && !world.runs(&state, Service::Keeper) {
        let (host, port) = world.told(Service::Keeper);
        let message = format!(
            "unable to Get service endpoint for 'core-metadata': failed to get service core-metadata endpoint: \
             failed to send a http request -> Get \"http://{host}:{port}/api/v3/registry/serviceId/core-metadata\": \
             dial tcp {host}:{port}: connect: connection refused"
        );
        return Err(Answer::refused(500, message));
    }
    if world.runs(&state, Service::Metadata) {
        Ok(())
    } else {
        Err(Answer::refused(503, "failed to send a http request"))
    }
}

fn list(world: &World, asked: &Asked) -> Answered {
    let page = Page::of(asked)?;
    check(world)?;
    let state = world.state();
    let all: Vec<&Device> = state.stored.devices.iter().collect();
    let answer = page.tell("deviceCoreCommands", &all, |device| {
        let profile = state.stored.profiles.get(&device.profile_name);
        profile.map_or(Value::Null, |profile| commands(world, device, profile))
    });
    if answer.status == 416 {
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        return Err(passed_on(416, said["message"].as_str().unwrap_or_default()));
    }
    // Devices without a profile are left out, but counted.
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if let Some(told) = body["deviceCoreCommands"].as_array_mut() {
        told.retain(|one| !one.is_null());
    }
    Ok(Answer::json(200, &body))
}

fn device(world: &World, name: &str) -> Answered {
    let name = answer::name(name)?;
    check(world)?;
    let state = world.state();
    let device = state.stored.devices.get(&name).ok_or_else(|| unknown(&name))?;
    let profile = state.stored.profiles.get(&device.profile_name);
    let profile = profile.ok_or_else(|| passed_on(404, "Not Found"))?;
    Ok(Answer::v3(200, json!({ "deviceCoreCommand": commands(world, device, profile) })))
}

/// The commands of a device: those of its profile, and one for each resource that is not hidden.
fn commands(world: &World, device: &Device, profile: &Profile) -> Value {
    let parameter = |name: &str| {
        let value_type = profile.resource(name).map(|resource| resource.properties.value_type.as_str());
        json!({ "resourceName": name, "valueType": value_type })
    };
    let command = |name: &str, read_write: &str, parameters: Vec<Value>| {
        let mut command = json!({
            "name": name,
            "path": format!("/api/v3/device/name/{}/{name}", device.name),
            "url": world.told_url(Service::Command),
            "parameters": parameters,
        });
        for (letter, can) in [('R', "get"), ('W', "set")] {
            if read_write.contains(letter) {
                command[can] = true.into();
            }
        }
        command
    };
    let shown = profile.device_commands.iter().filter(|one| !one.is_hidden);
    let mut all: Vec<Value> = shown
        .map(|one| {
            let operations = one.resource_operations.iter();
            let parameters = operations.map(|operation| parameter(&operation.device_resource));
            command(&one.name, &one.read_write, parameters.collect())
        })
        .collect();
    let own = profile.device_resources.iter();
    let own = own.filter(|one| !one.is_hidden && profile.command(&one.name).is_none());
    all.extend(own.map(|one| command(&one.name, &one.properties.read_write, vec![parameter(&one.name)])));
    let mut told = json!({ "deviceName": device.name, "profileName": device.profile_name });
    if !all.is_empty() {
        told["coreCommands"] = all.into();
    }
    told
}

/// A command goes to the device service, if the device is known.
fn service(world: &World, name: &str) -> Result<(), Answer> {
    check(world)?;
    let state = world.state();
    let device = state.stored.devices.get(name).ok_or_else(|| unknown(name))?;
    if world.answers(&state, &device.service_name) {
        Ok(())
    } else {
        Err(Answer::refused(503, "failed to send a http request"))
    }
}

/// The name that the device service makes of the path that core-command asks it for.
fn as_asked(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

async fn get(world: &Arc<World>, asked: &Asked, name: &str, source: &str) -> Answered {
    let (name, source) = (answer::name(name)?, answer::name(source)?);
    for parameter in ["ds-pushevent", "ds-returnevent"] {
        if let Some(value) = asked.parameter(parameter)
            && !["true", "false"].contains(&value.as_str())
        {
            let message = format!("invalid query parameter, {value} has to be true or false");
            return Err(Answer::refused(400, message));
        }
    }
    service(world, &name)?;
    match south::get(world, asked, as_asked(&name), &source).await {
        Ok(event) => Ok(south::told(asked, &event)),
        Err(Refusal { status, message }) => {
            let said = json!({ "apiVersion": "v3", "message": message, "statusCode": status });
            Err(passed_on(status, &go_text(&said)))
        }
    }
}

async fn set(world: &Arc<World>, asked: &Asked, name: &str, source: &str) -> Answered {
    let (name, source) = (answer::name(name)?, answer::name(source)?);
    let sent: Map<String, Value> = serde_json::from_slice(&asked.body)
        .map_err(|_| Answer::refused(400, "failed to parse request body"))?;
    service(world, &name)?;
    match south::set(world, as_asked(&name), &source, &sent).await {
        Ok(()) => Ok(Answer::done()),
        Err(Refusal { status, message }) => Err(passed_on(status, &message)),
    }
}
