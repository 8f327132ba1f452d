use iotorch_core::{
    model::{Labels, ValueType},
    resource::{CredentialOutputs, DeviceOutputs, DeviceSpec, ProfileSpec},
    status::Condition,
};

use super::*;
use crate::render::status::tests::{resource, slice};

const APP: &str = "s/desk/space/gw/app";

fn status(label: &str, protocol: DeviceProtocol) -> SliceStatus {
    let mut status = slice("s", Condition::Ready);
    let mut device = resource(&format!("{APP}/device/here"), Condition::Ready);
    device.spec = Some(Spec::Device(DeviceSpec {
        name: "here".into(),
        protocol,
        profile: "machine".into(),
        labels: Labels::from([(LABEL.0.to_owned(), label.to_owned())]),
        settings: serde_json::Map::new(),
    }));
    let endpoint = Some(Endpoint::net("127.0.0.1", 1883));
    device.outputs =
        Some(DeviceOutputs { name: "here".into(), endpoint, path: Some("devices/here".into()) }.into());
    let mut profile = resource(&format!("{APP}/profile/machine"), Condition::Ready);
    let load = ProfileResource::builder().name("load".parse().unwrap()).value_type(ValueType::Float).build();
    profile.spec = Some(Spec::Profile(ProfileSpec { name: "machine".into(), resources: vec![load] }));
    let credential = |generation: u32| {
        let mut credential =
            resource(&format!("{APP}/device/here/credential/{generation}"), Condition::Ready);
        let secret = format!("s/here#{generation}").parse().unwrap();
        credential.outputs = Some(CredentialOutputs { user_name: "here".into(), secret }.into());
        credential
    };
    status.resources = vec![device, credential(9), credential(10), profile];
    status
}

#[test]
fn a_labelled_device_is_fed_with_its_newest_credential() {
    let found = labelled(&status("host", DeviceProtocol::Mqtt));
    let [(id, device)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(id.as_str(), "s/desk/space/gw/app/device/here");
    assert_eq!(device.password.to_string(), "s/here#10");
    assert_eq!((device.topic.as_str(), device.gateway.1), ("devices/here", 1883));
    assert_eq!(device.resources.len(), 1);
}

#[test]
fn a_device_that_asks_for_something_else_or_speaks_something_else_is_left_alone() {
    assert!(labelled(&status("greenhouse", DeviceProtocol::Mqtt)).is_empty());
    assert!(labelled(&status("host", DeviceProtocol::Coap)).is_empty());
}
