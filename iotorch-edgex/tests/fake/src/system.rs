//! What the services tell each other over the bus about profiles and devices.

use serde_json::{Value, json};

use crate::{
    metadata::{
        device::{Device, DeviceService},
        profile::Profile,
    },
    now,
    shelf::Named,
    world::World,
};

tokio::task_local! {
    /// The number that a request has through all services.
    pub(crate) static CORRELATION: String;
}

/// The envelope of a message that a request has caused.
pub(crate) fn envelope(payload: Value) -> Value {
    let correlation = CORRELATION.try_with(Clone::clone).unwrap_or_else(|_| now::uuid());
    addressed(payload, correlation, String::new())
}

/// The envelope of an event: readings that devices send are caused by no request.
pub(crate) fn event_envelope(payload: Value) -> Value {
    addressed(payload, CORRELATION.try_with(Clone::clone).unwrap_or_default(), String::new())
}

fn addressed(payload: Value, correlation: String, request: String) -> Value {
    json!({
        "apiVersion": "v3",
        "receivedTopic": "",
        "correlationID": correlation,
        "requestID": request,
        "errorCode": 0,
        "payload": payload,
        "contentType": "application/json",
    })
}

/// What it is about follows the owner in the topic, where there is something.
fn event(world: &World, kind: &str, action: &str, owner: &str, last: &str, details: Value) {
    let payload = json!({
        "apiVersion": "v3",
        "type": kind,
        "action": action,
        "source": "core-metadata",
        "owner": owner,
        "tags": null,
        "details": details,
        "timestamp": now::nanoseconds(),
    });
    let topic = format!("edgex/system-events/core-metadata/{kind}/{action}/{owner}/{last}");
    world.say(topic.trim_end_matches('/'), payload);
}

/// A profile was added, updated or deleted. The device services that use it are told of an update once more.
pub(crate) fn profile(world: &World, action: &str, profile: &Profile, users: &[String]) {
    event(world, "deviceprofile", action, "core-metadata", profile.name(), profile.told(0));
    for user in users {
        event(world, "deviceprofile", action, user, profile.name(), profile.told(0));
    }
}

/// A device service was added.
pub(crate) fn service(world: &World, service: &DeviceService) {
    let mut details = json!(service);
    if let Some(fields) = details.as_object_mut() {
        fields.retain(|name, _| !["created", "modified", "id"].contains(&name.as_str()));
    }
    event(world, "deviceservice", "add", service.name(), "", details);
}

/// A device was added, updated or deleted. One that was put in place of another has no time of its change.
pub(crate) fn device(world: &World, action: &str, device: &Device, replaced: bool) {
    let mut details = json!(device);
    if let Some(fields) = details.as_object_mut().filter(|_| replaced) {
        fields.remove("modified");
    }
    event(world, "device", action, &device.service_name, &device.profile_name, details);
}

/// A device service is asked what it thinks of a device, and says what is wrong with it; nothing if it does not answer.
pub(crate) fn validated(world: &World, device: &Device, new: bool, said: Option<&Result<(), String>>) {
    let (service, request) = (&device.service_name, now::uuid());
    let correlation = CORRELATION.try_with(Clone::clone).unwrap_or_else(|_| now::uuid());
    let mut sent = json!(device);
    if let Some(fields) = sent.as_object_mut().filter(|_| new) {
        fields.retain(|name, _| !["created", "modified", "id"].contains(&name.as_str()));
    }
    let asked = json!({ "apiVersion": "v3", "requestId": now::uuid(), "device": sent });
    let asked = addressed(asked, correlation.clone(), request.clone());
    world.say_whole(&format!("edgex/{service}/validate/device"), &asked);
    let Some(said) = said else { return };
    let mut answer = addressed(Value::Null, correlation, request.clone());
    if let Err(why) = said {
        answer["payload"] = why.as_str().into();
        answer["errorCode"] = 1.into();
        answer["contentType"] = "text/plain".into();
    }
    world.say_whole(&format!("edgex/response/{service}/{request}"), &answer);
}
