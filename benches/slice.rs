//! A complete embedded slice: from its documents to the first reading that its server has stored.

use std::{
    convert::Infallible,
    fs,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use iotorch_benches::{Bench, Goal, Result, Samples, disk::Flushes, note, run};
use iotorch_core::{
    Drivers, Engine, Intent, Orchestrator as _, RunOptions,
    declared::DeclaredDriver,
    model::{Documents, Source},
    resource::{Endpoint, Outputs, WorkloadOutputs},
    secret::{MemorySecretStore, SecretRef, SecretStore},
    status::SliceStatus,
    store::RedbStore,
};
use iotorch_lite::{LiteDriver, LocalDriver, LocalHost, Secret, api::MessageQuery, client::ServerClient};
use rumqttc::{AsyncClient, MqttOptions, PublishOptions};

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

    let slice = Slice { status: engine.status(&name).await?, secrets: &secrets };
    let sending = send(slice.device().await?);
    let reading = read(slice.reader().await?);
    let stored = tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            ended = sending => match ended? {},
            found = reading => found.map(|()| begun.elapsed()),
        }
    })
    .await??;

    let begun = Instant::now();
    let plan = engine.plan(&Intent { delete: vec![name], ..Intent::default() }).await?;
    engine.apply(plan, RunOptions::default()).await?;
    let removed = begun.elapsed();
    host.stop().await;
    Ok(Times { planned, applied, stored, removed })
}

/// A slice that runs.
struct Slice<'a> {
    status: SliceStatus,
    secrets: &'a MemorySecretStore,
}

/// How to be the device.
struct Device {
    port: u16,
    user: String,
    password: String,
}

/// How to read what the server has stored.
struct Reader {
    client: ServerClient,
    tenant: String,
    channel: String,
}

impl Slice<'_> {
    fn outputs<T>(&self, pick: impl Fn(&Outputs) -> Option<T>) -> Result<T> {
        let outputs = self.status.resources.iter().filter_map(|resource| resource.outputs.as_ref());
        Ok(outputs.into_iter().find_map(pick).ok_or("cannot find what a slice is made of")?)
    }

    async fn secret(&self, secret: &SecretRef) -> Result<String> {
        Ok(self.secrets.fetch(secret).await?.expose().to_owned())
    }

    async fn device(&self) -> Result<Device> {
        let endpoint = self.outputs(|outputs| match outputs {
            Outputs::Device(device) => device.endpoint.clone(),
            _ => None,
        })?;
        let Endpoint::Net(address) = endpoint else { return Err("cannot find the device's gateway".into()) };
        let credential = self.outputs(|outputs| match outputs {
            Outputs::Credential(credential) if credential.user_name == "bench-1" => Some(credential.clone()),
            _ => None,
        })?;
        let password = self.secret(&credential.secret).await?;
        Ok(Device { port: address.port, user: credential.user_name, password })
    }

    async fn reader(&self) -> Result<Reader> {
        let hub = self.outputs(|outputs| match outputs {
            Outputs::Workload(WorkloadOutputs { release, endpoints }) if release.ends_with("server") => {
                endpoints.get("management").cloned()
            }
            _ => None,
        })?;
        let Endpoint::Net(address) = hub else { return Err("cannot find the server".into()) };
        let tenant = self.outputs(|outputs| match outputs {
            Outputs::Tenant(tenant) => Some(tenant.clone()),
            _ => None,
        })?;
        let channel = self.outputs(|outputs| match outputs {
            Outputs::Attachment(attachment) => Some(attachment.channel.clone()),
            _ => None,
        })?;
        let token = Secret::new(self.secret(&tenant.secret).await?);
        let client = ServerClient::new(format!("http://{address}"), token)?;
        Ok(Reader { client, tenant: tenant.id, channel })
    }
}

/// Sends a reading, and keeps the connection until it fails.
async fn send(Device { port, user, password }: Device) -> Result<Infallible> {
    let mut options = MqttOptions::new(user.as_str(), ("127.0.0.1", port));
    options.set_credentials(user, password);
    let (client, mut events) = AsyncClient::builder(options).capacity(1).build();
    client.publish("devices/bench-1/temperature", "21.5", PublishOptions::at_least_once()).await?;
    loop {
        events.poll().await?;
    }
}

/// Waits until the server has stored a reading.
async fn read(Reader { client, tenant, channel }: Reader) -> Result<()> {
    let query = MessageQuery { limit: Some(1), ..MessageQuery::default() };
    while client.messages(&tenant, &channel, &query).await?.messages.is_empty() {
        tokio::task::yield_now().await;
    }
    Ok(())
}
