//! What a cluster does by itself.

use hyper::Method;
use serde_json::{Value, json};

use super::{CLAIMS, DEPLOYMENTS, JOBS, MAPS, PAUSE, PODS, SERVICES, SETS, deployment, map};
use crate::talk::{Like, Talk};

pub(crate) async fn what_belongs_to_what_is_gone_goes_too(talk: &mut Talk) {
    talk.settle().await;
    let owner = talk.ask(Method::POST, MAPS, map("owner", json!({}))).await.says(201, "");
    let own = |name: &str| {
        json!({ "metadata": { "name": name, "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner",
            "uid": owner["metadata"]["uid"] }] } })
    };
    talk.ask_like(Like::Reason, Method::POST, MAPS, own("a")).await.says(201, "");
    talk.forget_question();
    talk.ask(Method::DELETE, &format!("{MAPS}/owner"), json!({})).await.says(200, "");
    talk.until("what it owned is gone", &format!("{MAPS}/a"), |code, _| code == 404).await;
    talk.ask_like(Like::Within, Method::POST, DEPLOYMENTS, deployment("d", PAUSE, 1)).await.says(201, "");
    let is_ready = |_: u16, it: &Value| it["status"]["availableReplicas"] == 1;
    talk.until("it is ready", &format!("{DEPLOYMENTS}/d"), is_ready).await;
    let options = json!({ "propagationPolicy": "Foreground" });
    let going =
        talk.ask_like(Like::Reason, Method::DELETE, &format!("{DEPLOYMENTS}/d"), options).await.says(200, "");
    talk.note("what it waits for", Like::Whole, &going["metadata"]["finalizers"]);
    talk.until("it is gone", &format!("{DEPLOYMENTS}/d"), |code, _| code == 404).await;
    talk.get("/apis/apps/v1/namespaces/{space}/replicasets").await.says(200, "");
    talk.get(PODS).await.says(200, "");
}

/// What is looked at of a Deployment to tell whether it is ready.
fn counts(deployment: &Value) -> Value {
    let status = &deployment["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let conditions: Vec<_> = conditions
        .map(|it| json!({ "type": it["type"], "status": it["status"], "reason": it["reason"] }))
        .collect();
    let generation = status["observedGeneration"] == deployment["metadata"]["generation"];
    json!({ "replicas": status["replicas"], "updated": status["updatedReplicas"], "ready": status["readyReplicas"],
        "available": status["availableReplicas"], "is observed": generation, "conditions": conditions })
}

/// What is looked at of a pod.
fn told_by(pod: &Value) -> Value {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let conditions: Vec<_> =
        conditions.map(|it| json!({ "type": it["type"], "status": it["status"] })).collect();
    let containers = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    let containers: Vec<_> = containers
        .map(|it| {
            let waiting = &it["state"]["waiting"];
            let kind = it["state"].as_object().and_then(|state| state.keys().next().cloned());
            json!({ "name": it["name"], "ready": it["ready"], "state": kind, "reason": waiting["reason"], "restarts": it["restartCount"] })
        })
        .collect();
    json!({ "phase": pod["status"]["phase"], "conditions": conditions, "containers": containers })
}

pub(crate) async fn a_deployment_becomes_ready(talk: &mut Talk) {
    talk.settle().await;
    talk.ask_like(Like::Within, Method::POST, DEPLOYMENTS, deployment("d", PAUSE, 2)).await.says(201, "");
    let at = format!("{DEPLOYMENTS}/d");
    let is_ready = |count: i64| {
        move |_: u16, it: &Value| {
            let conditions = it["status"]["conditions"].as_array().into_iter().flatten();
            let is_through = conditions.into_iter().any(|it| it["reason"] == "NewReplicaSetAvailable");
            it["status"]["observedGeneration"] == it["metadata"]["generation"]
                && it["status"]["replicas"] == count
                && it["status"]["updatedReplicas"] == count
                && it["status"]["availableReplicas"] == count
                && is_through
        }
    };
    let ready = talk.until("it is ready", &at, is_ready(2)).await;
    talk.note("the Deployment", Like::Within, &counts(&ready));
    let pods = talk.until("both pods are there", PODS, |_, pods| pods["items"][1].is_object()).await;
    for pod in pods["items"].as_array().unwrap() {
        talk.note("a pod of it", Like::Within, &told_by(pod));
        let owner = &pod["metadata"]["ownerReferences"][0];
        talk.note(
            "its owner",
            Like::Whole,
            &json!([owner["kind"], owner["apiVersion"], owner["controller"]]),
        );
    }
    let other =
        json!({ "spec": { "replicas": 1, "template": { "metadata": { "annotations": { "a": "b" } } } } });
    let changed = talk.merge_like(Like::Reason, &at, other).await.says(200, "");
    assert_eq!(changed["metadata"]["generation"], 2);
    let ready = talk.until("it is ready again", &at, is_ready(1)).await;
    talk.note("the Deployment after a change", Like::Within, &counts(&ready));
    let sets = talk
        .until("there are two sets", "/apis/apps/v1/namespaces/{space}/replicasets", |_, sets| {
            sets["items"][1].is_object()
        })
        .await;
    let mut replicas: Vec<_> =
        sets["items"].as_array().unwrap().iter().map(|set| set["spec"]["replicas"].clone()).collect();
    replicas.sort_by_key(Value::to_string);
    talk.note("the old and the new set", Like::Whole, &replicas.into());
    let service = json!({ "metadata": { "name": "d" }, "spec": { "ports": [{ "name": "x", "port": 80 }], "selector": { "app": "d" } } });
    talk.ask_like(Like::Within, Method::POST, SERVICES, service).await.says(201, "");
    let slices = "/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dd";
    let is_there = |_: u16, slices: &Value| slices["items"][0]["endpoints"][0]["conditions"]["ready"] == true;
    let slices = talk.until("the pod is behind the Service", slices, is_there).await;
    let slice = &slices["items"][0];
    talk.note(
        "who is behind the Service",
        Like::Within,
        &json!([slice["ports"], slice["addressType"], slice["endpoints"][0]["conditions"]]),
    );
}

pub(crate) async fn a_set_gets_its_claims_one_pod_after_the_other(talk: &mut Talk) {
    talk.settle().await;
    let claim = json!({ "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": "1Mi" } } } });
    let set = json!({ "metadata": { "name": "s" }, "spec": { "serviceName": "s", "replicas": 2, "volumeClaimTemplates": [claim],
        "selector": { "matchLabels": { "app": "s" } }, "template": deployment("s", PAUSE, 0)["spec"]["template"] } });
    talk.ask_like(Like::Reason, Method::POST, SETS, set).await.says(201, "");
    let is_ready = |_: u16, it: &Value| {
        it["status"]["readyReplicas"] == 2
            && it["status"]["updateRevision"] == it["status"]["currentRevision"]
    };
    let ready = talk.until("it is ready", &format!("{SETS}/s"), is_ready).await;
    let status = &ready["status"];
    let told = json!([
        status["replicas"],
        status["readyReplicas"],
        status["updatedReplicas"],
        status["observedGeneration"]
    ]);
    talk.note("the set", Like::Whole, &told);
    for claim in ["data-s-0", "data-s-1"] {
        let claim = talk
            .until("the claim is bound", &format!("{CLAIMS}/{claim}"), |_, it| {
                it["status"]["phase"] == "Bound"
            })
            .await;
        let told = json!([
            claim["metadata"]["labels"],
            claim["status"]["phase"],
            claim["status"]["accessModes"],
            claim["metadata"]["finalizers"]
        ]);
        talk.note("a claim", Like::Whole, &told);
    }
    let pods = talk.until("both pods are there", PODS, |_, pods| pods["items"][1].is_object()).await;
    for pod in pods["items"].as_array().unwrap() {
        let mut labels = pod["metadata"]["labels"].clone();
        assert!(labels["controller-revision-hash"].take().is_string());
        talk.note("a pod of it", Like::Within, &json!([pod["metadata"]["name"], labels]));
    }
}

pub(crate) async fn pods_that_cannot_run_say_why(talk: &mut Talk) {
    talk.settle().await;
    let mut large = deployment("large", PAUSE, 1);
    large["spec"]["template"]["spec"]["containers"][0]["resources"] =
        json!({ "requests": { "memory": "1000Gi" } });
    let mut crashing = deployment("crashing", "iotorch.test/busybox:1", 1);
    crashing["spec"]["template"]["spec"]["containers"][0]["command"] =
        json!(["/bin/sh", "-c", "echo it is broken; exit 1"]);
    let mut lacking = deployment("lacking", PAUSE, 1);
    lacking["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{ "name": "A", "valueFrom": { "secretKeyRef": { "name": "none", "key": "a" } } }]);
    let absent = deployment("absent", "iotorch.test/absent:1", 1);
    for made in [&large, &crashing, &lacking, &absent] {
        talk.ask_like(Like::Within, Method::POST, DEPLOYMENTS, made.clone()).await.says(201, "");
    }
    let of = |name: &str| format!("{PODS}?labelSelector=app%3D{name}");
    // A kubelet that has just begun to look for Secrets says first that it could not look.
    let waits = |reason: &'static str| {
        move |_: u16, pods: &Value| {
            let told = &pods["items"][0]["status"]["containerStatuses"][0]["state"]["waiting"];
            let has_looked = !told["message"].as_str().is_some_and(|it| it.starts_with("failed to sync"));
            told["reason"] == reason && has_looked
        }
    };
    let is_unplaced = |_: u16, pods: &Value| pods["items"][0]["status"]["conditions"][0]["status"] == "False";
    let pod = talk.until("it cannot be placed", &of("large"), is_unplaced).await["items"][0].clone();
    let told = &pod["status"]["conditions"][0];
    assert!(
        told["message"].as_str().unwrap().starts_with("0/1 nodes are available: 1 Insufficient memory."),
        "{told}"
    );
    talk.note(
        "a pod without a place",
        Like::Whole,
        &json!([told["type"], told["status"], told["reason"], pod["status"]["phase"]]),
    );
    for (name, reason) in [
        ("absent", "ErrImageNeverPull"),
        ("lacking", "CreateContainerConfigError"),
        ("crashing", "CrashLoopBackOff"),
    ] {
        let pod = talk.until(reason, &of(name), waits(reason)).await["items"][0].clone();
        let container = &pod["status"]["containerStatuses"][0];
        let ended = &container["lastState"]["terminated"];
        let told = json!({ "reason": container["state"]["waiting"]["reason"], "code": ended["exitCode"], "why": ended["reason"],
            "pod": told_by(&pod)["conditions"] });
        talk.note(name, Like::Within, &told);
        if name != "crashing" {
            talk.note("its message", Like::Whole, &container["state"]["waiting"]["message"]);
        }
    }
    let name =
        talk.until("the pod is there", &of("crashing"), |_, _| true).await["items"][0]["metadata"]["name"]
            .clone();
    let log = format!("{PODS}/{}/log?tailLines=5", name.as_str().unwrap());
    // While the container starts anew, its log is empty, or a kubelet says that there is none.
    let is_written = |code: u16, log: &Value| code == 200 && log == "it is broken\n";
    let log = talk.until("the log can be read", &log, is_written).await;
    talk.note("the log", Like::Whole, &log);
    let is_told = |_: u16, events: &Value| events["items"][0].is_object();
    let warnings = "/api/v1/namespaces/{space}/events?fieldSelector=reason%3DFailedScheduling";
    let event = talk.until("it is told", warnings, is_told).await["items"][0].clone();
    talk.note(
        "the event",
        Like::Whole,
        &json!([event["type"], event["reason"], event["involvedObject"]["kind"]]),
    );
}

pub(crate) async fn a_job_ends(talk: &mut Talk) {
    talk.settle().await;
    let job = |name: &str, limit: i64, container: Value| {
        json!({ "metadata": { "name": name }, "spec": { "backoffLimit": limit, "template": { "spec": { "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0, "containers": [container] } } } })
    };
    let container = json!({ "name": "work", "image": "iotorch.test/busybox:1", "imagePullPolicy": "Never",
        "command": ["/bin/sh", "-c", "exit 1"] });
    let made = talk.ask_like(Like::Reason, Method::POST, JOBS, job("bad", 0, container)).await.says(201, "");
    assert_eq!(made["spec"]["completions"], 1);
    let is_over = |_: u16, it: &Value| {
        let conditions = it["status"]["conditions"].as_array().into_iter().flatten();
        conditions
            .into_iter()
            .any(|it| ["Complete", "Failed"].contains(&it["type"].as_str().unwrap_or_default()))
    };
    let over = talk.until("it has failed", &format!("{JOBS}/bad"), is_over).await;
    let conditions = over["status"]["conditions"].as_array().unwrap();
    let failed = conditions.iter().find(|it| it["type"] == "Failed").unwrap();
    talk.note("the end", Like::Whole, &json!([failed["status"], failed["reason"], failed["message"]]));
}
