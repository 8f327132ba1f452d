//! Devices.

use std::collections::BTreeMap;

use iotorch_core::{
    Issue,
    model::{DeviceProtocol, Labels, Settings},
    resource::{ApplicationOutputs, DeviceOutputs, DeviceSpec},
};
use serde_json::{Value, json};

use super::is_reserved;
use crate::{
    client::object::{DeviceObject, Protocols},
    config::{DeviceSettings, HttpDevice},
    dialect::Dialect,
};

/// The longest name that is used: device services make topics of it, and these have an end.
const LONGEST_NAME: usize = 256;

/// Where a device has no address of its own: it is only read from.
const NO_ADDRESS: &str = "0.0.0.0";

/// What is wrong with a name, if EdgeX cannot take it.
pub(crate) fn fault_of_name(name: &str) -> Option<String> {
    if name.trim().is_empty() {
        return Some("EdgeX takes no empty names".to_owned());
    }
    if [".", ".."].contains(&name) {
        return Some(format!("a name that is {name:?} means another path to EdgeX"));
    }
    if name.len() > LONGEST_NAME {
        return Some(format!("a name has at most {LONGEST_NAME} bytes"));
    }
    // In paths `%` and `/`, in topics `/`, `+` and `#`, and in the database NUL. A broker ends the session of core-metadata again and again for
    // control characters and noncharacters in a topic.
    let wrong = name.chars().find(|c| "%/+#".contains(*c) || c.is_control() || is_noncharacter(*c))?;
    Some(format!("EdgeX cannot have {wrong:?} in a name"))
}

/// Whether Unicode has this code point for no character, ever.
const fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{FDD0}'..='\u{FDEF}') || (c as u32) & 0xFFFE == 0xFFFE
}

/// The usual device service of a protocol; `None` for one that EdgeX does not serve here.
pub(crate) const fn service_of(protocol: DeviceProtocol) -> Option<&'static str> {
    match protocol {
        DeviceProtocol::Mqtt => Some("device-mqtt"),
        DeviceProtocol::Http => Some("device-rest"),
        DeviceProtocol::Coap => Some("device-coap"),
        _ => None,
    }
}

/// What is wrong with a device.
pub(crate) fn check(device: &DeviceSpec) -> Vec<Issue> {
    let mut issues = Vec::new();
    issues.extend(fault_of_name(&device.name).map(|fault| Issue::new("/name", fault)));
    issues.extend(fault_of_name(&device.profile).map(|fault| Issue::new("/profile", fault)));
    if service_of(device.protocol).is_none() {
        let message = format!("the application \"edgex\" does not speak {} to devices", device.protocol);
        issues.push(Issue::new("/protocol", message));
    }
    issues.extend(DeviceSettings::read(&device.settings, device.protocol).err());
    for (key, value) in &device.labels {
        let label = label_of((key, value));
        let wrong = if key.is_empty() {
            "a label has a name"
        } else if key.contains('=') {
            "EdgeX knows labels as NAME=VALUE, so a name has no \"=\""
        } else if label.contains('\0') {
            "EdgeX cannot have '\\0' in a label"
        } else if is_reserved(&label) {
            "labels that begin so are those that iotorch sets"
        } else {
            continue;
        };
        issues.push(Issue::new("/labels", format!("label {key:?}: {wrong}")));
    }
    issues
}

fn label_of((key, value): (&String, &String)) -> String {
    if value.is_empty() { key.clone() } else { format!("{key}={value}") }
}

/// The labels that a device has from its document.
pub(crate) fn labels_of(device: &DeviceSpec) -> Vec<String> {
    device.labels.iter().map(label_of).collect()
}

fn labels_from(labels: &[String]) -> Labels {
    let label = |label: &String| match label.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (label.clone(), String::new()),
    };
    labels.iter().map(label).collect()
}

/// The topic under which a device takes commands that has no other one.
pub(crate) fn command_topic(name: &str) -> String {
    format!("command/{name}")
}

fn properties<const N: usize>(of: [(&str, Value); N]) -> BTreeMap<String, Value> {
    of.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What a device is reached by.
fn protocols_of(name: &str, protocol: DeviceProtocol, settings: &DeviceSettings) -> Protocols {
    let (key, properties) = match protocol {
        DeviceProtocol::Mqtt => {
            let topic = settings.command_topic.clone().unwrap_or_else(|| command_topic(name));
            ("mqtt", properties([("CommandTopic", json!(topic))]))
        }
        DeviceProtocol::Http => match &settings.http {
            Some(HttpDevice { host, port, path }) => (
                "REST",
                properties([
                    ("RESTHost", json!(host)),
                    ("RESTPort", json!(port.to_string())),
                    ("RESTPath", json!(path)),
                ]),
            ),
            None => return Protocols::new(),
        },
        _ => {
            let address = settings.address.as_deref().unwrap_or(NO_ADDRESS);
            ("COAP", properties([("ED_ADDR", json!(address)), ("ED_SECURITY_MODE", json!("NoSec"))]))
        }
    };
    [(key.to_owned(), properties)].into()
}

/// A device as EdgeX has it, with the labels that it is to have.
pub(crate) fn object_of(device: &DeviceSpec, labels: Vec<String>) -> DeviceObject {
    // It was checked.
    let settings = DeviceSettings::read(&device.settings, device.protocol).unwrap_or_default();
    let usual = || service_of(device.protocol).unwrap_or_default().to_owned();
    DeviceObject {
        name: device.name.clone(),
        description: String::new(),
        admin_state: "UNLOCKED".to_owned(),
        operating_state: "UP".to_owned(),
        labels,
        service_name: settings.service.clone().unwrap_or_else(usual),
        profile_name: device.profile.clone(),
        protocols: protocols_of(&device.name, device.protocol, &settings),
    }
}

/// What a device is like in the words of iotorch; `others` are its labels without those of iotorch. `None` for one that
/// iotorch has no words for.
pub(crate) fn spec_of(object: &DeviceObject, others: &[String]) -> Option<DeviceSpec> {
    let text = |protocol: &str, key: &str| match object.protocols.get(protocol)?.get(key)? {
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let spoken = |name: &str| object.protocols.contains_key(name);
    let served = |protocol: DeviceProtocol| Some(object.service_name.as_str()) == service_of(protocol);
    let mut settings = DeviceSettings::default();
    let protocol = if spoken("mqtt") || served(DeviceProtocol::Mqtt) {
        let topic = text("mqtt", "CommandTopic");
        settings.command_topic = topic.filter(|topic| *topic != command_topic(&object.name));
        DeviceProtocol::Mqtt
    } else if spoken("REST") || served(DeviceProtocol::Http) {
        if spoken("REST") {
            let port = text("REST", "RESTPort")?.parse().ok()?;
            let (host, path) = (text("REST", "RESTHost")?, text("REST", "RESTPath")?);
            settings.http = Some(HttpDevice { host, port, path });
        }
        DeviceProtocol::Http
    } else if spoken("COAP") || served(DeviceProtocol::Coap) {
        settings.address = text("COAP", "ED_ADDR").filter(|address| address != NO_ADDRESS);
        DeviceProtocol::Coap
    } else {
        return None;
    };
    settings.service = Some(object.service_name.clone()).filter(|_| !served(protocol));
    Some(DeviceSpec {
        name: object.name.clone(),
        protocol,
        profile: object.profile_name.clone(),
        labels: labels_from(others),
        settings: written(&settings),
    })
}

fn written(settings: &DeviceSettings) -> Settings {
    match serde_json::to_value(settings) {
        Ok(Value::Object(settings)) => settings,
        _ => Settings::new(),
    }
}

/// A device with what it has anyway left out of its settings, so that equal ones compare as equal.
pub(crate) fn canonical(device: &DeviceSpec) -> DeviceSpec {
    let object = object_of(device, labels_of(device));
    spec_of(&object, &object.labels).unwrap_or_else(|| device.clone())
}

/// What a device of this application is told: where it sends to.
pub(crate) fn outputs_of(device: &DeviceSpec, application: &ApplicationOutputs) -> DeviceOutputs {
    let dialect = Dialect::of(&application.version);
    let name = &device.name;
    let (endpoint, path) = match (device.protocol, dialect) {
        // One topic for all devices, which the service is configured with.
        (DeviceProtocol::Mqtt, Some(Dialect::V1)) => ("mqtt", None),
        (DeviceProtocol::Mqtt, _) => ("mqtt", Some(format!("incoming/data/{name}"))),
        (DeviceProtocol::Http, Some(Dialect::V1)) => ("device-rest", Some(format!("api/v1/resource/{name}"))),
        (DeviceProtocol::Http, _) => ("device-rest", Some(format!("api/v3/resource/{name}"))),
        (DeviceProtocol::Coap, _) => ("device-coap", Some(format!("a1r/{name}"))),
        _ => ("", None),
    };
    let settings = DeviceSettings::read(&device.settings, device.protocol).unwrap_or_default();
    let commands = settings.command_topic.filter(|topic| *topic != command_topic(name));
    let endpoint = application.endpoints.get(endpoint).cloned();
    DeviceOutputs { name: name.clone(), endpoint, path, commands }
}

#[cfg(test)]
mod tests {
    use iotorch_core::model::Settings;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn device(protocol: DeviceProtocol, settings: Value) -> DeviceSpec {
        let settings: Settings = settings.as_object().unwrap().clone();
        let labels = [("bench".to_owned(), "1".to_owned()), ("spare".to_owned(), String::new())].into();
        DeviceSpec {
            name: "greenhouse.d1".to_owned(),
            protocol,
            profile: "climate".to_owned(),
            labels,
            settings,
        }
    }

    #[test]
    fn a_device_of_each_protocol_as_edgex_has_it() {
        let http = json!({ "http": { "host": "10.0.0.7", "port": 8080, "path": "api" } });
        let devices = [
            device(DeviceProtocol::Mqtt, json!({})),
            device(DeviceProtocol::Mqtt, json!({ "commandTopic": "orders/d1", "service": "device-mqtt-2" })),
            device(DeviceProtocol::Http, json!({})),
            device(DeviceProtocol::Http, http),
            device(DeviceProtocol::Coap, json!({})),
            device(DeviceProtocol::Coap, json!({ "address": "10.0.0.8" })),
        ];
        insta::assert_yaml_snapshot!(devices.each_ref().map(|device| object_of(device, labels_of(device))));
        for device in devices {
            let object = object_of(&device, labels_of(&device));
            assert_eq!(spec_of(&object, &object.labels), Some(device));
        }
    }

    #[test]
    fn what_a_device_has_anyway_makes_no_difference() {
        let plain = device(DeviceProtocol::Mqtt, json!({}));
        let said = device(
            DeviceProtocol::Mqtt,
            json!({ "commandTopic": "command/greenhouse.d1", "service": "device-mqtt" }),
        );
        assert_eq!(canonical(&said), plain);
    }

    #[test]
    fn names_that_edgex_cannot_have_are_refused_with_the_reason() {
        let names = [
            "a%b",
            "a/b",
            "a+b",
            "a#b",
            "a\0b",
            "a\nb",
            "a\u{85}b",
            "a\u{1FFFE}b",
            "",
            " ",
            "..",
            &"n".repeat(300),
        ];
        let faults: Vec<_> = names.iter().map(|name| fault_of_name(name)).collect();
        insta::assert_yaml_snapshot!(faults);
        for good in ["d1", "greenhouse.d1", "mf odd", "mf-é", "设备1", "a:b", "a@b"] {
            assert_eq!(fault_of_name(good), None, "{good}");
        }
    }

    #[test]
    fn labels_and_settings_that_cannot_be_kept_are_refused() {
        let mut wrong = device(DeviceProtocol::Mqtt, json!({ "address": "10.0.0.8" }));
        wrong.labels = ["", "a=b", "iotorch:x", "nul\0"].map(|key| (key.to_owned(), "1".to_owned())).into();
        insta::assert_yaml_snapshot!(check(&wrong));
        let unknown = device(DeviceProtocol::Mqtt, json!({ "interval": "1s" }));
        insta::assert_yaml_snapshot!(check(&unknown));
    }

    proptest! {
        #[test]
        fn labels_are_read_as_they_were_written(labels in proptest::collection::btree_map("[^=\0]{1,8}", "[^\0]{0,8}", 0..4)) {
            let device = DeviceSpec { labels, ..device(DeviceProtocol::Mqtt, json!({})) };
            let object = object_of(&device, labels_of(&device));
            prop_assert_eq!(spec_of(&object, &object.labels), Some(device));
        }
    }
}
