//! The slice of the paper, an EdgeX gateway and a Mainflux server: how long its creation takes and which part takes how much of that
//! (Appendix D), how long a reading takes from the gateway to the server (Figure 8), and how many go through (Figures 9 to 11), with the
//! gateway at the edge and with the gateway in the cloud.

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use iotorch_benches::{
    Bench, Result, Samples,
    clusters::{self, Clusters},
    note,
    platforms::{Account, Platforms},
    run,
    steps::Steps,
};
use iotorch_core::{
    Driver as _, Drivers, Engine, Intent, Orchestrator as _, Places, RunOptions,
    declared::DeclaredDriver,
    model::{Documents, SliceName, Source},
    resource::KindName,
    secret::MemorySecretStore,
    store::RedbStore,
};
use iotorch_edgex::EdgexDriver;
use iotorch_k8s::{HelmCharts, HelmPrograms, KubernetesDriver};
use iotorch_lite::LiteDriver;
use iotorch_mainflux::MainfluxDriver;
use kube::Client;
use serde_json::json;
use tempfile::TempDir;

const BENCH: Bench = Bench("paper");
/// How often a slice is made in each placement.
const ROUNDS: usize = 3;
/// How long a slice may take before the benchmark gives up; the paper's took a bit more than a minute.
const PATIENCE: Duration = Duration::from_secs(300);
/// The clusters.
const EDGE: &str = "edge-1";
const CLOUD: &str = "cloud-1";
/// What the device measures.
const RESOURCE: &str = "temperature";
/// How many readings are sent one by one for the latency.
const ONE_BY_ONE: u32 = 100;
/// The paper's rate, and for how long it was sent.
const PAPERS_RATE: u32 = 24;
const PAPERS_TIME: Duration = Duration::from_secs(60);
/// For how long as much is sent as goes.
const FLOOD: Duration = Duration::from_secs(10);
/// How long what was sent may take to arrive.
const SETTLED: Duration = Duration::from_secs(60);

/// Where the gateway is. The server is in the cloud.
#[derive(Clone, Copy)]
enum Placement {
    Edge,
    Cloud,
}

impl Placement {
    const ALL: [Self; 2] = [Self::Edge, Self::Cloud];

    const fn words(self) -> &'static str {
        match self {
            Self::Edge => "gateway at the edge",
            Self::Cloud => "gateway in the cloud",
        }
    }

    const fn cluster(self) -> &'static str {
        match self {
            Self::Edge => EDGE,
            Self::Cloud => CLOUD,
        }
    }
}

fn main() -> ExitCode {
    run(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
        runtime.block_on(measure())
    })
}

async fn measure() -> Result<()> {
    let site = Site::find().await?;
    for placement in Placement::ALL {
        let mut figures = Figures::default();
        for round in 1..=ROUNDS {
            note(&format!("paper: {}, round {round} of {ROUNDS}", placement.words()));
            let name = format!("paper-{}-{}-{round}", std::process::id(), placement.cluster());
            let is_last = round == ROUNDS;
            let measured =
                tokio::time::timeout(PATIENCE, site.round(&name, placement, is_last, &mut figures)).await;
            site.clear(&name).await?;
            measured??;
        }
        figures.tell(placement)?;
    }
    Ok(())
}

/// Figures in the order in which they are shown, each with its unit.
#[derive(Default)]
struct Figures(Vec<(String, &'static str, Samples)>);

impl Figures {
    fn add(&mut self, metric: &str, unit: &'static str, sample: f64) {
        match self.0.iter_mut().find(|(known, ..)| known == metric) {
            Some((_, _, samples)) => samples.add(sample),
            None => self.0.push((metric.to_owned(), unit, [sample].into_iter().collect())),
        }
    }

    fn tell(&self, placement: Placement) -> Result<()> {
        for (metric, unit, samples) in &self.0 {
            let metric = format!("{}: {metric}", placement.words());
            note(&format!("paper: {metric}: {unit} {samples}"));
            BENCH.figure(&metric, samples.median(), unit, None)?;
        }
        Ok(())
    }
}

/// Where slices are made.
struct Site {
    clusters: Clusters,
    edge: Client,
    cloud: Client,
    /// What an installation of iotorch keeps.
    folder: TempDir,
}

impl Site {
    async fn find() -> Result<Self> {
        let clusters = Clusters::find()?;
        let (edge, cloud) = (clusters.client(EDGE).await?, clusters.client(CLOUD).await?);
        std::fs::create_dir_all(env!("CARGO_TARGET_TMPDIR"))?;
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        Ok(Self { clusters, edge, cloud, folder })
    }

    async fn clear(&self, slice: &str) -> Result<()> {
        futures::try_join!(clusters::remove(&self.edge, slice), clusters::remove(&self.cloud, slice))?;
        Ok(())
    }

    fn documents(&self, slice: &str, placement: Placement) -> Result<String> {
        let (repository, tag) = Clusters::image()?;
        let [edgex, mainflux] = Clusters::platforms()?;
        let image = json!({ "repository": repository, "tag": tag, "pullPolicy": "Never" });
        let settings = json!({ "lite": { "image": image }, "edgex": edgex, "mainflux": mainflux });
        let at = |cluster: &str| json!({ "infrastructure": cluster });
        let resource = json!({ "name": RESOURCE, "type": "float", "unit": "Cel" });
        let slice = json!({
            "apiVersion": "iotorch.dev/v1alpha1",
            "kind": "Slice",
            "metadata": { "name": slice },
            "spec": {
                "gateways": [{ "name": "gw", "application": "edgex", "placement": at(placement.cluster()) }],
                "servers": [{ "name": "hub", "application": "mainflux", "placement": at(CLOUD) }],
                "devices": [{ "name": "load-1", "protocol": "mqtt", "resources": [resource] }],
            },
        });
        let edge = self.clusters.document_with(EDGE, "edge", settings.clone());
        let cloud = self.clusters.document_with(CLOUD, "cloud", settings);
        Ok(format!("{edge}\n---\n{cloud}\n---\n{slice}\n"))
    }

    /// Makes a slice, measures on the last one what goes through it, and deletes it.
    async fn round(
        &self,
        name: &str,
        placement: Placement,
        is_last: bool,
        figures: &mut Figures,
    ) -> Result<()> {
        let documents = self.documents(name, placement)?;
        let steps = Arc::new(Steps::default());
        let secrets = Arc::new(MemorySecretStore::default());
        let begun = Instant::now();
        let documents = Documents::read(vec![Source::new("paper.yaml", documents)])?;
        let (infrastructures, slices) = documents.into_parts();
        let name: SliceName =
            slices.first().map(|slice| slice.name.clone()).ok_or("cannot find the slice")?;
        let charts = HelmCharts::new(self.folder.path().join("charts"))?;
        let helm = HelmPrograms::new(&self.clusters.helm, self.folder.path());
        let kubernetes = KubernetesDriver::new(charts.clone(), helm);
        let mut places = std::collections::BTreeMap::new();
        for infrastructure in &infrastructures {
            places.insert(infrastructure.name.clone(), kubernetes.place(infrastructure)?);
        }
        let drivers = Drivers::default().with(kubernetes).with(LiteDriver).with(DeclaredDriver);
        let engine = Engine::builder()
            .store(Arc::new(RedbStore::open(self.folder.path().join(format!("{name}.redb")))?))
            .secrets(Arc::<MemorySecretStore>::clone(&secrets))
            .charts(Arc::new(charts))
            .drivers(drivers.with(EdgexDriver).with(MainfluxDriver))
            .observer(Arc::<Steps>::clone(&steps))
            .build();
        let plan = engine.plan(&Intent { infrastructures, slices, ..Intent::default() }).await?;
        figures.add("documents to plan", "s", begun.elapsed().as_secs_f64());
        engine.apply(plan, RunOptions::default()).await?;
        let applied = begun.elapsed();
        figures.add("documents to running slice", "s", applied.as_secs_f64());
        let status = engine.status(&name).await?;
        let platforms = Platforms::open(&status, secrets, Places::new(places)).await?;
        first_reading(&platforms).await?;
        figures.add("documents to first stored reading", "s", begun.elapsed().as_secs_f64());
        shares(&steps, begun, applied, figures);
        if is_last {
            latencies(&platforms, figures).await?;
            throughput(&platforms, "at the paper's rate", PAPERS_TIME, Some(PAPERS_RATE), figures).await?;
            throughput(&platforms, "as fast as it goes", FLOOD, None, figures).await?;
        }
        let removing = Instant::now();
        let plan = engine.plan(&Intent { delete: vec![name.clone()], ..Intent::default() }).await?;
        engine.apply(plan, RunOptions::default()).await?;
        figures.add("delete", "s", removing.elapsed().as_secs_f64());
        Ok(())
    }
}

/// The share of each part in the time from documents to running slice: when its first step began and how long all of them took, by what
/// they make.
fn shares(steps: &Steps, begun: Instant, applied: Duration, figures: &mut Figures) {
    let done = steps.done();
    let parts = [
        ("spaces", KindName::Space),
        ("release of the gateway", KindName::Workload),
        ("release of the server", KindName::Workload),
        ("EdgeX answers", KindName::Application),
        ("Mainflux answers", KindName::Application),
        ("account, channel and key", KindName::Attachment),
        ("profiles and devices", KindName::Device),
        ("export", KindName::Export),
    ];
    for (part, kind) in parts {
        let belongs = |id: &iotorch_core::resource::ResourceId| {
            let of_gateway = id.part() == Some("gw");
            match (part, id.kind()) {
                ("release of the gateway" | "EdgeX answers", known) => known == kind && of_gateway,
                ("release of the server" | "Mainflux answers", known) => known == kind && !of_gateway,
                ("account, channel and key", known) => {
                    [KindName::Tenant, KindName::Attachment].contains(&known)
                        || (known == KindName::Credential && !of_gateway)
                }
                ("profiles and devices", known) => {
                    [KindName::Profile, KindName::Device].contains(&known)
                        || (known == KindName::Credential && of_gateway)
                }
                (_, known) => known == kind,
            }
        };
        let times: Vec<_> = done.iter().filter(|(id, _)| belongs(id)).map(|(_, times)| *times).collect();
        let (Some(from), Some(to)) =
            (times.iter().map(|times| times.begun).min(), times.iter().map(|times| times.ended).max())
        else {
            continue;
        };
        let took = to - from;
        figures.add(&format!("{part}: begins"), "s", (from - begun).as_secs_f64());
        figures.add(&format!("{part}: takes"), "s", took.as_secs_f64());
        figures.add(&format!("{part}: share"), "%", 100.0 * took.as_secs_f64() / applied.as_secs_f64());
    }
}

/// A device is known to its service a moment after it was made, so the first reading is sent until it arrives.
async fn first_reading(platforms: &Platforms) -> Result<()> {
    const AGAIN: Duration = Duration::from_millis(250);
    let mut value = -1.0;
    loop {
        value -= 1.0;
        platforms.send(RESOURCE, value).await?;
        if tokio::time::timeout(AGAIN, platforms.await_newest(value)).await.is_ok() {
            return Ok(());
        }
    }
}

/// The paper's Figure 8: readings one by one. From the gateway to the server counts from the time that EdgeX gives a reading; all clocks
/// are those of this machine.
async fn latencies(platforms: &Platforms, figures: &mut Figures) -> Result<()> {
    let (mut from_gateway, mut from_device) = (Vec::new(), Vec::new());
    for number in 1..=ONE_BY_ONE {
        let value = f64::from(number) + 0.125;
        let sent = Instant::now();
        platforms.send(RESOURCE, value).await?;
        let record = platforms.await_newest(value).await?;
        from_device.push(sent.elapsed().as_secs_f64() * 1e3);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
        let measured = u128::try_from(record.time.nanoseconds())?;
        #[expect(clippy::cast_precision_loss, reason = "a latency is far below 2^52 nanoseconds")]
        from_gateway.push(now.saturating_sub(measured) as f64 / 1e6);
    }
    for (what, mut times) in [("gateway to server", from_gateway), ("device to server", from_device)] {
        times.sort_by(f64::total_cmp);
        for (quantile, name) in [(50, "50th"), (90, "90th"), (99, "99th")] {
            let index = (times.len() * quantile / 100).min(times.len().saturating_sub(1));
            figures.add(&format!("{what}, {name} percentile"), "ms", times[index]);
        }
    }
    Ok(())
}

/// The paper's Figures 9 to 11: how many readings a second are sent, are taken by the gateway, and are stored by the server while they are
/// sent, and how many arrive in the end.
async fn throughput(
    platforms: &Platforms,
    how: &str,
    time: Duration,
    rate: Option<u32>,
    figures: &mut Figures,
) -> Result<()> {
    let before = platforms.account().await?;
    let begun = Instant::now();
    let mut sent = 0_u32;
    let mut ticks = rate.map(|rate| tokio::time::interval(Duration::from_secs(1) / rate));
    while begun.elapsed() < time {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        platforms.send(RESOURCE, f64::from(sent) / 64.0).await?;
        sent += 1;
    }
    let took = begun.elapsed().as_secs_f64();
    let meanwhile = since(platforms.account().await?, before);
    let until = Instant::now() + SETTLED;
    let mut last = meanwhile;
    while last.stored < u64::from(sent) && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
        last = since(platforms.account().await?, before);
    }
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let a_second = |count: u64| count as f64 / took;
    figures.add(&format!("{how}: sent"), "/s", f64::from(sent) / took);
    figures.add(&format!("{how}: at the gateway"), "/s", a_second(meanwhile.taken));
    figures.add(&format!("{how}: at the server"), "/s", a_second(meanwhile.stored));
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let arrived = 100.0 * last.stored as f64 / f64::from(sent);
    figures.add(&format!("{how}: stored in the end"), "%", arrived);
    Ok(())
}

const fn since(now: Account, before: Account) -> Account {
    Account { taken: now.taken - before.taken, stored: now.stored - before.stored }
}
