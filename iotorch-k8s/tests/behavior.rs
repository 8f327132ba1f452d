//! The behaviour suite of core, on a cluster in memory and, where there is one, on a real cluster: that of `IOTORCH_KUBECONFIG`, with
//! the helm of `IOTORCH_HELM4`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod fake;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use common::{Proxy, System, infrastructure, paused, runtime};
use fake::helm::FakeHelm;
use iotorch_core::{
    Driver, Result, Target,
    model::{Capacity, Chart, PartName, SliceName},
    resource::{ResourceId, Role, SpaceSpec, WorkloadSpec},
    secret::{MemorySecretStore, SecretStore, SecretValue},
    testing::domain::{Sample, Subject, trials},
};
use iotorch_k8s::{HelmCharts, HelmPrograms, KubernetesDriver};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::DeleteParams};
use libtest_mimic::Arguments;
use serde_json::json;
use tempfile::TempDir;

fn main() -> ExitCode {
    let system = System::find();
    let made = system.clone();
    let make = move || {
        let system = made.clone();
        Box::pin(async move { Ok(Box::new(OnCluster::new(system.unwrap()).await?) as Box<dyn Subject>) }) as _
    };
    let on_cluster = trials([], make).into_iter().map(|trial| {
        let name = trial.name().replace(' ', "_");
        common::trial(&system, &name, move |_| {
            runtime().block_on(trial.run()).map_err(|failure| failure.to_string().into())
        })
    });
    let make = || Box::pin(async { Ok(Box::new(OnFake::new().await?) as Box<dyn Subject>) }) as _;
    let on_fake = trials([], make).into_iter().map(|trial| {
        let name = format!("fake::{}", trial.name().replace(' ', "_"));
        libtest_mimic::Trial::test(name, move || {
            paused().block_on(trial.run()).map_err(|failure| failure.to_string().into())
        })
    });
    let trials = on_fake.chain(on_cluster).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A slice of its own, with what it is made of.
struct Slice {
    name: SliceName,
    folder: TempDir,
    secrets: Arc<MemorySecretStore>,
}

impl Slice {
    async fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = SliceName::new(&format!("behavior-{}-{number}", std::process::id()))?;
        let secrets = Arc::new(MemorySecretStore::default());
        for name in ["gw/admin", "gw-2/admin"] {
            secrets
                .put(&name.parse()?, SecretValue::new(format!("the token {name} is nowhere else")))
                .await?;
        }
        Ok(Self { name, folder: tempfile::tempdir().unwrap(), secrets })
    }

    fn charts(&self) -> HelmCharts {
        HelmCharts::new(self.folder.path().join("charts")).unwrap()
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        Arc::clone(&self.secrets) as Arc<dyn SecretStore>
    }

    fn samples(&self) -> Vec<Sample> {
        let plain = SpaceSpec { name: self.name.to_string(), quota: Capacity::default() };
        let quota = Capacity { memory: Some("1GiB".parse().unwrap()), ..Capacity::default() };
        let space = Sample::new(self.space(), plain.clone()).updated_to(SpaceSpec { quota, ..plain });
        vec![space, self.workload("gw"), self.workload("gw-2")]
    }

    fn space(&self) -> ResourceId {
        ResourceId::space(&self.name, &"edge-1".parse().unwrap())
    }

    fn workload(&self, part: &str) -> Sample {
        let chart = |values: serde_json::Value| {
            let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/charts/idle");
            Chart::builder().source(source).values(values.as_object().unwrap().clone()).build()
        };
        let spec = WorkloadSpec {
            name: part.to_owned(),
            role: Role::Gateway,
            application: Some("chirpstack".parse().unwrap()),
            chart: Some(chart(json!({ "note": "as it was made" }))),
            physical: None,
            needs: Capacity::default(),
            settings: serde_json::Map::new(),
            admin: Some(format!("{part}/admin").parse().unwrap()),
        };
        let with = |values| WorkloadSpec { chart: Some(chart(values)), ..spec.clone() };
        Sample::new(self.space().workload(&PartName::new(part).unwrap()), spec.clone())
            .updated_to(with(json!({ "note": "as it was changed" })))
            .refused_as(with(json!({ "replicas": -1 })))
            .faulty_as(with(json!({ "password": "hunter2" })))
            .faulty_as(WorkloadSpec { chart: None, ..spec })
    }
}

/// A slice on a real cluster, reached through a proxy that can be closed.
struct OnCluster {
    slice: Slice,
    system: System,
    proxy: Proxy,
}

impl OnCluster {
    async fn new(system: System) -> Result<Self> {
        let slice = Slice::new().await?;
        let proxy = Proxy::open(&system, slice.folder.path()).await;
        Ok(Self { slice, system, proxy })
    }
}

#[async_trait]
impl Subject for OnCluster {
    fn driver(&self) -> Arc<dyn Driver> {
        let helm = HelmPrograms::new(&self.system.helm, self.slice.folder.path().join("helm"));
        Arc::new(KubernetesDriver::new(self.slice.charts(), helm).with_kubeconfig(self.proxy.kubeconfig()))
    }

    fn target(&self) -> Target {
        Target::Infrastructure(infrastructure("edge-1"))
    }

    fn samples(&self) -> Vec<Sample> {
        self.slice.samples()
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        self.slice.secrets()
    }

    async fn cut_off(&self) -> Result<()> {
        self.proxy.close().await;
        Ok(())
    }

    async fn bring_back(&self) -> Result<()> {
        self.proxy.open_again().await;
        Ok(())
    }

    async fn end(&self) {
        let namespaces = Api::<Namespace>::all(self.system.client().await);
        // It is gone already where the trial has removed it.
        let _ = namespaces.delete(self.slice.name.as_str(), &DeleteParams::default()).await;
    }
}

/// A slice on a cluster in memory.
struct OnFake {
    slice: Slice,
    cluster: fake::Cluster,
    helm: FakeHelm,
}

impl OnFake {
    async fn new() -> Result<Self> {
        let cluster = fake::Cluster::start();
        let helm = FakeHelm::new(cluster.client());
        Ok(Self { slice: Slice::new().await?, cluster, helm })
    }
}

#[async_trait]
impl Subject for OnFake {
    fn driver(&self) -> Arc<dyn Driver> {
        let driver = KubernetesDriver::new(self.slice.charts(), self.helm.clone());
        Arc::new(driver.with_client("edge-1".parse().unwrap(), self.cluster.client()))
    }

    fn target(&self) -> Target {
        Target::Infrastructure(infrastructure("edge-1"))
    }

    fn samples(&self) -> Vec<Sample> {
        self.slice.samples()
    }

    fn secrets(&self) -> Arc<dyn SecretStore> {
        self.slice.secrets()
    }

    async fn cut_off(&self) -> Result<()> {
        self.cluster.faults(|faults| faults.is_cut_off = true);
        Ok(())
    }

    async fn bring_back(&self) -> Result<()> {
        self.cluster.faults(|faults| faults.mend());
        Ok(())
    }
}
