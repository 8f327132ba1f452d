use iotorch_core::{
    model::{Access, Range, ValueType},
    resource::{DeviceOutputs, DeviceSpec, ProfileSpec, Role},
    status::Condition,
};

use super::*;
use crate::render::status::tests::{resource, slice};

const APP: &str = "s/desk/space/gw/app";

/// A slice with one device that has two generations of its credential.
pub(crate) fn status(protocol: DeviceProtocol, labels: Labels) -> SliceStatus {
    let mut status = slice("s", Condition::Ready);
    let mut device = resource(&format!("{APP}/device/here"), Condition::Ready);
    device.spec = Some(Spec::Device(DeviceSpec {
        name: "here".into(),
        protocol,
        profile: "machine".into(),
        labels,
        settings: serde_json::Map::new(),
    }));
    let endpoint = Some(Endpoint::net("127.0.0.1", 1883));
    let path = Some("devices/here".into());
    device.outputs = Some(DeviceOutputs { name: "here".into(), endpoint, path, commands: None }.into());
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

/// A slice with a device on a gateway that others use too, which knows it by another name.
pub(crate) fn on_a_shared_gateway() -> SliceStatus {
    const DEVICE: &str = "field/external/gw/app/device/tank-1";
    let mut status = slice("field", Condition::Ready);
    let mut device = resource(DEVICE, Condition::Ready);
    let name = || "field.tank-1".to_owned();
    device.outputs = Some(DeviceOutputs { name: name(), endpoint: None, path: None, commands: None }.into());
    let mut credential = resource(&format!("{DEVICE}/credential/1"), Condition::Ready);
    let secret = "field/gw/tank-1#1".parse().unwrap();
    credential.outputs = Some(CredentialOutputs { user_name: name(), secret }.into());
    status.resources = vec![device, credential];
    status
}

/// A device with a sensor and an actuator.
pub(crate) fn bench() -> Device {
    let temperature = ProfileResource::builder()
        .name("temperature".parse().unwrap())
        .value_type(ValueType::Float)
        .unit("Cel")
        .range(Range(-40.0, 85.0))
        .build();
    let vent = ProfileResource::builder()
        .name("vent".parse().unwrap())
        .value_type(ValueType::Bool)
        .access(Access::Write)
        .build();
    Device {
        slice: "greenhouse".parse().unwrap(),
        name: "bench-1".parse().unwrap(),
        gateway: "gw".parse().unwrap(),
        software: Software::Lite,
        protocol: DeviceProtocol::Mqtt,
        endpoint: Endpoint::net("127.0.0.1", 1883),
        path: "devices/bench-1".into(),
        user: "bench-1".into(),
        credential: Some((
            1,
            CredentialOutputs {
                user_name: "bench-1".into(),
                secret: "greenhouse/bench-1#1".parse().unwrap(),
            },
        )),
        resources: vec![temperature, vent],
        labels: Labels::new(),
        trust: None,
    }
}

#[test]
fn a_device_has_its_newest_credential_and_its_profile() {
    let found = devices(&status(DeviceProtocol::Coap, Labels::new()));
    let [device] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((device.name.as_str(), device.gateway.as_str()), ("here", "gw"));
    let (generation, credential) = device.credential.as_ref().unwrap();
    assert_eq!((*generation, credential.secret.to_string().as_str()), (10, "s/here#10"));
    assert_eq!((device.path.as_str(), device.protocol), ("devices/here", DeviceProtocol::Coap));
    assert_eq!(device.resources.len(), 1);
}

#[test]
fn a_device_that_is_not_made_yet_cannot_be_acted_as() {
    let mut status = status(DeviceProtocol::Mqtt, Labels::new());
    status.resources[0].outputs = None;
    assert!(devices(&status).is_empty());
}

#[test]
fn a_device_of_edgex_needs_no_credential() {
    let mut status = status(DeviceProtocol::Http, Labels::new());
    status.resources.retain(|resource| !resource.id.as_str().contains("credential"));
    assert!(devices(&status).is_empty(), "a gateway of lite asks for one");
    let mut gateway = resource(APP, Condition::Ready);
    gateway.spec = Some(Spec::Application(ApplicationSpec {
        name: "gw".into(),
        role: Role::Gateway,
        application: EDGEX.parse().unwrap(),
        external: None,
        admin: "s/gw/admin#1".parse().unwrap(),
        settings: serde_json::Map::new(),
    }));
    status.resources.push(gateway);
    let found = devices(&status);
    assert_eq!((found[0].software, found[0].user.as_str()), (Software::Edgex, "here"));
    assert_eq!(found[0].credential, None);
}
