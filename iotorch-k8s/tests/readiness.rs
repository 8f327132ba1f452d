//! When a release is ready, and why it is not, on a real cluster: that of `IOTORCH_KUBECONFIG`, with the helm of `IOTORCH_HELM4` and the
//! images of the testbed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use common::{Proxy, System, infrastructure, runtime};
use futures::{StreamExt as _, TryStreamExt as _};
use iotorch_core::{
    Context, Domain, Driver, Error, ErrorKind, Places, Target,
    model::{Capacity, Chart, PartName, SliceName},
    resource::{
        Change, Job, Outputs, Ownership, ResourceId, Role, Space, SpaceOutputs, SpaceSpec, Work, Workload,
        WorkloadInputs, WorkloadSpec,
    },
    secret::MemorySecretStore,
};
use iotorch_k8s::{HelmCharts, HelmPrograms, KubernetesDriver};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::{WatchStreamExt as _, watcher},
};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let system = System::find();
    let trial = |name: &str, test: fn(Slice) -> Test| {
        common::trial(&system, name, move |system| {
            runtime().block_on(async {
                let slice = Slice::new(&system).await;
                let (client, name) = (slice.client.clone(), slice.name.clone());
                // So that it is removed also when the test panics.
                let ended = tokio::spawn(test(slice)).await;
                let _ = Api::<Namespace>::all(client).delete(name.as_str(), &DeleteParams::default()).await;
                ended.map_err(|panic| Failed::from(panic.to_string()))
            })
        })
    };
    let trials: Vec<Trial> = vec![
        trial("a_definition_is_ready_when_it_is_served_and_its_object_when_that_says_so", |slice| {
            Box::pin(gizmo(slice))
        }),
        trial("a_definition_whose_names_are_taken_is_given_up", |slice| Box::pin(taken(slice))),
        trial("an_ingress_is_ready_when_its_controller_has_given_it_an_address", |slice| {
            Box::pin(served(slice))
        }),
        trial("an_ingress_of_a_class_that_is_not_there_is_given_up", |slice| Box::pin(unserved(slice))),
        trial("a_quota_that_refuses_a_pod_is_told", |slice| Box::pin(quota(slice))),
        trial("a_probe_that_fails_is_told", |slice| Box::pin(probe(slice))),
        trial("a_job_that_fails_is_told_with_the_end_of_its_log", |slice| Box::pin(job(slice))),
        trial("a_wait_goes_on_when_the_api_server_was_away", |slice| Box::pin(away(slice))),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

type Test = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// A slice of its own on the cluster, reached through a proxy that can be closed.
struct Slice {
    name: SliceName,
    client: Client,
    proxy: Proxy,
    domain: Arc<dyn Domain>,
    _folder: TempDir,
}

impl Slice {
    async fn new(system: &System) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = SliceName::new(&format!("readiness-{}-{number}", std::process::id())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let proxy = Proxy::open(system, folder.path()).await;
        let charts = HelmCharts::new(folder.path().join("charts")).unwrap();
        let helm = HelmPrograms::new(&system.helm, folder.path().join("helm"));
        let driver = KubernetesDriver::new(charts, helm).with_kubeconfig(proxy.kubeconfig());
        let domain = driver.connect(&Target::Infrastructure(infrastructure("edge-1"))).unwrap();
        Self { name, client: system.client().await, proxy, domain, _folder: folder }
    }

    fn id(&self) -> ResourceId {
        ResourceId::space(&self.name, &"edge-1".parse().unwrap())
    }

    /// One call, as core makes it.
    async fn call(&self, work: &Work, deadline: Instant) -> Result<Outputs, Error> {
        let cx = Context {
            installation: "test".into(),
            deadline,
            cancelled: CancellationToken::new(),
            secrets: Arc::new(MemorySecretStore::default()),
            places: Places::default(),
        };
        self.domain.apply(&cx, vec![work.clone()]).await.remove(0)
    }

    /// Calls until it succeeds or fails, and gives what was told meanwhile.
    async fn run(&self, work: Work) -> (Result<Outputs, Error>, Vec<String>) {
        let deadline = Instant::now() + Duration::from_secs(90);
        let mut told: Vec<String> = Vec::new();
        loop {
            match self.call(&work, deadline).await {
                Err(error) if error.is_retryable() && Instant::now() < deadline => {
                    let why = error.to_cause().to_string();
                    if told.last() != Some(&why) {
                        told.push(why);
                    }
                }
                ended => return (ended, told),
            }
        }
    }

    /// Calls until this is told.
    async fn expect_told(&self, work: &Work, words: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let error = self.call(work, deadline).await.unwrap_err();
            let why = error.to_cause().to_string();
            if why.ends_with(words) {
                return;
            }
            assert!(error.is_retryable() && Instant::now() < deadline, "it is not told: {words}, but: {why}");
        }
    }

    async fn space(&self, quota: Capacity) {
        let after = SpaceSpec { name: self.name.to_string(), quota };
        let job = Job::<Space> {
            id: self.id(),
            change: Change::Create { after },
            inputs: Default::default(),
            ownership: Ownership::Ours,
        };
        self.run(Work::Space(job)).await.0.unwrap();
    }

    /// The step that makes a release of these objects.
    fn release(&self, name: &str, objects: &[Value]) -> Work {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/charts/parts");
        let values = json!({ "objects": objects });
        let after = WorkloadSpec {
            name: name.to_owned(),
            role: Role::Gateway,
            application: Some("edgex".parse().unwrap()),
            chart: Some(Chart::builder().source(source).values(values.as_object().unwrap().clone()).build()),
            physical: None,
            needs: Capacity::default(),
            settings: serde_json::Map::new(),
            admin: None,
        };
        let space = Some(SpaceOutputs { namespace: self.name.to_string() });
        Work::Workload(Job::<Workload> {
            id: self.id().workload(&PartName::new(name).unwrap()),
            change: Change::Create { after },
            inputs: WorkloadInputs { space, segments: BTreeMap::new() },
            ownership: Ownership::Ours,
        })
    }

    /// Waits until an object is there, and sets its status.
    async fn report(&self, api_version: &str, kind: &str, name: &str, status: Value) {
        let (group, version) = api_version.split_once('/').unwrap();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), self.name.as_str(), &resource);
        let one = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let seen = watcher(api.clone(), one).default_backoff().applied_objects().boxed();
        // Watches of a definition that was just made are refused for a moment.
        let seen = seen.filter_map(|object| async { object.ok() });
        std::pin::pin!(seen).next().await.unwrap();
        let patch = Patch::Merge(json!({ "status": status }));
        api.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }
}

fn expect_infeasible(ended: Result<Outputs, Error>, words: &[&str]) {
    let error = ended.unwrap_err();
    let told = error.to_cause().to_string();
    assert_eq!(error.kind(), ErrorKind::Infeasible, "{told}");
    for word in words {
        assert!(told.contains(word), "\"{word}\" is not in: {told}");
    }
}

fn container(script: &str) -> Value {
    json!({ "name": "gw", "image": "iotorch.test/busybox:1", "imagePullPolicy": "Never", "command": ["sh", "-c", script],
        "resources": { "requests": { "cpu": "1m", "memory": "8Mi" }, "limits": { "cpu": "100m", "memory": "32Mi" } } })
}

fn deployment(container: Value) -> Value {
    let labels = json!({ "app.kubernetes.io/instance": "gw" });
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "gw", "labels": labels }, "spec": {
        "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels }, "spec": {
            "terminationGracePeriodSeconds": 0, "containers": [container] } } } })
}

impl Slice {
    fn group(&self) -> String {
        format!("{}.iotorch.test", self.name)
    }

    /// What an object of the cluster has in its metadata so that it goes when the slice's namespace does.
    async fn owner(&self) -> Value {
        let namespace = Api::<Namespace>::all(self.client.clone()).get(self.name.as_str()).await.unwrap();
        json!([{ "apiVersion": "v1", "kind": "Namespace", "name": self.name.as_str(), "uid": namespace.metadata.uid }])
    }

    /// A definition of gizmos under one of their names, in a group of the slice's own.
    async fn definition(&self, plural: &str) -> Value {
        let (group, owner) = (self.group(), self.owner().await);
        json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.{group}"), "ownerReferences": owner }, "spec": {
                "group": group, "scope": "Namespaced", "names": { "plural": plural, "kind": "Gizmo" },
                "versions": [{ "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                    "schema": { "openAPIV3Schema": {
                        "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }] } })
    }
}

async fn gizmo(slice: Slice) {
    slice.space(Capacity::default()).await;
    let definition = slice.definition("gizmos").await;
    slice.run(slice.release("definition", &[definition])).await.0.unwrap();

    let api_version = format!("{}/v1", slice.group());
    let object = json!({ "apiVersion": api_version, "kind": "Gizmo", "metadata": { "name": "gw" } });
    slice.run(slice.release("gw", std::slice::from_ref(&object))).await.0.unwrap();
    let stalled =
        json!({ "conditions": [{ "type": "Stalled", "status": "True", "message": "the motor is missing" }] });
    slice.report(&api_version, "Gizmo", "gw", stalled).await;
    let mut faster = object;
    faster["spec"] = json!({ "speed": 2 });
    let (stalled, _) = slice.run(slice.release("gw", &[faster.clone()])).await;
    expect_infeasible(stalled, &["Gizmo \"gw\" is stalled: the motor is missing"]);

    let winding = json!({ "conditions": [{ "type": "Ready", "status": "False", "message": "it winds up" }] });
    slice.report(&api_version, "Gizmo", "gw", winding).await;
    let release = slice.release("gw", &[faster]);
    slice.expect_told(&release, "Gizmo \"gw\" is not ready: it winds up").await;
    let ready = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
    slice.report(&api_version, "Gizmo", "gw", ready).await;
    slice.run(release).await.0.unwrap();
}

async fn taken(slice: Slice) {
    slice.space(Capacity::default()).await;
    let (first, second) = (slice.definition("gizmos").await, slice.definition("widgets").await);
    slice.run(slice.release("first", &[first])).await.0.unwrap();
    let (refused, _) = slice.run(slice.release("second", &[second])).await;
    expect_infeasible(refused, &["cannot be served: ", "is already in use"]);
}

fn ingress(class: &str) -> Value {
    let backend = json!({ "service": { "name": "gw", "port": { "number": 80 } } });
    json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "gw" }, "spec": {
        "ingressClassName": class, "defaultBackend": backend } })
}

async fn served(slice: Slice) {
    slice.space(Capacity::default()).await;
    let name = slice.name.as_str();
    let kind = GroupVersionKind::gvk("networking.k8s.io", "v1", "IngressClass");
    let resource = ApiResource::from_gvk_with_plural(&kind, "ingressclasses");
    let classes: Api<DynamicObject> = Api::all_with(slice.client.clone(), &resource);
    let class = json!({ "metadata": { "name": name, "ownerReferences": slice.owner().await },
        "spec": { "controller": "iotorch.test/none" } });
    classes.create(&PostParams::default(), &serde_json::from_value(class).unwrap()).await.unwrap();
    let address = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.7" }] } });
    let (waited, ()) = tokio::join!(slice.run(slice.release("gw", &[ingress(name)])), async {
        slice.report("networking.k8s.io/v1", "Ingress", "gw", address).await;
    });
    waited.0.unwrap();
}

async fn unserved(slice: Slice) {
    slice.space(Capacity::default()).await;
    let (ended, told) = slice.run(slice.release("gw", &[ingress("nobodys")])).await;
    let why = "Ingress \"gw\" is served by nobody: the cluster has no IngressClass \"nobodys\"";
    expect_infeasible(ended, &[why]);
    assert!(told.iter().any(|told| told.ends_with(why)), "it is told before it is given up: {told:?}");
}

async fn quota(slice: Slice) {
    slice.space(Capacity { memory: Some("4MiB".parse().unwrap()), ..Capacity::default() }).await;
    let (ended, _) = slice.run(slice.release("gw", &[deployment(container("sleep 1000"))])).await;
    expect_infeasible(
        ended,
        &["a pod cannot be made: pods \"gw-", "exceeded quota: iotorch", "requests.memory=8Mi"],
    );
}

async fn probe(slice: Slice) {
    slice.space(Capacity::default()).await;
    let mut probed = container("sleep 1000");
    let command = ["sh", "-c", "echo the pump is cold; false"];
    probed["readinessProbe"] = json!({ "exec": { "command": command }, "periodSeconds": 1 });
    let release = slice.release("gw", &[deployment(probed)]);
    slice.expect_told(&release, "is not ready: Readiness probe failed: the pump is cold").await;
}

async fn job(slice: Slice) {
    slice.space(Capacity::default()).await;
    let pod = json!({ "restartPolicy": "Never", "containers": [container("echo looking; echo the seed is missing; exit 3")] });
    let job = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "gw" }, "spec": { "backoffLimit": 0,
        "template": { "spec": pod } } });
    let (ended, _) = slice.run(slice.release("gw", &[job])).await;
    expect_infeasible(ended, &["Job \"gw\" failed: ", "its log ends with: looking | the seed is missing"]);
}

async fn away(slice: Slice) {
    slice.space(Capacity::default()).await;
    let mut probed = container("sleep 5; touch /tmp/ready; sleep 1000");
    probed["readinessProbe"] =
        json!({ "exec": { "command": ["test", "-e", "/tmp/ready"] }, "periodSeconds": 1 });
    let (waited, ()) = tokio::join!(slice.run(slice.release("gw", &[deployment(probed)])), async {
        let pods = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
        let pods: Api<DynamicObject> = Api::namespaced_with(slice.client.clone(), slice.name.as_str(), &pods);
        let seen = watcher(pods, watcher::Config::default()).default_backoff().applied_objects();
        let runs =
            seen.try_skip_while(|pod| std::future::ready(Ok(pod.data["status"]["phase"] != "Running")));
        std::pin::pin!(runs).next().await.unwrap().unwrap();
        slice.proxy.close().await;
        slice.proxy.open_again().await;
    });
    waited.0.unwrap();
}
