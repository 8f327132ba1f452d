//! What is in the way of removing, and what goes with what is removed.

use std::{sync::Arc, time::Duration};

use iotorch_core::{
    ErrorKind, Observed,
    model::Chart,
    resource::{Outputs, WorkloadSpec},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    fake::{Fault, Key, Refusal, helm::Moment, kinds},
    stand::{FARM, Stand, create, delete, lite, space, step, told, workload},
    until_watched, world,
};

/// The workload `gw` as a release of these objects.
fn of_parts(objects: Value) -> WorkloadSpec {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/charts/parts");
    let values = json!({ "objects": objects }).as_object().unwrap().clone();
    WorkloadSpec { chart: Some(Chart::builder().source(source).values(values).build()), ..lite() }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_the_removing_of_a_namespace_is_no_trouble() {
    let stand = Stand::with_space().await;
    stand.cluster.faults(|faults| faults.next(1, "delete", "namespaces", Fault::AnswerLost));
    assert_eq!(stand.once(space(delete)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(matches!(stand.done(space(delete)).await, Ok(Outputs::Removed { .. })));
    assert_eq!(stand.namespace(), None);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_cannot_end_says_what_holds_it() {
    let stand = Stand::with_space().await;
    let policy = Key::new(&kinds::POLICY, FARM, "iotorch");
    stand.cluster.modify(&policy, |policy| policy["metadata"]["finalizers"] = json!(["example.org/hold"]));
    let held = stand.done(space(delete)).await.unwrap_err();
    assert_eq!(held.kind(), ErrorKind::NotReady);
    assert!(told(&held).contains("finalizers remaining: example.org/hold"), "{}", told(&held));
    stand.cluster.modify(&policy, |policy| policy["metadata"]["finalizers"] = Value::Null);
    stand.done(space(delete)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn pods_and_claims_of_a_namespace_that_ends_do_not_wait_for_its_controller() {
    for is_allowed in [true, false] {
        let stand = Stand::with_space().await;
        stand.done(step(lite(), create)).await.unwrap();
        if !is_allowed {
            stand.cluster.faults(|faults| faults.forbid("delete", "pods"));
        }
        assert_eq!(stand.once(space(delete)).await.unwrap_err().kind(), ErrorKind::NotReady);
        let asked = stand.cluster.asked();
        for asks in ["delete pods orchard/gw-0", "delete persistentvolumeclaims orchard/gw"] {
            assert!(!is_allowed || asked.iter().any(|asked| asked == asks), "{asks}: {asked:?}");
        }
        stand.done(space(delete)).await.unwrap();
        assert_eq!(stand.namespace(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_release_has_outside_of_its_namespace_goes_with_it() {
    let class =
        json!({ "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": "fast" } });
    for broken_off in [None, Some(Moment::Noted), Some(Moment::Applied)] {
        let stand = Stand::with_space().await;
        stand.done(step(of_parts(json!([class])), create)).await.unwrap();
        let class = Key::new(&kinds::STORAGE_CLASS, "", "fast");
        assert!(stand.cluster.get(&class).is_some());
        if let Some(moment) = broken_off {
            stand.helm.break_off(moment);
            stand.once(space(delete)).await.unwrap_err();
            assert!(stand.namespace().is_some(), "it would not be known any more whose the object is");
        }
        stand.done(space(delete)).await.unwrap();
        assert_eq!((stand.cluster.get(&class), stand.namespace()), (None, None), "{broken_off:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_chart_keeps_is_named_as_left_behind() {
    let kept = json!({ "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": { "name": "fast", "annotations": { "helm.sh/resource-policy": "keep" } } });
    let parts = || of_parts(json!([kept]));
    for removal in [step(parts(), delete), space(delete)] {
        let stand = Stand::with_space().await;
        stand.done(step(parts(), create)).await.unwrap();
        let Outputs::Removed { residue } = stand.done(removal).await.unwrap() else {
            panic!("it was to be removed");
        };
        assert_eq!(residue, ["StorageClass \"fast\" of release \"gw\" in namespace \"orchard\" on edge-1"]);
        assert!(stand.cluster.get(&Key::new(&kinds::STORAGE_CLASS, "", "fast")).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn claims_that_pods_of_a_release_had_go_with_it() {
    let labels = json!({ "app.kubernetes.io/instance": "gw" });
    let claim = |name: &str, annotations: Value| {
        json!({ "metadata": { "name": name, "annotations": annotations },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Mi" } } } })
    };
    let set = json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "gw", "labels": labels },
        "spec": { "replicas": 1, "selector": { "matchLabels": labels }, "serviceName": "gw",
            "volumeClaimTemplates": [claim("data", json!({})), claim("archive", json!({ "helm.sh/resource-policy": "keep" }))],
            "template": { "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "gw", "image": "iotorch.test/pause:1" }] } } } });
    let stand = Stand::with_space().await;
    stand.done(step(of_parts(json!([set])), create)).await.unwrap();
    let is_there = |name: &str| stand.cluster.get(&Key::new(&kinds::CLAIM, FARM, name)).is_some();
    assert!(is_there("data-gw-0") && is_there("archive-gw-0"));
    let Outputs::Removed { residue } = stand.done(step(of_parts(json!([])), delete)).await.unwrap() else {
        panic!("it was to be removed");
    };
    assert_eq!(
        residue,
        ["PersistentVolumeClaim \"archive-gw-0\" of release \"gw\" in namespace \"orchard\" on edge-1"]
    );
    assert!(!is_there("data-gw-0") && is_there("archive-gw-0"));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_still_going_is_waited_for_and_made_anew() {
    let stand = Stand::with_space().await;
    let before = stand.namespace().unwrap();
    assert_eq!(stand.once(space(delete)).await.unwrap_err().kind(), ErrorKind::NotReady);
    stand.done(space(create)).await.unwrap();
    assert_ne!(stand.namespace().unwrap()["metadata"]["uid"], before["metadata"]["uid"]);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_took_the_place_of_ours_is_not_removed() {
    let stand = Stand::with_space().await;
    // Between the look and the delete: what the delete is about is gone, and another one is there.
    let why = "the UID in the precondition (a) does not match the UID in record (b)";
    let other = Refusal::precondition(&kinds::NAMESPACE, FARM, why);
    stand.cluster.faults(|faults| faults.next(1, "delete", "namespaces", Fault::Refused(other)));
    let refused = stand.once(space(delete)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{}", told(&refused));
    assert!(stand.namespace().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_was_broken_off_is_finished() {
    for moment in [Moment::Noted, Moment::Applied] {
        let stand = Stand::with_space().await;
        let before = world(&stand);
        stand.done(workload(json!({}), create)).await.unwrap();
        stand.helm.break_off(moment);
        stand.done(workload(json!({}), delete)).await.unwrap_err();
        stand.done(workload(json!({}), delete)).await.unwrap();
        assert_eq!(world(&stand), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_removal_was_broken_off_can_be_made_again() {
    for moment in [Moment::Noted, Moment::Applied] {
        let stand = Stand::with_space().await;
        stand.done(workload(json!({}), create)).await.unwrap();
        stand.helm.break_off(moment);
        stand.done(workload(json!({}), delete)).await.unwrap_err();
        assert_eq!(stand.seen().await.unwrap()[1].1, Observed::Absent);
        stand.done(workload(json!({}), create)).await.unwrap();
        assert!(stand.cluster.get(&Key::new(&kinds::DEPLOYMENT, FARM, "gw")).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_cannot_be_seen_to_end_says_that_the_cluster_is_away() {
    let stand = Stand::with_space().await;
    stand.done(workload(json!({}), create)).await.unwrap();
    let pods = || stand.cluster.inside(FARM).into_iter().filter(|key| key.kind.kind == "Pod");
    for pod in pods() {
        stand.cluster.modify(&pod, |pod| pod["metadata"]["finalizers"] = json!(["example.org/hold"]));
    }
    let (domain, cx) = (Arc::clone(&stand.domain), stand.context());
    let begun = Instant::now();
    let removing =
        tokio::spawn(async move { domain.apply(&cx, vec![workload(json!({}), delete)]).await.remove(0) });
    until_watched(&stand, "persistentvolumeclaims", 1).await;
    for verb in ["list", "watch"] {
        stand.cluster.faults(|faults| faults.every(verb, "*", Fault::Refused(Refusal::unavailable(None))));
    }
    stand.cluster.break_watches();
    let away = removing.await.unwrap().unwrap_err();
    assert_eq!(away.kind(), ErrorKind::Unavailable, "{}", told(&away));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}
