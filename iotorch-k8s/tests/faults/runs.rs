//! Whole runs of core's engine on a cluster in memory.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use iotorch_core::{
    Drivers, Engine, ErrorKind, Intent, Orchestrator as _, RunOptions,
    declared::DeclaredDriver,
    observer::{Observer, Progress, RunEvent},
    secret::MemorySecretStore,
    store::MemoryStore,
};
use iotorch_k8s::KubernetesDriver;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    common::infrastructure,
    fake::{Cluster, Fault, Key, Refusal, helm::FakeHelm, kinds},
    stand::{FARM, charts},
};

/// Keeps what was tried again, and why.
#[derive(Clone, Default)]
struct Retries(Arc<Mutex<Vec<String>>>);

impl Observer for Retries {
    fn event(&self, event: &RunEvent) {
        if let Progress::StepRetried { reason, .. } = &event.event {
            self.0.lock().unwrap().push(reason.clone());
        }
    }
}

struct Bench {
    cluster: Cluster,
    engine: Engine,
    retries: Retries,
    _folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let (cluster, folder, retries) = (Cluster::start(), tempfile::tempdir().unwrap(), Retries::default());
        let helm = FakeHelm::new(cluster.client());
        let driver = KubernetesDriver::new(charts(&folder), helm);
        let driver = driver.with_client("edge-1".parse().unwrap(), cluster.client());
        let engine = Engine::builder()
            .store(Arc::new(MemoryStore::new()))
            .secrets(Arc::new(MemorySecretStore::default()))
            .charts(Arc::new(charts(&folder)))
            .drivers(Drivers::default().with(driver).with(DeclaredDriver))
            .observer(Arc::new(retries.clone()))
            .build();
        Self { cluster, engine, retries, _folder: folder }
    }

    /// A slice with a network function that does nothing.
    fn intent() -> Intent {
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/charts/idle");
        let function = json!({ "name": "upf", "type": "upf", "chart": { "source": chart },
            "placement": { "infrastructure": "edge-1" } });
        let slice = json!({ "name": FARM, "spec": { "network": { "core": { "functions": [function] } } } });
        Intent {
            infrastructures: vec![infrastructure("edge-1")],
            slices: vec![serde_json::from_value(slice).unwrap()],
            ..Intent::default()
        }
    }

    fn retries(&self) -> Vec<String> {
        self.retries.0.lock().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_after_the_pause_that_the_server_asks_for() {
    for refusal in [Refusal::too_many_requests(7), Refusal::unavailable(Some(7))] {
        let bench = Bench::new();
        let plan = bench.engine.plan(&Bench::intent()).await.unwrap();
        let message = refusal.message.clone();
        bench.cluster.faults(|faults| faults.next(2, "patch", "networkpolicies", Fault::Refused(refusal)));
        let begun = Instant::now();
        bench.engine.apply(plan, RunOptions::default()).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(14), "it took {:?}", begun.elapsed());
        let told = bench.retries();
        assert_eq!(told.iter().filter(|reason| **reason == message).count(), 2, "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_refused_takes_back_what_it_made() {
    let bench = Bench::new();
    let plan = bench.engine.plan(&Bench::intent()).await.unwrap();
    bench.cluster.faults(|faults| faults.forbid("patch", "deployments"));
    let failed = bench.engine.apply(plan, RunOptions::default()).await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::Denied);
    let told = failed.error.to_cause().to_string();
    assert!(told.contains("cannot patch resource \"deployments\""), "{told}");
    assert_eq!(bench.cluster.get(&Key::new(&kinds::NAMESPACE, "", FARM)), None, "rolled back");
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_is_there_needs_nothing_and_goes_without_a_trace() {
    let bench = Bench::new();
    let plan = bench.engine.plan(&Bench::intent()).await.unwrap();
    bench.engine.apply(plan, RunOptions::default()).await.unwrap();
    let again = bench.engine.plan(&Bench::intent()).await.unwrap();
    assert!(again.is_empty(), "{again:?}");
    let delete = Intent { delete: vec![FARM.parse().unwrap()], ..Intent::default() };
    let plan = bench.engine.plan(&delete).await.unwrap();
    bench.engine.apply(plan, RunOptions::default()).await.unwrap();
    assert_eq!(bench.cluster.get(&Key::new(&kinds::NAMESPACE, "", FARM)), None);
    assert_eq!(bench.cluster.inside(FARM), []);
}
