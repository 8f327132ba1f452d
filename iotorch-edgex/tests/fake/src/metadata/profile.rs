//! What core-metadata keeps of a profile, and how it checks one.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::{answer::Refusal, now, shelf::Named};

/// The types that a value can have.
const TYPES: [&str; 27] = [
    "Bool",
    "String",
    "Uint8",
    "Uint16",
    "Uint32",
    "Uint64",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Float32",
    "Float64",
    "Binary",
    "BoolArray",
    "StringArray",
    "Uint8Array",
    "Uint16Array",
    "Uint32Array",
    "Uint64Array",
    "Int8Array",
    "Int16Array",
    "Int32Array",
    "Int64Array",
    "Float32Array",
    "Float64Array",
    "Object",
    "ObjectArray",
];

fn is_type(name: &str) -> bool {
    TYPES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Profile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) modified: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) manufacturer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) model: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<String>,
    pub(crate) device_resources: Vec<Resource>,
    pub(crate) device_commands: Vec<Command>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Resource {
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    pub(crate) name: String,
    pub(crate) is_hidden: bool,
    pub(crate) properties: Properties,
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    tags: Map<String, Value>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Properties {
    pub(crate) value_type: String,
    pub(crate) read_write: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) units: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) minimum: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) maximum: Option<Number>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) default_value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shift: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<Number>,
    #[serde(skip_serializing_if = "String::is_empty")]
    assertion: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) media_type: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    optional: Map<String, Value>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Command {
    pub(crate) name: String,
    pub(crate) is_hidden: bool,
    pub(crate) read_write: String,
    pub(crate) resource_operations: Vec<Operation>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    tags: Map<String, Value>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Operation {
    pub(crate) device_resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    default_value: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    mappings: Map<String, Value>,
}

impl Named for Profile {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Profile {
    /// A profile that was sent: what was not sent has no value of its own.
    pub(crate) fn sent(value: &Value) -> Result<Self, serde_json::Error> {
        let mut profile = Self::deserialize(&without_null(value.clone()))?;
        (profile.created, profile.modified, profile.id) = (None, None, None);
        Ok(profile)
    }

    /// It is new from now on.
    pub(crate) fn made(mut self) -> Self {
        let now = now::milliseconds();
        (self.created, self.modified, self.id) = (Some(now), Some(now), Some(now::uuid()));
        self
    }

    /// As it is told, with the number of its devices.
    pub(crate) fn told(&self, devices: usize) -> Value {
        let mut told = serde_json::to_value(self).unwrap_or_default();
        told["linkedDeviceCount"] = devices.into();
        told["apiVersion"] = "v3".into();
        told
    }

    /// Without resources and commands.
    pub(crate) fn basic(&self, devices: usize) -> Value {
        let mut told = self.told(devices);
        if let Some(fields) = told.as_object_mut() {
            fields.retain(|name, _| {
                !["deviceResources", "deviceCommands", "apiVersion"].contains(&name.as_str())
            });
        }
        told
    }

    pub(crate) fn resource(&self, name: &str) -> Option<&Resource> {
        self.device_resources.iter().find(|resource| resource.name == name)
    }

    pub(crate) fn command(&self, name: &str) -> Option<&Command> {
        self.device_commands.iter().find(|command| command.name == name)
    }

    /// Whether a reading or a command can have this source.
    pub(crate) fn has_source(&self, name: &str) -> bool {
        self.resource(name).is_some() || self.command(name).is_some()
    }

    /// What is wrong with the fields, by their names in a request.
    pub(crate) fn check(&self, request: &str) -> Vec<String> {
        let mut wrong: Vec<String> = required(&self.name, &format!("{request}.Profile.Name")).collect();
        for (index, resource) in self.device_resources.iter().enumerate() {
            wrong.extend(resource.check(&format!("{request}.Profile.DeviceResources[{index}]")));
        }
        for (index, command) in self.device_commands.iter().enumerate() {
            let at = format!("{request}.Profile.DeviceCommands[{index}]");
            wrong.extend(required(&command.name, &format!("{at}.Name")));
            wrong.extend(direction(&command.read_write, &at));
        }
        wrong
    }

    /// What does not fit together in it.
    pub(crate) fn check_whole(&self) -> Result<(), Refusal> {
        let mut names = HashSet::new();
        if let Some(twice) = self.device_resources.iter().find(|resource| !names.insert(&resource.name)) {
            return Err(Refusal::new(400, format!("device resource {} is duplicated", twice.name)));
        }
        let mut names = HashSet::new();
        for command in &self.device_commands {
            if !names.insert(&command.name) {
                return Err(Refusal::new(400, format!("device command {} is duplicated", command.name)));
            }
            let operations = &command.resource_operations;
            let absent = operations.iter().find(|one| self.resource(&one.device_resource).is_none());
            if let Some(Operation { device_resource, .. }) = absent {
                let message =
                    format!("device command's resource {device_resource} doesn't match any device resource");
                return Err(Refusal::new(400, message));
            }
        }
        Ok(())
    }
}

impl Resource {
    fn check(&self, at: &str) -> Vec<String> {
        let mut wrong: Vec<String> = required(&self.name, &format!("{at}.Name")).collect();
        let properties = &self.properties;
        if properties.value_type.is_empty() {
            wrong.push(format!("{at}.Properties.ValueType field is required"));
        } else if !is_type(&properties.value_type) {
            wrong.push(format!(
                "{at}.Properties.ValueType field validation failed on the edgex-dto-value-type tag with value ''"
            ));
        }
        wrong.extend(direction(&properties.read_write, &format!("{at}.Properties")));
        wrong
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.properties.read_write.contains('R')
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.properties.read_write.contains('W')
    }
}

/// A text that has to be there, and not to be blank.
pub(crate) fn required(text: &str, field: &str) -> impl Iterator<Item = String> {
    let wrong = if text.is_empty() {
        Some(format!("{field} field is required"))
    } else if text.trim().is_empty() {
        Some(format!("{field} field should not be empty string"))
    } else {
        None
    };
    wrong.into_iter()
}

fn direction(text: &str, at: &str) -> Option<String> {
    let known = ["R", "W", "RW", "WR"].contains(&text);
    (!known).then(|| format!("{at}.ReadWrite field should be one of 'R' 'W' 'RW' 'WR'"))
}

/// To Go a null is as if nothing had been sent.
pub(crate) fn without_null(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(name, value)| (name, without_null(value))).collect())
        }
        Value::Array(items) => items.into_iter().map(without_null).collect(),
        other => other,
    }
}
