//! A slice `greenhouse` as samples: a gateway `gw` and a server `hub` at `edge-1`, and a segment between them.

use std::collections::BTreeMap;

use iotorch_core::{
    model::{
        Bandwidth, BandwidthObjective, Capacity, Cpu, DeviceProtocol, Labels, PartName, Physical,
        ProfileResource, ResourceName, Settings, Snssai, ValueType,
    },
    resource::{
        ApplicationOutputs, ApplicationSpec, AttachmentOutputs, AttachmentSpec, CredentialOutputs,
        CredentialSpec, DeviceSpec, Endpoint, ExportSpec, ExportTarget, Layer, Outputs, PortSpec,
        ProfileSpec, ResourceId, Role, SegmentEndpoint, SegmentSpec, SpaceSpec, TenantSpec, WorkloadOutputs,
        WorkloadSpec,
    },
    secret::{MemorySecretStore, SecretRef, SecretStore, SecretValue},
    testing::domain::Sample,
};

const SECRETS: [&str; 7] = ["gw/admin", "hub/admin", "hub/tenant", "hub/gw", "hub/gw-2", "gw/d1", "gw/d2"];

/// A store with a planted value for every secret that the samples name.
pub(crate) async fn secrets() -> MemorySecretStore {
    let store = MemorySecretStore::default();
    for name in SECRETS {
        let value = SecretValue::new(format!("planted-{}", name.replace('/', "-")));
        store.put(&secret(name), value).await.unwrap();
    }
    store
}

fn secret(name: &str) -> SecretRef {
    format!("greenhouse/{name}").parse().unwrap()
}

pub(crate) fn part(name: &str) -> PartName {
    name.parse().unwrap()
}

pub(crate) fn space() -> ResourceId {
    ResourceId::space(&"greenhouse".parse().unwrap(), &"edge-1".parse().unwrap())
}

fn gateway() -> ResourceId {
    space().workload(&part("gw")).application()
}

fn server() -> ResourceId {
    space().workload(&part("hub")).application()
}

fn settings() -> Settings {
    [("retention".to_owned(), "7d".into())].into_iter().collect()
}

fn workload_spec(name: &str, role: Role) -> WorkloadSpec {
    WorkloadSpec {
        name: name.to_owned(),
        role,
        application: Some("sim-app".parse().unwrap()),
        chart: None,
        physical: None,
        needs: Capacity::default(),
        settings: Settings::new(),
        admin: Some(secret(&format!("{name}/admin"))),
    }
}

pub(crate) fn workload_outputs(name: &str) -> WorkloadOutputs {
    let endpoints = [("management".to_owned(), Endpoint::net("sim", 1024))].into();
    WorkloadOutputs { release: format!("{name} 1"), endpoints }
}

/// The workloads of both parts, as another driver made them.
pub(crate) fn workloads() -> BTreeMap<ResourceId, Outputs> {
    let deployed = |name| (space().workload(&part(name)), workload_outputs(name).into());
    ["gw", "hub"].map(deployed).into()
}

/// A space with two workloads.
pub(crate) fn infrastructure() -> Vec<Sample> {
    let spec = SpaceSpec { name: "greenhouse".into(), quota: Capacity::default() };
    let quota = Capacity { cpu: Some(Cpu::from_millis(500)), ..Capacity::default() };
    let workload = |name, role| {
        let spec = workload_spec(name, role);
        let updated = WorkloadSpec { settings: settings(), ..spec.clone() };
        Sample::new(space().workload(&part(name)), spec).updated_to(updated)
    };
    vec![
        Sample::new(space(), spec.clone()).updated_to(SpaceSpec { quota, ..spec }),
        workload("gw", Role::Gateway),
        workload("hub", Role::Server),
    ]
}

fn application(id: ResourceId, name: &str, role: Role) -> Sample {
    let spec = ApplicationSpec {
        name: name.to_owned(),
        role,
        application: "sim-app".parse().unwrap(),
        external: None,
        admin: secret(&format!("{name}/admin")),
        settings: Settings::new(),
    };
    let updated = ApplicationSpec { settings: settings(), ..spec.clone() };
    Sample::new(id, spec).updated_to(updated)
}

fn credential(holder: &ResourceId, name: &str) -> Sample {
    Sample::new(holder.credential(1), CredentialSpec { generation: 1, secret: secret(name) })
}

/// A gateway with two devices of one profile, each with a password, exporting to the server.
pub(crate) fn in_gateway() -> Vec<Sample> {
    let profile = gateway().profile(&part("climate"));
    let resource = |name: &str| {
        ProfileResource::builder()
            .name(ResourceName::new(name).unwrap())
            .value_type(ValueType::Float)
            .unit("Cel")
            .build()
    };
    let resources = vec![resource("temperature")];
    let more = vec![resource("temperature"), resource("dew-point")];
    let device = |name: &str| {
        let spec = DeviceSpec {
            name: name.to_owned(),
            protocol: DeviceProtocol::Mqtt,
            profile: "climate".into(),
            labels: Labels::new(),
            settings: Settings::new(),
        };
        let labels = [("row".to_owned(), "3".to_owned())].into();
        Sample::new(gateway().device(&part(name)), spec.clone())
            .using([profile.clone()])
            .updated_to(DeviceSpec { labels, ..spec.clone() })
            .refused_as(DeviceSpec { profile: "No Such Profile".into(), ..spec })
    };
    let attachment = server().tenant().attachment(&part("gw"));
    let export = ExportSpec { name: "hub".into(), target: ExportTarget::Server };
    vec![
        application(gateway(), "gw", Role::Gateway),
        Sample::new(profile.clone(), ProfileSpec { name: "climate".into(), resources })
            .updated_to(ProfileSpec { name: "climate".into(), resources: more }),
        device("d1"),
        device("d2"),
        credential(&gateway().device(&part("d1")), "gw/d1"),
        credential(&gateway().device(&part("d2")), "gw/d2"),
        Sample::new(gateway().export(&part("hub")), export)
            .using([attachment.clone(), attachment.credential(1)]),
    ]
}

/// What a gateway needs to know of a server that another driver manages.
pub(crate) fn beside_gateway() -> BTreeMap<ResourceId, Outputs> {
    let attachment = server().tenant().attachment(&part("gw"));
    let outputs = [
        (
            server(),
            ApplicationOutputs {
                version: "1".into(),
                endpoints: BTreeMap::new(),
                admin: secret("hub/admin"),
            }
            .into(),
        ),
        (attachment.clone(), AttachmentOutputs::new("thing-1", "channel-1").into()),
        (
            attachment.credential(1),
            CredentialOutputs { user_name: "thing-1".into(), secret: secret("hub/gw") }.into(),
        ),
    ];
    workloads().into_iter().chain(outputs).collect()
}

/// A server with a tenant and two attachments, each with a key.
pub(crate) fn in_server() -> Vec<Sample> {
    let tenant = server().tenant();
    let mut samples = vec![
        application(server(), "hub", Role::Server),
        Sample::new(tenant.clone(), TenantSpec::new("greenhouse", secret("hub/tenant"))),
    ];
    for name in ["gw", "gw-2"] {
        let attachment = tenant.attachment(&part(name));
        samples.push(Sample::new(attachment.clone(), AttachmentSpec::new(name)));
        samples.push(credential(&attachment, &format!("hub/{name}")));
    }
    samples
}

pub(crate) fn transport() -> ResourceId {
    ResourceId::transport(&"greenhouse".parse().unwrap(), "gw-hub")
}

pub(crate) fn segment_spec(megabits: u64) -> SegmentSpec {
    let endpoint = |name| SegmentEndpoint {
        part: part(name),
        infrastructure: Some("edge-1".parse().unwrap()),
        nodes: vec![[192, 0, 2, 1].into()],
    };
    let rate = |megabits: u64| Some(Bandwidth::from_bits_per_second(megabits * 1_000_000));
    SegmentSpec {
        layer: Layer::Transport,
        snssai: Some(Snssai { sst: 3, sd: None }),
        endpoints: ["gw", "hub"].map(endpoint).into(),
        bandwidth: Some(BandwidthObjective { guaranteed: rate(megabits), max: None }),
        objectives: Default::default(),
        on_unenforced: Default::default(),
        settings: Settings::new(),
    }
}

pub(crate) fn port_spec(name: &str) -> PortSpec {
    PortSpec { part: part(name), binding: None, snssai: None }
}

/// A transport segment with a port for each of its ends.
pub(crate) fn network() -> Vec<Sample> {
    let port = |name| {
        let workload = space().workload(&part(name));
        Sample::new(transport().port(&part(name)), iotorch_core::resource::Spec::Port(port_spec(name)))
            .using([workload])
    };
    vec![Sample::new(transport(), segment_spec(2)).updated_to(segment_spec(5)), port("gw"), port("hub")]
}

/// The same with a physical function, and with what the `declared` driver does not take.
pub(crate) fn declared() -> Vec<Sample> {
    let mut samples = network();
    let first = samples.remove(0);
    samples.insert(
        0,
        first.faulty_as(SegmentSpec { settings: settings(), ..segment_spec(2) }).faulty_as(SegmentSpec {
            on_unenforced: iotorch_core::model::OnUnenforced::Refuse,
            ..segment_spec(2)
        }),
    );
    let physical = |last: u8| WorkloadSpec {
        application: None,
        admin: None,
        physical: Some(Physical { address: [192, 0, 2, last].into() }),
        ..workload_spec("upf", Role::Function)
    };
    let deployed = WorkloadSpec { physical: None, ..physical(7) };
    let id = ResourceId::physical(&"greenhouse".parse().unwrap(), &part("upf"));
    samples
        .push(Sample::new(id, physical(7)).using([transport()]).updated_to(physical(8)).faulty_as(deployed));
    samples.into_iter().map(Sample::unmarked).collect()
}
