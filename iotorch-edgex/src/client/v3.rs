//! core-metadata in API version 3 (EdgeX 3.0, 3.1 and 4.0).

use iotorch_core::ErrorKind;
use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Body, Result, Service,
    arrays::Items,
    object::{DeviceObject, ProfileObject},
    part,
};
use crate::error::{Failure, Why};

/// The most that one list answers (`Service.MaxResultCount`).
const PAGE: usize = 1024;

/// The lists that there are.
pub(super) trait Listed: DeserializeOwned {
    const PATH: &'static str;
    const FIELD: &'static str;
}

impl Listed for DeviceObject {
    const PATH: &'static str = "/api/v3/device/all";
    const FIELD: &'static str = "devices";
}

impl Listed for ProfileObject {
    const PATH: &'static str = "/api/v3/deviceprofile/all";
    const FIELD: &'static str = "profiles";
}

/// A device service.
#[derive(Deserialize)]
struct DeviceService {
    name: String,
}

impl Listed for DeviceService {
    const PATH: &'static str = "/api/v3/deviceservice/all";
    const FIELD: &'static str = "services";
}

/// Everything of a list, or all that bears a label, however many pages it takes.
///
/// What is removed while the pages are read moves the rest forward, so that some of it can be left out.
pub(super) async fn list<T: Listed>(service: &Service, label: Option<&str>) -> Result<Vec<T>> {
    let label = label.map(|label| format!("&labels={}", part(label))).unwrap_or_default();
    let mut read = Vec::new();
    loop {
        let path = format!("{}?offset={}&limit={PAGE}{label}", T::PATH, read.len());
        let mut page: Value = match service.get(&path).await {
            // The list has become shorter than what was read of it.
            Err(failure) if failure.status() == Some(416) => return Ok(read),
            answered => answered?,
        };
        let strange = |page: &Value| Failure::strange(service.name(), 200, &page.to_string());
        let Some(items) = page.get_mut(T::FIELD).map(Value::take) else { return Err(strange(&page)) };
        let items: Option<Vec<T>> = serde_json::from_value(items).map_err(|_| strange(&page))?;
        let items = items.unwrap_or_default();
        let is_last = items.is_empty();
        read.extend(items);
        // A service of before totals were told (2.0) ends its list with a page that is not full.
        let total =
            page.get("totalCount").and_then(Value::as_u64).and_then(|total| usize::try_from(total).ok());
        if is_last || total.map_or(read.len() % PAGE != 0, |total| read.len() >= total) {
            return Ok(read);
        }
    }
}

pub(super) async fn services(service: &Service) -> Result<Vec<String>> {
    let services: Vec<DeviceService> = list(service, None).await?;
    Ok(services.into_iter().map(|service| service.name).collect())
}

pub(super) async fn device(service: &Service, name: &str) -> Result<Option<DeviceObject>> {
    let found: Option<Value> = service.find(&format!("/api/v3/device/name/{}", part(name))).await?;
    found.map(|mut found| read(service, member(&mut found, "device"))).transpose()
}

pub(super) async fn profile(service: &Service, name: &str) -> Result<Option<ProfileObject>> {
    let found: Option<Value> = service.find(&format!("/api/v3/deviceprofile/name/{}", part(name))).await?;
    found.map(|mut found| read(service, member(&mut found, "profile"))).transpose()
}

/// A member of an answer; nothing where the answer is no object.
fn member(found: &mut Value, name: &str) -> Value {
    found.get_mut(name).map(Value::take).unwrap_or_default()
}

fn read<T: DeserializeOwned>(service: &Service, value: Value) -> Result<T> {
    let text = value.to_string();
    serde_json::from_value(value).map_err(|_| Failure::strange(service.name(), 200, &text))
}

/// The names of some devices that use a profile.
pub(super) async fn users_of(service: &Service, profile: &str) -> Result<Vec<String>> {
    let path = format!("/api/v3/device/profile/name/{}?limit=4", part(profile));
    let mut found: Value = service.get(&path).await?;
    let devices: Vec<DeviceObject> = read(service, member(&mut found, "devices"))?;
    Ok(devices.into_iter().map(|device| device.name).collect())
}

pub(super) async fn add_devices(service: &Service, devices: &[DeviceObject]) -> Result<Items> {
    let array = devices.iter().map(|device| json!({ "apiVersion": "v3", "device": device })).collect();
    let items = send(service, Method::POST, "/api/v3/device", array).await?;
    // That a profile or a service is not there says 404 in version 3, 400 in version 4.
    Ok(items.into_iter().map(|item| item.map_err(|failure| as_invalid(service, failure))).collect())
}

/// Changes devices, but not whether they are locked.
pub(super) async fn change_devices(service: &Service, devices: &[DeviceObject]) -> Result<Items> {
    let change = |device: &DeviceObject| {
        json!({ "apiVersion": "v3", "device": {
            "name": device.name,
            "description": device.description,
            "labels": device.labels,
            "serviceName": device.service_name,
            "profileName": device.profile_name,
            "protocols": device.protocols,
        }})
    };
    let items = send(service, Method::PATCH, "/api/v3/device", devices.iter().map(change).collect()).await?;
    // As above; but that the device itself is not there is another matter.
    let is_about_another = |failure: &Failure| matches!(failure.why(), Why::Said { message, .. } if message.contains("profile") || message.contains("service"));
    let item = |failure| if is_about_another(&failure) { as_invalid(service, failure) } else { failure };
    Ok(items.into_iter().map(|result| result.map_err(item)).collect())
}

pub(super) async fn add_profiles(service: &Service, profiles: &[ProfileObject]) -> Result<Items> {
    send(service, Method::POST, "/api/v3/deviceprofile", wrapped(profiles)).await
}

pub(super) async fn change_profiles(service: &Service, profiles: &[ProfileObject]) -> Result<Items> {
    send(service, Method::PUT, "/api/v3/deviceprofile", wrapped(profiles)).await
}

fn wrapped(profiles: &[ProfileObject]) -> Value {
    profiles.iter().map(|profile| json!({ "apiVersion": "v3", "profile": profile })).collect()
}

/// Sends an array; the answer (207) has a status for each item, in the same order.
async fn send(service: &Service, method: Method, path: &str, array: Value) -> Result<Items> {
    let wanted = array.as_array().map_or(0, Vec::len);
    let reply = service.good(method, path, Body::Json(&array)).await?;
    let items: Option<Vec<Value>> = serde_json::from_str(&reply.body).map_err(|_| service.strange(&reply))?;
    let items = items.unwrap_or_default();
    if items.len() != wanted {
        return Err(service.strange(&reply));
    }
    let status = |item: &Value| item["statusCode"].as_u64().and_then(|status| u16::try_from(status).ok());
    let result = |item: Value| match status(&item) {
        Some(200..=299) => Ok(()),
        Some(status) => {
            let message = item["message"].as_str().unwrap_or("without a reason").to_owned();
            Err(service.fails(Why::Said { status, message }))
        }
        None => Err(service.strange(&reply)),
    };
    Ok(items.into_iter().map(result).collect())
}

fn as_invalid(service: &Service, failure: Failure) -> Failure {
    match failure.why() {
        Why::Said { status: 404, message } if failure.kind() == ErrorKind::NotFound => {
            service.fails(Why::Said { status: 400, message: message.clone() })
        }
        _ => failure,
    }
}
