//! Requests, and how they are answered.

use std::time::Duration;

use futures::TryStreamExt as _;
use hyper::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt as _,
    api::{WatchEvent, WatchParams},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    CLAIMS, DEPLOYMENTS, MAPS, PAUSE, PODS, POLICIES, SECRETS, SERVICES, SETS, applied, deployment, labelled,
    map,
};
use crate::talk::{Like, Talk};

pub(crate) async fn objects_are_made_changed_and_removed(talk: &mut Talk) {
    talk.settle().await;
    talk.get("/api/v1/namespaces/{space}").await.says(200, "");
    talk.ask(Method::POST, MAPS, map("a", json!({ "x": "1" }))).await.says(201, "");
    talk.get(&format!("{MAPS}/a")).await.says(200, "");
    talk.ask(Method::PUT, &format!("{MAPS}/a"), map("a", json!({ "x": "2", "y": "1" }))).await.says(200, "");
    talk.merge(&format!("{MAPS}/a"), json!({ "data": { "x": null, "z": "3" } })).await.says(200, "");
    let same = talk.get(&format!("{MAPS}/a")).await.says(200, "");
    let again = talk.merge(&format!("{MAPS}/a"), json!({ "data": { "z": "3" } })).await.says(200, "");
    assert_eq!(
        same["metadata"]["resourceVersion"], again["metadata"]["resourceVersion"],
        "nothing was changed"
    );
    talk.ask(Method::DELETE, &format!("{MAPS}/a"), json!({})).await.says(200, "");
    talk.get(&format!("{MAPS}/a")).await.says(404, "NotFound");
    talk.ask(Method::DELETE, &format!("{MAPS}/a"), json!({})).await.says(404, "NotFound");
    talk.ask(Method::POST, MAPS, labelled("b", "one")).await.says(201, "");
    talk.ask(Method::POST, MAPS, labelled("c", "two")).await.says(201, "");
    talk.ask(Method::DELETE, &format!("{MAPS}?labelSelector=part%3Done"), Value::Null).await.says(200, "");
    talk.get(&format!("{MAPS}/b")).await.says(404, "NotFound");
    talk.get(&format!("{MAPS}/c")).await.says(200, "");
    let made = json!({ "metadata": { "generateName": "some-" } });
    let made = talk.ask_like(Like::Reason, Method::POST, MAPS, made).await.says(201, "");
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.len() == "some-".len() + 5 && name.starts_with("some-"), "{name}");
}

pub(crate) async fn what_is_wrong_is_refused(talk: &mut Talk) {
    talk.settle().await;
    let space = talk.space.clone();
    let again = json!({ "metadata": { "name": space } });
    talk.ask(Method::POST, "/api/v1/namespaces", again).await.says(409, "AlreadyExists");
    talk.ask(Method::POST, MAPS, map("a", json!({}))).await.says(201, "");
    talk.ask(Method::POST, MAPS, map("a", json!({}))).await.says(409, "AlreadyExists");
    talk.ask(Method::POST, MAPS, map("A_b", json!({}))).await.says(422, "Invalid");
    talk.ask(Method::POST, MAPS, json!({ "metadata": {} })).await.says(422, "Invalid");
    talk.ask(Method::POST, MAPS, json!({ "metadata": { "name": "b", "namespace": "other" } }))
        .await
        .says(400, "BadRequest");
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "b" } });
    talk.ask(Method::POST, MAPS, secret).await.says(400, "BadRequest");
    talk.ask_like(Like::Reason, Method::POST, MAPS, json!("{nope")).await.says(400, "BadRequest");
    talk.ask(Method::POST, "/api/v1/namespaces/no-such-space/configmaps", map("a", json!({})))
        .await
        .says(404, "NotFound");
    talk.get("/api/v1/namespaces/no-such-space").await.says(404, "NotFound");
    talk.get(&format!("{DEPLOYMENTS}/none")).await.says(404, "NotFound");
    talk.get("/api/v1/namespaces/{space}/things").await.says(404, "NotFound");
    talk.ask(Method::PUT, &format!("{MAPS}/a"), map("b", json!({}))).await.says(400, "BadRequest");
    talk.ask(Method::PUT, &format!("{MAPS}/none"), map("none", json!({}))).await.says(404, "NotFound");
    talk.merge(&format!("{MAPS}/none"), json!({ "data": {} })).await.says(404, "NotFound");
    talk.ask(Method::PATCH, &format!("{MAPS}/a"), json!({ "data": {} }))
        .await
        .says(415, "UnsupportedMediaType");
    talk.ask(Method::POST, DEPLOYMENTS, deployment("a", PAUSE, -1)).await.says(422, "Invalid");
    let mut other = deployment("a", PAUSE, 0);
    other["spec"]["selector"]["matchLabels"] = json!({ "app": "other" });
    talk.ask(Method::POST, DEPLOYMENTS, other).await.says(422, "Invalid");
    talk.ask(Method::POST, SERVICES, json!({ "metadata": { "name": "a" }, "spec": {} }))
        .await
        .says(422, "Invalid");
    talk.get(&format!("{PODS}/none/log")).await.says(404, "NotFound");
}

pub(crate) async fn versions_and_preconditions_are_kept(talk: &mut Talk) {
    talk.settle().await;
    let nobody = "b2b4a0bc-0000-0000-0000-000000000000";
    let made = talk.ask(Method::POST, MAPS, map("a", json!({ "x": "1" }))).await.says(201, "");
    let mut new = made.clone();
    new["data"]["x"] = "2".into();
    talk.ask_like(Like::Within, Method::PUT, &format!("{MAPS}/a"), new.clone()).await.says(200, "");
    talk.ask_like(Like::Within, Method::PUT, &format!("{MAPS}/a"), new).await.says(409, "Conflict");
    let stale = json!({ "metadata": { "resourceVersion": "1" }, "data": { "x": "3" } });
    talk.merge(&format!("{MAPS}/a"), stale).await.says(409, "Conflict");
    let other = json!({ "metadata": { "name": "a", "uid": nobody } });
    talk.ask(Method::PUT, &format!("{MAPS}/a"), other).await.says(409, "Conflict");
    for wanted in [json!({ "uid": nobody }), json!({ "resourceVersion": "1" })] {
        let options = json!({ "preconditions": wanted });
        talk.ask(Method::DELETE, &format!("{MAPS}/a"), options).await.says(409, "Conflict");
    }
    let wanted = json!({ "preconditions": { "uid": made["metadata"]["uid"] } });
    talk.ask_like(Like::Reason, Method::DELETE, &format!("{MAPS}/a"), Value::Null).await.says(200, "");
    // It was another one.
    talk.ask(Method::POST, MAPS, map("a", json!({}))).await.says(201, "");
    let (code, uid) = {
        let path = format!("{MAPS}/a");
        let client = talk.client();
        let answer = talk.ask_of(&client, Like::Reason, Method::GET, &path, "", &[], Value::Null).await;
        (answer.code, answer.json["metadata"]["uid"].clone())
    };
    assert!(code == 200 && uid != wanted["preconditions"]["uid"]);
}

pub(crate) async fn fields_belong_to_who_applies_them(talk: &mut Talk) {
    talk.settle().await;
    let at = |name: &str, manager: &str| format!("{MAPS}/{name}?fieldManager={manager}");
    talk.apply(&at("a", "one"), applied("a", json!({ "x": "1", "y": "1" }))).await.says(201, "");
    let same = talk.get(&format!("{MAPS}/a")).await.says(200, "");
    let again = talk.apply(&at("a", "one"), applied("a", json!({ "x": "1", "y": "1" }))).await.says(200, "");
    assert_eq!(
        same["metadata"]["resourceVersion"], again["metadata"]["resourceVersion"],
        "nothing was changed"
    );
    // The same value belongs to both.
    talk.apply(&at("a", "two"), applied("a", json!({ "x": "1", "z": "1" }))).await.says(200, "");
    talk.apply(&at("a", "two"), applied("a", json!({ "x": "2", "z": "1" }))).await.says(409, "Conflict");
    talk.apply(&at("a", "two"), applied("a", json!({ "x": "2", "y": "2" }))).await.says(409, "Conflict");
    talk.apply(&format!("{}&force=true", at("a", "two")), applied("a", json!({ "x": "2", "z": "1" })))
        .await
        .says(200, "");
    // What one gives up goes, unless somebody else wants it.
    talk.apply(&at("a", "two"), applied("a", json!({}))).await.says(200, "");
    talk.apply(&at("a", "one"), applied("a", json!({ "y": "1" }))).await.says(200, "");
    // A change by others takes a field away from who has applied it.
    talk.merge(&format!("{MAPS}/a"), json!({ "data": { "y": "3", "w": "1" } })).await.says(200, "");
    talk.apply(&at("a", "one"), applied("a", json!({ "y": "1" }))).await.says(409, "Conflict");
    talk.apply(&format!("{}&force=true", at("a", "one")), applied("a", json!({ "y": "1" })))
        .await
        .says(200, "");
    talk.apply(&format!("{MAPS}/a"), applied("a", json!({}))).await.says(422, "Invalid");
    talk.apply(&at("a", "one"), json!({ "metadata": { "name": "a" } })).await.says(400, "BadRequest");
    let mut managed = applied("a", json!({}));
    managed["metadata"]["managedFields"] = json!([{ "manager": "one" }]);
    talk.apply(&at("a", "one"), managed).await.says(400, "BadRequest");
    // Labels and annotations of a namespace come and go by themselves.
    let space = |metadata: Value| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata });
    let path = "/api/v1/namespaces/{space}?fieldManager=one&force=true";
    talk.apply(path, space(json!({ "labels": { "a": "1" }, "annotations": { "b": "1" } })))
        .await
        .says(200, "");
    talk.apply(path, space(json!({ "labels": { "c": "1" } }))).await.says(200, "");
    talk.apply(path, space(json!({}))).await.says(200, "");
    // Items of lists are told apart by their keys.
    talk.ask_like(Like::Within, Method::POST, DEPLOYMENTS, deployment("a", PAUSE, 0)).await.says(201, "");
    let env = |env: Value| {
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "a" }, "spec": { "template": { "spec": {
            "containers": [{ "name": "idle", "env": env }] } } } })
    };
    let path = format!("{DEPLOYMENTS}/a?fieldManager=one");
    for variables in [
        json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "1" }]),
        json!([{ "name": "B", "value": "2" }]),
    ] {
        let applied =
            talk.ask_like(Like::Reason, Method::GET, &format!("{DEPLOYMENTS}/a"), Value::Null).await;
        drop(applied);
        let applied = talk.apply_like(Like::Reason, &path, env(variables)).await.says(200, "");
        talk.note("the containers", Like::Whole, &applied["spec"]["template"]["spec"]["containers"]);
    }
}

pub(crate) async fn lists_are_selected_paged_and_cut_to_metadata(talk: &mut Talk) {
    talk.settle().await;
    talk.ask_like(Like::Reason, Method::DELETE, &format!("{MAPS}/kube-root-ca.crt"), Value::Null).await;
    // The fake has no such thing.
    talk.forget_question();
    for (name, part) in [("a", "one"), ("b", "two"), ("c", "one")] {
        talk.ask(Method::POST, MAPS, labelled(name, part)).await.says(201, "");
    }
    for selector in [
        "part%3Done",
        "part%21%3Done%2Cpart",
        "part%20in%20%28one%2Ctwo%29",
        "part%20notin%20%28one%29%2Cpart",
        "none",
    ] {
        talk.get(&format!("{MAPS}?labelSelector={selector}")).await.says(200, "");
    }
    talk.get(&format!("{MAPS}?labelSelector=%21part&fieldSelector=metadata.name%21%3Dkube-root-ca.crt"))
        .await
        .says(200, "");
    talk.get(&format!("{MAPS}?fieldSelector=metadata.name%3Db")).await.says(200, "");
    talk.get(&format!("{MAPS}?fieldSelector=data.x%3Db")).await.says(400, "BadRequest");
    talk.get(&format!("{MAPS}?labelSelector=a%3D%3D%3Db")).await.says(400, "BadRequest");
    let first = talk.get(&format!("{MAPS}?labelSelector=part&limit=2")).await.says(200, "");
    let token = first["metadata"]["continue"].as_str().unwrap().replace('=', "%3D");
    let path = format!("{MAPS}?labelSelector=part&limit=2&continue={token}");
    let client = talk.client();
    let next = talk.ask_of(&client, Like::Reason, Method::GET, &path, "", &[], Value::Null).await;
    talk.forget_question();
    talk.note("the second page", Like::Whole, &next.says(200, ""));
    talk.ask_like(Like::Reason, Method::GET, &format!("{MAPS}?continue=abc"), Value::Null)
        .await
        .says(400, "BadRequest");
    talk.get(&format!("{MAPS}?labelSelector=part&resourceVersion=0")).await.says(200, "");
    talk.ask_like(
        Like::Reason,
        Method::GET,
        &format!("{MAPS}?resourceVersion=999999999&limit=3"),
        Value::Null,
    )
    .await
    .says(504, "Timeout");
    for (path, what) in [
        (format!("{MAPS}?labelSelector=part"), "PartialObjectMetadataList"),
        (format!("{MAPS}/a"), "PartialObjectMetadata"),
    ] {
        let accept = format!("application/json;as={what};g=meta.k8s.io;v=v1");
        let headers = [("accept", accept.as_str())];
        talk.ask_of(&client, Like::Whole, Method::GET, &path, "", &headers, Value::Null).await.says(200, "");
    }
}

pub(crate) async fn what_is_left_out_is_set(talk: &mut Talk) {
    talk.settle().await;
    let secret = json!({ "metadata": { "name": "a" }, "stringData": { "x": "1" } });
    talk.ask(Method::POST, SECRETS, secret).await.says(201, "");
    let ports = json!([{ "name": "http", "port": 80 }, { "name": "dns", "port": 53, "protocol": "UDP", "targetPort": "dns" }]);
    for kind in ["ClusterIP", "NodePort", "LoadBalancer"] {
        let service = json!({ "metadata": { "name": kind.to_lowercase() },
            "spec": { "type": kind, "ports": ports, "selector": { "app": "a" } } });
        talk.ask_like(Like::Within, Method::POST, SERVICES, service).await.says(201, "");
    }
    let claim = json!({ "metadata": { "name": "a" }, "spec": { "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": "1Mi" } }, "storageClassName": "no-such-class" } });
    talk.ask(Method::POST, CLAIMS, claim).await.says(201, "");
    let made = talk.ask(Method::POST, DEPLOYMENTS, deployment("a", PAUSE, 0)).await.says(201, "");
    assert_eq!(made["metadata"]["generation"], 1);
    let set = json!({ "metadata": { "name": "a" }, "spec": { "serviceName": "a", "replicas": 0,
        "selector": { "matchLabels": { "app": "s" } }, "template": deployment("s", PAUSE, 0)["spec"]["template"] } });
    talk.ask(Method::POST, SETS, set).await.says(201, "");
    let policy = json!({ "metadata": { "name": "a" }, "spec": { "podSelector": { "matchLabels": { "a": "b" } }, "policyTypes": ["Ingress"] } });
    talk.ask(Method::POST, POLICIES, policy).await.says(201, "");
    let pod = json!({ "metadata": { "name": "a" }, "spec": { "nodeName": "no-such-node",
        "containers": [{ "name": "idle", "image": "iotorch.test/pause", "resources": { "limits": { "memory": "4Mi" } } }] } });
    talk.ask_like(Like::Within, Method::POST, PODS, pod).await.says(201, "");
}

pub(crate) async fn what_may_not_change_stays(talk: &mut Talk) {
    talk.settle().await;
    let secret =
        |value: &str| json!({ "metadata": { "name": "a" }, "data": { "x": value }, "immutable": true });
    talk.ask(Method::POST, SECRETS, secret("MQ==")).await.says(201, "");
    talk.merge(&format!("{SECRETS}/a"), json!({ "data": { "x": "Mg==" } })).await.says(422, "Invalid");
    let loose = json!({ "metadata": { "name": "a" }, "data": { "x": "Mg==" } });
    talk.ask(Method::PUT, &format!("{SECRETS}/a"), loose).await.says(422, "Invalid");
    talk.ask(Method::PUT, &format!("{SECRETS}/a"), secret("MQ==")).await.says(200, "");
    talk.ask_like(Like::Within, Method::POST, DEPLOYMENTS, deployment("a", PAUSE, 0)).await.says(201, "");
    let other = json!({ "spec": { "selector": { "matchLabels": { "app": "b" } },
        "template": { "metadata": { "labels": { "app": "b" } } } } });
    talk.merge(&format!("{DEPLOYMENTS}/a"), other).await.says(422, "Invalid");
    let service =
        json!({ "metadata": { "name": "a" }, "spec": { "type": "NodePort", "ports": [{ "port": 80 }] } });
    let made = talk.ask_like(Like::Within, Method::POST, SERVICES, service.clone()).await.says(201, "");
    let again =
        talk.ask_like(Like::Within, Method::PUT, &format!("{SERVICES}/a"), service).await.says(200, "");
    assert_eq!(made["spec"]["clusterIP"], again["spec"]["clusterIP"]);
    assert_eq!(made["spec"]["ports"], again["spec"]["ports"]);
}

pub(crate) async fn quotas_refuse_pods(talk: &mut Talk) {
    talk.settle().await;
    let quotas = "/api/v1/namespaces/{space}/resourcequotas";
    let quota = json!({ "metadata": { "name": "q" },
        "spec": { "hard": { "limits.memory": "10Mi", "requests.memory": "10Mi" } } });
    talk.ask(Method::POST, quotas, quota).await.says(201, "");
    let is_counted = |_: u16, quota: &Value| quota["status"]["used"]["limits.memory"] == "0";
    talk.until("the quota is counted", &format!("{quotas}/q"), is_counted).await;
    let pod = |resources: Value| json!({ "metadata": { "name": "p" }, "spec": { "containers": [{ "name": "c", "image": PAUSE, "resources": resources }] } });
    talk.ask(Method::POST, PODS, pod(json!({ "limits": { "memory": "20Mi" } }))).await.says(403, "Forbidden");
    talk.ask(Method::POST, PODS, pod(json!({}))).await.says(403, "Forbidden");
    talk.ask_like(Like::Within, Method::POST, DEPLOYMENTS, deployment("d", PAUSE, 1)).await.says(201, "");
    let has_failed =
        |_: u16, sets: &Value| sets["items"][0]["status"]["conditions"][0]["type"] == "ReplicaFailure";
    let sets = "/apis/apps/v1/namespaces/{space}/replicasets";
    let sets = talk.until("the set tells that it cannot make a pod", sets, has_failed).await;
    let mut told = sets["items"][0]["status"]["conditions"][0].clone();
    let message = told["message"].as_str().unwrap_or_default();
    // The name of the pod is made up.
    let (_, why) = message.split_once(" is forbidden: ").unwrap();
    told["message"] = why.into();
    talk.note("what the set tells", Like::Whole, &told);
    let ranges = "/api/v1/namespaces/{space}/limitranges";
    let ask = json!({ "memory": "4Mi" });
    let range = json!({ "metadata": { "name": "r" },
        "spec": { "limits": [{ "type": "Container", "default": ask, "defaultRequest": ask }] } });
    talk.ask(Method::POST, ranges, range).await.says(201, "");
    let made = loop {
        // The API server learns of the range a moment later.
        let answer = talk.ask_like(Like::Reason, Method::POST, PODS, pod(json!({}))).await;
        talk.forget_question();
        if answer.code == 201 {
            break answer.json;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    talk.note("what the container gets", Like::Whole, &made["spec"]["containers"][0]["resources"]);
}

pub(crate) async fn finalizers_hold_objects(talk: &mut Talk) {
    talk.settle().await;
    let held = json!({ "metadata": { "name": "held", "finalizers": ["example.org/hold"] } });
    talk.ask(Method::POST, MAPS, held).await.says(201, "");
    let at = format!("{MAPS}/held");
    talk.ask(Method::DELETE, &at, json!({})).await.says(200, "");
    talk.ask(Method::DELETE, &at, json!({})).await.says(200, "");
    let more = json!({ "metadata": { "finalizers": ["example.org/hold", "example.org/more"] } });
    talk.merge(&at, more).await.says(422, "Invalid");
    talk.merge(&at, json!({ "data": { "x": "1" } })).await.says(200, "");
    talk.ask(Method::POST, MAPS, map("held", json!({}))).await.says(409, "AlreadyExists");
    talk.merge(&at, json!({ "metadata": { "finalizers": null } })).await.says(200, "");
    talk.get(&at).await.says(404, "NotFound");
}

pub(crate) async fn namespaces_end_with_all_that_is_in_them(talk: &mut Talk) {
    talk.settle().await;
    let held = json!({ "metadata": { "name": "held", "finalizers": ["example.org/hold"] } });
    talk.ask(Method::POST, MAPS, held).await.says(201, "");
    talk.ask(Method::POST, SECRETS, json!({ "metadata": { "name": "a" } })).await.says(201, "");
    let space = "/api/v1/namespaces/{space}";
    talk.ask(Method::DELETE, space, json!({})).await.says(200, "");
    talk.ask(Method::POST, MAPS, map("late", json!({}))).await.says(403, "Forbidden");
    let again = json!({ "metadata": { "name": talk.space } });
    talk.ask(Method::POST, "/api/v1/namespaces", again).await.says(409, "AlreadyExists");
    talk.until("the rest of it is gone", &format!("{SECRETS}/a"), |code, _| code == 404).await;
    let tells_what_is_left = |_: u16, space: &Value| {
        let conditions = space["status"]["conditions"].as_array().into_iter().flatten();
        conditions
            .into_iter()
            .any(|it| it["type"] == "NamespaceFinalizersRemaining" && it["status"] == "True")
    };
    let left = talk.until("it tells what is left", space, tells_what_is_left).await;
    talk.note("what is left", Like::Within, &left);
    talk.merge(&format!("{MAPS}/held"), json!({ "metadata": { "finalizers": null } })).await.says(200, "");
    talk.until("it is gone", space, |code, _| code == 404).await;
    talk.get(&format!("{MAPS}/held")).await.says(404, "NotFound");
}

pub(crate) async fn rights_that_are_missing_are_named(talk: &mut Talk) {
    talk.settle().await;
    if let Some(fake) = &talk.fake {
        fake.faults(|faults| {
            for (verb, resource) in [
                ("create", "namespaces"),
                ("get", "configmaps"),
                ("list", "configmaps"),
                ("watch", "configmaps"),
                ("patch", "deployments"),
                ("delete", "secrets"),
                ("deletecollection", "secrets"),
            ] {
                faults.forbid(verb, resource);
            }
        });
    }
    let client = talk.as_tester.clone().unwrap_or_else(|| talk.client());
    let questions = [
        (Method::POST, "/api/v1/namespaces".to_owned(), json!({ "metadata": { "name": "x" } })),
        (Method::GET, MAPS.to_owned(), Value::Null),
        (Method::GET, format!("{MAPS}?watch=true"), Value::Null),
        (Method::GET, "/api/v1/configmaps".to_owned(), Value::Null),
        (Method::GET, format!("{MAPS}/a"), Value::Null),
        (Method::DELETE, format!("{SECRETS}/a"), Value::Null),
        (Method::DELETE, SECRETS.to_owned(), Value::Null),
    ];
    for (method, path, body) in questions {
        talk.ask_of(&client, Like::Whole, method, &path, "application/json", &[], body)
            .await
            .says(403, "Forbidden");
    }
    let path = format!("{DEPLOYMENTS}/a?fieldManager=one");
    let deployment = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "a" } });
    talk.ask_of(&client, Like::Whole, Method::PATCH, &path, "application/apply-patch+yaml", &[], deployment)
        .await
        .says(403, "Forbidden");
    for (verb, resource, allowed) in [("create", "namespaces", false), ("list", "configmaps", false)] {
        let right = json!({ "verb": verb, "resource": resource, "namespace": "{space}" });
        let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": right } });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let told =
            talk.ask_of(&client, Like::Within, Method::POST, path, "application/json", &[], review).await;
        assert_eq!(told.says(201, "")["status"]["allowed"], allowed);
    }
}

pub(crate) async fn a_token_that_is_not_known_is_refused(talk: &mut Talk) {
    if let Some(fake) = &talk.fake {
        fake.faults(|faults| faults.is_token_expired = true);
    }
    let client = talk.as_stranger.clone().unwrap_or_else(|| talk.client());
    for path in ["/api/v1/nodes", "/api/v1/namespaces/default", "/apis/apps/v1/deployments?watch=true"] {
        talk.ask_of(&client, Like::Whole, Method::GET, path, "", &[], Value::Null)
            .await
            .says(401, "Unauthorized");
    }
}

pub(crate) async fn watches_tell_what_enters_and_leaves_a_selection(talk: &mut Talk) {
    talk.settle().await;
    let maps = Api::<ConfigMap>::namespaced(talk.client(), &talk.space);
    talk.ask(Method::POST, MAPS, labelled("a", "one")).await.says(201, "");
    let list =
        talk.ask_like(Like::Reason, Method::GET, &format!("{MAPS}?limit=1"), Value::Null).await.says(200, "");
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let params = WatchParams::default().labels("part=one").timeout(30);
    let mut events = std::pin::pin!(maps.watch(&params, version).await.unwrap());
    talk.ask(Method::POST, MAPS, labelled("b", "one")).await.says(201, "");
    talk.ask(Method::POST, MAPS, labelled("c", "two")).await.says(201, "");
    talk.merge(&format!("{MAPS}/a"), json!({ "data": { "x": "1" } })).await.says(200, "");
    talk.merge(&format!("{MAPS}/a"), json!({ "metadata": { "labels": { "part": "two" } } }))
        .await
        .says(200, "");
    talk.merge(&format!("{MAPS}/a"), json!({ "data": { "x": "2" } })).await.says(200, "");
    talk.merge(&format!("{MAPS}/c"), json!({ "metadata": { "labels": { "part": "one" } } }))
        .await
        .says(200, "");
    talk.ask(Method::DELETE, &format!("{MAPS}/b"), Value::Null).await.says(200, "");
    let mut told = Vec::new();
    while told.len() < 5 {
        let event = timeout(Duration::from_secs(20), events.try_next()).await.unwrap().unwrap();
        let (what, map) = match event.unwrap() {
            WatchEvent::Added(map) => ("ADDED", map),
            WatchEvent::Modified(map) => ("MODIFIED", map),
            WatchEvent::Deleted(map) => ("DELETED", map),
            other => panic!("{other:?}"),
        };
        told.push(json!([what, map.name_any(), map.labels().get("part"), map.data]));
    }
    talk.note("what the watch told", Like::Whole, &told.clone().into());
    let told: Vec<_> =
        told.iter().map(|it| format!("{} {}", it[0].as_str().unwrap(), it[1].as_str().unwrap())).collect();
    assert_eq!(told, ["ADDED b", "MODIFIED a", "DELETED a", "ADDED c", "DELETED b"]);
}
