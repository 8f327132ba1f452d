//! Slices side by side in one process: each with a gateway, a server and a device of its own, all in one store on disk.

#![allow(
    clippy::print_stdout,
    clippy::clone_on_ref_ptr,
    reason = "an example shows what it does, in few words"
)]

use std::{error::Error, sync::Arc, time::Instant};

use futures::future::try_join_all;
use iotorch_core::{
    Drivers, Engine, Intent, Orchestrator, RunOptions,
    declared::DeclaredDriver,
    model::{Documents, SliceName, Source},
    secret::FileSecretStore,
    store::RedbStore,
};
use iotorch_examples::{Channel, Sensor};
use iotorch_lite::{LiteDriver, LocalDriver, LocalHost};

const SLICES: usize = 64;

/// An infrastructure, and slices that differ in their names only.
fn documents() -> String {
    let here = "apiVersion: iotorch.dev/v1alpha1\nkind: Infrastructure\nmetadata: { name: here }\n\
                spec: { driver: local, tier: edge }\n";
    let slice = |number| {
        format!(
            "---\napiVersion: iotorch.dev/v1alpha1\nkind: Slice\nmetadata: {{ name: tenant-{number} }}\nspec:\n  \
             gateways: [ {{ name: gw }} ]\n  servers: [ {{ name: hub }} ]\n  \
             devices: [ {{ name: meter, resources: [ {{ name: power, type: float, unit: W }} ] }} ]\n"
        )
    };
    here.to_owned() + &(1..=SLICES).map(slice).collect::<String>()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let secrets = Arc::new(FileSecretStore::open(directory.path().join("secrets"))?);
    let host = LocalHost::open(directory.path().join("local"), secrets.clone())?;
    let engine = Engine::builder()
        .store(Arc::new(RedbStore::open(directory.path().join("store.redb"))?))
        .secrets(secrets.clone())
        .drivers(
            Drivers::default().with(LocalDriver::new(host.clone())).with(LiteDriver).with(DeclaredDriver),
        )
        .build();

    let (infrastructures, slices) = Documents::read(vec![Source::new("all.yaml", documents())])?.into_parts();
    let begun = Instant::now();
    let plan = engine.plan(&Intent { infrastructures, slices, ..Intent::default() }).await?;
    let report = engine.apply(plan, RunOptions::default()).await?;
    println!("applied: {} slices in {:.1} s", report.runs.len(), begun.elapsed().as_secs_f64());

    // Each device sends a value that no other sends, and each server has that one alone.
    let names = engine.slices().await?;
    let sent = names.iter().zip(1_u8..).map(async |(name, number)| {
        let status = engine.status(name).await?;
        Sensor::connect(&status, "meter", &*secrets).await?.send("power", f64::from(number)).await?;
        let channel = Channel::of(&status, &*secrets).await?;
        channel.newest(1).await?;
        channel.count().await
    });
    let stored = try_join_all(sent).await?;
    println!(
        "stored: {} readings, at most {} a slice",
        stored.iter().sum::<u64>(),
        stored.iter().max().unwrap_or(&0)
    );

    // Deleting one leaves the others alone.
    delete(&engine, vec!["tenant-1".parse()?]).await?;
    println!("left: {} slices", engine.slices().await?.len());
    delete(&engine, engine.slices().await?).await?;
    println!("left: {} slices", engine.slices().await?.len());
    host.stop().await;
    Ok(())
}

async fn delete(engine: &Engine, slices: Vec<SliceName>) -> Result<(), Box<dyn Error>> {
    let plan = engine.plan(&Intent { delete: slices, ..Intent::default() }).await?;
    engine.apply(plan, RunOptions::default()).await?;
    Ok(())
}
