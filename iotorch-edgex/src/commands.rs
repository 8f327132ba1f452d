//! Reading and setting the resources of devices, through core-command.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use iotorch_core::{
    Context, Error, ErrorKind, Result,
    resource::{ApplicationOutputs, ApplicationSpec, Role},
};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    client::{Body, Service, part},
    dialect::Dialect,
    domain::session::{Known, Session},
    error::{Failure, Why},
};

/// A value that a device gave.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceReading {
    /// The resource.
    pub resource: String,
    /// The value, as EdgeX writes it: floats with an exponent, whole numbers and booleans as they are.
    pub value: String,
    /// The type that EdgeX has for it, such as `Float64`; empty where it does not say.
    pub value_type: String,
    /// Its units, where they are known.
    pub units: Option<String>,
    /// When it was taken, in nanoseconds since 1970; 0 where that is not said.
    pub origin: i64,
}

/// A way to the devices of one gateway.
///
/// EdgeX waits for the device itself: over MQTT at least half a second for a resource, and 2.5 s for a device that stays silent.
/// Nothing is tried twice.
pub struct Commands {
    service: Arc<Service>,
    dialect: Dialect,
}

impl fmt::Debug for Commands {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Commands").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

impl Commands {
    /// A way to the devices of a gateway, by what its application tells, and the authorities that its settings trust.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a gateway without the endpoint `command`, and what opening a route to it ends with.
    pub async fn open(cx: &Context, application: &ApplicationOutputs, trust: Option<&Path>) -> Result<Self> {
        let known = Known::default();
        if let Some(trust) = trust {
            let settings = json!({ "trust": trust });
            let spec = ApplicationSpec {
                name: String::new(),
                role: Role::Gateway,
                application: "edgex".parse()?,
                external: None,
                admin: application.admin.clone(),
                settings: settings.as_object().cloned().unwrap_or_default(),
            };
            known.learn(&spec, application);
        }
        let session = Session::new(cx, application.clone(), &known);
        Ok(Self { service: session.service("command").await?, dialect: session.dialect().await? })
    }

    /// Asks a device for the value of one of its resources.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a device or resource that is not there, [`ErrorKind::Invalid`] for one that cannot be read,
    /// [`ErrorKind::Conflict`] for a device that is locked, [`ErrorKind::Unavailable`] for one that is silent.
    pub async fn get(&self, device: &str, resource: &str) -> Result<Vec<DeviceReading>> {
        let what = format!("read \"{resource}\" of device \"{device}\"");
        let path = self.path(device, resource);
        let answer: Value = self.service.get(&path).await.map_err(|failure| self.told(&failure).to(&what))?;
        let readings = match self.dialect {
            Dialect::V1 => &answer["readings"],
            _ => &answer["event"]["readings"],
        };
        let readings: Vec<Reading> = serde_json::from_value(readings.clone()).map_err(|error| {
            Error::new(ErrorKind::Unexpected, format!("cannot {what}")).with_source(error)
        })?;
        Ok(readings.into_iter().map(Reading::into_public).collect())
    }

    /// Sets a resource of a device.
    ///
    /// # Errors
    /// As [`Self::get`]; [`ErrorKind::Invalid`] also for a value that the resource cannot have.
    pub async fn set(&self, device: &str, resource: &str, value: &Value) -> Result<()> {
        let what = format!("set \"{resource}\" of device \"{device}\"");
        // Texts are what every version takes.
        let text = match value {
            Value::String(text) => json!(text),
            Value::Object(_) => value.clone(),
            other => json!(other.to_string()),
        };
        let body: Map<String, Value> = [(resource.to_owned(), text)].into_iter().collect();
        let path = self.path(device, resource);
        let set = self.service.good(Method::PUT, &path, Body::Json(&Value::Object(body))).await;
        set.map(drop).map_err(|failure| self.told(&failure).to(&what))
    }

    fn path(&self, device: &str, resource: &str) -> String {
        let (device, resource) = (part(device), part(resource));
        match self.dialect {
            Dialect::V1 => format!("/api/v1/device/name/{device}/command/{resource}"),
            _ => format!("/api/v3/device/name/{device}/{resource}"),
        }
    }

    /// What the innermost service said: core-command passes on the answer of the device service in its own words, and that
    /// may pass on another.
    fn told(&self, failure: &Failure) -> Failure {
        match failure.why() {
            Why::Said { status, message } => {
                let message = innermost(message);
                self.service.fails(Why::Said { status: *status, message })
            }
            _ => failure.clone(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Reading {
    #[serde(alias = "name")]
    resource_name: String,
    value: Value,
    value_type: String,
    units: Option<String>,
    origin: i64,
}

impl Reading {
    fn into_public(self) -> DeviceReading {
        let value = match self.value {
            Value::String(text) => text,
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let units = self.units.filter(|units| !units.is_empty());
        DeviceReading {
            resource: self.resource_name,
            value,
            value_type: self.value_type,
            units,
            origin: self.origin,
        }
    }
}

/// The message inside of `request failed, status code: 423, err: {"message": …}`.
fn innermost(message: &str) -> String {
    let Some((_, inner)) = message.split_once("err: ").filter(|_| message.starts_with("request failed"))
    else {
        return message.to_owned();
    };
    match serde_json::from_str::<BTreeMap<String, Value>>(inner) {
        Ok(fields) => {
            fields.get("message").and_then(Value::as_str).map_or_else(|| inner.to_owned(), innermost)
        }
        Err(_) => inner.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_device_service_said_is_told_without_what_passed_it_on() {
        let locked = r#"request failed, status code: 423, err: {"apiVersion":"v3","message":"device d1 locked","statusCode":423}"#;
        assert_eq!(innermost(locked), "device d1 locked");
        assert_eq!(
            innermost("request failed, status code: 404, err: no device with name 'x' found"),
            "no device with name 'x' found"
        );
        assert_eq!(innermost("failed to parse request body"), "failed to parse request body");
    }
}
