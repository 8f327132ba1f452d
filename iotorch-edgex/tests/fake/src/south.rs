//! The device services: readings that come in, and commands that go out.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};

use crate::{
    Service,
    answer::{self, Answer, Asked, Refusal},
    data, export,
    metadata::{
        absent,
        device::Device,
        profile::{Profile, Resource},
    },
    now,
    state::State,
    system, values,
    world::World,
};

/// How long device-mqtt waits for what a device answers to a command.
const PATIENCE: Duration = Duration::from_millis(2500);

const PATHS: &[&str] = &["device/name/*/*", "resource/*/*", "discovery"];

/// What a device service has against a device.
pub(crate) fn check(device: &Device) -> Result<(), String> {
    let invalid = |why: &str| Err(format!("invalid protocol properties, {why}"));
    match Service::named(&device.service_name) {
        Some(Service::DeviceMqtt) => match device.protocols.get("mqtt") {
            None => invalid("'mqtt' protocol properties is not defined"),
            Some(mqtt) => match &mqtt["CommandTopic"] {
                Value::Null => invalid("'CommandTopic' not found in the 'mqtt' protocol properties"),
                Value::String(_) => Ok(()),
                _ => invalid("cannot convert 'CommandTopic' to string type"),
            },
        },
        Some(Service::DeviceRest) => match device.protocols.get("REST") {
            None => Ok(()),
            Some(rest) => {
                let missing = ["Host", "Port", "Path"].into_iter().find(|name| rest[*name].is_null());
                missing.map_or(Ok(()), |name| invalid(&format!("REST{name} not found")))
            }
        },
        _ => Ok(()),
    }
}

/// What a device service answers.
pub(crate) async fn answer(world: &Arc<World>, asked: &Asked) -> Answer {
    let parts = asked.parts("/api/v3/").unwrap_or_default();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (asked.method.as_str(), parts.as_slice()) {
        ("GET", ["device", "name", device, source]) => {
            let names = answer::name(device).and_then(|device| Ok((device, answer::name(source)?)));
            match names {
                Ok((device, source)) => match get(world, asked, &device, &source).await {
                    Ok(event) => told(asked, &event),
                    Err(refusal) => refusal.into(),
                },
                Err(refused) => refused,
            }
        }
        ("PUT", ["device", "name", device, source]) => {
            let names = answer::name(device).and_then(|device| Ok((device, answer::name(source)?)));
            let sent: Result<Map<String, Value>, _> = serde_json::from_slice(&asked.body);
            match (names, sent) {
                (Err(refused), _) => refused,
                (_, Err(_)) => Answer::refused(400, "failed to parse request body"),
                (Ok((device, source)), Ok(sent)) => match set(world, &device, &source, &sent).await {
                    Ok(()) => Answer::done(),
                    Err(refusal) => refusal.into(),
                },
            }
        }
        ("POST", ["discovery"]) => Answer::refused(503, "device discovery disabled"),
        ("POST" | "PUT", ["resource", device, resource]) if asked.service == Service::DeviceRest => {
            post(world, asked, device, resource)
        }
        _ => absent(&parts, PATHS),
    }
}

/// The answer to a command that reads, which can be without what was read.
pub(crate) fn told(asked: &Asked, event: &Value) -> Answer {
    if asked.parameter("ds-returnevent").as_deref() == Some("false") {
        return Answer { content_type: Some("application/json"), ..Answer::empty(200) };
    }
    Answer::v3(200, json!({ "event": event }))
}

/// A reading over HTTP.
fn post(world: &World, asked: &Asked, device: &str, resource: &str) -> Answer {
    let plain = |status, text: String| Answer::text(status, "text/plain; charset=UTF-8", text);
    let mut state = world.state();
    let known = known(&state, asked.service, device).zip(profile_of(&state, device));
    let Some((device, profile)) = known.map(|(device, profile)| (device.clone(), profile.clone())) else {
        return plain(404, format!("Device '{device}' not found"));
    };
    let Some(resource) = profile.resource(resource) else {
        return plain(404, format!("Resource '{resource}' not found"));
    };
    let sent = String::from_utf8_lossy(&asked.body).into_owned();
    match values::read(resource, &sent.into()) {
        Err(why) => plain(400, why.replacen("fail to", "failed to", 1)),
        Ok(read) => {
            let readings = [values::reading(&device.name, &profile.name, resource, &read)];
            let event = values::event(&device.name, &profile.name, &resource.name, &readings);
            publish(world, &mut state, asked.service, &event);
            Answer::empty(200)
        }
    }
}

/// A device that its service has heard of.
fn known<'a>(state: &'a State, service: Service, name: &str) -> Option<&'a Device> {
    let device = state.stored.devices.get(name).filter(|device| device.service_name == service.name())?;
    (!state.unheard.contains(name)).then_some(device)
}

fn profile_of<'a>(state: &'a State, device: &str) -> Option<&'a Profile> {
    state.stored.profiles.get(&state.stored.devices.get(device)?.profile_name)
}

/// A message of a device on `incoming/data/…`. What is wrong with it is only logged: here it is the error.
pub(crate) fn incoming(world: &World, topic: &str, payload: &[u8]) -> Result<(), String> {
    let ignored = |why: String| Err(format!("[Incoming listener] Incoming data ignored{why}"));
    let mut state = world.state();
    if !world.runs(&state, Service::DeviceMqtt) {
        return Err("device-mqtt is not there".to_owned());
    }
    let rest = topic.strip_prefix("incoming/data/").unwrap_or(topic);
    let Some((name, source)) = rest.split_once('/').filter(|(_, source)| !source.contains('/')) else {
        return ignored(format!(
            ", incoming topic data should have format .../<device_name>/<source_name>: `{rest}`"
        ));
    };
    let found = known(&state, Service::DeviceMqtt, name).and_then(|_| profile_of(&state, name)).cloned();
    let Some(profile) = found.filter(|profile| profile.has_source(source)) else {
        return ignored(format!(
            ", source name `{source}` not found as Device Command or Device Resource on the device `{name}`"
        ));
    };
    let text = String::from_utf8_lossy(payload);
    let object: Option<Map<String, Value>> = serde_json::from_str(&text).ok();
    let resources = sources(&profile, source);
    let is_command = profile.command(source).is_some();
    if let Some(hidden) = resources.iter().find(|resource| !resource.is_readable()) {
        return ignored(format!(", Device Resource `{}` not Readable", hidden.name));
    }
    let mut readings = Vec::new();
    for resource in resources {
        let value = match object.as_ref().and_then(|object| object.get(&resource.name)) {
            Some(value) => value.clone(),
            None if is_command => {
                return ignored(format!(": Resource Name {} not found in payload ({text})", resource.name));
            }
            None => Value::from(text.as_ref()),
        };
        match values::read(resource, &value) {
            Ok(read) => readings.push(values::reading(name, &profile.name, resource, &read)),
            Err(why) => return ignored(format!(": {why}")),
        }
    }
    let event = values::event(name, &profile.name, source, &readings);
    publish(world, &mut state, Service::DeviceMqtt, &event);
    Ok(())
}

/// The resources of a source: its own, or those of a command.
fn sources<'a>(profile: &'a Profile, source: &str) -> Vec<&'a Resource> {
    match profile.command(source) {
        Some(command) => {
            let operations = command.resource_operations.iter();
            operations.filter_map(|one| profile.resource(&one.device_resource)).collect()
        }
        None => profile.resource(source).into_iter().collect(),
    }
}

/// Says an event on the bus, where core-data and the application service hear it.
fn publish(world: &World, state: &mut State, service: Service, event: &Value) {
    if world.is_bus_lost() {
        return;
    }
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    let (profile, device, source) = (text("profileName"), text("deviceName"), text("sourceName"));
    let topic = format!("edgex/events/device/{}/{profile}/{device}/{source}", service.name());
    let payload = json!({ "apiVersion": "v3", "requestId": now::uuid(), "event": event });
    world.say_whole(&topic, &system::event_envelope(payload));
    if world.runs(state, Service::Data) && !state.lost.database {
        data::keep(state, event);
    }
    if world.runs(state, Service::AppMqttExport) {
        export::take(world, state, event);
    }
}

/// The device that a command is for, if it is there and may be asked.
fn commanded(world: &World, service: Service, name: &str) -> Result<(Device, Profile), Refusal> {
    let state = world.state();
    let absent = || Refusal::new(404, format!("device {name} not found"));
    let device = known(&state, service, name).ok_or_else(absent)?;
    if device.admin_state == "LOCKED" {
        return Err(Refusal::new(423, format!("device {name} locked")));
    }
    if device.operating_state == "DOWN" {
        return Err(Refusal::new(423, format!("device {name} OperatingState is DOWN")));
    }
    let profile = profile_of(&state, name).cloned().unwrap_or_default();
    Ok((device.clone(), profile))
}

/// Reads a resource, or all of a command.
pub(crate) async fn get(
    world: &Arc<World>,
    asked: &Asked,
    name: &str,
    source: &str,
) -> Result<Value, Refusal> {
    let service = service_of(world, asked, name);
    let (device, profile) = commanded(world, service, name)?;
    let resources = sources(&profile, source);
    if resources.is_empty() {
        return Err(Refusal::new(404, format!("Regex DeviceResource {source} not found")));
    }
    if resources.iter().all(|resource| !resource.is_readable()) {
        return Err(Refusal::new(405, format!("no readable resources matched with {source}")));
    }
    let is_command = profile.command(source).is_some();
    let kind = if is_command { "DeviceCommand" } else { "Regex DeviceResource(s)" };
    let failed =
        |why: String| Refusal::new(500, format!("error reading {kind} {source} for {name} -> {why}"));
    let mut readings = Vec::new();
    for resource in resources {
        let said = ask(world, &device, &resource.name, "get", None).await;
        let said = said.ok_or_else(|| {
            failed(format!("can not fetch command response: method=get source={}", resource.name))
        })?;
        let read = values::read(resource, &said).map_err(failed)?;
        readings.push(values::reading(name, &profile.name, resource, &read));
    }
    let event = values::event(name, &profile.name, source, &readings);
    if asked.is_set("ds-pushevent") {
        publish(world, &mut world.state(), service, &event);
    }
    Ok(event)
}

/// Writes a resource, or all of a command.
pub(crate) async fn set(
    world: &Arc<World>,
    name: &str,
    source: &str,
    sent: &Map<String, Value>,
) -> Result<(), Refusal> {
    let service = world.state().stored.devices.get(name).and_then(|one| Service::named(&one.service_name));
    let service = service.unwrap_or(Service::DeviceMqtt);
    let (device, profile) = commanded(world, service, name)?;
    let resources = sources(&profile, source);
    if resources.is_empty() {
        return Err(Refusal::new(404, format!("DeviceResource {source} not found")));
    }
    if resources.iter().any(|resource| !resource.is_writable()) {
        return Err(Refusal::new(405, format!("DeviceResource {source} is marked as read-only")));
    }
    let mut readings = Vec::new();
    for resource in resources {
        let value = parameter(resource, sent)?;
        let payload = json!({ &resource.name: value.0 });
        if ask(world, &device, &resource.name, "set", Some(&payload)).await.is_none() {
            let why = format!("can not fetch command response: method=set cmd={}", resource.name);
            return Err(Refusal::new(
                500,
                format!("error writing DeviceResource {source} for {name} -> {why}"),
            ));
        }
        readings.push(values::reading(name, &profile.name, resource, &value.1));
    }
    // What was written is told like what was read.
    let event = values::event(name, &profile.name, source, &readings);
    publish(world, &mut world.state(), service, &event);
    Ok(())
}

/// The value of a resource in the body of a command, as JSON and as a reading.
fn parameter(resource: &Resource, sent: &Map<String, Value>) -> Result<(Value, values::Read), Refusal> {
    let name = &resource.name;
    let properties = &resource.properties;
    let default = Some(&properties.default_value).filter(|text| !text.is_empty());
    let value = match (sent.get(name), default) {
        (Some(value), _) => value.clone(),
        (None, Some(default)) => Value::from(default.as_str()),
        (None, None) => {
            let message =
                format!("DeviceResource {name} not found in request body and no default value defined");
            return Err(Refusal::new(500, message));
        }
    };
    let kind = properties.value_type.as_str();
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let read = values::read(resource, &value).map_err(|_| {
        let parse = match kind {
            "Bool" => "ParseBool",
            "Float32" | "Float64" => "ParseFloat",
            kind if kind.starts_with('U') => "ParseUint",
            _ => "ParseInt",
        };
        let message = format!(
            "failed to create CommandValue -> failed to convert set parameter {text} to ValueType {kind} -> \
             strconv.{parse}: parsing \"{text}\": invalid syntax"
        );
        Refusal::new(400, message)
    })?;
    let number = |text: &str| text.parse::<f64>().ok();
    if let values::Read::Text(text) = &read
        && let Some(value) = number(text)
    {
        let beyond = |limit: &Option<serde_json::Number>, is: fn(f64, f64) -> bool| {
            limit.as_ref().filter(|limit| limit.as_f64().is_some_and(|limit| is(value, limit))).cloned()
        };
        let beyond = beyond(&properties.maximum, |value, most| value > most)
            .map(|most| format!("maximum value {most}"))
            .or_else(|| {
                let least = beyond(&properties.minimum, |value, least| value < least);
                least.map(|least| format!("minimum value {least}"))
            });
        if let Some(limit) = beyond {
            let message =
                format!("failed to transform set parameter -> set command parameter out of {limit}");
            return Err(Refusal::new(400, message));
        }
    }
    let typed = match &read {
        values::Read::Text(text) if kind == "String" => Value::from(text.as_str()),
        values::Read::Text(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
        values::Read::Object(object) => object.clone(),
        values::Read::Binary(bytes) => bytes.as_str().into(),
    };
    Ok((typed, read))
}

fn service_of(world: &World, asked: &Asked, device: &str) -> Service {
    if asked.service.is_south() {
        return asked.service;
    }
    let state = world.state();
    let device = state.stored.devices.get(device);
    device.and_then(|device| Service::named(&device.service_name)).unwrap_or(Service::DeviceMqtt)
}

/// Asks a device over the broker, or one that answers without; nothing if it does not answer.
async fn ask(
    world: &Arc<World>,
    device: &Device,
    resource: &str,
    method: &str,
    payload: Option<&Value>,
) -> Option<Value> {
    {
        if world.is_bus_lost() {
            return None;
        }
        let mut state = world.state();
        if let Some(own) = state.answers.get_mut(&device.name) {
            if let Some(sent) = payload {
                own.insert(resource.to_owned(), sent[resource].clone());
            }
            return own.get(resource).cloned();
        }
    }
    let topic = device.protocols.get("mqtt")?["CommandTopic"].as_str()?;
    let patience = if world.config.real_time { PATIENCE } else { world.config.patience };
    let text = payload.map(Value::to_string).unwrap_or_default();
    let said = world.bus.get()?.ask(&format!("{topic}/{resource}/{method}"), text, patience).await?;
    Some(said[resource].clone())
}
