//! What every service of API v3 answers about itself.

use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value, json};

use crate::{
    Release, Service,
    answer::{Answer, Asked},
    export, keeper, now,
    world::World,
};

/// The configuration of each service, as it is told by running ones.
static CONFIG: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("recorded/config.json")).unwrap_or_default());

/// The answer, if it is about the service itself.
pub(crate) fn answer(world: &Arc<World>, asked: &Asked) -> Option<Answer> {
    let service = asked.service;
    if matches!(service, Service::Consul | Service::Gateway | Service::ExportClient) {
        return None;
    }
    let path = asked.path.split('?').next().unwrap_or_default();
    let about = |mut body: Value| {
        body["apiVersion"] = "v3".into();
        body["serviceName"] = service.name().into();
        Answer::json(200, &body)
    };
    let get = asked.method == "GET";
    let answer = match path {
        "/api/v3/ping" if get => {
            if service == Service::AppMqttExport {
                world.state().app.pinged();
            }
            about(json!({ "timestamp": now::date() }))
        }
        "/api/v3/version" if get => {
            let version = service.version(world.config.release);
            let sdk = service.is_south() || service == Service::AppMqttExport;
            let mut body = json!({ "version": version });
            if sdk {
                body["sdk_version"] = version.into();
            }
            about(body)
        }
        "/api/v3/config" if get => about(json!({ "config": config(world, service) })),
        "/api/v3/secret" if asked.method == "POST" && service != Service::Keeper => secret(world, asked),
        "/api/v3/ping" | "/api/v3/version" | "/api/v3/config" | "/api/v3/secret" => {
            Answer::message(405, "Method Not Allowed")
        }
        _ => return None,
    };
    Some(answer)
}

/// Keeps a secret: in the configuration, or in secure mode where nobody else sees it.
fn secret(world: &Arc<World>, asked: &Asked) -> Answer {
    let sent = asked.json();
    let name = sent["secretName"].as_str().filter(|name| !name.is_empty());
    let pairs: Option<Vec<(&str, &str)>> = sent["secretData"].as_array().and_then(|pairs| {
        pairs.iter().map(|pair| Some((pair["key"].as_str()?, pair["value"].as_str()?))).collect()
    });
    let is_whole = |pairs: &Vec<(&str, &str)>| {
        !pairs.is_empty() && pairs.iter().all(|(key, value)| !key.is_empty() && !value.is_empty())
    };
    let (Some(name), Some(pairs)) = (name, pairs.filter(is_whole)) else {
        return Answer::refused(400, "JSON decode failed");
    };
    let at = format!("{}{}/Writable/InsecureSecrets/{name}", world.config.key_root(), asked.service.name());
    let mut state = world.state();
    if world.config.secure.is_some() {
        if asked.service == Service::AppMqttExport {
            export::store(&mut state, name, &pairs);
        }
        return Answer::v3(201, json!({}));
    }
    let mut put = |key: String, value: &str| {
        keeper::say(world, &key, Some(&value.into()));
        state.stored.keys.put(key, value.to_owned());
    };
    put(format!("{at}/SecretName"), name);
    pairs.iter().for_each(|(key, value)| put(format!("{at}/SecretData/{key}"), value));
    if asked.service == Service::AppMqttExport {
        export::secret_set(&mut state, name, &pairs);
    }
    Answer::v3(201, json!({}))
}

fn config(world: &World, service: Service) -> Value {
    // The sister of device-rest is configured alike.
    let like = if service == Service::DeviceCoap { Service::DeviceRest } else { service };
    let mut config = CONFIG.get(like.name()).cloned().unwrap_or_default();
    let set = |config: &mut Value, at: &str, (host, port): (String, u16)| {
        if let Some(place) = config.pointer_mut(at).filter(|place| place.is_object()) {
            place["Host"] = host.into();
            place["Port"] = port.into();
        }
    };
    set(&mut config, "/Service", world.told(service));
    set(&mut config, "/Clients/core-metadata", world.told(Service::Metadata));
    let registry = if world.config.release == Release::V4 { Service::Keeper } else { Service::Consul };
    set(&mut config, "/Registry", world.told(registry));
    if world.config.release == Release::V3_1 && config["Registry"].is_object() {
        config["Registry"]["Type"] = "consul".into();
    }
    if let Some(bus) = world.config.told_bus.clone().or_else(|| world.config.bus.clone()) {
        set(&mut config, "/MessageBus", bus.clone());
        set(&mut config, "/CustomConfiguration/MQTTBrokerInfo", bus);
    }
    if service == Service::AppMqttExport {
        config["Writable"] = world.state().app.shown.clone();
    }
    config
}

/// What the application service is told to write by its own configuration alone.
pub(crate) fn writable() -> Value {
    CONFIG.get(Service::AppMqttExport.name()).map(|config| config["Writable"].clone()).unwrap_or_default()
}
