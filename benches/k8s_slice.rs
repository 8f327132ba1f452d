//! A slice over two real clusters: from its documents to the first reading that its server has stored, beside a script that takes the
//! same steps one after the other, and beside the time that its pods take.

use std::{
    fs,
    process::{ExitCode, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use iotorch_benches::{
    Bench, Goal, Result, Samples,
    clusters::{self, Clusters},
    helm::Timed,
    note,
    pods::Pods,
    run,
    running::Running,
    steps::Steps,
};
use iotorch_core::{
    Driver as _, Drivers, Engine, Intent, Orchestrator as _, Places, RunOptions,
    declared::DeclaredDriver,
    model::{Documents, Source},
    secret::MemorySecretStore,
    store::RedbStore,
};
use iotorch_k8s::{HelmCharts, HelmPrograms, KubernetesDriver};
use iotorch_lite::LiteDriver;
use kube::Client;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
};

const BENCH: Bench = Bench("k8s_slice");
/// How often each is measured, one after the other, so that a machine that is now faster and now slower is so for both.
const ROUNDS: usize = 5;
/// How long a slice may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Where the gateway runs, and where the server.
const EDGE: &str = "edge-1";
const CLOUD: &str = "cloud-1";
/// The pods of the gateway and of the server.
const PODS: [&str; 2] = ["gw-0", "hub-0"];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/k8s_slice.sh");
const CHARTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts");

const STORED: &str = "iotorch: documents to first stored reading";
const BEYOND: &str = "iotorch: of it beyond 1.1 times the slower pod";
const SCRIPT_STORED: &str = "script: to first stored reading";

fn main() -> ExitCode {
    run(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
        runtime.block_on(measure())
    })
}

async fn measure() -> Result<()> {
    let site = Site::find().await?;
    note("k8s_slice: once without measuring, so that neither is the first on these clusters");
    site.round(0, &mut Figures::default()).await?;
    let mut figures = Figures::default();
    for round in 1..=ROUNDS {
        note(&format!("k8s_slice: round {round} of {ROUNDS}"));
        site.round(round, &mut figures).await?;
    }
    for (metric, samples) in &figures.0 {
        note(&format!("k8s_slice: {metric}: s {samples}"));
        let goal = (metric == BEYOND).then_some(Goal::AtMost(2.0));
        BENCH.figure(metric, samples.median(), "s", goal)?;
    }
    let ratio = figures.median(SCRIPT_STORED) / figures.median(STORED);
    BENCH.figure("the script's time, of iotorch's", ratio, "times", Some(Goal::AtLeast(1.0)))
}

/// Times in seconds, in the order in which they are shown.
#[derive(Default)]
struct Figures(Vec<(String, Samples)>);

impl Figures {
    fn add(&mut self, metric: &str, sample: f64) {
        match self.0.iter_mut().find(|(known, _)| known == metric) {
            Some((_, samples)) => samples.add(sample),
            None => self.0.push((metric.to_owned(), [sample].into_iter().collect())),
        }
    }

    fn median(&self, metric: &str) -> f64 {
        self.0.iter().find(|(known, _)| known == metric).map_or(f64::NAN, |(_, samples)| samples.median())
    }
}

/// Where slices are made.
struct Site {
    clusters: Clusters,
    image: (String, String),
    edge: Client,
    cloud: Client,
    /// What an installation of iotorch keeps.
    folder: TempDir,
}

impl Site {
    async fn find() -> Result<Self> {
        let clusters = Clusters::find()?;
        let image = Clusters::image()?;
        let (edge, cloud) = (clusters.client(EDGE).await?, clusters.client(CLOUD).await?);
        // Beside the programs that cargo builds: the folder for temporary files is often no disk.
        fs::create_dir_all(env!("CARGO_TARGET_TMPDIR"))?;
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        Ok(Self { clusters, image, edge, cloud, folder })
    }

    /// One slice by iotorch, and one by the script.
    async fn round(&self, round: usize, figures: &mut Figures) -> Result<()> {
        let name = format!("bench-{}-{round}", std::process::id());
        let measured = tokio::time::timeout(PATIENCE, self.by_iotorch(&name, figures)).await;
        self.clear(&name).await?;
        measured??;
        let name = format!("{name}-script");
        let measured = tokio::time::timeout(PATIENCE, self.by_script(&name, figures)).await;
        self.clear(&name).await?;
        measured?
    }

    async fn clear(&self, slice: &str) -> Result<()> {
        futures::try_join!(clusters::remove(&self.edge, slice), clusters::remove(&self.cloud, slice))?;
        Ok(())
    }

    async fn watch(&self, slice: &str) -> Result<[Pods; 2]> {
        Ok(futures::try_join!(Pods::watch(&self.edge, slice), Pods::watch(&self.cloud, slice))?.into())
    }

    fn documents(&self, slice: &str) -> String {
        let (repository, tag) = &self.image;
        let lite = json!({ "image": { "repository": repository, "tag": tag, "pullPolicy": "Never" } });
        let resource = json!({ "name": "temperature", "type": "float", "unit": "Cel" });
        let slice = json!({
            "apiVersion": "iotorch.dev/v1alpha1",
            "kind": "Slice",
            "metadata": { "name": slice },
            "spec": {
                "gateways": [{ "name": "gw" }],
                "servers": [{ "name": "hub" }],
                "devices": [{ "name": "bench-1", "protocol": "http", "resources": [resource] }],
            },
        });
        let (edge, cloud) =
            (self.clusters.document(EDGE, "edge", &lite), self.clusters.document(CLOUD, "cloud", &lite));
        format!("{edge}\n---\n{cloud}\n---\n{slice}\n")
    }

    async fn by_iotorch(&self, name: &str, figures: &mut Figures) -> Result<()> {
        let documents = self.documents(name);
        let pods = self.watch(name).await?;
        let steps = Arc::new(Steps::default());
        let helm = Timed::new(HelmPrograms::new(&self.clusters.helm, self.folder.path()));
        let secrets = Arc::new(MemorySecretStore::default());

        let begun = Instant::now();
        let documents = Documents::read(vec![Source::new("slice.yaml", documents)])?;
        let (infrastructures, slices) = documents.into_parts();
        let name = slices.first().map(|slice| slice.name.clone()).ok_or("cannot find the slice")?;
        let charts = HelmCharts::new(self.folder.path().join("charts"))?;
        let kubernetes = KubernetesDriver::new(charts.clone(), helm.clone());
        let mut places = std::collections::BTreeMap::new();
        for infrastructure in &infrastructures {
            places.insert(infrastructure.name.clone(), kubernetes.place(infrastructure)?);
        }
        let engine = Engine::builder()
            .store(Arc::new(RedbStore::open(self.folder.path().join(format!("{name}.redb")))?))
            .secrets(Arc::<MemorySecretStore>::clone(&secrets))
            .charts(Arc::new(charts))
            .drivers(Drivers::default().with(kubernetes).with(LiteDriver).with(DeclaredDriver))
            .observer(Arc::<Steps>::clone(&steps))
            .build();
        let plan = engine.plan(&Intent { infrastructures, slices, ..Intent::default() }).await?;
        let planned = begun.elapsed();
        engine.apply(plan, RunOptions::default()).await?;
        let applied = begun.elapsed();
        let status = engine.status(&name).await?;
        let known = begun.elapsed();
        let slice = Running { status: &status, secrets: &*secrets, places: &Places::new(places) };
        slice.first_reading(r#"{"temperature":21.5}"#).await?;
        let stored = begun.elapsed();
        let mut done: Vec<_> = steps.done().into_iter().collect();

        let removing = Instant::now();
        let plan = engine.plan(&Intent { delete: vec![name.clone()], ..Intent::default() }).await?;
        engine.apply(plan, RunOptions::default()).await?;
        let removed = removing.elapsed();

        let slower = slower(&pods)?;
        figures.add(STORED, stored.as_secs_f64());
        figures.add("iotorch: the slower pod, made to ready", slower.as_secs_f64());
        figures.add(BEYOND, stored.as_secs_f64() - 1.1 * slower.as_secs_f64());
        figures.add("iotorch: documents to plan", planned.as_secs_f64());
        figures.add("iotorch: documents to running slice", applied.as_secs_f64());
        figures.add("iotorch: documents to its status", known.as_secs_f64());
        figures.add("iotorch: delete", removed.as_secs_f64());
        done.sort_by_key(|(_, times)| times.begun);
        for (resource, times) in done {
            let step = resource.to_string();
            let step = step.strip_prefix(&format!("{name}/")).unwrap_or(&step);
            figures.add(&format!("step {step}: begins"), (times.begun - begun).as_secs_f64());
            figures.add(&format!("step {step}: takes"), (times.ended - times.begun).as_secs_f64());
        }
        for (release, from, to) in helm.installed() {
            figures.add(&format!("helm {release}: begins"), (from - begun).as_secs_f64());
            figures.add(&format!("helm {release}: takes"), (to - from).as_secs_f64());
        }
        for (pod, times) in pods.iter().flat_map(Pods::times) {
            figures.add(&format!("pod {pod}: made"), (times.created - begun).as_secs_f64());
            for (what, when) in [("placed", times.scheduled), ("ready", times.ready)] {
                let took = when.ok_or_else(|| format!("pod {pod} is not {what}"))? - times.created;
                figures.add(&format!("pod {pod}: {what} after"), took.as_secs_f64());
            }
        }
        Ok(())
    }

    async fn by_script(&self, name: &str, figures: &mut Figures) -> Result<()> {
        let pods = self.watch(name).await?;
        let (image, tag) = &self.image;
        let begun = Instant::now();
        let mut script = Command::new("bash");
        script
            .arg(SCRIPT)
            .env("KUBECONFIG", &self.clusters.kubeconfig)
            .env("HELM", &self.clusters.helm)
            .env("KUBECTL", &self.clusters.kubectl)
            .env("CHARTS", CHARTS)
            .env("TMPDIR", self.folder.path())
            .envs([("IMAGE", image.as_str()), ("TAG", tag), ("SLICE", name)]);
        let (status, said) = Script::start(script)?.end().await?;
        let stored = begun.elapsed();
        if !status.success() {
            return Err(format!("the script ended with {status}: {}", said.trim()).into());
        }
        figures.add(SCRIPT_STORED, stored.as_secs_f64());
        for (pod, times) in pods.iter().flat_map(Pods::times) {
            let chain = times.chain().ok_or_else(|| format!("pod {pod} is not ready"))?;
            figures.add(&format!("script: pod {pod}, made to ready"), chain.as_secs_f64());
        }
        Ok(())
    }
}

/// A script at work, in a process group of its own: when it is given up it cannot end what it has started itself.
struct Script(Child);

impl Script {
    fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(Self(command.process_group(0).spawn()?))
    }

    /// Waits until it has ended, and gives its errors.
    async fn end(mut self) -> Result<(ExitStatus, String)> {
        let mut errors = self.0.stderr.take().ok_or("cannot read the errors of the script")?;
        let mut said = Vec::new();
        let (_, status) = futures::try_join!(errors.read_to_end(&mut said), self.0.wait())?;
        Ok((status, String::from_utf8_lossy(&said).into_owned()))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // One that has ended has no number.
        let group = self.0.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// How long the slower of the pods took from being made to being ready.
fn slower(pods: &[Pods]) -> Result<Duration> {
    let times: Vec<_> = pods.iter().flat_map(Pods::times).collect();
    if times.len() != PODS.len() {
        return Err(format!("there are {} pods, not {}", times.len(), PODS.join(" and ")).into());
    }
    Ok(times.iter().filter_map(|(_, times)| times.chain()).max().ok_or("no pod is ready")?)
}
