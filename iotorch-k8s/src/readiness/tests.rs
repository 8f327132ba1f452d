//! Releases as the API server shows them, and what is said of them.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

fn part(kind: &str) -> Part {
    Part { kind: kind.to_owned(), name: "gw".to_owned() }
}

/// A Deployment with one replica that is not there yet, and what else there is.
fn deployment_with(objects: impl IntoIterator<Item = Value>) -> Readiness {
    let deployment = json!({ "kind": "Deployment", "metadata": { "name": "gw", "uid": "d", "generation": 1 },
        "spec": { "replicas": 1, "selector": { "matchLabels": { "app": "gw" } }, "template": {} },
        "status": { "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1 } });
    of(&[part("Deployment")], &View::of([deployment].into_iter().chain(objects).collect()))
}

fn pod(status: Value) -> Value {
    json!({ "kind": "Pod", "metadata": { "name": "gw-1", "uid": "p", "labels": { "app": "gw" } }, "status": status })
}

fn container(state: Value, restarts: u32) -> Value {
    pod(
        json!({ "phase": "Pending", "containerStatuses": [{ "name": "gw", "image": "gw:1", "imageID": "", "ready": false,
        "restartCount": restarts, "state": state }] }),
    )
}

fn warning(uid: &str, reason: &str, message: &str) -> Value {
    json!({ "kind": "Event", "metadata": { "name": reason }, "involvedObject": { "uid": uid }, "type": "Warning",
        "reason": reason, "message": message, "lastTimestamp": "2026-01-01T00:00:00Z" })
}

fn expect_waiting(found: Readiness, text: &str) {
    let Readiness::Waiting(reason) = found else { panic!("{found:?} is not waiting") };
    assert_eq!(reason.text, text);
}

fn expect_hopeless(found: Readiness, text: &str, patience: Option<u64>) {
    let Readiness::Hopeless(reason) = found else { panic!("{found:?} is not hopeless") };
    assert_eq!(reason.text, text);
    assert_eq!(reason.patience, patience.map(Duration::from_secs));
}

#[test]
fn a_deployment_is_ready_when_its_newest_pods_are_and_no_others_are_left() {
    let deployment = |status: Value| {
        let object = json!({ "kind": "Deployment", "metadata": { "name": "gw", "generation": 2 }, "spec": {
            "replicas": 2, "selector": {}, "template": {} }, "status": status });
        of(&[part("Deployment")], &View::of(vec![object]))
    };
    let ready =
        json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 });
    assert_eq!(deployment(ready.clone()), Readiness::Ready);
    for (field, other) in
        [("observedGeneration", 1), ("replicas", 3), ("updatedReplicas", 1), ("availableReplicas", 1)]
    {
        let mut status = ready.clone();
        status[field] = json!(other);
        assert!(matches!(deployment(status), Readiness::Waiting(_)), "{field}");
    }
    assert_eq!(of(&[part("ConfigMap")], &View::of(Vec::new())), Readiness::Ready);
    expect_waiting(of(&[part("Deployment")], &View::of(Vec::new())), "Deployment \"gw\" is not there");
}

#[test]
fn nothing_that_is_scaled_to_zero_is_waited_for() {
    let object = json!({ "kind": "StatefulSet", "metadata": { "name": "gw", "generation": 1 }, "spec": { "replicas": 0,
        "selector": {}, "serviceName": "gw", "template": {} }, "status": { "observedGeneration": 1, "replicas": 0 } });
    assert_eq!(of(&[part("StatefulSet")], &View::of(vec![object])), Readiness::Ready);
}

#[test]
fn an_image_that_is_not_there_is_told_once_the_registry_has_said_so() {
    let state = |reason: &str| json!({ "waiting": { "reason": reason, "message": "Back-off pulling image \"gw:1\"" } });
    let pulled = |why: &str| warning("p", "Failed", &format!("Failed to pull image \"gw:1\": {why}"));
    let text = |why: &str| format!("image \"gw:1\" cannot be pulled: {why}");
    let missing = "docker.io/library/gw:1: not found";
    let first = deployment_with([container(state("ErrImagePull"), 0), pulled(missing)]);
    expect_waiting(first, &text(missing));
    let again = deployment_with([container(state("ImagePullBackOff"), 0), pulled(missing)]);
    expect_hopeless(again, &text(missing), None);
    let away = "dial tcp: i/o timeout";
    expect_waiting(deployment_with([container(state("ImagePullBackOff"), 0), pulled(away)]), &text(away));
    expect_hopeless(
        deployment_with([container(state("ErrImageNeverPull"), 0)]),
        "image \"gw:1\" is not on the node, and is never pulled",
        None,
    );
}

#[test]
fn a_container_may_fail_twice() {
    let ended = |restarts, code| {
        let end = json!({ "terminated": { "exitCode": code, "reason": "Error" } });
        deployment_with([container(end, restarts)])
    };
    expect_waiting(ended(0, 1), "container \"gw\" of pod \"gw-1\" fails: it ended with exit code 1");
    expect_waiting(ended(1, 1), "container \"gw\" of pod \"gw-1\" fails: it ended with exit code 1, 2 times");
    expect_hopeless(
        ended(2, 1),
        "container \"gw\" of pod \"gw-1\" fails: it ended with exit code 1, 3 times",
        None,
    );
    let waits = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
    let mut pod = container(waits, 3);
    pod["status"]["containerStatuses"][0]["lastState"] =
        json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
    let Readiness::Hopeless(reason) = deployment_with([pod]) else { panic!("it is given up") };
    assert_eq!(
        reason.text,
        "container \"gw\" of pod \"gw-1\" fails: it needs more memory than its limit, 3 times"
    );
    assert!(reason.log.unwrap().previous);
}

#[test]
fn a_pod_without_a_node_is_given_up_after_a_while_unless_a_node_is_made() {
    let message = "0/1 nodes are available: 1 Insufficient memory.";
    let unscheduled = pod(json!({ "phase": "Pending", "conditions": [
        { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message } ] }));
    let text = format!("pod \"gw-1\" cannot be scheduled: {message}");
    expect_hopeless(deployment_with([unscheduled.clone()]), &text, Some(15));
    let scaling = warning("p", "TriggeredScaleUp", "pod triggered scale-up");
    expect_waiting(deployment_with([unscheduled, scaling]), &text);
}

#[test]
fn a_pod_that_a_quota_refuses_is_told_by_its_replica_set() {
    let set = |message: &str| {
        json!({ "kind": "ReplicaSet", "metadata": { "name": "gw-7", "ownerReferences": [
            { "apiVersion": "apps/v1", "kind": "Deployment", "name": "gw", "uid": "d" } ] }, "spec": { "selector": {} },
            "status": { "replicas": 0, "conditions": [
                { "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message } ] } })
    };
    let quota = "pods \"gw-7-x\" is forbidden: exceeded quota: iotorch, requested: limits.memory=1Gi";
    expect_hopeless(deployment_with([set(quota)]), &format!("a pod cannot be made: {quota}"), None);
    expect_waiting(
        deployment_with([set("etcdserver: timeout")]),
        "a pod cannot be made: etcdserver: timeout",
    );
}

#[test]
fn a_probe_that_fails_may_pass() {
    let running = json!({ "running": {} });
    let probe = "Readiness probe failed: HTTP probe failed with statuscode: 503";
    let found = deployment_with([container(running, 0), warning("p", "Unhealthy", probe)]);
    expect_waiting(found, &format!("pod \"gw-1\" is not ready: {probe}"));
}

#[test]
fn a_secret_that_is_missing_is_waited_for_a_while() {
    let state =
        json!({ "waiting": { "reason": "CreateContainerConfigError", "message": "secret \"x\" not found" } });
    let text = "container \"gw\" of pod \"gw-1\" cannot be started: secret \"x\" not found";
    expect_hopeless(deployment_with([container(state, 0)]), text, Some(15));
}

#[test]
fn a_job_is_ready_when_it_is_complete_and_hopeless_when_it_has_failed() {
    let job = |kind: &str| {
        let conditions = json!([{ "type": kind, "status": "True", "message": "too many retries" }]);
        let object = json!({ "kind": "Job", "metadata": { "name": "gw" }, "spec": { "template": {} },
            "status": { "conditions": conditions } });
        of(&[part("Job")], &View::of(vec![object]))
    };
    assert_eq!(job("Complete"), Readiness::Ready);
    expect_waiting(job("Suspended"), "Job \"gw\" is at work");
    expect_hopeless(job("Failed"), "Job \"gw\" failed: too many retries", None);
}

#[test]
fn a_claim_and_a_load_balancer_are_waited_for() {
    let claim = json!({ "kind": "PersistentVolumeClaim", "metadata": { "name": "gw", "uid": "c" }, "status": { "phase": "Pending" } });
    let told = warning("c", "ProvisioningFailed", "storageclass \"fast\" not found");
    let found = of(&[part("PersistentVolumeClaim")], &View::of(vec![claim, told]));
    expect_waiting(found, "claim \"gw\" has no volume yet: storageclass \"fast\" not found");
    let service =
        json!({ "kind": "Service", "metadata": { "name": "gw" }, "spec": { "type": "LoadBalancer" } });
    let found = of(&[part("Service")], &View::of(vec![service]));
    expect_waiting(found, "Service \"gw\" has no address of a load balancer yet");
}
