//! core-metadata in API version 1 (EdgeX Delhi).
//!
//! It takes no arrays, answers with plain texts, refers to services, profiles and addressables by name in place of their
//! contents, and keeps a resource's values and units apart.

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Number, Value, json};

use super::{
    Body, Result, Service,
    arrays::Items,
    object::{DeviceObject, ProfileObject, Properties, ResourceObject},
    part,
};
use crate::error::Failure;

/// Requests under way at once.
const AT_ONCE: usize = 8;

/// What devices are reached by.
const ADDRESSABLE: &str = "/api/v1/addressable";

#[derive(Deserialize)]
struct Named {
    name: String,
}

async fn list(service: &Service, path: &str) -> Result<Vec<Value>> {
    Ok(service.get::<Option<Vec<Value>>>(path).await?.unwrap_or_default())
}

fn read<T: DeserializeOwned>(service: &Service, value: Value) -> Result<T> {
    let text = value.to_string();
    serde_json::from_value(value).map_err(|_| Failure::strange(service.name(), 200, &text))
}

pub(super) async fn services(service: &Service) -> Result<Vec<String>> {
    let services = list(service, "/api/v1/deviceservice").await?;
    services.into_iter().map(|found| Ok(read::<Named>(service, found)?.name)).collect()
}

pub(super) async fn devices(service: &Service) -> Result<Vec<DeviceObject>> {
    list(service, "/api/v1/device").await?.iter().map(|device| device_of(service, device)).collect()
}

pub(super) async fn profiles(service: &Service) -> Result<Vec<ProfileObject>> {
    let profiles = list(service, "/api/v1/deviceprofile").await?;
    profiles.iter().map(|profile| profile_of(service, profile)).collect()
}

pub(super) async fn device(service: &Service, name: &str) -> Result<Option<DeviceObject>> {
    find_device(service, name).await?.map(|found| device_of(service, &found)).transpose()
}

async fn find_device(service: &Service, name: &str) -> Result<Option<Value>> {
    service.find(&format!("/api/v1/device/name/{}", part(name))).await
}

pub(super) async fn profile(service: &Service, name: &str) -> Result<Option<ProfileObject>> {
    let found: Option<Value> = service.find(&format!("/api/v1/deviceprofile/name/{}", part(name))).await?;
    found.map(|found| profile_of(service, &found)).transpose()
}

pub(super) async fn users_of(service: &Service, profile: &str) -> Result<Vec<String>> {
    let devices = list(service, &format!("/api/v1/device/profilename/{}", part(profile))).await?;
    devices.into_iter().take(4).map(|found| Ok(read::<Named>(service, found)?.name)).collect()
}

/// What is done with one of several.
type Act<T> = for<'a> fn(&'a Service, &'a T) -> BoxFuture<'a, Result<()>>;

/// Does something with each of several, some at a time.
async fn each<T>(service: &Service, all: &[T], act: Act<T>) -> Items {
    let acts: Vec<_> = all.iter().map(|one| act(service, one)).collect();
    stream::iter(acts).buffered(AT_ONCE).collect().await
}

pub(super) async fn add_devices(service: &Service, devices: &[DeviceObject]) -> Items {
    let add: Act<DeviceObject> = |service, device| {
        async move {
            let body = addressable_json(device);
            match service.good(Method::POST, ADDRESSABLE, Body::Json(&body)).await {
                // Another call may have got this far. But that of a device that is there is not touched: it may be somebody else's.
                Err(failure) if failure.status() == Some(409) => {
                    if find_device(service, &device.name).await?.is_some() {
                        return Err(failure);
                    }
                    service.good(Method::PUT, ADDRESSABLE, Body::Json(&body)).await?;
                }
                made => drop(made?),
            }
            service.good(Method::POST, "/api/v1/device", Body::Json(&device_json(device))).await.map(drop)
        }
        .boxed()
    };
    each(service, devices, add).await
}

pub(super) async fn change_devices(service: &Service, devices: &[DeviceObject]) -> Items {
    let change: Act<DeviceObject> = |service, device| {
        async move {
            set_addressable(service, device).await?;
            let mut change = device_json(device);
            if let Some(change) = change.as_object_mut() {
                change.remove("adminState");
                change.remove("operatingState");
            }
            service.good(Method::PUT, "/api/v1/device", Body::Json(&change)).await.map(drop)
        }
        .boxed()
    };
    each(service, devices, change).await
}

pub(super) async fn delete_device(service: &Service, name: &str) -> Result<()> {
    service.remove(&format!("/api/v1/device/name/{}", part(name))).await?;
    service.remove(&format!("/api/v1/addressable/name/{}", part(&addressable_of(name)))).await
}

pub(super) async fn add_profiles(service: &Service, profiles: &[ProfileObject]) -> Items {
    each(service, profiles, |service, profile| put_profile(service, Method::POST, profile).boxed()).await
}

pub(super) async fn change_profiles(service: &Service, profiles: &[ProfileObject]) -> Items {
    each(service, profiles, |service, profile| put_profile(service, Method::PUT, profile).boxed()).await
}

async fn put_profile(service: &Service, method: Method, profile: &ProfileObject) -> Result<()> {
    service.good(method, "/api/v1/deviceprofile", Body::Json(&profile_json(profile))).await.map(drop)
}

/// The addressable of a device, which is what it is reached by.
fn addressable_of(device: &str) -> String {
    format!("iotorch-{device}")
}

async fn set_addressable(service: &Service, device: &DeviceObject) -> Result<()> {
    let body = addressable_json(device);
    match service.good(Method::PUT, ADDRESSABLE, Body::Json(&body)).await {
        // A device that was adopted has one of another name.
        Err(failure) if failure.status() == Some(404) => {
            service.good(Method::POST, ADDRESSABLE, Body::Json(&body)).await.map(drop)
        }
        set => set.map(drop),
    }
}

fn addressable_json(device: &DeviceObject) -> Value {
    let name = addressable_of(&device.name);
    let (protocol, properties) =
        device.protocols.iter().next().map_or(("HTTP", None), |(name, properties)| {
            (if name == "mqtt" { "TCP" } else { "HTTP" }, Some(properties))
        });
    let text = |key: &str| properties.and_then(|properties| properties.get(key)).and_then(Value::as_str);
    let port = text("RESTPort").and_then(|port| port.parse::<u16>().ok());
    json!({
        "name": name,
        "protocol": protocol,
        "address": text("RESTHost").or_else(|| text("ED_ADDR")).unwrap_or("localhost"),
        "port": port.unwrap_or(if protocol == "TCP" { 1883 } else { 80 }),
        "path": text("RESTPath").unwrap_or_default(),
        "publisher": "none",
        "user": "none",
        "password": "none",
        "topic": text("CommandTopic").unwrap_or_default(),
    })
}

fn device_json(device: &DeviceObject) -> Value {
    json!({
        "name": device.name,
        "description": device.description,
        "adminState": device.admin_state,
        "operatingState": "ENABLED",
        "labels": device.labels,
        "addressable": { "name": addressable_of(&device.name) },
        "service": { "name": device.service_name },
        "profile": { "name": device.profile_name },
        "protocols": device.protocols,
    })
}

fn device_of(service: &Service, found: &Value) -> Result<DeviceObject> {
    let mut device: DeviceObject = read(service, found.clone())?;
    let named = |key: &str| found[key]["name"].as_str().unwrap_or_default().to_owned();
    (device.service_name, device.profile_name) = (named("service"), named("profile"));
    if device.operating_state.eq_ignore_ascii_case("enabled") {
        "UP".clone_into(&mut device.operating_state);
    }
    device.admin_state.make_ascii_uppercase();
    // Delhi itself keeps no protocols: what is reached over MQTT has a topic.
    if device.protocols.is_empty()
        && let Some(topic) = found["addressable"]["topic"].as_str().filter(|topic| !topic.is_empty())
    {
        let properties = [("CommandTopic".to_owned(), json!(topic))].into();
        device.protocols.insert("mqtt".to_owned(), properties);
    }
    Ok(device)
}

fn profile_json(profile: &ProfileObject) -> Value {
    let resource = |resource: &ResourceObject| {
        let Properties { value_type, read_write, units, minimum, maximum, .. } = &resource.properties;
        let mut value = Map::new();
        value.insert("type".to_owned(), json!(value_type));
        value.insert("readWrite".to_owned(), json!(read_write));
        let bounds = [("minimum", minimum), ("maximum", maximum)];
        for (name, bound) in bounds.into_iter().filter_map(|(name, bound)| Some((name, bound.as_ref()?))) {
            value.insert(name.to_owned(), json!(bound.to_string()));
        }
        json!({
            "name": resource.name,
            "properties": {
                "value": value,
                "units": { "type": "String", "readWrite": "R", "defaultValue": units },
            },
        })
    };
    let command = |resource: &ResourceObject| {
        let name = &resource.name;
        let access = &resource.properties.read_write;
        let operation =
            |which: &str| json!([{ "index": "1", "operation": which, "object": name, "parameter": name }]);
        let mut command = Map::new();
        command.insert("name".to_owned(), json!(name));
        if access.contains('R') {
            command.insert("get".to_owned(), operation("get"));
        }
        if access.contains('W') {
            command.insert("set".to_owned(), operation("set"));
        }
        Value::Object(command)
    };
    let core_command = |resource: &ResourceObject| {
        let name = &resource.name;
        let path = format!("/api/v1/device/{{deviceId}}/{name}");
        let access = &resource.properties.read_write;
        let mut command = Map::new();
        command.insert("name".to_owned(), json!(name));
        if access.contains('R') {
            command.insert(
                "get".to_owned(),
                json!({ "path": path, "responses": [{ "code": "200", "expectedValues": [name] }] }),
            );
        }
        if access.contains('W') {
            command.insert("put".to_owned(), json!({ "path": path, "parameterNames": [name] }));
        }
        Value::Object(command)
    };
    let of_each = |make: &dyn Fn(&ResourceObject) -> Value| -> Vec<Value> {
        profile.device_resources.iter().map(make).collect()
    };
    json!({
        "name": profile.name,
        "manufacturer": profile.manufacturer,
        "model": profile.model,
        "description": profile.description,
        "labels": profile.labels,
        "deviceResources": of_each(&resource),
        "resources": of_each(&command),
        "commands": of_each(&core_command),
    })
}

fn profile_of(service: &Service, found: &Value) -> Result<ProfileObject> {
    let head = json!({
        "name": found["name"], "manufacturer": found["manufacturer"], "model": found["model"],
        "description": found["description"], "labels": found["labels"],
    });
    let head = head.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let head = Value::Object(head.map(|(key, value)| (key.clone(), value.clone())).collect());
    let mut profile: ProfileObject = read(service, head)?;
    for resource in found["deviceResources"].as_array().into_iter().flatten() {
        let value = &resource["properties"]["value"];
        let text = |from: &Value| from.as_str().unwrap_or_default().to_owned();
        let bound = |name: &str| text(&value[name]).parse::<Number>().ok();
        profile.device_resources.push(ResourceObject {
            name: text(&resource["name"]),
            properties: Properties {
                value_type: text(&value["type"]),
                read_write: text(&value["readWrite"]),
                units: text(&resource["properties"]["units"]["defaultValue"]),
                minimum: bound("minimum"),
                maximum: bound("maximum"),
                ..Properties::default()
            },
            ..ResourceObject::default()
        });
    }
    Ok(profile)
}
