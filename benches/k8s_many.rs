//! A hundred releases of one small chart that has no pods: by iotorch, by as many helms at once as iotorch runs, and by helm one after
//! the other.

use std::{
    fs,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use iotorch_benches::{
    Bench, Goal, Result, Samples,
    children::{Peak, Spent, Watched},
    clusters::{self, Clusters},
    helm::{Helm, Timed},
    note,
    requests::{Asker, Requests},
    resident, run,
};
use iotorch_core::{
    Drivers, Engine, Intent, Orchestrator as _, RunOptions,
    declared::DeclaredDriver,
    model::{Documents, SliceName, Source},
    secret::MemorySecretStore,
    store::RedbStore,
};
use iotorch_helm::Turns;
use iotorch_k8s::{HelmCharts, HelmPrograms, KubernetesDriver};
use kube::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

const BENCH: Bench = Bench("k8s_many");
/// How many releases are made.
const RELEASES: usize = 100;
/// How often, one way after the other, so that a machine that is now faster and now slower is so for all.
const ROUNDS: usize = 3;
/// How many releases are made when requests are counted, which takes time that is not measured.
const COUNTED: usize = 20;
const CLUSTER: &str = "edge-1";
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../iotorch-k8s/tests/charts/idle");
/// What `iotorch-helm` sets for its helms.
const GARBAGE: [(&str, &str); 2] = [("GOGC", "400"), ("GOMEMLIMIT", "256MiB")];

fn main() -> ExitCode {
    run(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
        runtime.block_on(measure())
    })
}

/// A way to make releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By iotorch.
    Iotorch,
    /// By so many helms at once.
    Helms(usize),
    /// The same, and each collects garbage as those of iotorch do.
    LateHelms(usize),
}

impl Way {
    fn name(self) -> String {
        match self {
            Self::Iotorch => "iotorch".to_owned(),
            Self::Helms(1) => "helm in a loop".to_owned(),
            Self::Helms(at_once) => format!("{at_once} helms at once"),
            Self::LateHelms(at_once) => format!("{at_once} helms at once with late garbage collection"),
        }
    }
}

async fn measure() -> Result<()> {
    let site = Site::find().await?;
    let measured = compare(&site).await;
    // What is left when something failed.
    site.remove(None).await?;
    measured
}

async fn compare(site: &Site) -> Result<()> {
    let at_once = site.turns.at_once();
    let ways = [Way::Iotorch, Way::Helms(at_once), Way::LateHelms(at_once), Way::Helms(1)];
    // What is fetched once and then kept is not measured.
    for way in [Way::Iotorch, Way::Helms(1)] {
        let made = site.make(way, 1, &site.clusters).await?;
        site.remove(made.by_iotorch.as_ref()).await?;
    }
    let mut all: Vec<(Way, Figures)> = ways.into_iter().map(|way| (way, Figures::default())).collect();
    for round in 1..=ROUNDS {
        for (way, figures) in &mut all {
            note(&format!("k8s_many: round {round} of {ROUNDS}, {}", way.name()));
            let made = site.make(*way, RELEASES, &site.clusters).await?;
            let removal = site.remove(made.by_iotorch.as_ref()).await?;
            figures.add(&made, removal);
        }
    }
    for (way, figures) in &all {
        figures.show(*way)?;
    }
    let rate = |way| {
        let found = all.iter().find(|(known, _)| *known == way);
        found.map_or(f64::NAN, |(_, figures)| figures.rate.median())
    };
    for (way, goal) in [
        (Way::Helms(at_once), Some(Goal::AtLeast(1.0))),
        (Way::LateHelms(at_once), None),
        (Way::Helms(1), None),
    ] {
        let ratio = rate(Way::Iotorch) / rate(way);
        BENCH.figure(&format!("releases a second, iotorch to {}", way.name()), ratio, "times", goal)?;
    }
    for way in [Way::Iotorch, Way::Helms(at_once)] {
        site.count(way).await?;
    }
    Ok(())
}

/// Figures of one way, a release where nothing else is said.
#[derive(Default)]
struct Figures {
    rate: Samples,
    planning: Samples,
    removal: Samples,
    helm_at_work: Samples,
    own_time: Samples,
    helm_time: Samples,
    own_memory: Samples,
    helm_memory: Samples,
    at_once: Samples,
}

#[expect(clippy::cast_precision_loss, reason = "memory and counts are far below 2^52")]
impl Figures {
    fn add(&mut self, made: &Made, removal: Option<Duration>) {
        let releases = made.releases as f64;
        self.rate.add(releases / made.took.as_secs_f64());
        self.own_time.add(1e3 * made.spent.own / releases);
        self.helm_time.add(1e3 * made.spent.children / releases);
        self.own_memory.add(made.own_peak as f64 / 1e6);
        self.helm_memory.add(made.helms.bytes as f64 / 1e6);
        self.at_once.add(made.helms.at_once as f64);
        if let Some(by_iotorch) = &made.by_iotorch {
            self.planning.add(by_iotorch.planning.as_secs_f64());
            self.helm_at_work.add(100.0 * by_iotorch.helm_at_work.as_secs_f64() / made.took.as_secs_f64());
        }
        if let Some(removal) = removal {
            self.removal.add(removal.as_secs_f64());
        }
    }

    fn show(&self, way: Way) -> Result<()> {
        let figure = |metric: &str, samples: &Samples, unit: &str| {
            note(&format!("k8s_many: {}: {metric}: {unit} {samples}", way.name()));
            BENCH.figure(&format!("{}: {metric}", way.name()), samples.median(), unit, None)
        };
        figure("releases a second", &self.rate, "1/s")?;
        figure("processor time of helm a release", &self.helm_time, "ms")?;
        figure("memory of all helms at once", &self.helm_memory, "MB")?;
        figure("most helms at once", &self.at_once, "helms")?;
        if way != Way::Iotorch {
            return Ok(());
        }
        figure("own processor time a release", &self.own_time, "ms")?;
        let (own, helm) = (self.own_time.median(), self.helm_time.median());
        BENCH.figure(
            "iotorch: share of helm in the processor time",
            100.0 * helm / (own + helm),
            "%",
            None,
        )?;
        figure("share of the time in which helms are at work", &self.helm_at_work, "%")?;
        figure("own memory", &self.own_memory, "MB")?;
        figure("plan", &self.planning, "s")?;
        figure("removal", &self.removal, "s")
    }
}

/// What making releases took.
struct Made {
    releases: usize,
    /// For iotorch from documents to the end of the run.
    took: Duration,
    spent: Spent,
    /// The most memory of this process, in bytes.
    own_peak: u64,
    helms: Peak,
    by_iotorch: Option<ByIotorch>,
}

/// What only iotorch tells.
struct ByIotorch {
    engine: Engine,
    slice: SliceName,
    planning: Duration,
    /// From the first helm's beginning to the last one's end.
    helm_at_work: Duration,
    /// Where its state is.
    _folder: TempDir,
}

impl ByIotorch {
    /// Removes the slice.
    async fn remove(&self) -> Result<Duration> {
        let begun = Instant::now();
        let plan =
            self.engine.plan(&Intent { delete: vec![self.slice.clone()], ..Intent::default() }).await?;
        self.engine.apply(plan, RunOptions::default()).await?;
        Ok(begun.elapsed())
    }
}

/// Where releases are made.
struct Site {
    clusters: Clusters,
    client: Client,
    turns: Turns,
    /// Where releases are, which is also the name of the slice.
    namespace: String,
    folder: TempDir,
}

impl Site {
    async fn find() -> Result<Self> {
        let clusters = Clusters::find()?;
        let client = clusters.client(CLUSTER).await?;
        // Beside the programs that cargo builds: the folder for temporary files is often no disk.
        fs::create_dir_all(env!("CARGO_TARGET_TMPDIR"))?;
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let namespace = format!("bench-{}", std::process::id());
        Ok(Self { clusters, client, turns: Turns::default(), namespace, folder })
    }

    /// Makes releases in a namespace of their own.
    async fn make(&self, way: Way, releases: usize, clusters: &Clusters) -> Result<Made> {
        resident::forget_peak()?;
        let program = clusters.helm.file_name().unwrap_or_default().to_string_lossy();
        let helms = Watched::start(&program);
        let before = Spent::now()?;
        let begun = Instant::now();
        let made = match way {
            Way::Iotorch => self.by_iotorch(releases, clusters).await.map(Some),
            Way::Helms(at_once) => self.by_helm(releases, at_once, &[], clusters).await.map(|()| None),
            Way::LateHelms(at_once) => {
                self.by_helm(releases, at_once, &GARBAGE, clusters).await.map(|()| None)
            }
        };
        let took = begun.elapsed();
        let spent = Spent::now()?.since(before);
        let (helms, own_peak) = (helms.end()?, resident::read()?.peak);
        Ok(Made { releases, took, spent, own_peak, helms, by_iotorch: made? })
    }

    /// Removes what was made; gives the time that iotorch needs for that.
    async fn remove(&self, by_iotorch: Option<&ByIotorch>) -> Result<Option<Duration>> {
        let removal = match by_iotorch {
            Some(made) => Some(made.remove().await?),
            None => None,
        };
        clusters::remove(&self.client, &self.namespace).await?;
        Ok(removal)
    }

    async fn by_iotorch(&self, releases: usize, clusters: &Clusters) -> Result<ByIotorch> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let programs = HelmPrograms::new(&clusters.helm, self.folder.path()).with_turns(self.turns.clone());
        let helm = Timed::new(programs);
        let begun = Instant::now();
        let documents = documents(&self.namespace, releases, clusters);
        let (infrastructures, slices) =
            Documents::read(vec![Source::new("releases.yaml", documents)])?.into_parts();
        let slice = slices.first().map(|slice| slice.name.clone()).ok_or("cannot find the slice")?;
        let charts = HelmCharts::new(self.folder.path().join("charts"))?;
        let kubernetes = KubernetesDriver::new(charts.clone(), helm.clone());
        let engine = Engine::builder()
            .store(Arc::new(RedbStore::open(folder.path().join("state.redb"))?))
            .secrets(Arc::new(MemorySecretStore::default()))
            .charts(Arc::new(charts))
            .drivers(Drivers::default().with(kubernetes).with(DeclaredDriver))
            .build();
        let plan = engine.plan(&Intent { infrastructures, slices, ..Intent::default() }).await?;
        let planning = begun.elapsed();
        engine.apply(plan, RunOptions::default()).await?;
        let installed = helm.installed();
        let first = installed.iter().map(|(_, from, _)| *from).min();
        let last = installed.iter().map(|(_, _, to)| *to).max();
        let helm_at_work = last.zip(first).map(|(last, first)| last - first).unwrap_or_default();
        Ok(ByIotorch { engine, slice, planning, helm_at_work, _folder: folder })
    }

    async fn by_helm(
        &self,
        releases: usize,
        at_once: usize,
        environment: &[(&'static str, &'static str)],
        clusters: &Clusters,
    ) -> Result<()> {
        let helm =
            Helm::new(clusters, CLUSTER, &self.folder.path().join("by-hand")).with_environment(environment);
        let namespace = self.namespace.as_str();
        clusters::make(&self.client, namespace).await?;
        let names: Vec<String> = (0..releases).map(release).collect();
        stream::iter(names.iter().map(|name| helm.install(name, Path::new(CHART), namespace, "replicas=0")))
            .buffer_unordered(at_once)
            .try_collect::<()>()
            .await
    }

    /// Counts what the API server is asked for a release, by way of a proxy.
    async fn count(&self, way: Way) -> Result<()> {
        let requests = Requests::open(self.client.clone(), CLUSTER, self.folder.path()).await?;
        let through = Clusters { kubeconfig: requests.kubeconfig.clone(), ..self.clusters.clone() };
        let made = self.make(way, COUNTED, &through).await?;
        let counts = requests.take();
        self.remove(made.by_iotorch.as_ref()).await?;
        for (asker, whose) in [(Asker::Helm, "helm's"), (Asker::Other, "own")] {
            let Some(count) = counts.get(&asker) else { continue };
            #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 requests")]
            let each = *count as f64 / COUNTED as f64;
            let metric = format!("{}: {whose} requests to the API server, a release", way.name());
            BENCH.figure(&metric, each, "requests", None)?;
        }
        Ok(())
    }
}

fn release(number: usize) -> String {
    format!("r{number:03}")
}

/// A slice of network functions: workloads with a chart of their own and nothing in it that iotorch would set up.
fn documents(slice: &str, releases: usize, clusters: &Clusters) -> String {
    let function = |number| {
        json!({
            "name": release(number),
            "type": "upf",
            "placement": { "infrastructure": CLUSTER },
            "chart": { "source": CHART, "values": { "replicas": 0 } },
        })
    };
    let functions: Vec<Value> = (0..releases).map(function).collect();
    let slice = json!({
        "apiVersion": "iotorch.dev/v1alpha1",
        "kind": "Slice",
        "metadata": { "name": slice },
        "spec": { "network": { "core": { "functions": functions } } },
    });
    format!("{}\n---\n{slice}\n", clusters.document(CLUSTER, "edge", &json!({})))
}
