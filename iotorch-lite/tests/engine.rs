//! The drivers under the engine: documents in, a running slice out, and nothing left in the end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Mqtt, eventually};
use iotorch_core::{
    Drivers, Engine, ErrorKind, Intent, Orchestrator, RunOptions,
    declared::DeclaredDriver,
    model::{Documents, Source},
    resource::{Endpoint, Outputs, ResourceId},
    secret::{MemorySecretStore, SecretStore},
    store::{MemoryStore, Store},
};
use iotorch_lite::{
    LiteDriver, LocalDriver, LocalHost, Secret,
    client::{GatewayClient, ServerClient},
};
use std::{net::TcpListener, path::Path, sync::Arc};

const DOCUMENTS: &str = r#"
apiVersion: iotorch.dev/v1alpha1
kind: Infrastructure
metadata: { name: edge-1 }
spec: { driver: local, tier: edge }
---
apiVersion: iotorch.dev/v1alpha1
kind: Infrastructure
metadata: { name: cloud-1 }
spec: { driver: local, tier: cloud }
---
apiVersion: iotorch.dev/v1alpha1
kind: Slice
metadata: { name: greenhouse }
spec:
  gateways: [ { name: gw, placement: { infrastructure: edge-1 } } ]
  servers: [ { name: hub, placement: { infrastructure: cloud-1 } } ]
  profiles:
    - name: climate
      resources:
        - { name: temperature, type: float, unit: Cel, range: [-40, 85] }
        - { name: alarm, type: bool, access: readwrite }
  devices:
    - { name: bench-1, profile: climate, labels: { row: "1" } }
    - { name: bench-2, profile: climate }
"#;

fn intent(text: &str) -> Intent {
    let (infrastructures, slices) =
        Documents::read(vec![Source::new("greenhouse.yaml", text)]).unwrap().into_parts();
    Intent { infrastructures, slices, ..Intent::default() }
}

/// What outlives a process: the records, the secrets and the directory of the host.
struct Process {
    engine: Engine,
    host: Arc<LocalHost>,
    store: Arc<dyn Store>,
    secrets: Arc<MemorySecretStore>,
}

impl Process {
    fn new(dir: &Path, store: Arc<dyn Store>, secrets: Arc<MemorySecretStore>) -> Self {
        let host = LocalHost::open(dir, Arc::clone(&secrets) as Arc<dyn SecretStore>).unwrap();
        let drivers = Drivers::default()
            .with(LiteDriver)
            .with(LocalDriver::new(Arc::clone(&host)))
            .with(DeclaredDriver);
        let engine = Engine::builder()
            .store(Arc::clone(&store))
            .secrets(Arc::clone(&secrets) as Arc<dyn SecretStore>)
            .drivers(drivers)
            .build();
        Self { engine, host, store, secrets }
    }

    async fn restart(self, dir: &Path) -> Self {
        let Self { engine, host, store, secrets } = self;
        host.stop().await;
        drop((engine, host));
        let next = Self::new(dir, store, secrets);
        next.host.resume_hosting().await.unwrap();
        next
    }

    /// Applies an intent, and says how many steps it took.
    async fn apply(&self, intent: &Intent) -> usize {
        let plan = self.engine.plan(intent).await.unwrap();
        let steps = plan.slices.iter().map(|slice| slice.steps.len()).sum();
        if let Err(failed) = self.engine.apply(plan, RunOptions::default()).await {
            panic!("{}", failed.error.to_cause());
        }
        steps
    }

    async fn outputs(&self, id: &str) -> Outputs {
        let status = self.engine.status(&"greenhouse".parse().unwrap()).await.unwrap();
        let id: ResourceId = id.parse().unwrap();
        status.resources.into_iter().find(|resource| resource.id == id).unwrap().outputs.unwrap()
    }

    async fn address(&self, application: &str, endpoint: &str) -> String {
        match self.outputs(application).await {
            Outputs::Application(outputs) => match &outputs.endpoints[endpoint] {
                Endpoint::Net(address) => address.to_string(),
                other => panic!("{other}"),
            },
            other => panic!("{other:?}"),
        }
    }

    async fn secret(&self, name: &str) -> Secret {
        Secret::new(self.secrets.fetch(&name.parse().unwrap()).await.unwrap().expose())
    }

    /// Publishes with this generation of the password.
    async fn publish(&self, generation: u32, value: &str) -> Result<(), String> {
        let at = self.address("greenhouse/edge-1/space/gw/app", "mqtt").await.parse().unwrap();
        let password = self.secret(&format!("greenhouse/gw/bench-1/password#{generation}")).await;
        let mqtt = Mqtt::connect(at, "bench-1", "bench-1", password.expose()).await;
        let mqtt = mqtt.map_err(|error| error.to_string())?;
        mqtt.publish("devices/bench-1/temperature", value).await.map_err(|error| error.to_string())
    }

    async fn stored(&self, count: u64) {
        let url = format!("http://{}", self.address("greenhouse/cloud-1/space/hub/app", "management").await);
        let client = ServerClient::new(url, self.secret("greenhouse/hub/tenant").await).unwrap();
        let attachment = "greenhouse/cloud-1/space/hub/app/tenant/attachment/gw";
        let Outputs::Attachment(attachment) = self.outputs(attachment).await else { panic!() };
        eventually("the readings at the server", async || {
            let stats = client.stats("greenhouse", &attachment.channel).await.unwrap();
            (stats.count == count).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_slice_comes_changes_survives_the_process_and_goes_without_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::new(dir.path(), Arc::new(MemoryStore::new()), Arc::default());
    let wanted = intent(DOCUMENTS);
    assert_eq!(process.apply(&wanted).await, 15);
    assert!(process.engine.plan(&wanted).await.unwrap().is_empty(), "a plan after an apply is empty");
    process.publish(1, "20").await.unwrap();
    process.stored(1).await;

    let ports = [
        process.address("greenhouse/edge-1/space/gw/app", "mqtt").await,
        process.address("greenhouse/cloud-1/space/hub/app", "management").await,
    ];
    let process = process.restart(dir.path()).await;
    assert!(process.engine.plan(&wanted).await.unwrap().is_empty(), "the next process finds all as it was");

    let rotate = Intent {
        rotate: [
            "greenhouse/edge-1/space/gw/app/device/bench-1".parse().unwrap(),
            "greenhouse/cloud-1/space/hub/app/tenant/attachment/gw".parse().unwrap(),
        ]
        .into(),
        ..wanted.clone()
    };
    process.apply(&rotate).await;
    process.publish(2, "21").await.unwrap();
    assert!(process.secrets.fetch(&"greenhouse/gw/bench-1/password#1".parse().unwrap()).await.is_err());
    process.stored(2).await;
    assert!(process.engine.plan(&wanted).await.unwrap().is_empty());

    let narrower = intent(&DOCUMENTS.replace("[-40, 85]", "[-40, 50]"));
    process.apply(&narrower).await;
    process.publish(2, "60").await.unwrap();
    process.publish(2, "40").await.unwrap();
    process.stored(3).await;

    let url = format!("http://{}", process.address("greenhouse/edge-1/space/gw/app", "management").await);
    let gateway = GatewayClient::new(url, process.secret("greenhouse/gw/admin").await).unwrap();
    gateway.delete("devices/bench-2", None).await.unwrap();
    let repair = process.engine.plan(&narrower).await.unwrap();
    assert_eq!(repair.slices[0].steps.len(), 2, "the device and its credential");
    process.apply(&narrower).await;
    assert!(process.engine.plan(&narrower).await.unwrap().is_empty());

    let gone = Intent { delete: vec!["greenhouse".parse().unwrap()], ..Intent::default() };
    process.apply(&gone).await;
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
    for port in ports {
        TcpListener::bind(port).unwrap();
    }
    assert!(process.secrets.list("greenhouse").await.unwrap().is_empty());
    process.host.stop().await;
}

#[tokio::test]
async fn a_slice_that_cannot_be_made_is_unwound_to_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::new(dir.path(), Arc::new(MemoryStore::new()), Arc::default());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = DOCUMENTS.replace("name: gw,", &format!("name: gw, settings: {{ mqttPort: {port} }},"));
    let wanted = intent(&text);
    let plan = process.engine.plan(&wanted).await.unwrap();
    let failed = process.engine.apply(plan, RunOptions::default()).await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::Conflict);
    let cause = failed.error.to_cause();
    assert!(cause.to_string().contains(&format!("cannot listen on 127.0.0.1:{port}")), "{cause}");
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing is left");

    drop(taken);
    process.apply(&wanted).await;
    process.publish(1, "20").await.unwrap();
    process.stored(1).await;
    process.host.stop().await;
}
