//! A device's password is replaced while the device sends.
//!
//! The new credential is made before the old one goes. A device that is refused asks for its new password, logs in again, and repeats what
//! was not acknowledged, so that nothing is missing at the server.

#![allow(
    clippy::print_stdout,
    clippy::clone_on_ref_ptr,
    reason = "an example shows what it does, in few words"
)]

use std::{error::Error, sync::Arc};

use iotorch_core::{
    Drivers, Engine, Intent, Orchestrator, RunOptions,
    declared::DeclaredDriver,
    model::{Documents, SliceName, Source},
    resource::{KindName, ResourceId},
    secret::MemorySecretStore,
    store::MemoryStore,
};
use iotorch_examples::{Channel, Sensor};
use iotorch_lite::{LiteDriver, LocalDriver, LocalHost};

const DOCUMENTS: &str = r#"
apiVersion: iotorch.dev/v1alpha1
kind: Infrastructure
metadata: { name: here }
spec: { driver: local, tier: edge }
---
apiVersion: iotorch.dev/v1alpha1
kind: Slice
metadata: { name: greenhouse }
spec:
  gateways: [ { name: gw } ]
  servers: [ { name: hub } ]
  devices: [ { name: bench-1, resources: [ { name: temperature, type: float, unit: Cel } ] } ]
"#;

/// How many readings are sent in all; the password is replaced after half of them.
const READINGS: u16 = 200;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let secrets = Arc::new(MemorySecretStore::default());
    let host = LocalHost::open(directory.path(), secrets.clone())?;
    let engine = Engine::builder()
        .store(Arc::new(MemoryStore::new()))
        .secrets(secrets.clone())
        .drivers(
            Drivers::default().with(LocalDriver::new(host.clone())).with(LiteDriver).with(DeclaredDriver),
        )
        .build();
    let documents = Documents::read(vec![Source::new("greenhouse.yaml", DOCUMENTS)])?;
    let (infrastructures, slices) = documents.into_parts();
    let wanted = Intent { infrastructures, slices, ..Intent::default() };
    engine.apply(engine.plan(&wanted).await?, RunOptions::default()).await?;
    let slice: SliceName = "greenhouse".parse()?;
    let credentials = credentials(&engine, &slice).await?;
    let device = credentials[0].host().ok_or("a credential is of a device")?;
    println!("before: {credentials:?}");

    let rotate = Intent { reconcile: vec![slice.clone()], rotate: [device].into(), ..Intent::default() };
    let mut sensor = Sensor::connect(&engine.status(&slice).await?, "bench-1", &*secrets).await?;
    let mut refused = 0;
    for number in 0..READINGS {
        if number == READINGS / 2 {
            engine.apply(engine.plan(&rotate).await?, RunOptions::default()).await?;
        }
        while sensor.send("temperature", f64::from(number)).await.is_err() {
            refused += 1;
            sensor = Sensor::connect(&engine.status(&slice).await?, "bench-1", &*secrets).await?;
        }
    }
    println!("after: {:?}", self::credentials(&engine, &slice).await?);
    println!("sent: {READINGS}, logged in again {refused} time");

    let channel = Channel::of(&engine.status(&slice).await?, &*secrets).await?;
    let stored = channel.newest(READINGS.into()).await?;
    println!("stored: {}", stored.len());
    host.stop().await;
    Ok(())
}

/// The credentials of the slice's devices.
async fn credentials(engine: &Engine, slice: &SliceName) -> Result<Vec<ResourceId>, Box<dyn Error>> {
    let status = engine.status(slice).await?;
    let of_device = |id: &ResourceId| {
        id.kind() == KindName::Credential && id.host().is_some_and(|host| host.kind() == KindName::Device)
    };
    Ok(status.resources.into_iter().map(|resource| resource.id).filter(of_device).collect())
}
