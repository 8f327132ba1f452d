//! A slice inside of a program of one's own: applied, used by a device, read back, and deleted.

#![allow(
    clippy::print_stdout,
    clippy::clone_on_ref_ptr,
    reason = "an example shows what it does, in few words"
)]

use std::{error::Error, sync::Arc};

use iotorch_core::{
    Drivers, Engine, Intent, Orchestrator, RunOptions,
    declared::DeclaredDriver,
    model::{Documents, Source},
    secret::MemorySecretStore,
    store::MemoryStore,
};
use iotorch_examples::{Channel, Sensor};
use iotorch_lite::{LiteDriver, LocalDriver, LocalHost, senml::Value};

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
    let plan = engine.plan(&Intent { infrastructures, slices, ..Intent::default() }).await?;
    let report = engine.apply(plan, RunOptions::default()).await?;
    println!("applied: {} resources", report.runs[0].done.create);

    let status = engine.status(&"greenhouse".parse()?).await?;
    let bench = Sensor::connect(&status, "bench-1", &*secrets).await?;
    for value in [20.5, 21.0, 21.5] {
        bench.send("temperature", value).await?;
    }

    for reading in Channel::of(&status, &*secrets).await?.newest(3).await? {
        if let Some(Value::Number(value)) = reading.value {
            println!("stored: {} {value} {}", reading.name, reading.unit.unwrap_or_default());
        }
    }

    let plan = engine.plan(&Intent { delete: engine.slices().await?, ..Intent::default() }).await?;
    engine.apply(plan, RunOptions::default()).await?;
    println!("left: {} slices", engine.slices().await?.len());
    host.stop().await;
    Ok(())
}
