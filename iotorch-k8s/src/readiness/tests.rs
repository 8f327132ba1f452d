//! Releases as the API server shows them, and what is said of them.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

/// How the object called `gw` of a kind is among these.
fn found(api_version: &str, kind: &str, objects: impl IntoIterator<Item = Value>) -> Readiness {
    let part = Part { kind: Kind::new(api_version, kind), name: "gw".to_owned() };
    of(&[part], &Floor::default(), &Contents::of(objects))
}

fn deployment(status: Value) -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "gw", "uid": "d", "generation": 2,
        "annotations": { "deployment.kubernetes.io/revision": "2" } }, "spec": { "replicas": 2,
        "selector": { "matchLabels": { "app": "gw" } } }, "status": status })
}

/// A ReplicaSet of the Deployment.
fn replica_set(uid: &str, revision: &str, status: Value) -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": { "name": format!("gw-{uid}"), "uid": uid,
        "annotations": { "deployment.kubernetes.io/revision": revision }, "ownerReferences": [
            { "apiVersion": "apps/v1", "kind": "Deployment", "name": "gw", "uid": "d" } ] },
        "spec": { "selector": { "matchLabels": { "app": "gw" } } }, "status": status })
}

/// A Deployment whose pods are not there yet, and what else there is.
fn deployment_with(objects: impl IntoIterator<Item = Value>) -> Readiness {
    let deployment = deployment(json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2 }));
    found("apps/v1", "Deployment", [deployment, replica_set("r", "2", json!({}))].into_iter().chain(objects))
}

/// A pod of the newest ReplicaSet.
fn pod(status: Value) -> Value {
    json!({ "kind": "Pod", "metadata": { "name": "gw-1", "uid": "p", "labels": { "app": "gw" }, "ownerReferences": [
        { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "gw-r", "uid": "r" } ] }, "status": status })
}

fn container(state: Value, restarts: u32) -> Value {
    pod(
        json!({ "phase": "Pending", "containerStatuses": [{ "name": "gw", "image": "gw:1", "imageID": "", "ready": false,
        "restartCount": restarts, "state": state }] }),
    )
}

/// Something that is told of an object, one second after another.
fn event(uid: &str, second: u32, kind: &str, reason: &str, message: &str) -> Value {
    json!({ "kind": "Event", "metadata": { "name": format!("{uid}-{reason}-{second}") }, "involvedObject": { "uid": uid,
        "fieldPath": "spec.containers{gw}" }, "type": kind, "reason": reason, "message": message,
        "lastTimestamp": format!("2026-01-01T00:00:{second:02}Z"), "eventTime": null })
}

fn warning(uid: &str, reason: &str, message: &str) -> Value {
    event(uid, 0, "Warning", reason, message)
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
    let ready =
        json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 });
    let expect = |status: Value| found("apps/v1", "Deployment", [deployment(status)]);
    assert_eq!(expect(ready.clone()), Readiness::Ready);
    for (field, other) in
        [("observedGeneration", 1), ("replicas", 3), ("updatedReplicas", 1), ("availableReplicas", 1)]
    {
        let mut status = ready.clone();
        status[field] = json!(other);
        assert!(matches!(expect(status), Readiness::Waiting(_)), "{field}");
    }
    expect_waiting(expect(json!({})), "0 of 2 pods of Deployment \"gw\" are available");
    expect_waiting(found("apps/v1", "Deployment", []), "Deployment \"gw\" is not there");
}

#[test]
fn what_only_has_to_be_there_is_not_waited_for() {
    for (api_version, kind) in [
        ("v1", "ConfigMap"),
        ("v1", "Secret"),
        ("batch/v1", "CronJob"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("policy/v1", "PodDisruptionBudget"),
    ] {
        let part = Part { kind: Kind::new(api_version, kind), name: "gw".to_owned() };
        assert_eq!(found(api_version, kind, []), Readiness::Ready, "{kind}");
        assert!(Watch::of(&[part]).is_empty(), "{kind}");
    }
}

#[test]
fn nothing_that_is_scaled_to_zero_is_waited_for() {
    for kind in ["Deployment", "ReplicaSet", "StatefulSet"] {
        let object = json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": "gw", "generation": 1 }, "spec": {
            "replicas": 0 }, "status": { "observedGeneration": 1 } });
        assert_eq!(found("apps/v1", kind, [object]), Readiness::Ready, "{kind}");
    }
    let set = json!({ "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "gw", "generation": 1 },
        "status": { "observedGeneration": 1, "desiredNumberScheduled": 0 } });
    assert_eq!(found("apps/v1", "DaemonSet", [set]), Readiness::Ready);
}

#[test]
fn pods_of_an_older_template_do_not_say_how_the_newest_is() {
    let end = json!({ "terminated": { "exitCode": 1 } });
    let mut old = container(end, 7);
    old["metadata"]["ownerReferences"][0]["uid"] = json!("old");
    let found = deployment_with([replica_set("old", "1", json!({})), old]);
    expect_waiting(found, "0 of 2 pods of Deployment \"gw\" are available");
}

#[test]
fn sets_of_pods_are_ready_when_each_pod_is_of_the_newest_template_and_ready() {
    let set = |kind: &str, status: Value| {
        let object = json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": "gw", "uid": "s", "generation": 2 },
            "spec": { "replicas": 2, "selector": { "matchLabels": { "app": "gw" } },
                "volumeClaimTemplates": [{ "metadata": { "name": "data" } }] }, "status": status });
        let claim = json!({ "kind": "PersistentVolumeClaim", "metadata": { "name": "data-gw-1", "uid": "c" },
            "status": { "phase": "Pending" } });
        let told = warning("c", "ProvisioningFailed", "storageclass \"fast\" not found");
        found("apps/v1", kind, [object, claim, told])
    };
    let rolled = json!({ "observedGeneration": 2, "readyReplicas": 2, "currentRevision": "a", "updateRevision": "b",
        "updatedReplicas": 2 });
    assert_eq!(set("StatefulSet", rolled), Readiness::Ready);
    let rolling = json!({ "observedGeneration": 2, "readyReplicas": 2, "currentRevision": "a", "updateRevision": "b",
        "updatedReplicas": 1 });
    let why = "claim \"data-gw-1\" has no volume yet: storageclass \"fast\" not found";
    expect_waiting(set("StatefulSet", rolling), why);
    let everywhere = json!({ "observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3,
        "numberReady": 3 });
    assert_eq!(set("DaemonSet", everywhere.clone()), Readiness::Ready);
    for (field, other) in [("observedGeneration", 1), ("updatedNumberScheduled", 2), ("numberReady", 2)] {
        let mut status = everywhere.clone();
        status[field] = json!(other);
        assert!(matches!(set("DaemonSet", status), Readiness::Waiting(_)), "{field}");
    }
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
    let Readiness::Hopeless(reason) = deployment_with([pod]) else { panic!("it is not given up") };
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
    let refused = |message: &str| {
        let failure = json!([{ "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message }]);
        let deployment = deployment(json!({ "observedGeneration": 2 }));
        found("apps/v1", "Deployment", [deployment, replica_set("r", "2", json!({ "conditions": failure }))])
    };
    let quota = "pods \"gw-7-x\" is forbidden: exceeded quota: iotorch, requested: limits.memory=1Gi";
    expect_hopeless(refused(quota), &format!("a pod cannot be made: {quota}"), None);
    expect_waiting(refused("etcdserver: timeout"), "a pod cannot be made: etcdserver: timeout");
}

#[test]
fn a_pod_that_a_quota_refuses_is_told_by_events_of_what_has_no_condition_for_it() {
    let quota = "pods \"gw-0\" is forbidden: exceeded quota: iotorch, requested: limits.memory=1Gi";
    let failed = event("s", 1, "Warning", "FailedCreate", quota);
    for (api_version, kind) in [("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"), ("batch/v1", "Job")] {
        let object = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "gw", "uid": "s", "generation": 1 },
            "spec": { "replicas": 1 }, "status": { "desiredNumberScheduled": 1 } });
        let told = found(api_version, kind, [object.clone(), failed.clone()]);
        expect_hopeless(told, &format!("a pod cannot be made: {quota}"), None);
        let made =
            event("s", 2, "Normal", "SuccessfulCreate", "create Pod gw-0 in StatefulSet gw successful");
        let later = found(api_version, kind, [object, failed.clone(), made]);
        assert!(matches!(later, Readiness::Waiting(_)), "{kind}: {later:?}");
    }
}

#[test]
fn a_probe_that_fails_may_pass() {
    let running = json!({ "running": {} });
    let probe = "Readiness probe failed: HTTP probe failed with statuscode: 503";
    let found = deployment_with([container(running, 0), warning("p", "Unhealthy", probe)]);
    expect_waiting(found, &format!("container \"gw\" of pod \"gw-1\" is not ready: {probe}"));
}

#[test]
fn a_container_that_is_stopped_for_its_probe_says_so() {
    let mut pod = container(json!({ "running": {} }), 3);
    pod["status"]["containerStatuses"][0]["lastState"] =
        json!({ "terminated": { "exitCode": 137, "reason": "Error" } });
    let probe = "Liveness probe failed: dial tcp 10.0.0.7:8080: connect: connection refused";
    let events = [
        event("p", 1, "Warning", "Unhealthy", probe),
        event("p", 2, "Normal", "Killing", "Container gw failed liveness probe, will be restarted"),
        event("p", 3, "Warning", "Unhealthy", "Readiness probe failed: not yet"),
    ];
    let why = format!(
        "container \"gw\" of pod \"gw-1\" fails: it was stopped after its probes failed: {probe}, 3 times"
    );
    expect_hopeless(deployment_with([pod].into_iter().chain(events)), &why, None);
}

#[test]
fn a_container_that_ends_where_it_should_go_on_fails() {
    let mut pod = container(json!({ "waiting": { "reason": "CrashLoopBackOff" } }), 3);
    pod["status"]["containerStatuses"][0]["lastState"] =
        json!({ "terminated": { "exitCode": 0, "reason": "Completed" } });
    let why = "container \"gw\" of pod \"gw-1\" fails: it ended with exit code 0, 3 times";
    expect_hopeless(deployment_with([pod]), why, None);
}

#[test]
fn a_readiness_gate_says_what_it_waits_for() {
    let gate = "corresponding condition of pod readiness gate \"example.org/joined\" does not exist.";
    let pod = pod(json!({ "phase": "Running", "conditions": [
        { "type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": gate } ] }));
    expect_waiting(deployment_with([pod]), &format!("pod \"gw-1\" is not ready: {gate}"));
}

#[test]
fn a_secret_that_is_missing_is_waited_for_a_while() {
    let state =
        json!({ "waiting": { "reason": "CreateContainerConfigError", "message": "secret \"x\" not found" } });
    let text = "container \"gw\" of pod \"gw-1\" cannot be started: secret \"x\" not found";
    expect_hopeless(deployment_with([container(state, 0)]), text, Some(15));
}

#[test]
fn a_secret_that_could_not_be_looked_for_may_be_there() {
    let message = "failed to sync secret cache: timed out waiting for the condition";
    let state = json!({ "waiting": { "reason": "CreateContainerConfigError", "message": message } });
    let text = format!("container \"gw\" of pod \"gw-1\" cannot be started: {message}");
    expect_waiting(deployment_with([container(state, 0)]), &text);
}

fn job(spec: Value, conditions: Value) -> Value {
    let mut object = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "gw", "uid": "j" }, "spec": spec,
        "status": { "conditions": conditions } });
    object["spec"]["selector"] = json!({ "matchLabels": { "app": "gw" } });
    object
}

#[test]
fn a_job_is_ready_when_it_is_complete_and_hopeless_when_it_has_failed() {
    let with = |spec: Value, kind: &str| {
        let condition = json!([{ "type": kind, "status": "True", "message": "too many retries" }]);
        found("batch/v1", "Job", [job(spec, condition)])
    };
    assert_eq!(with(json!({}), "Complete"), Readiness::Ready);
    assert_eq!(with(json!({ "suspend": true }), "Suspended"), Readiness::Ready);
    expect_waiting(with(json!({}), "SuccessCriteriaMet"), "Job \"gw\" is at work");
    expect_hopeless(with(json!({}), "Failed"), "Job \"gw\" failed: too many retries", None);
}

#[test]
fn a_job_says_itself_how_often_its_pods_may_fail() {
    let pod = || container(json!({ "terminated": { "exitCode": 3 } }), 4);
    let at_work = found("batch/v1", "Job", [job(json!({}), json!([])), pod()]);
    expect_waiting(at_work, "container \"gw\" of pod \"gw-1\" fails: it ended with exit code 3, 5 times");
    let failed = json!([{ "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded" }]);
    let failed = found("batch/v1", "Job", [job(json!({}), failed), pod()]);
    let Readiness::Hopeless(reason) = failed else { panic!("{failed:?} is not hopeless") };
    assert_eq!(reason.text, "Job \"gw\" failed: BackoffLimitExceeded");
    let log = Log { pod: "gw-1".to_owned(), container: "gw".to_owned(), previous: false };
    assert_eq!(reason.log, Some(log));
}

#[test]
fn a_claim_is_waited_for_when_its_volume_can_come() {
    let claim = |phase: &str| json!({ "kind": "PersistentVolumeClaim", "metadata": { "name": "gw", "uid": "c" }, "status": { "phase": phase } });
    let with = |objects: Vec<Value>| found("v1", "PersistentVolumeClaim", objects);
    assert_eq!(with(vec![claim("Bound")]), Readiness::Ready);
    expect_hopeless(with(vec![claim("Lost")]), "the volume of claim \"gw\" is gone", None);
    let told = warning("c", "ProvisioningFailed", "storageclass \"fast\" not found");
    let why = "claim \"gw\" has no volume yet: storageclass \"fast\" not found";
    expect_waiting(with(vec![claim("Pending"), told]), why);
    let later = event("c", 1, "Normal", "WaitForFirstConsumer", "waiting for first consumer to be created");
    assert_eq!(with(vec![claim("Pending"), later.clone()]), Readiness::Ready);
    let user = json!({ "kind": "Pod", "metadata": { "name": "gw-1" }, "spec": { "volumes": [
        { "name": "data", "persistentVolumeClaim": { "claimName": "gw" } } ] } });
    expect_waiting(with(vec![claim("Pending"), later, user]), "claim \"gw\" has no volume yet");
}

#[test]
fn a_service_is_waited_for_when_a_load_balancer_is_to_be_before_it() {
    let with = |spec: Value, status: Value| {
        let service = json!({ "kind": "Service", "metadata": { "name": "gw", "uid": "s" }, "spec": spec, "status": status });
        let told = warning("s", "SyncLoadBalancerFailed", "no address is free");
        found("v1", "Service", [service, told])
    };
    let balanced = json!({ "type": "LoadBalancer" });
    let address = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.7" }] } });
    assert_eq!(with(json!({ "type": "ClusterIP" }), json!({})), Readiness::Ready);
    assert_eq!(with(json!({ "type": "NodePort" }), json!({})), Readiness::Ready);
    assert_eq!(
        with(json!({ "type": "LoadBalancer", "externalIPs": ["192.0.2.8"] }), json!({})),
        Readiness::Ready
    );
    assert_eq!(with(balanced.clone(), address), Readiness::Ready);
    let why = "Service \"gw\" has no address of a load balancer yet: no address is free";
    expect_waiting(with(balanced, json!({ "loadBalancer": {} })), why);
}

#[test]
fn an_ingress_is_ready_when_it_has_an_address_and_given_up_when_no_controller_is_for_it() {
    let api_version = "networking.k8s.io/v1";
    let ingress = |spec: Value| json!({ "apiVersion": api_version, "kind": "Ingress", "metadata": { "name": "gw" }, "spec": spec });
    let class = json!({ "apiVersion": api_version, "kind": "IngressClass", "metadata": { "name": "nginx" } });
    let with = |objects: &[Value]| found(api_version, "Ingress", objects.to_vec());

    let mut served = ingress(json!({}));
    served["status"] = json!({ "loadBalancer": { "ingress": [{ "hostname": "lb.example.org" }] } });
    assert_eq!(with(&[served]), Readiness::Ready);

    let waits = "Ingress \"gw\" has no address yet";
    expect_waiting(with(&[ingress(json!({ "ingressClassName": "nginx" })), class.clone()]), waits);
    expect_waiting(with(&[ingress(json!({})), class.clone()]), waits);
    let mut old = ingress(json!({}));
    old["metadata"]["annotations"] = json!({ "kubernetes.io/ingress.class": "nginx" });
    expect_waiting(with(&[old]), waits);

    let why = "Ingress \"gw\" is served by nobody: the cluster has no IngressClass \"traefik\"";
    expect_hopeless(with(&[ingress(json!({ "ingressClassName": "traefik" })), class]), why, Some(15));
    let why =
        "Ingress \"gw\" is served by nobody: the cluster has no IngressClass, and so no controller for it";
    expect_hopeless(with(&[ingress(json!({}))]), why, Some(15));
}

#[test]
fn a_definition_is_ready_when_it_is_served_and_hopeless_when_its_names_are_taken() {
    let with = |conditions: Value| {
        let api_version = "apiextensions.k8s.io/v1";
        let kind = "CustomResourceDefinition";
        let object = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "gw" }, "status": {
            "conditions": conditions } });
        found(api_version, kind, [object])
    };
    let accepted = json!({ "type": "NamesAccepted", "status": "True", "message": "no conflicts found" });
    let served = json!({ "type": "Established", "status": "True" });
    assert_eq!(with(json!([accepted, served])), Readiness::Ready);
    for conditions in [json!(null), json!([]), json!([accepted])] {
        expect_waiting(with(conditions), "CustomResourceDefinition \"gw\" is not served yet");
    }
    let taken = json!({ "type": "NamesAccepted", "status": "False", "reason": "PluralConflict",
        "message": "\"gizmos\" is already in use" });
    let why = "CustomResourceDefinition \"gw\" cannot be served: \"gizmos\" is already in use";
    expect_hopeless(with(json!([taken])), why, None);
}

#[test]
fn a_custom_resource_is_as_its_conditions_say() {
    let api_version = "example.org/v1";
    let with = |metadata: Value, status: Value| {
        let mut object =
            json!({ "apiVersion": api_version, "kind": "Gizmo", "metadata": metadata, "status": status });
        object["metadata"]["name"] = json!("gw");
        object["metadata"]["uid"] = json!("g");
        found(api_version, "Gizmo", [object, warning("g", "NoMotor", "the motor is missing")])
    };
    let is = |condition: Value| with(json!({ "generation": 2 }), json!({ "conditions": [condition] }));

    assert_eq!(with(json!({ "generation": 1 }), json!(null)), Readiness::Ready);
    assert_eq!(
        with(json!({ "generation": 1 }), json!({ "phase": "Odd", "conditions": null })),
        Readiness::Ready
    );
    assert_eq!(is(json!({ "type": "Ready", "status": "True", "observedGeneration": 2 })), Readiness::Ready);
    assert_eq!(is(json!({ "type": "Available", "status": "True" })), Readiness::Ready);
    assert_eq!(is(json!({ "type": "Stalled", "status": "False" })), Readiness::Ready);
    assert_eq!(is(json!({ "type": "Warm", "status": "False" })), Readiness::Ready);

    let unseen = "the controller of Gizmo \"gw\" has not seen its last change yet";
    let observed = json!({ "observedGeneration": 1, "conditions": [{ "type": "Ready", "status": "True" }] });
    expect_waiting(with(json!({ "generation": 2 }), observed), unseen);
    expect_waiting(is(json!({ "type": "Ready", "status": "True", "observedGeneration": 1 })), unseen);
    let removed = json!({ "deletionTimestamp": "2026-01-01T00:00:00Z" });
    expect_waiting(with(removed, json!({})), "Gizmo \"gw\" is being removed");
    expect_waiting(
        is(json!({ "type": "Reconciling", "status": "True", "message": "step 2 of 3" })),
        "Gizmo \"gw\" is not ready: step 2 of 3",
    );
    for status in ["False", "Unknown"] {
        expect_waiting(
            is(json!({ "type": "Ready", "status": status, "message": "it winds up" })),
            "Gizmo \"gw\" is not ready: it winds up",
        );
    }
    expect_waiting(
        is(json!({ "type": "Available", "status": "False", "reason": "NotYet" })),
        "Gizmo \"gw\" is not ready: the motor is missing",
    );
    expect_hopeless(
        is(json!({ "type": "Stalled", "status": "True", "message": "the size is wrong" })),
        "Gizmo \"gw\" is stalled: the size is wrong",
        None,
    );
    // Of two that report both, `Ready` counts.
    let both = json!({ "conditions": [{ "type": "Available", "status": "False" }, { "type": "Ready", "status": "True" }] });
    assert_eq!(with(json!({}), both), Readiness::Ready);
}

#[test]
fn a_volume_of_what_is_not_there_is_waited_for_a_while() {
    let creating = container(json!({ "waiting": { "reason": "ContainerCreating" } }), 0);
    let mount = |why: &str| {
        warning("p", "FailedMount", &format!("MountVolume.SetUp failed for volume \"tls\" : {why}"))
    };
    let missing = deployment_with([creating.clone(), mount("secret \"tls\" not found")]);
    let Readiness::Hopeless(reason) = missing else { panic!("{missing:?} may help") };
    assert!(reason.patience.is_some() && reason.text.contains("secret \"tls\" not found"), "{}", reason.text);
    let slow = deployment_with([creating, mount("timed out")]);
    assert!(matches!(slow, Readiness::Waiting(_)), "{slow:?} may pass");
}
