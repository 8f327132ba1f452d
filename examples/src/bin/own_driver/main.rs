//! A driver of one's own: a gateway whose software reads its profiles and devices from a folder of JSON files.
//!
//! `docs/writing-a-domain.md` builds it step by step. This program applies a slice to such a gateway, shows the folder, changes a
//! file behind iotorch's back, mends it, and takes everything away again.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod domain;
mod driver;
mod folder;

use std::{fs, path::Path, sync::Arc};

use driver::FilesDriver;
use iotorch_core::{
    Drivers, Engine, Intent, Orchestrator, RunOptions,
    model::{Documents, Source},
    secret::{MemorySecretStore, SecretStore, mint},
    store::MemoryStore,
};

const SLICE: &str = r#"
apiVersion: iotorch.dev/v1alpha1
kind: Slice
metadata: { name: greenhouse }
spec:
  gateways:
    - name: gw
      application: files
      external: { endpoints: {}, credentials: gateway-admin }
  profiles:
    - name: climate
      resources: [ { name: temperature, type: float, unit: Cel } ]
  devices:
    - { name: bench-1, profile: climate }
    - { name: bench-2, profile: climate }
"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let secrets = MemorySecretStore::default();
    secrets.put(&"gateway-admin".parse()?, mint()).await?;
    let engine = Engine::builder()
        .store(Arc::new(MemoryStore::new()))
        .secrets(Arc::new(secrets))
        .drivers(Drivers::default().with(FilesDriver::new(folder.path())))
        .build();

    let (_, slices) = Documents::read(vec![Source::new("greenhouse.yaml", SLICE)])?.into_parts();
    let wanted = Intent { slices, ..Intent::default() };
    let plan = engine.plan(&wanted).await?;
    engine.apply(plan, RunOptions::default()).await?;
    show("applied", folder.path())?;

    fs::remove_file(folder.path().join("devices/greenhouse.bench-2.json"))?;
    let plan = engine.plan(&wanted).await?;
    for step in plan.slices.iter().flat_map(|slice| &slice.steps) {
        println!("{}: {}", step.resource, step.reason);
    }
    engine.apply(plan, RunOptions::default()).await?;
    show("mended", folder.path())?;

    let plan = engine.plan(&Intent { delete: engine.slices().await?, ..Intent::default() }).await?;
    engine.apply(plan, RunOptions::default()).await?;
    show("deleted", folder.path())?;
    Ok(())
}

fn show(when: &str, folder: &Path) -> std::io::Result<()> {
    let mut names = Vec::new();
    for kind in ["profiles", "devices"] {
        let files = fs::read_dir(folder.join(kind)).into_iter().flatten();
        for file in files {
            names.push(format!("{kind}/{}", file?.file_name().display()));
        }
    }
    names.sort();
    println!("{when}: {names:?}");
    Ok(())
}

#[cfg(test)]
mod tests;
