//! Between the resources of iotorch and the objects of the management APIs.

use crate::api::{self, Attachment, ExportKind, Kind, Managed, Resource};
use crate::objects::name_of;
use iotorch_core::{
    Error, ErrorKind, Result,
    model::{ProfileResource, Range, ResourceName, Sink, SinkKind},
    resource::{
        AttachmentOutputs, AttachmentSpec, CredentialHolder, CredentialOutputs, CredentialSpec,
        DeviceOutputs, DeviceSpec, Endpoint, ExportInputs, ExportOutputs, ExportSpec, ExportTarget, Inputs,
        KindName, MqttVersion, NetAddress, Outputs, ProfileOutputs, ProfileSpec, ResourceId, Spec,
        TenantOutputs, TenantSpec,
    },
    secret::SecretRef,
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

pub(crate) type Endpoints = BTreeMap<String, Endpoint>;

/// The path of a resource's object in the management API. In an application outside of iotorch, which slices share,
/// names are qualified by the slice.
pub(crate) fn path_of(id: &ResourceId) -> Option<String> {
    let name = || match id.place() {
        "external" => format!("{}.{}", id.slice(), id.name()),
        _ => id.name().to_owned(),
    };
    Some(match id.kind() {
        KindName::Tenant => format!("tenants/{}", id.slice()),
        KindName::Attachment => format!("{}/attachments/{}", path_of(&id.host()?)?, name()),
        KindName::Credential => format!("{}/credentials/{}", path_of(&id.host()?)?, id.name()),
        KindName::Profile => format!("profiles/{}", name()),
        KindName::Device => format!("devices/{}", name()),
        KindName::Export => format!("exports/{}", name()),
        KindName::Application | KindName::Space | KindName::Segment | KindName::Workload | KindName::Port => {
            return None;
        }
    })
}

/// What a step asks of the management API.
#[derive(Debug)]
pub(crate) struct Order {
    /// What the software shall use.
    pub(crate) settings: Value,
    /// The secret of the object.
    pub(crate) secret: Option<SecretRef>,
    /// The user name that a credential is for.
    pub(crate) user: Option<String>,
}

impl Order {
    fn new(settings: impl Serialize, secret: Option<&SecretRef>) -> Result<Self> {
        let settings = serde_json::to_value(settings).map_err(|error| {
            Error::new(ErrorKind::Unexpected, "cannot write the settings of an object").with_source(error)
        })?;
        Ok(Self { settings, secret: secret.cloned(), user: None })
    }

    /// What a step wants that leads to `after`.
    pub(crate) fn of(after: &Spec, inputs: &Inputs) -> Result<Self> {
        match (after, inputs) {
            (Spec::Tenant(tenant), _) => Self::new(api::Nothing {}, Some(&tenant.secret)),
            (Spec::Attachment(_), _) => Self::new(api::Nothing {}, None),
            (Spec::Credential(credential), Inputs::Credential(inputs)) => {
                let user = match &inputs.holder {
                    CredentialHolder::Attachment { attachment, .. } => attachment.thing.clone(),
                    CredentialHolder::Device(device) => device.name.clone(),
                };
                Ok(Self { user: Some(user), ..Self::new(api::Nothing {}, Some(&credential.secret))? })
            }
            (Spec::Profile(profile), _) => Self::new(profile_settings(profile), None),
            (Spec::Device(device), _) => {
                let settings = api::Device { profile: device.profile.clone(), protocol: device.protocol };
                Self::new(settings, None)
            }
            (Spec::Export(export), Inputs::Export(inputs)) => match &export.target {
                ExportTarget::Sink(sink) => Self::new(sink_settings(sink)?, sink.credentials.as_ref()),
                ExportTarget::Server => to_server(&export.name, inputs),
            },
            (other, _) => Err(unsupported(other.kind())),
        }
    }
}

pub(crate) fn unsupported(kind: KindName) -> Error {
    Error::new(ErrorKind::Unsupported, format!("cannot make a {kind} with driver \"lite\""))
}

/// The export of a gateway to its attachment at a server.
fn to_server(name: &str, inputs: &ExportInputs) -> Result<Order> {
    let what = || format!("cannot export to server \"{name}\"");
    let server = inputs.server.as_ref().ok_or_else(|| {
        Error::new(ErrorKind::Unexpected, what()).with_source("nothing is known of an attachment there")
    })?;
    let address = match server.application.endpoints.get("mqtt") {
        Some(Endpoint::Net(address)) => address,
        Some(endpoint) => {
            let why = format!("the gateway cannot reach {endpoint}: it needs an address");
            return Err(Error::new(ErrorKind::Unsupported, what()).with_source(why));
        }
        None => {
            return Err(
                Error::new(ErrorKind::Unsupported, what()).with_source("the server has no endpoint \"mqtt\"")
            );
        }
    };
    // On the segment between the two the server has an address of its own, and listens on the same port.
    let on_segment = server.port.as_ref().and_then(|port| port.address).map(|address| address.to_string());
    let kind = match server.attachment.mqtt {
        MqttVersion::V5 => ExportKind::Mqtt,
        MqttVersion::V3_1_1 => ExportKind::Mqtt3,
    };
    let settings = api::Export {
        kind,
        host: on_segment.unwrap_or_else(|| address.host.clone()),
        port: address.port,
        tls: address.tls,
        user_name: Some(server.credential.user_name.clone()),
        topic: server.attachment.topic(),
        client_id: None,
    };
    Order::new(settings, Some(&server.credential.secret))
}

fn sink_settings(sink: &Sink) -> Result<api::Export> {
    let kind = match sink.kind {
        SinkKind::Mqtt => ExportKind::Mqtt,
        SinkKind::Influxdb => ExportKind::Influxdb,
        _ => {
            let what = format!("cannot export to sink \"{}\"", sink.name);
            return Err(Error::new(ErrorKind::Unsupported, what).with_source("its type is not known"));
        }
    };
    Ok(api::Export {
        kind,
        host: sink.endpoint.host.clone(),
        port: sink.endpoint.port,
        tls: sink.endpoint.tls,
        user_name: None,
        topic: sink.target.clone(),
        client_id: None,
    })
}

/// The type of a sink that an export leads to, as it is now.
fn sink_kind(kind: ExportKind) -> SinkKind {
    match kind {
        ExportKind::Mqtt | ExportKind::Mqtt3 => SinkKind::Mqtt,
        ExportKind::Influxdb => SinkKind::Influxdb,
    }
}

fn profile_settings(profile: &ProfileSpec) -> api::Profile {
    let resource = |resource: &ProfileResource| {
        let settings = Resource {
            value_type: resource.value_type,
            unit: resource.unit.clone(),
            min: resource.range.map(|range| range.0),
            max: resource.range.map(|range| range.1),
            access: resource.access,
        };
        (resource.name.to_string(), settings)
    };
    api::Profile { resources: profile.resources.iter().map(resource).collect() }
}

fn profile_resource((name, resource): (&String, &Resource)) -> Option<ProfileResource> {
    let range = match (resource.min, resource.max) {
        (None, None) => None,
        (min, max) => Some(Range(min.unwrap_or(f64::MIN), max.unwrap_or(f64::MAX))),
    };
    Some(ProfileResource {
        name: ResourceName::new(name).ok()?,
        value_type: resource.value_type,
        unit: resource.unit.clone(),
        range,
        access: resource.access,
    })
}

/// What an object is, as iotorch would want it: what the software uses, and of `base`, which says what it was made from,
/// only what the software does not know. `None` where that cannot be told.
pub(crate) fn spec_of(object: &Managed<Value>, base: Option<&Spec>) -> Option<Spec> {
    let name = name_of(&object.path).to_owned();
    Some(match object.kind {
        Kind::Tenant => match base {
            Some(Spec::Tenant(base)) => TenantSpec::new(name, base.secret.clone()).into(),
            _ => return None,
        },
        Kind::Attachment => AttachmentSpec::new(name).into(),
        Kind::Credential => match base {
            Some(Spec::Credential(base)) => {
                CredentialSpec { generation: name.parse().ok()?, secret: base.secret.clone() }.into()
            }
            _ => return None,
        },
        Kind::Profile => {
            let settings: api::Profile = serde_json::from_value(object.settings.clone()).ok()?;
            match base {
                // In the order in which they were written.
                Some(Spec::Profile(base)) if profile_settings(base) == settings => {
                    ProfileSpec { name, resources: base.resources.clone() }.into()
                }
                _ => {
                    let resources = settings.resources.iter().map(profile_resource).collect::<Option<_>>()?;
                    ProfileSpec { name, resources }.into()
                }
            }
        }
        Kind::Device => {
            let api::Device { profile, protocol } = serde_json::from_value(object.settings.clone()).ok()?;
            let (labels, settings) = match base {
                Some(Spec::Device(base)) => (base.labels.clone(), base.settings.clone()),
                _ => Default::default(),
            };
            DeviceSpec { name, protocol, profile, labels, settings }.into()
        }
        Kind::Export => {
            let settings: api::Export = serde_json::from_value(object.settings.clone()).ok()?;
            let Some(Spec::Export(ExportSpec { target, .. })) = base else { return None };
            let target = match target {
                ExportTarget::Sink(sink) => ExportTarget::Sink(Sink {
                    kind: sink_kind(settings.kind),
                    endpoint: NetAddress { host: settings.host, port: settings.port, tls: settings.tls },
                    target: settings.topic,
                    ..sink.clone()
                }),
                ExportTarget::Server => ExportTarget::Server,
            };
            ExportSpec { name, target }.into()
        }
    })
}

/// What an object tells. `user` is the user name that a credential is for.
pub(crate) fn outputs_of(
    object: &Managed<Value>,
    spec: &Spec,
    endpoints: &Endpoints,
    user: Option<&str>,
) -> Result<Outputs> {
    let path = &object.path;
    let unreadable = |why: String| {
        Error::new(ErrorKind::Unexpected, format!("cannot read \"{path}\" of the management API"))
            .with_source(why)
    };
    let name = name_of(path).to_owned();
    Ok(match spec {
        Spec::Tenant(tenant) => TenantOutputs { id: name, secret: tenant.secret.clone() }.into(),
        Spec::Attachment(_) => {
            let Attachment { thing, channel } = serde_json::from_value(object.settings.clone())
                .map_err(|error| unreadable(error.to_string()))?;
            AttachmentOutputs::new(thing, channel).into()
        }
        Spec::Credential(credential) => {
            let user_name = user.ok_or_else(|| unreadable("nobody holds this credential".to_owned()))?;
            CredentialOutputs { user_name: user_name.to_owned(), secret: credential.secret.clone() }.into()
        }
        Spec::Profile(_) => ProfileOutputs { name }.into(),
        Spec::Device(_) => {
            let device: api::Device = serde_json::from_value(object.settings.clone())
                .map_err(|error| unreadable(error.to_string()))?;
            let endpoint = endpoints.get(&device.protocol.to_string()).cloned();
            let path = Some(path.clone());
            DeviceOutputs { name, endpoint, path, commands: None }.into()
        }
        Spec::Export(_) => {
            let settings: api::Export = serde_json::from_value(object.settings.clone())
                .map_err(|error| unreadable(error.to_string()))?;
            ExportOutputs { destination: destination(settings) }.into()
        }
        other => return Err(unsupported(other.kind())),
    })
}

/// Everything that an export uses and can be shown, so that whatever drifts is seen.
fn destination(export: api::Export) -> String {
    let scheme = match (export.kind, export.tls) {
        (ExportKind::Mqtt | ExportKind::Mqtt3, false) => "mqtt",
        (ExportKind::Mqtt | ExportKind::Mqtt3, true) => "mqtts",
        (ExportKind::Influxdb, false) => "influxdb over http",
        (ExportKind::Influxdb, true) => "influxdb over https",
    };
    let version = if export.kind == ExportKind::Mqtt3 { " by MQTT 3.1.1" } else { "" };
    let address = NetAddress { host: export.host, port: export.port, tls: export.tls };
    let user = export.user_name.map(|user| format!(" as {user}")).unwrap_or_default();
    let client = export.client_id.map(|client| format!(" (client {client})")).unwrap_or_default();
    format!("{scheme} {address} {}{user}{client}{version}", export.topic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use iotorch_core::{
        model::PartName,
        resource::{ApplicationOutputs, ExportServer},
    };
    use serde_json::json;

    fn server(attachment: AttachmentOutputs) -> ExportInputs {
        let secret = |name| SecretRef::new(name, 1).unwrap();
        let address = NetAddress { host: "mainflux".to_owned(), port: 1883, tls: false };
        let application = ApplicationOutputs {
            version: "0.12.1".to_owned(),
            endpoints: [("mqtt".to_owned(), Endpoint::Net(address))].into(),
            admin: secret("admin"),
        };
        let credential = CredentialOutputs { user_name: "thing-1".to_owned(), secret: secret("key") };
        let server = ExportServer { application: application.clone(), attachment, credential, port: None };
        ExportInputs { application, server: Some(server) }
    }

    #[test]
    fn an_export_to_a_server_has_its_topic_and_its_version_of_mqtt() {
        let ours = to_server("hub", &server(AttachmentOutputs::new("thing-1", "c-1"))).unwrap();
        let expected = json!({ "host": "mainflux", "port": 1883, "user_name": "thing-1", "topic": "channels/c-1/messages" });
        assert_eq!(ours.settings, expected);
        let supermq = AttachmentOutputs {
            topic: Some("m/d-1/c/c-1".to_owned()),
            mqtt: MqttVersion::V3_1_1,
            ..AttachmentOutputs::new("thing-1", "c-1")
        };
        let theirs = to_server("hub", &server(supermq)).unwrap().settings;
        let expected = json!({ "kind": "mqtt-3.1.1", "host": "mainflux", "port": 1883, "user_name": "thing-1", "topic": "m/d-1/c/c-1" });
        assert_eq!(theirs, expected);
        let shown = destination(serde_json::from_value(theirs).unwrap());
        assert_eq!(shown, "mqtt mainflux:1883 m/d-1/c/c-1 as thing-1 by MQTT 3.1.1");
    }

    #[test]
    fn a_sink_that_is_found_to_be_another_one_shows_as_it_is() {
        let endpoint = NetAddress { host: "influx".to_owned(), port: 8086, tls: true };
        let kind = SinkKind::Influxdb;
        let name = PartName::new("trends").unwrap();
        let sink = Sink::builder().name(name).kind(kind).endpoint(endpoint).target("plant").build();
        let settings = sink_settings(&sink).unwrap();
        assert_eq!(destination(settings.clone()), "influxdb over https influx:8086 plant");
        let spec = Spec::from(ExportSpec { name: "trends".to_owned(), target: ExportTarget::Sink(sink) });
        let found = |settings| {
            let settings = serde_json::to_value(settings).unwrap();
            let (mark, path) = (String::new(), "exports/trends".to_owned());
            let object = Managed { kind: Kind::Export, path, mark, spec: Value::Null, settings };
            spec_of(&object, Some(&spec)).unwrap()
        };
        assert_eq!(found(settings.clone()), spec);
        assert_ne!(found(api::Export { kind: ExportKind::Mqtt, ..settings }), spec);
    }
}
