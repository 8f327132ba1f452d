//! What goes wrong between iotorch and a cluster, and what comes of it: on a cluster in memory, where it goes wrong when it is told to.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../fake/mod.rs"]
mod fake;
mod removal;
mod runs;
mod stand;

use std::{sync::Arc, time::Duration};

use fake::{Fault, Image, Key, Refusal, helm::Moment, kinds};
use iotorch_core::{
    ErrorKind, Health, Observed,
    model::{Capacity, Chart},
    resource::{Endpoint, Outputs, WorkloadOutputs, WorkloadSpec},
};
use serde_json::{Value, json};
use stand::{FARM, IMAGE, Stand, create, delete, lite, of_image, space, space_with, step, told, workload};
use tokio::time::Instant;

/// Begins to make the workload, and gives the stand when its pod is there and not ready.
async fn waiting() -> (Stand, tokio::task::JoinHandle<iotorch_core::Result<Outputs>>) {
    let stand = Stand::with_space().await;
    stand.cluster.image(IMAGE, Image::NeverReady);
    let (domain, cx) = (Arc::clone(&stand.domain), stand.context());
    let (probe, work) = (stand.cluster.clone(), workload(of_image(), create));
    let waiting = tokio::spawn(async move {
        loop {
            match domain.apply(&cx, vec![work.clone()]).await.remove(0) {
                Err(error) if error.kind() == ErrorKind::NotReady && Instant::now() < cx.deadline => {}
                result => return result,
            }
        }
    });
    probe.until("the pod runs", |state| !state.store.all(&kinds::POD, Some(FARM)).is_empty()).await;
    until_watched(&stand, "pods", 1).await;
    (stand, waiting)
}

/// How often a watch of a resource has begun.
fn watches(stand: &Stand, resource: &str) -> usize {
    let begins = format!("watch {resource} in orchard");
    stand.cluster.asked().iter().filter(|asked| **asked == begins).count()
}

/// Waits until a watch of a resource has begun so often.
async fn until_watched(stand: &Stand, resource: &str, often: usize) {
    let since = Instant::now();
    while watches(stand, resource) < often {
        assert!(since.elapsed() < Duration::from_secs(30), "nobody watches: {:?}", stand.cluster.asked());
        tokio::time::advance(Duration::from_millis(50)).await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_off_while_a_release_becomes_ready_is_taken_up_again() {
    let (stand, waiting) = waiting().await;
    let before = watches(&stand, "pods");
    stand.cluster.break_watches();
    until_watched(&stand, "pods", before + 1).await;
    stand.cluster.image(IMAGE, Image::Runs);
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_becomes_ready_while_watches_are_broken_off_is_seen() {
    let (stand, waiting) = waiting().await;
    stand.cluster.faults(|faults| faults.every("watch", "*", Fault::Refused(Refusal::unavailable(None))));
    stand.cluster.break_watches();
    stand.cluster.image(IMAGE, Image::Runs);
    stand
        .cluster
        .until("it is ready", |state| {
            state
                .store
                .all(&kinds::DEPLOYMENT, Some(FARM))
                .iter()
                .any(|(_, it)| it["status"]["availableReplicas"] == 1)
        })
        .await;
    stand.cluster.faults(|faults| faults.mend());
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_too_old_begins_anew() {
    let (stand, waiting) = waiting().await;
    let before = watches(&stand, "pods");
    stand.cluster.image(IMAGE, Image::Runs);
    stand.cluster.compact();
    stand.cluster.break_watches();
    until_watched(&stand, "pods", before + 1).await;
    waiting.await.unwrap().unwrap();
    let lists = stand.cluster.asked().iter().filter(|asked| *asked == "list deployments in orchard").count();
    assert!(lists >= 2, "Deployments were listed {lists} times");
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_before_a_change_does_not_make_it_ready() {
    let stand = Stand::with_space().await;
    stand.done(workload(json!({ "note": "one" }), create)).await.unwrap();
    stand.cluster.image(IMAGE, Image::NeverReady);
    stand.cluster.faults(|faults| faults.watch_delay = Duration::from_secs(5));
    let changed = stand.once(workload(of_image(), create)).await.unwrap_err();
    assert_eq!(changed.kind(), ErrorKind::NotReady, "{}", told(&changed));
    stand.cluster.image(IMAGE, Image::Runs);
    stand.done(workload(of_image(), create)).await.unwrap();
}

/// Everything that is in the cluster for the slice, without what is another one each time.
fn world(stand: &Stand) -> Vec<String> {
    let is_made_up = |key: &Key| ["Pod", "Event", "ReplicaSet", "EndpointSlice"].contains(&key.kind.kind);
    let inside = stand.cluster.inside(FARM).into_iter().filter(|key| !is_made_up(key));
    // Every try leaves a revision.
    let inside = inside.filter(|key| !key.name.starts_with("sh.helm.release"));
    inside.map(|key| format!("{} {}", key.kind.kind, key.name)).collect()
}

#[tokio::test(start_paused = true)]
async fn whatever_write_fails_the_steps_come_to_their_end() {
    let steps: [fn() -> iotorch_core::resource::Work; 5] = [
        || space(create),
        || space_with(Capacity { memory: Some("1GiB".parse().unwrap()), ..Capacity::default() }, create),
        || workload(json!({ "note": "one" }), create),
        || workload(json!({ "note": "two" }), create),
        || workload(json!({ "note": "two" }), delete),
    ];
    let undisturbed = Stand::new().await;
    let mut worlds = Vec::new();
    for step in steps {
        undisturbed.done(step()).await.unwrap();
        worlds.push(world(&undisturbed));
    }
    let is_write =
        |asked: &&String| ["create", "update", "patch", "delete"].iter().any(|verb| asked.starts_with(verb));
    let asked = undisturbed.cluster.asked();
    let writes: Vec<&String> = asked.iter().filter(is_write).collect();
    assert!(writes.len() > 15, "{writes:?}");
    for (nth, write) in (0..).zip(&writes) {
        for fault in [Fault::AnswerLost, Fault::Cut, Fault::Refused(Refusal::unavailable(None))] {
            let stand = Stand::new().await;
            stand.cluster.faults(|faults| faults.after(nth, "write", "*", fault.clone()));
            for (step, world_then) in steps.iter().zip(&worlds) {
                let (outcome, troubles) = stand.in_the_end(step()).await;
                let what = || format!("{fault:?} of write {nth} ({write}); on the way: {troubles:?}");
                outcome.unwrap_or_else(|error| panic!("{}: {}", what(), told(&error)));
                assert_eq!(world(&stand), *world_then, "{}", what());
            }
            let (gone, troubles) = stand.in_the_end(space(delete)).await;
            gone.unwrap_or_else(|error| panic!("{fault:?} {write} {troubles:?}: {}", told(&error)));
            assert_eq!(stand.namespace(), None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_read_fails_the_steps_come_to_their_end() {
    let undisturbed = Stand::new().await;
    undisturbed.done(space(create)).await.unwrap();
    undisturbed.done(workload(json!({}), create)).await.unwrap();
    let reads = |asked: &[String]| {
        asked.iter().filter(|asked| asked.starts_with("get ") || asked.starts_with("list ")).count()
    };
    let reads = reads(&undisturbed.cluster.asked());
    for (verb, nth) in (0..reads as u32).flat_map(|nth| [("get", nth), ("list", nth)]) {
        let stand = Stand::new().await;
        stand.cluster.faults(|faults| faults.after(nth, verb, "*", Fault::Cut));
        for step in [space(create), workload(json!({}), create)] {
            let (outcome, troubles) = stand.in_the_end(step).await;
            outcome.unwrap_or_else(|error| panic!("{verb} {nth} {troubles:?}: {}", told(&error)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_the_making_of_a_namespace_leaves_it_ours() {
    let stand = Stand::new().await;
    stand.cluster.faults(|faults| faults.next(1, "create", "namespaces", Fault::AnswerLost));
    let lost = stand.once(space(create)).await.unwrap_err();
    assert!(lost.kind() == ErrorKind::Unavailable && lost.is_retryable(), "{}", told(&lost));
    let made = stand.namespace().unwrap();
    stand.once(space(create)).await.unwrap();
    assert_eq!(stand.namespace().unwrap()["metadata"]["uid"], made["metadata"]["uid"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_on_the_way_is_told_with_what_to_do() {
    let (stand, waiting) = waiting().await;
    stand.cluster.faults(|faults| faults.is_token_expired = true);
    stand.cluster.break_watches();
    let seen = stand.seen().await.unwrap_err();
    let step = stand.once(workload(of_image(), create)).await.unwrap_err();
    for error in [seen, step] {
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(!error.is_retryable());
        assert!(
            told(&error).contains("the API server does not accept the credentials (401)"),
            "{}",
            told(&error)
        );
        assert!(error.help().is_some_and(|help| help.contains("has expired")), "{:?}", error.help());
    }
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_named() {
    let needed = [
        ("get", "namespaces"),
        ("create", "namespaces"),
        ("list", "nodes"),
        ("patch", "networkpolicies"),
        ("delete", "resourcequotas"),
        ("get", "configmaps"),
        ("patch", "configmaps"),
        ("list", "secrets"),
        ("patch", "secrets"),
        ("list", "pods"),
        ("list", "events"),
        ("get", "deployments"),
    ];
    for (verb, resource) in needed {
        let stand = Stand::new().await;
        stand.cluster.faults(|faults| faults.forbid(verb, resource));
        let mut refused = None;
        for step in [space(create), workload(json!({}), create)] {
            if refused.is_none() {
                refused = stand.done(step).await.err();
            }
        }
        let refused = refused.unwrap_or_else(|| panic!("nobody needs the right to {verb} {resource}"));
        assert_eq!(refused.kind(), ErrorKind::Denied, "{}", told(&refused));
        let words = format!("cannot {verb} resource \"{resource}\"");
        assert!(told(&refused).contains(&words), "{}", told(&refused));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_whose_nodes_do_not_tell_where_pods_are_warns_that_slices_are_not_kept_apart() {
    let stand = Stand::new().await;
    let warns = async || stand.inspected().await.warnings.iter().any(|warning| warning.contains("podRanges"));
    assert!(!warns().await);
    stand.cluster.modify(&Key::new(&kinds::NODE, "", "node-1"), |node| node["spec"] = json!({}));
    assert!(warns().await);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_asks_to_wait_is_told_to_core() {
    for (refusal, kind) in [
        (Refusal::too_many_requests(7), ErrorKind::RateLimited),
        (Refusal::unavailable(Some(7)), ErrorKind::Unavailable),
    ] {
        let stand = Stand::new().await;
        stand.cluster.faults(|faults| faults.next(1, "create", "namespaces", Fault::Refused(refusal)));
        let refused = stand.once(space(create)).await.unwrap_err();
        assert_eq!(refused.kind(), kind);
        assert!(refused.is_retryable());
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(7)), "{}", told(&refused));
        // It was asked once, and not tried again behind core's back.
        let tries =
            stand.cluster.asked().iter().filter(|asked| asked.starts_with("create namespaces")).count();
        assert_eq!(tries, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_of_somebody_else_is_a_conflict_and_is_left_alone() {
    for annotations in [json!(null), json!({ "iotorch.dev/mark": "00000000000000b2/orchard/edge-1/space" })] {
        let stand = Stand::new().await;
        let writer = json!({ "metadata": { "name": FARM, "annotations": annotations } });
        stand.cluster.set_up(&kinds::NAMESPACE, "", writer);
        let before = stand.namespace();
        for step in [space(create), space(delete)] {
            let refused = stand.done(step).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Conflict);
            let owner = annotations["iotorch.dev/mark"].as_str().unwrap_or("nobody (no mark)");
            assert!(told(&refused).contains(owner), "{}", told(&refused));
        }
        assert_eq!(stand.namespace(), before);
        let only = ["ConfigMap", "Secret", "NetworkPolicy"];
        let inside = stand.cluster.inside(FARM);
        assert!(inside.iter().all(|key| !only.contains(&key.kind.kind)), "{inside:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_makes_the_namespace_first_is_looked_at() {
    let stand = Stand::new().await;
    stand.cluster.set_up(&kinds::NAMESPACE, "", json!({ "metadata": { "name": FARM } }));
    // It was not there yet when it was asked for.
    let missing = Refusal::not_found(&kinds::NAMESPACE, FARM);
    stand.cluster.faults(|faults| faults.next(1, "get", "namespaces", Fault::Refused(missing)));
    assert_eq!(stand.once(space(create)).await.unwrap_err().kind(), ErrorKind::NotReady);
    assert_eq!(stand.once(space(create)).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_was_broken_off_is_taken_up_again() {
    for moment in [Moment::Noted, Moment::Applied] {
        for is_upgrade in [false, true] {
            let mut stand = Stand::with_space().await;
            if is_upgrade {
                stand.done(workload(json!({ "note": "one" }), create)).await.unwrap();
            }
            stand.helm.break_off(moment);
            stand.done(workload(json!({ "note": "two" }), create)).await.unwrap_err();
            stand.reconnect();
            let Outputs::Workload(WorkloadOutputs { release, .. }) =
                stand.done(workload(json!({ "note": "two" }), create)).await.unwrap()
            else {
                panic!("it is a workload");
            };
            let revision = if is_upgrade { 3 } else { 2 };
            assert_eq!(release, format!("idle-0.1.0 revision {revision}"), "{moment:?}");
            let deployment = stand.cluster.get(&Key::new(&kinds::DEPLOYMENT, FARM, "gw")).unwrap();
            assert_eq!(deployment["metadata"]["annotations"]["note"], "two");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_no_token_of_which_nobody_knows_whose_it_is() {
    let stand = Stand::with_space().await;
    stand.cluster.faults(|faults| faults.next(1, "patch", "configmaps", Fault::Cut));
    stand.once(step(lite(), create)).await.unwrap_err();
    assert!(stand.cluster.get(&Key::new(&kinds::SECRET, FARM, "gw-iotorch")).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_release_that_somebody_else_has_just_changed_is_looked_at_again() {
    let stand = Stand::with_space().await;
    stand.helm.break_off(Moment::Noted);
    stand.done(workload(json!({}), create)).await.unwrap_err();
    let refusal = Refusal::modified(&kinds::SECRET, "sh.helm.release.v1.gw.v1");
    stand.cluster.faults(|faults| faults.next(1, "update", "secrets", Fault::Refused(refusal)));
    let changed = stand.once(workload(json!({}), create)).await.unwrap_err();
    assert_eq!(changed.kind(), ErrorKind::NotReady, "{}", told(&changed));
    stand.done(workload(json!({}), create)).await.unwrap();
}

/// Makes the workload, and tells why that cannot be and how long it took to find out.
async fn hopeless(stand: &Stand, values: Value) -> (String, Duration) {
    let begun = Instant::now();
    let error = stand.done(workload(values, create)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Infeasible, "{}", told(&error));
    (told(&error), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_release_that_can_never_be_ready_is_given_up_with_its_cause() {
    let crash = || Image::Crashes { log: "reading the settings\nno such file\n".to_owned() };
    let causes = [
        (Image::Absent, of_image(), "image \"example.org/gateway:1\" cannot be pulled", 2),
        (Image::Absent, json!({ "image": IMAGE }), "is not on the node, and is never pulled", 2),
        (crash(), of_image(), "fails: it ended with exit code 1", 5),
        (crash(), of_image(), "its log ends with: reading the settings | no such file", 5),
        (
            Image::Runs,
            json!({ "memory": "1000Gi" }),
            "cannot be scheduled: 0/1 nodes are available: 1 Insufficient memory.",
            17,
        ),
    ];
    for (image, values, why, seconds) in causes {
        let stand = Stand::with_space().await;
        stand.cluster.image(IMAGE, image);
        let (told, took) = hopeless(&stand, values).await;
        assert!(told.contains(why), "{told}");
        assert!(took < Duration::from_secs(seconds), "{told}: after {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_crashed_before_may_have_been_mended() {
    let stand = Stand::with_space().await;
    stand.cluster.image(IMAGE, Image::Crashes { log: "no such file\n".to_owned() });
    hopeless(&stand, of_image()).await;
    // Until it is not started again so soon.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let again = stand.once(workload(of_image(), create)).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotReady, "{}", told(&again));
    stand.cluster.image(IMAGE, Image::Runs);
    stand.done(workload(of_image(), create)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_the_quota_refuses_is_given_up_at_once() {
    let stand = Stand::new().await;
    let quota = Capacity { memory: Some("16MiB".parse().unwrap()), ..Capacity::default() };
    stand.done(space_with(quota, create)).await.unwrap();
    let (told, took) = hopeless(&stand, json!({ "memory": "32Mi" })).await;
    assert!(
        told.contains("exceeded quota: iotorch") && took < Duration::from_secs(2),
        "{told}: after {took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_gateway_of_lite_is_reached_by_node_port_and_by_service() {
    let stand = Stand::with_space().await;
    let Outputs::Workload(outputs) = stand.done(step(lite(), create)).await.unwrap() else {
        panic!("it is a workload");
    };
    let node_port = |name: &str| {
        let Some(Endpoint::Net(address)) = outputs.endpoints.get(name) else { panic!("{outputs:?}") };
        (address.host.clone(), address.port)
    };
    assert_eq!(node_port("mqtt").0, "192.0.2.10");
    assert!(node_port("mqtt").1 >= 30_000 && node_port("http").1 != node_port("mqtt").1, "{outputs:?}");
    assert_eq!(outputs.endpoints["management"].to_string(), "gw.orchard:management on edge-1");
    let claim = stand.cluster.get(&Key::new(&kinds::CLAIM, FARM, "gw")).unwrap();
    assert_eq!(claim["status"]["phase"], "Bound");
    let token = stand.cluster.get(&Key::new(&kinds::SECRET, FARM, "gw-iotorch")).unwrap();
    assert!(token["data"]["token"].is_string());
    stand.done(step(lite(), delete)).await.unwrap();
    assert_eq!(stand.cluster.get(&Key::new(&kinds::CLAIM, FARM, "gw")), None);
}

#[tokio::test(start_paused = true)]
async fn what_services_use_among_themselves_is_the_same_each_time_and_does_not_tell_the_token() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/charts/idle");
    let edgex = WorkloadSpec {
        application: Some("edgex".parse().unwrap()),
        chart: Some(Chart::builder().source(source).build()),
        ..lite()
    };
    let stand = Stand::with_space().await;
    let entries = async || {
        stand.done(step(edgex.clone(), create)).await.unwrap();
        let secret = stand.cluster.get(&Key::new(&kinds::SECRET, FARM, "gw-iotorch")).unwrap();
        ["token", "inner"].map(|entry| secret["data"][entry].as_str().unwrap().to_owned())
    };
    let first = entries().await;
    assert_ne!(first[0], first[1]);
    stand.done(step(edgex.clone(), delete)).await.unwrap();
    assert_eq!(entries().await, first);
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_a_class_that_is_not_there_is_waited_for_and_told() {
    let stand = Stand::with_space().await;
    stand.cluster.remove(&Key::new(&kinds::STORAGE_CLASS, "", "folders"));
    let why = stand.done(step(lite(), create)).await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::NotReady);
    assert!(told(&why).contains("claim \"gw\" has no volume yet"), "{}", told(&why));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changes_is_seen_as_degraded() {
    let stand = Stand::with_space().await;
    stand.done(workload(json!({}), create)).await.unwrap();
    let deployment = Key::new(&kinds::DEPLOYMENT, FARM, "gw");
    stand.cluster.modify(&deployment, |it| it["spec"]["replicas"] = 2.into());
    stand
        .cluster
        .until("there are two", |state| {
            state.store.get(&deployment).is_some_and(|it| it["status"]["availableReplicas"] == 2)
        })
        .await;
    // As another process sees it, which has no view of the namespace yet.
    let mut other = stand;
    other.reconnect();
    let seen = other.seen().await.unwrap();
    let Some((_, Observed::Present { health: Health::Degraded { reason }, .. })) = seen.last() else {
        panic!("{seen:?}");
    };
    assert!(reason.contains("spec.replicas is 2, not 1"), "{reason}");
    other.done(workload(json!({}), create)).await.unwrap();
    assert_eq!(other.cluster.get(&deployment).unwrap()["spec"]["replicas"], 1);
}
