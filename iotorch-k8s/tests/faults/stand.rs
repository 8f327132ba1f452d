//! A cluster in memory, and a slice on it whose steps are taken as core takes them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use iotorch_core::{
    Context, Domain, Driver as _, Error, ErrorKind, Inspection, Observed, Result, Scope, Target,
    model::{Capacity, Chart, PartName},
    place::Places,
    resource::{
        Change, Job, NoInputs, Outputs, Ownership, ResourceId, Role, SpaceOutputs, SpaceSpec, Work,
        WorkloadInputs, WorkloadSpec,
    },
    secret::{MemorySecretStore, SecretStore, SecretValue},
};
use iotorch_k8s::{HelmCharts, KubernetesDriver};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    common::infrastructure,
    fake::{Cluster, Key, helm::FakeHelm, kinds},
};

/// How long a step may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often core tries again what failed in a way that may pass.
const ATTEMPTS: u32 = 5;

/// The name of the slice, and so of its namespace.
pub(crate) const FARM: &str = "orchard";

pub(crate) struct Stand {
    pub(crate) cluster: Cluster,
    pub(crate) helm: FakeHelm,
    pub(crate) domain: Arc<dyn Domain>,
    pub(crate) secrets: Arc<MemorySecretStore>,
    folder: TempDir,
}

impl Stand {
    pub(crate) async fn new() -> Self {
        let cluster = Cluster::start();
        let helm = FakeHelm::new(cluster.client());
        let secrets = Arc::new(MemorySecretStore::default());
        secrets.put(&"gw/admin".parse().unwrap(), SecretValue::new("hunter2-of-gw".into())).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let driver = driver(&cluster, &helm, &folder);
        let domain = driver.connect(&Target::Infrastructure(infrastructure("edge-1"))).unwrap();
        Self { cluster, helm, domain, secrets, folder }
    }

    /// Connects again, as the next process does.
    pub(crate) fn reconnect(&mut self) {
        let driver = driver(&self.cluster, &self.helm, &self.folder);
        self.domain = driver.connect(&Target::Infrastructure(infrastructure("edge-1"))).unwrap();
    }

    /// A stand with the slice's namespace.
    pub(crate) async fn with_space() -> Self {
        let stand = Self::new().await;
        stand.done(space(create)).await.unwrap();
        stand
    }

    pub(crate) fn context(&self) -> Context {
        Context {
            installation: "00000000000000a1".into(),
            deadline: Instant::now() + DEADLINE,
            cancelled: CancellationToken::new(),
            secrets: Arc::clone(&self.secrets) as Arc<dyn SecretStore>,
            places: Places::default(),
        }
    }

    /// One call.
    pub(crate) async fn once(&self, work: Work) -> Result<Outputs> {
        let mut results = self.domain.apply(&self.context(), vec![work]).await;
        results.remove(0)
    }

    /// Calls until there is a result, as long as it is not ready.
    pub(crate) async fn done(&self, work: Work) -> Result<Outputs> {
        let cx = self.context();
        loop {
            match self.domain.apply(&cx, vec![work.clone()]).await.remove(0) {
                Err(error) if error.kind() == ErrorKind::NotReady && Instant::now() < cx.deadline => {
                    // Time has to go on also where the next call is to come at once.
                    let pause = error.retry_after().unwrap_or(Duration::from_millis(20));
                    sleep(pause.max(Duration::from_millis(1))).await;
                }
                result => return result,
            }
        }
    }

    /// Calls until there is a result, also when it fails in a way that may pass. Tells what went wrong on the way.
    pub(crate) async fn in_the_end(&self, work: Work) -> (Result<Outputs>, Vec<String>) {
        let mut troubles = Vec::new();
        for attempt in 1..ATTEMPTS {
            match self.done(work.clone()).await {
                Err(error) if error.is_retryable() => troubles.push(error.to_cause().to_string()),
                result => return (result, troubles),
            }
            sleep(Duration::from_millis(100) * 2_u32.pow(attempt)).await;
        }
        (self.done(work).await, troubles)
    }

    /// What is seen of the namespace and of the workload.
    pub(crate) async fn seen(&self) -> Result<Vec<(ResourceId, Observed)>> {
        let (root, gw) = (space_id(), workload_id());
        let known = [root.clone(), gw].into();
        let scope = Scope { root, known, recorded: Default::default(), application: None };
        self.domain.observe(&self.context(), &scope).await
    }

    /// What a person sees of the cluster.
    pub(crate) async fn inspected(&self) -> Inspection {
        let driver = driver(&self.cluster, &self.helm, &self.folder);
        driver.place(&infrastructure("edge-1")).unwrap().inspect().await.unwrap()
    }

    pub(crate) fn namespace(&self) -> Option<Value> {
        self.cluster.get(&Key::new(&kinds::NAMESPACE, "", FARM))
    }
}

pub(crate) fn charts(folder: &TempDir) -> HelmCharts {
    HelmCharts::new(folder.path().join("charts")).unwrap()
}

fn driver(cluster: &Cluster, helm: &FakeHelm, folder: &TempDir) -> KubernetesDriver {
    let driver = KubernetesDriver::new(charts(folder), helm.clone());
    driver.with_client("edge-1".parse().unwrap(), cluster.client())
}

pub(crate) fn space_id() -> ResourceId {
    ResourceId::space(&FARM.parse().unwrap(), &"edge-1".parse().unwrap())
}

pub(crate) fn workload_id() -> ResourceId {
    space_id().workload(&PartName::new("gw").unwrap())
}

pub(crate) fn create<S>(after: S) -> Change<S> {
    Change::Create { after }
}

pub(crate) fn delete<S>(before: S) -> Change<S> {
    Change::Delete { before }
}

/// A step on the namespace.
pub(crate) fn space(change: impl FnOnce(SpaceSpec) -> Change<SpaceSpec>) -> Work {
    space_with(Capacity::default(), change)
}

pub(crate) fn space_with(quota: Capacity, change: impl FnOnce(SpaceSpec) -> Change<SpaceSpec>) -> Work {
    let spec = SpaceSpec { name: FARM.to_owned(), quota };
    Work::Space(Job { id: space_id(), change: change(spec), inputs: NoInputs {}, ownership: Ownership::Ours })
}

/// A step on the workload `gw`, a release of the chart `idle` with these values.
pub(crate) fn workload(values: Value, change: impl FnOnce(WorkloadSpec) -> Change<WorkloadSpec>) -> Work {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/charts/idle");
    let chart = Chart::builder().source(source).values(values.as_object().unwrap().clone()).build();
    step(WorkloadSpec { chart: Some(chart), ..lite() }, change)
}

pub(crate) fn step(spec: WorkloadSpec, change: impl FnOnce(WorkloadSpec) -> Change<WorkloadSpec>) -> Work {
    let space = Some(SpaceOutputs { namespace: FARM.to_owned() });
    let inputs = WorkloadInputs { space, segments: BTreeMap::new() };
    Work::Workload(Job { id: workload_id(), change: change(spec), inputs, ownership: Ownership::Ours })
}

/// The workload `gw`, a gateway of the application `lite`.
pub(crate) fn lite() -> WorkloadSpec {
    WorkloadSpec {
        name: "gw".to_owned(),
        role: Role::Gateway,
        application: Some("lite".parse().unwrap()),
        chart: None,
        physical: None,
        needs: Capacity::default(),
        settings: serde_json::Map::new(),
        admin: Some("gw/admin".parse().unwrap()),
    }
}

/// An image of its own for the workload.
pub(crate) const IMAGE: &str = "example.org/gateway:1";

pub(crate) fn of_image() -> Value {
    json!({ "image": IMAGE, "pullPolicy": "IfNotPresent" })
}

/// All that an error tells.
pub(crate) fn told(error: &Error) -> String {
    error.to_cause().to_string()
}
