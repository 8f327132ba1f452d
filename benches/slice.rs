//! A complete embedded slice: from its documents to the first reading that its server has stored.

use std::{
    fs,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use iotorch_benches::{Bench, Goal, Result, Samples, disk::Flushes, note, run, running::Running};
use iotorch_core::{
    Drivers, Engine, Intent, Orchestrator as _, Places, RunOptions,
    declared::DeclaredDriver,
    model::{Documents, Source},
    secret::MemorySecretStore,
    store::RedbStore,
};
use iotorch_lite::{LiteDriver, LocalDriver, LocalHost};

const BENCH: Bench = Bench("slice");
/// How many slices are made, one after the other.
const ROUNDS: usize = 40;
/// How long a reading may be on its way before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(10);

const DOCUMENTS: &str = "
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
";

fn main() -> ExitCode {
    run(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
        runtime.block_on(measure())
    })
}

async fn measure() -> Result<()> {
    // Beside the programs that cargo builds: the folder for temporary files is often no disk.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(target)?;
    let mut times: [Samples; 4] = Default::default();
    let mut flushes = Samples::default();
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir_in(target)?;
        let Times { planned, applied, stored, removed } = one(folder.path()).await?;
        for (samples, time) in times.iter_mut().zip([planned, applied, stored, removed]) {
            samples.add(1e3 * time.as_secs_f64());
        }
        flushes.add(1e3 * Flushes::new(folder.path())?.once()?);
    }
    let names = [
        ("documents to plan", None),
        ("documents to running slice", None),
        ("documents to first stored reading", Some(Goal::AtMost(150.0))),
        ("delete", None),
    ];
    for ((metric, goal), samples) in names.into_iter().zip(&times) {
        note(&format!("slice: {metric}: ms {samples}"));
        BENCH.figure(metric, samples.median(), "ms", goal)?;
    }
    BENCH.figure("flush of the disk", flushes.median(), "ms", None)
}

/// The time since the documents were handed over; for the removal since it was asked for.
struct Times {
    planned: Duration,
    applied: Duration,
    stored: Duration,
    removed: Duration,
}

async fn one(folder: &Path) -> Result<Times> {
    let begun = Instant::now();
    let documents = Documents::read(vec![Source::new("greenhouse.yaml", DOCUMENTS)])?;
    let (infrastructures, slices) = documents.into_parts();
    let name = slices.first().map(|slice| slice.name.clone()).ok_or("cannot find the slice")?;
    let secrets = Arc::new(MemorySecretStore::default());
    let host = LocalHost::open(folder.join("local"), Arc::<MemorySecretStore>::clone(&secrets))?;
    let engine = Engine::builder()
        .store(Arc::new(RedbStore::open(folder.join("state.redb"))?))
        .secrets(Arc::<MemorySecretStore>::clone(&secrets))
        .drivers(
            Drivers::default()
                .with(LocalDriver::new(Arc::clone(&host)))
                .with(LiteDriver)
                .with(DeclaredDriver),
        )
        .build();
    let plan = engine.plan(&Intent { infrastructures, slices, ..Intent::default() }).await?;
    let planned = begun.elapsed();
    engine.apply(plan, RunOptions::default()).await?;
    let applied = begun.elapsed();

    let status = engine.status(&name).await?;
    let slice = Running { status: &status, secrets: &*secrets, places: &Places::default() };
    tokio::time::timeout(PATIENCE, slice.first_reading(r#"{"temperature":21.5}"#)).await??;
    let stored = begun.elapsed();

    let begun = Instant::now();
    let plan = engine.plan(&Intent { delete: vec![name], ..Intent::default() }).await?;
    engine.apply(plan, RunOptions::default()).await?;
    let removed = begun.elapsed();
    host.stop().await;
    Ok(Times { planned, applied, stored, removed })
}
