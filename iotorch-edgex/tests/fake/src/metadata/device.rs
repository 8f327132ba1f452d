//! What core-metadata keeps of a device and of a device service, and how it checks what is sent.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::profile::{required, without_null};
use crate::{now, shelf::Named};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Device {
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    pub(crate) admin_state: String,
    pub(crate) operating_state: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<Value>,
    pub(crate) service_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) profile_name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) auto_events: Vec<AutoEvent>,
    pub(crate) protocols: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) tags: Map<String, Value>,
    pub(crate) properties: Map<String, Value>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AutoEvent {
    pub(crate) interval: String,
    on_change: bool,
    on_change_threshold: Value,
    pub(crate) source_name: String,
    retention: Retention,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Retention {
    max_cap: i64,
    min_cap: i64,
    duration: String,
}

/// A device as it is sent, whole or in part.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Sent {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    description: Option<String>,
    admin_state: Option<String>,
    operating_state: Option<String>,
    labels: Option<Vec<String>>,
    location: Option<Value>,
    pub(crate) service_name: Option<String>,
    pub(crate) profile_name: Option<String>,
    pub(crate) auto_events: Option<Vec<AutoEvent>>,
    pub(crate) protocols: Option<Map<String, Value>>,
    tags: Option<Map<String, Value>>,
    properties: Option<Map<String, Value>>,
}

impl Named for Device {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Sent {
    pub(crate) fn read(value: &Value) -> Result<Self, serde_json::Error> {
        let mut sent = Self::deserialize(&without_null(value.clone()))?;
        let events = sent.auto_events.iter_mut().flatten();
        events.filter(|event| event.on_change_threshold.is_null()).for_each(|event| {
            event.on_change_threshold = 0.into();
        });
        // The properties of a protocol are an object.
        let protocols = sent.protocols.iter().flatten().map(|(_, properties)| properties);
        for properties in protocols {
            Map::<String, Value>::deserialize(properties)?;
        }
        Ok(sent)
    }

    /// What is wrong with a device that is to be made.
    pub(crate) fn check_whole(&self) -> Vec<String> {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let at = "AddDeviceRequest.Device";
        let mut wrong: Vec<String> = required(&text(&self.name), &format!("{at}.Name")).collect();
        wrong.extend(states(Some(&text(&self.admin_state)), Some(&text(&self.operating_state)), at));
        wrong.extend(required(&text(&self.service_name), &format!("{at}.ServiceName")));
        wrong.extend(self.check_auto_events(at));
        if self.protocols.is_none() {
            wrong.push(format!("{at}.Protocols field is required"));
        }
        wrong
    }

    /// What is wrong with what is to be changed of a device.
    pub(crate) fn check_part(&self) -> Vec<String> {
        let at = "UpdateDeviceRequest.Device";
        if self.id.is_none() && self.name.is_none() {
            return vec![
                format!("{at}.Id field is required if the Name is not present"),
                format!("{at}.Name field is required if the Id is not present"),
            ];
        }
        let mut wrong: Vec<String> = Vec::new();
        if let Some(name) = &self.name {
            wrong.extend(required(name, &format!("{at}.Name")));
        }
        wrong.extend(states(self.admin_state.as_deref(), self.operating_state.as_deref(), at));
        wrong.extend(self.check_auto_events(at));
        wrong
    }

    fn check_auto_events(&self, at: &str) -> Vec<String> {
        let events = self.auto_events.iter().flatten().enumerate();
        let wrong = events.filter(|(_, event)| !is_interval(&event.interval));
        wrong
            .map(|(index, _)| {
                format!(
                    "{at}.AutoEvents[{index}].Interval field should follows the ISO 8601 Durations format, \
                     e.g.,100ms, 24h, or be greater than or equal to the minimum value 1ms "
                )
            })
            .collect()
    }

    /// The device that it makes.
    pub(crate) fn made(self) -> Device {
        let now = now::milliseconds();
        let device = Device { created: now, modified: now, id: now::uuid(), ..Device::default() };
        self.put_into(device)
    }

    /// The device that it makes of another one.
    pub(crate) fn put_into(self, mut device: Device) -> Device {
        fn set<T>(field: &mut T, sent: Option<T>) {
            if let Some(sent) = sent {
                *field = sent;
            }
        }
        set(&mut device.name, self.name);
        set(&mut device.description, self.description);
        set(&mut device.admin_state, self.admin_state);
        set(&mut device.operating_state, self.operating_state);
        set(&mut device.labels, self.labels);
        set(&mut device.location, self.location.map(Some));
        set(&mut device.service_name, self.service_name);
        set(&mut device.profile_name, self.profile_name);
        set(&mut device.auto_events, self.auto_events);
        set(&mut device.protocols, self.protocols);
        set(&mut device.tags, self.tags);
        set(&mut device.properties, self.properties);
        device
    }
}

fn states(admin: Option<&str>, operating: Option<&str>, at: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if admin.is_some_and(|state| !["LOCKED", "UNLOCKED"].contains(&state)) {
        wrong.push(format!("{at}.AdminState field should be one of 'LOCKED' 'UNLOCKED'"));
    }
    if operating.is_some_and(|state| !["UP", "DOWN", "UNKNOWN"].contains(&state)) {
        wrong.push(format!("{at}.OperatingState field should be one of 'UP' 'DOWN' 'UNKNOWN'"));
    }
    wrong
}

/// A duration of Go of at least a millisecond: `100ms`, `1h30m`.
fn is_interval(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let next = unit.trim_start_matches(|c: char| c.is_alphabetic());
        let unit = &unit[..unit.len() - next.len()];
        if rest.len() == unit.len() + next.len() || !["ms", "s", "m", "h"].contains(&unit) {
            return false;
        }
        rest = next;
    }
    !text.is_empty()
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeviceService {
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    pub(crate) base_address: String,
    pub(crate) admin_state: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<String>,
    pub(crate) properties: Map<String, Value>,
}

impl Named for DeviceService {
    fn name(&self) -> &str {
        &self.name
    }
}

impl DeviceService {
    /// One that registers itself.
    pub(crate) fn registered(name: &str, base_address: String) -> Self {
        let now = now::milliseconds();
        Self {
            created: now,
            modified: now,
            id: now::uuid(),
            name: name.to_owned(),
            base_address,
            admin_state: "UNLOCKED".to_owned(),
            ..Self::default()
        }
    }
}
