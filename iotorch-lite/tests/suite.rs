//! The behaviour suite of core, on both drivers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use async_trait::async_trait;
use common::world::*;
use iotorch_core::{
    Driver, Result, Target,
    model::{Labels, Settings, Sink, SinkKind},
    resource::{
        ApplicationSpec, AttachmentSpec, CredentialSpec, DeviceSpec, ExportSpec, ExportTarget, NetAddress,
        Outputs, ProfileSpec, ResourceId, Role, SpaceSpec, TenantSpec, WorkloadSpec,
    },
    secret::{MemorySecretStore, SecretStore, SecretValue},
    testing::{
        self, Failures,
        domain::{Sample, Subject},
    },
};
use iotorch_lite::{LiteDriver, LocalDriver, LocalHost};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

/// A host in a directory of its own.
struct Fixture {
    dir: TempDir,
    secrets: Arc<MemorySecretStore>,
    host: Mutex<Arc<LocalHost>>,
}

impl Fixture {
    async fn new() -> Result<Self> {
        let secrets = Arc::new(MemorySecretStore::default());
        for name in ["gw/admin", "gw-2/admin", "hub/admin", "hub/tenant", "hub/tenant#2", "hub/gw/key"] {
            plant(&secrets, name).await?;
        }
        for name in ["hub/gw/key#2", "gw/d1/password", "gw/d1/password#2", "gw/d2/password", "broker"] {
            plant(&secrets, name).await?;
        }
        let dir = tempfile::tempdir().unwrap();
        let host = LocalHost::open(dir.path(), Arc::clone(&secrets) as Arc<dyn SecretStore>)?;
        Ok(Self { dir, secrets, host: Mutex::new(host) })
    }

    fn host(&self) -> Arc<LocalHost> {
        Arc::clone(&self.host.lock().unwrap())
    }

    fn local(&self) -> Arc<dyn Driver> {
        Arc::new(LocalDriver::new(self.host()))
    }

    async fn cut_off(&self) {
        let host = self.host();
        host.stop().await;
    }

    async fn bring_back(&self) -> Result<()> {
        let host = LocalHost::open(self.dir.path(), Arc::clone(&self.secrets) as Arc<dyn SecretStore>)?;
        let resumed = host.resume_hosting().await?;
        *self.host.lock().unwrap() = host;
        resumed.into_values().collect()
    }
}

async fn plant(secrets: &MemorySecretStore, name: &str) -> Result<()> {
    secrets.put(&secret(name), SecretValue::new(format!("user:{name} is nowhere else"))).await
}

fn settings(json: serde_json::Value) -> Settings {
    json.as_object().unwrap().clone()
}

struct Local(Fixture);

#[async_trait]
impl Subject for Local {
    fn driver(&self) -> Arc<dyn Driver> {
        self.0.local()
    }

    fn target(&self) -> Target {
        Target::Infrastructure(infrastructure("edge-1"))
    }

    fn samples(&self) -> Vec<Sample> {
        let quota =
            iotorch_core::model::Capacity { cpu: Some("1cpu".parse().unwrap()), ..Default::default() };
        let plain = SpaceSpec { name: "greenhouse".to_owned(), quota: Default::default() };
        let space = Sample::new(space("edge-1"), plain.clone()).faulty_as(SpaceSpec { quota, ..plain });
        let workload = |part: &str, role: Role| {
            let spec = workload_spec(part, role);
            let set = |json| WorkloadSpec { settings: settings(json), ..spec.clone() };
            let id = super_space().workload(&name(part));
            Sample::new(id, spec.clone())
                .updated_to(set(serde_json::json!({ "packetLimit": 100_000 })))
                .refused_as(set(serde_json::json!({ "packetLimit": 10 })))
                .faulty_as(WorkloadSpec { application: Some("edgex".parse().unwrap()), ..spec })
        };
        vec![
            space,
            workload("gw", Role::Gateway),
            workload("gw-2", Role::Gateway),
            workload("hub", Role::Server),
        ]
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::clone(&self.0.secrets) as Arc<dyn SecretStore>
    }

    async fn cut_off(&self) -> Result<()> {
        self.0.cut_off().await;
        Ok(())
    }

    async fn bring_back(&self) -> Result<()> {
        self.0.bring_back().await
    }

    async fn end(&self) {
        self.0.cut_off().await;
    }
}

fn super_space() -> ResourceId {
    space("edge-1")
}

/// A gateway and a server that run already.
struct Lite(Fixture, BTreeMap<ResourceId, Outputs>);

impl Lite {
    async fn new() -> Result<Self> {
        let fixture = Fixture::new().await?;
        let mut world = World::on(fixture.host(), Arc::clone(&fixture.secrets));
        world.deploy("edge-1", "gw", Role::Gateway).await;
        world.deploy("cloud", "hub", Role::Server).await;
        let application = |id: &ResourceId| id.kind() == iotorch_core::resource::KindName::Application;
        let outputs = world.made.into_iter().map(|made| (made.work.id().clone(), made.outputs));
        Ok(Self(fixture, outputs.filter(|(id, _)| !application(id)).collect()))
    }
}

#[async_trait]
impl Subject for Lite {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(LiteDriver)
    }

    fn target(&self) -> Target {
        Target::Infrastructure(infrastructure("edge-1"))
    }

    fn surroundings(&self) -> BTreeMap<ResourceId, Outputs> {
        self.1.clone()
    }

    fn samples(&self) -> Vec<Sample> {
        let application = |id: ResourceId, part: &str, role: Role| {
            let spec = ApplicationSpec {
                name: part.to_owned(),
                role,
                application: "lite".parse().unwrap(),
                external: None,
                admin: secret(&format!("{part}/admin")),
                settings: Settings::new(),
            };
            let other = if role == Role::Gateway { Role::Server } else { Role::Gateway };
            Sample::new(id, spec.clone())
                .unmarked()
                .stays_with_host()
                .updated_to(ApplicationSpec {
                    settings: settings(serde_json::json!({ "packetLimit": 100_000 })),
                    ..spec.clone()
                })
                .refused_as(ApplicationSpec { role: other, ..spec.clone() })
                .faulty_as(ApplicationSpec {
                    settings: settings(serde_json::json!({ "packetLimit": 1 })),
                    ..spec
                })
        };
        let credential = |holder: ResourceId, name: &str| {
            let spec =
                |version: u32| CredentialSpec { generation: 1, secret: secret(&format!("{name}#{version}")) };
            Sample::new(holder.credential(1), spec(1)).updated_to(spec(2))
        };
        let tenant = |version: u32| TenantSpec::new("greenhouse", secret(&format!("hub/tenant#{version}")));
        let profile =
            |part: &str, text: &str| ProfileSpec { name: part.to_owned(), resources: resources(text) };
        let turned = r#"[{ "name": "open", "type": "bool" }, { "name": "closed", "type": "bool" }]"#;
        let inverted = r#"[{ "name": "temperature", "type": "float", "range": [2, 1] }]"#;
        let device_sample = |part: &str| {
            let spec = device_spec(part);
            Sample::new(device(part), spec.clone())
                .using([gateway().profile(&name("sensor"))])
                .updated_to(DeviceSpec { labels: Labels::new(), ..spec.clone() })
                .refused_as(DeviceSpec { profile: "absent".to_owned(), ..spec.clone() })
                .faulty_as(DeviceSpec { settings: settings(serde_json::json!({ "interval": "1s" })), ..spec })
        };
        let sink = |kind, topic: &str| {
            let endpoint = NetAddress { host: "127.0.0.1".to_owned(), port: 9, tls: false };
            let sink = Sink::builder()
                .name(name("broker"))
                .kind(kind)
                .endpoint(endpoint)
                .target(topic)
                .credentials(secret("broker"));
            ExportSpec { name: "broker".to_owned(), target: ExportTarget::Sink(sink.build()) }
        };
        let mqtt = SinkKind::Mqtt;
        vec![
            application(server(), "hub", Role::Server),
            Sample::new(server().tenant(), tenant(1)).updated_to(tenant(2)),
            Sample::new(attachment(), AttachmentSpec::new("gw")),
            credential(attachment(), "hub/gw/key"),
            application(gateway(), "gw", Role::Gateway),
            Sample::new(gateway().profile(&name("sensor")), profile("sensor", RESOURCES))
                .updated_to(profile("sensor", turned))
                .refused_as(profile("sensor", inverted)),
            Sample::new(gateway().profile(&name("valve")), profile("valve", turned)),
            device_sample("d1"),
            device_sample("d2"),
            credential(device("d1"), "gw/d1/password"),
            Sample::new(
                gateway().export(&name("hub")),
                ExportSpec { name: "hub".to_owned(), target: ExportTarget::Server },
            )
            .using([attachment(), attachment().credential(1)]),
            Sample::new(gateway().export(&name("broker")), sink(mqtt, "readings"))
                .updated_to(sink(mqtt, "others"))
                .faulty_as(sink(mqtt, "readings/#")),
        ]
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::clone(&self.0.secrets) as Arc<dyn SecretStore>
    }

    async fn cut_off(&self) -> Result<()> {
        self.0.cut_off().await;
        Ok(())
    }

    async fn bring_back(&self) -> Result<()> {
        self.0.bring_back().await
    }

    async fn end(&self) {
        self.0.cut_off().await;
    }
}

#[tokio::test]
async fn the_driver_local_behaves() -> Result<(), Failures> {
    let make = || Box::pin(async { Ok(Box::new(Local(Fixture::new().await?)) as Box<dyn Subject>) }) as _;
    testing::run(testing::domain::trials([], make)).await
}

#[tokio::test]
async fn the_driver_lite_behaves() -> Result<(), Failures> {
    let make = || Box::pin(async { Ok(Box::new(Lite::new().await?) as Box<dyn Subject>) }) as _;
    testing::run(testing::domain::trials([], make)).await
}
