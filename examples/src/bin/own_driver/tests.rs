//! The driver does what every driver does.

use std::{fs, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use iotorch_core::{
    Driver, Error, ErrorKind, Result, Target,
    model::{DeviceProtocol, External, Labels, PartName, ProfileResource, Settings, ValueType},
    resource::{ApplicationSpec, DeviceSpec, ProfileSpec, ResourceId, Role},
    secret::{MemorySecretStore, SecretStore, mint},
    testing::{
        self, Failures,
        domain::{Sample, Subject},
    },
};
use tempfile::TempDir;

use crate::driver::FilesDriver;

/// A folder of its own for each trial.
struct Fresh {
    inside: TempDir,
    secrets: Arc<MemorySecretStore>,
}

impl Fresh {
    async fn make() -> Result<Box<dyn Subject>> {
        let secrets = MemorySecretStore::default();
        secrets.put(&"gateway-admin".parse()?, mint()).await?;
        let inside = tempfile::tempdir().unwrap();
        let fresh = Self { inside, secrets: Arc::new(secrets) };
        fs::create_dir(fresh.folder()).unwrap();
        Ok(Box::new(fresh))
    }

    fn folder(&self) -> PathBuf {
        self.inside.path().join("gateway")
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let at = self.inside.path();
        fs::rename(at.join(from), at.join(to))
            .map_err(|error| Error::new(ErrorKind::Unexpected, "cannot rename the folder").with_source(error))
    }
}

fn name(text: &str) -> PartName {
    text.parse().unwrap()
}

#[async_trait]
impl Subject for Fresh {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(FilesDriver::new(&self.folder()))
    }

    fn target(&self) -> Target {
        Target::External
    }

    fn samples(&self) -> Vec<Sample> {
        let gateway = ResourceId::external(&"greenhouse".parse().unwrap(), &name("gw"));
        let software = ApplicationSpec {
            name: "gw".into(),
            role: Role::Gateway,
            application: "files".parse().unwrap(),
            external: Some(External {
                endpoints: Default::default(),
                credentials: "gateway-admin".parse().unwrap(),
            }),
            admin: "gateway-admin".parse().unwrap(),
            settings: Settings::new(),
        };
        let resource = |text: &str| {
            ProfileResource::builder().name(text.parse().unwrap()).value_type(ValueType::Float).build()
        };
        let climate =
            ProfileSpec { name: "greenhouse.climate".into(), resources: vec![resource("temperature")] };
        let more =
            ProfileSpec { resources: vec![resource("temperature"), resource("humidity")], ..climate.clone() };
        let profile = gateway.profile(&name("climate"));
        let device = |text: &str| {
            let spec = DeviceSpec {
                name: format!("greenhouse.{text}"),
                protocol: DeviceProtocol::Mqtt,
                profile: "greenhouse.climate".into(),
                labels: Labels::new(),
                settings: Settings::new(),
            };
            let labels = [("row".to_owned(), "3".to_owned())].into();
            let settings = [("speed".to_owned(), 9600.into())].into_iter().collect();
            Sample::new(gateway.device(&name(text)), spec.clone())
                .using([profile.clone()])
                .updated_to(DeviceSpec { labels, ..spec.clone() })
                .refused_as(DeviceSpec { profile: "greenhouse.nothing".into(), ..spec.clone() })
                .faulty_as(DeviceSpec { settings, ..spec })
        };
        vec![
            Sample::new(gateway.clone(), software.clone())
                .unmarked()
                .stays_with_host()
                .faulty_as(ApplicationSpec { external: None, ..software }),
            Sample::new(profile.clone(), climate).updated_to(more),
            device("bench-1"),
            device("bench-2"),
        ]
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::clone(&self.secrets) as _
    }

    async fn cut_off(&self) -> Result<()> {
        self.rename("gateway", "away")
    }

    async fn bring_back(&self) -> Result<()> {
        self.rename("away", "gateway")
    }
}

#[tokio::test]
async fn the_driver_does_what_every_driver_does() -> Result<(), Failures> {
    // A file holds one thing, so nothing but the gateway itself has contents.
    let lacks = [testing::domain::Ability::Contents];
    testing::run(testing::domain::trials(lacks, || Box::pin(Fresh::make()))).await
}

#[tokio::test]
async fn the_program_runs() {
    tokio::task::spawn_blocking(|| super::main().unwrap()).await.unwrap();
}
