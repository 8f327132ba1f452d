//! Releases in a real cluster, with Helm 3 and with Helm 4. No node is needed: what is deployed here does not run.
//!
//! `IOTORCH_KUBECONFIG` (and `IOTORCH_CONTEXT`) say which cluster.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::*;
use iotorch_helm::{
    Call, ErrorKind, HelmBinary, HelmEngine, Install, Release, ReleaseStatus, Result, Revision, Rollback,
    Uninstall, Upgrade,
    storage::{SECRET_TYPE, StoredRelease, Written},
};
use jiff::Timestamp;
use libtest_mimic::Arguments;
use serde_json::{Value, json};
use std::{path::PathBuf, process::ExitCode, time::Duration};

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for helm in helms() {
        let mut trial = |test: &str, body: fn(Stage)| {
            let on_stage = move |helm, cluster| run(async move { body_of(helm, cluster, body).await });
            trials.push(common::trial(test, &helm, on_stage));
        };
        trial("a_release_lives_from_its_installation_to_its_removal", |stage| block(lifecycle(stage)));
        trial("errors_of_a_cluster_are_told_apart", |stage| block(errors(stage)));
        trial("a_release_that_was_broken_off_is_pending_until_it_is_marked_as_failed", |stage| {
            block(recovery(stage))
        });
        trial("what_is_written_here_is_read_by_helm", |stage| block(interchange(stage)));
        trial("a_change_is_finished_when_it_is_dropped", |stage| block(dropped(stage)));
        trial("a_hook_that_takes_too_long_is_told_apart", |stage| block(slow_hook(stage)));
        trial("all_of_many_releases_are_listed", |stage| block(many(stage)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

async fn body_of(helm: Helm, cluster: (PathBuf, Option<String>), body: fn(Stage)) {
    let namespace = Namespace::make(&helm, &cluster).await;
    let world = World::new(&helm.program, access(&cluster)).await;
    let stage = Stage { helm, namespace, world, cluster };
    tokio::task::spawn_blocking(move || body(stage)).await.unwrap();
}

fn block(test: impl Future<Output = ()>) {
    tokio::runtime::Handle::current().block_on(test);
}

/// A namespace, and an engine.
struct Stage {
    helm: Helm,
    namespace: Namespace,
    world: World,
    cluster: (PathBuf, Option<String>),
}

impl Stage {
    fn engine(&self) -> &HelmBinary {
        &self.world.helm
    }

    fn release(&self, name: &str) -> Release {
        release(name, self.namespace.name())
    }

    async fn install(&self, name: &str, given: Value) -> Result<Revision> {
        let chart = self.world.chart("gateway").await;
        let install =
            Install::builder().release(self.release(name)).chart(chart).values(values(given)).build();
        self.engine().install(&call(), &install).await
    }

    async fn upgrade(&self, name: &str, given: Value) -> Result<Revision> {
        let chart = self.world.chart("gateway").await;
        let upgrade =
            Upgrade::builder().release(self.release(name)).chart(chart).values(values(given)).build();
        self.engine().upgrade(&call(), &upgrade).await
    }

    async fn uninstall(&self, name: &str) -> Result<Vec<String>> {
        let uninstall = Uninstall::builder().release(self.release(name)).build();
        self.engine().uninstall(&call(), &uninstall).await.map(|done| done.kept)
    }

    async fn status(&self, name: &str) -> Result<ReleaseStatus> {
        Ok(self.engine().status(&call(), &self.release(name)).await?.revision.status)
    }

    /// An object in the cluster; nothing if it is not there.
    async fn object(&self, api_version: &str, kind: &str, name: &str) -> Option<Value> {
        let set = format!("apiVersion={api_version},kind={kind},name={name}");
        let chart = test_chart("peek");
        let arguments = ["template", "peek", chart.to_str().unwrap(), "--dry-run=server", "--set", &*set];
        let shown = self.namespace.run(&arguments, self.namespace.name()).await.unwrap();
        let shown = shown.lines().find_map(|line| line.trim().strip_prefix("object: ")).unwrap();
        let object: Value = serde_json::from_slice(&STANDARD.decode(shown).unwrap()).unwrap();
        Some(object).filter(|object| object.get("kind").is_some())
    }

    async fn data(&self, name: &str) -> Option<Value> {
        self.object("v1", "ConfigMap", name).await.map(|mut object| object["data"].take())
    }

    /// A release as its Secret has it.
    async fn stored(&self, secret: &str) -> StoredRelease {
        let secret = self.object("v1", "Secret", secret).await.unwrap();
        assert_eq!(secret["type"], SECRET_TYPE);
        let data = STANDARD.decode(secret["data"]["release"].as_str().unwrap()).unwrap();
        let stored = StoredRelease::decode(&data).unwrap();
        let labels = stored.labels(Written::Created(Timestamp::UNIX_EPOCH));
        for key in ["owner", "name", "status", "version"] {
            assert_eq!(secret["metadata"]["labels"][key], labels[key].as_str(), "{key}");
        }
        stored
    }

    /// Writes the Secret of a release, by way of another release.
    async fn write(&self, stored: &StoredRelease, rescue: &str) {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": stored.secret_name(), "labels": stored.labels(Written::Modified(Timestamp::now())) },
            "type": SECRET_TYPE,
            "data": { "release": STANDARD.encode(stored.encode()) },
        });
        let path = self.world.dir.path().join("secret.json");
        std::fs::write(&path, json!({ "objects": [secret] }).to_string()).unwrap();
        let chart = test_chart("gateway");
        let mut arguments = vec!["install", rescue, chart.to_str().unwrap(), "--take-ownership", "--values"];
        arguments.push(path.to_str().unwrap());
        if self.helm.name == "helm4" {
            // Helm itself wrote the fields before, in another way.
            arguments.push("--force-conflicts");
        }
        self.namespace.run(&arguments, self.namespace.name()).await.unwrap();
    }
}

async fn lifecycle(stage: Stage) {
    let (engine, release) = (stage.engine(), stage.release("gw"));
    let missing = engine.status(&call(), &release).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{}", chain(&missing));
    assert_eq!(engine.history(&call(), &release).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(stage.uninstall("gw").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(stage.upgrade("gw", json!({})).await.unwrap_err().kind(), ErrorKind::NotFound);

    let before = Timestamp::now();
    let first = stage.install("gw", json!({ "keep": true, "data": { "a": "1" } })).await.unwrap();
    assert_eq!((first.number, first.status), (1, ReleaseStatus::Deployed));
    assert_eq!(
        (first.chart.to_string(), first.app_version.as_deref()),
        ("gateway-1.2.0".into(), Some("7.1"))
    );
    assert!(first.updated.unwrap().as_second() >= before.as_second());
    assert_eq!(stage.data("gw-config").await.unwrap()["a"], "1");

    let state = engine.status(&call(), &release).await.unwrap();
    assert_eq!(state.revision, first);
    assert_eq!(state.values, values(json!({ "keep": true, "data": { "a": "1" } })));
    assert_eq!(state.notes, "The gateway is called gw.\n".to_owned());
    let objects: Vec<_> = state.manifests.objects().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(objects, ["ConfigMap \"gw-config\"", "ConfigMap \"gw-kept\""]);
    let stored = stage.stored("sh.helm.release.v1.gw.v1").await;
    assert_eq!((stored.state(), stored.release()), (state, &release));

    // Nothing of earlier values is taken over.
    let second = stage.upgrade("gw", json!({ "keep": true, "data": { "b": "2" } })).await.unwrap();
    assert_eq!((second.number, second.status), (2, ReleaseStatus::Deployed));
    let data = stage.data("gw-config").await.unwrap();
    assert_eq!((&data["a"], &data["b"], &data["upgrade"]), (&Value::Null, &json!("2"), &json!("true")));

    let rollback = Rollback::builder().release(release.clone()).to(1).build();
    let third = engine.rollback(&call(), &rollback).await.unwrap();
    assert_eq!((third.number, third.status), (3, ReleaseStatus::Deployed));
    assert_eq!(stage.data("gw-config").await.unwrap()["a"], "1");
    let error = engine.rollback(&call(), &Rollback::builder().release(release.clone()).to(9).build()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);

    let history = engine.history(&call(), &release).await.unwrap();
    let shown: Vec<_> = history.iter().map(|it| (it.number, it.status, it.chart.to_string())).collect();
    let chart = || "gateway-1.2.0".to_owned();
    let expected = [
        (1, ReleaseStatus::Superseded, chart()),
        (2, ReleaseStatus::Superseded, chart()),
        (3, ReleaseStatus::Deployed, chart()),
    ];
    assert_eq!(shown, expected);
    assert_eq!((&*history[2].description, history[2].updated), ("Rollback to 1", third.updated));

    let listed = engine.list(&call(), Some(&release.namespace)).await.unwrap();
    assert_eq!(listed.len(), 1);
    let (listed, revision) = &listed[0];
    assert_eq!((listed, revision.number, revision.status), (&release, 3, ReleaseStatus::Deployed));
    assert_eq!((&revision.chart, revision.updated), (&third.chart, third.updated));
    let everywhere = engine.list(&call(), None).await.unwrap();
    assert!(everywhere.iter().any(|(listed, _)| *listed == release));

    assert_eq!(stage.uninstall("gw").await.unwrap(), ["[ConfigMap] gw-kept"]);
    assert!(stage.data("gw-config").await.is_none() && stage.data("gw-kept").await.is_some());
    assert!(engine.list(&call(), Some(&release.namespace)).await.unwrap().is_empty());
    assert!(engine.is_idle(&release).await.unwrap());

    stage.install("kept", json!({})).await.unwrap();
    let remove = Uninstall::builder().release(stage.release("kept")).keep_history(true).build();
    engine.uninstall(&call(), &remove).await.unwrap();
    assert_eq!(stage.status("kept").await.unwrap(), ReleaseStatus::Uninstalled);
    let listed = engine.list(&call(), Some(&release.namespace)).await.unwrap();
    assert_eq!(listed[0].1.status, ReleaseStatus::Uninstalled, "it is listed however it stands");
}

fn config_map(name: &str, more: Value) -> Value {
    let mut object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "objects": [object] })
}

async fn errors(stage: Stage) {
    stage.install("first", json!({})).await.unwrap();
    let nothing = json!({});
    for (given, kind, said) in [
        (
            config_map("first-config", nothing.clone()),
            ErrorKind::Conflict,
            "cannot be imported into the current release",
        ),
        (config_map("A_B", nothing.clone()), ErrorKind::Rejected, "ConfigMap \"A_B\" is invalid"),
        (
            json!({ "objects": [{ "apiVersion": "example.org/v1", "kind": "Nope", "metadata": { "name": "a" } }] }),
            ErrorKind::Rejected,
            "no matches for kind \"Nope\"",
        ),
        (
            config_map("a", json!({ "metadata": { "name": "a", "namespace": "no-such-namespace" } })),
            ErrorKind::NotFound,
            "namespaces \"no-such-namespace\" not found",
        ),
        (json!({ "replicas": "many" }), ErrorKind::InvalidValues, "replicas"),
        (json!({ "fail": "is forbidden: User" }), ErrorKind::InvalidChart, "objects.yaml:1:27"),
    ] {
        let error = stage.install("second", given.clone()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{}", chain(&error));
        assert!(chain(&error).contains(said), "{}", chain(&error));
        // What got as far as the cluster is there as failed.
        match stage.status("second").await {
            Ok(status) => {
                assert_eq!(status, ReleaseStatus::Failed);
                stage.uninstall("second").await.unwrap();
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        }
        let error = stage.upgrade("first", given).await;
        // That one belongs to this release.
        if said.contains("imported") {
            continue;
        }
        assert_eq!(error.unwrap_err().kind(), kind);
    }
    let error = stage.install("first", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{}", chain(&error));

    let limited = json!({ "data": { "a": "1" }, "immutable": true });
    stage.upgrade("first", config_map("fixed", limited)).await.unwrap();
    let changed = json!({ "data": { "a": "2" }, "immutable": true });
    let error = stage.upgrade("first", config_map("fixed", changed)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{}", chain(&error));
    // A failed one is taken up.
    assert_eq!(stage.upgrade("first", json!({})).await.unwrap().status, ReleaseStatus::Deployed);

    let elsewhere = Install::builder().release(release("first", "no-such-namespace"));
    let install = elsewhere.chart(stage.world.chart("gateway").await).build();
    let error = stage.engine().install(&call(), &install).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{}", chain(&error));

    let poor =
        World::new(&stage.helm.program, access(&stage.cluster).acting_as("nobody-knows", ["strangers"]))
            .await;
    let error = poor.helm.status(&call(), &stage.release("first")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{}", chain(&error));
    let error = poor.helm.install(&call(), &install).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{}", chain(&error));
    let astray =
        World::new(&stage.helm.program, access(&stage.cluster).with_context("no-such-context")).await;
    let error = astray.helm.list(&call(), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{}", chain(&error));
}

async fn recovery(stage: Stage) {
    let (engine, release) = (stage.engine(), stage.release("gw"));
    let chart = test_chart("gateway");
    let arguments = ["install", "gw", chart.to_str().unwrap(), "--set", "hook=true"];
    let mut helm = stage.namespace.command(&arguments, stage.namespace.name()).spawn().unwrap();
    stage.namespace.until_pending(engine, &release).await;
    helm.kill().await.unwrap();
    assert_eq!(stage.status("gw").await.unwrap(), ReleaseStatus::PendingInstall);
    let error = stage.upgrade("gw", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Pending, "{}", chain(&error));
    assert!(error.help().is_some());
    assert_eq!(stage.install("gw", json!({})).await.unwrap_err().kind(), ErrorKind::Conflict);

    let stored = stage.stored("sh.helm.release.v1.gw.v1").await;
    stage.write(&stored.with_status(ReleaseStatus::Failed, "broken off"), "rescue").await;
    let state = engine.status(&call(), &release).await.unwrap();
    assert_eq!((state.revision.status, &*state.revision.description), (ReleaseStatus::Failed, "broken off"));
    assert_eq!(stage.upgrade("gw", json!({})).await.unwrap().status, ReleaseStatus::Deployed);
    stage.uninstall("gw").await.unwrap();
}

async fn interchange(stage: Stage) {
    stage.install("template", json!({ "data": { "a": "1" } })).await.unwrap();
    let original = stage.stored("sh.helm.release.v1.template.v1").await;
    // The same release under another name, as if it had been made here.
    let text =
        Value::Object(original.as_json().clone()).to_string().replace("template-config", "ours-config");
    let mut json: Value = serde_json::from_str(&text).unwrap();
    json["name"] = "ours".into();
    let ours = StoredRelease::from_json(json.to_string().as_bytes()).unwrap();
    stage.write(&ours, "writer").await;
    stage.uninstall("template").await.unwrap();

    let (engine, release) = (stage.engine(), stage.release("ours"));
    assert_eq!(engine.status(&call(), &release).await.unwrap(), ours.state());
    let listed = engine.list(&call(), Some(&release.namespace)).await.unwrap();
    assert!(listed.iter().any(|(listed, revision)| *listed == release && revision.number == 1));
    assert_eq!(engine.history(&call(), &release).await.unwrap().len(), 1);
    assert_eq!(stage.upgrade("ours", json!({ "data": { "a": "2" } })).await.unwrap().number, 2);
    let rollback = Rollback::builder().release(release).to(1).build();
    assert_eq!(engine.rollback(&call(), &rollback).await.unwrap().number, 3);
    assert_eq!(stage.data("ours-config").await.unwrap()["a"], "1");
    stage.uninstall("ours").await.unwrap();
}

async fn dropped(stage: Stage) {
    let release = stage.release("gw");
    let install = Install::builder().release(release.clone()).chart(stage.world.chart("gateway").await);
    let install = install.values(values(json!({ "hook": true }))).build();
    let call_of_it = Call::within(Duration::from_secs(8));
    let cancelled = call_of_it.cancelled.clone();
    {
        let work = stage.engine().install(&call_of_it, &install);
        let pending = stage.namespace.until_pending(stage.engine(), &release);
        tokio::select! {
            _ = work => panic!("the hook cannot end that early"),
            () = pending => {}
        }
    }
    // It was dropped, and it does not matter that it is cancelled now.
    cancelled.cancel();
    assert!(!stage.engine().is_idle(&release).await.unwrap());
    assert_eq!(stage.uninstall("gw").await.unwrap_err().kind(), ErrorKind::Busy);
    let lock = stage.world.dir.path().join("locks").join(release.namespace.as_str()).join("gw/lock");
    let wait = tokio::task::spawn_blocking(move || std::fs::File::open(lock).unwrap().lock().unwrap());
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap().unwrap();
    assert_eq!(stage.status("gw").await.unwrap(), ReleaseStatus::Failed, "helm has finished by itself");
    stage.uninstall("gw").await.unwrap();
}

async fn slow_hook(stage: Stage) {
    let install = Install::builder().release(stage.release("gw")).chart(stage.world.chart("gateway").await);
    let install = install.values(values(json!({ "hook": true }))).build();
    let error = stage.engine().install(&Call::within(Duration::from_secs(3)), &install).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{}", chain(&error));
    assert_eq!(stage.status("gw").await.unwrap(), ReleaseStatus::Failed);
    stage.uninstall("gw").await.unwrap();
}

/// More than helm gives at once.
async fn many(stage: Stage) {
    const MANY: usize = 300;
    stage.install("template", json!({})).await.unwrap();
    let original = stage.stored("sh.helm.release.v1.template.v1").await;
    let secrets: Vec<Value> = (0..MANY)
        .map(|number| {
            let mut json = Value::Object(original.as_json().clone());
            json["name"] = format!("many-{number}").into();
            json["chart"] = json!({ "metadata": { "name": "gateway", "version": "1.2.0" } });
            let stored = StoredRelease::from_json(json.to_string().as_bytes()).unwrap();
            json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": stored.secret_name(),
                    "labels": stored.labels(Written::Created(Timestamp::now())),
                },
                "type": SECRET_TYPE,
                "data": { "release": STANDARD.encode(stored.encode()) },
            })
        })
        .collect();
    stage.install("writer", json!({ "objects": secrets })).await.unwrap();
    let listed = stage.engine().list(&call(), Some(&stage.release("gw").namespace)).await.unwrap();
    assert_eq!(listed.len(), MANY + 2);
    stage.uninstall("writer").await.unwrap();
}
