//! Exports: by the bridge, and by EdgeX itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::world::*;
use futures::future::join_all;
use iotorch_core::{
    ErrorKind, Health, Observed, Result,
    resource::{Change, ExportSpec, Job, NetAddress, Outputs, Work},
};
use iotorch_edgex_fake::{Config, Fake, Fault, Release, Service};
use iotorch_lite::{Gateway, GatewayConfig, Secret, client::GatewayClient};
use serde_json::{Value, json};
use tempfile::TempDir;

fn broker() -> NetAddress {
    NetAddress { host: "127.0.0.1".to_owned(), port: 9, tls: false }
}

fn create() -> Change<ExportSpec> {
    Change::Create { after: hub() }
}

fn delete() -> Change<ExportSpec> {
    Change::Delete { before: hub() }
}

/// What core-keeper was told, in order, without what is noted there.
fn told(world: &World) -> Vec<(String, Value)> {
    let asked = world.fake.asked().into_iter();
    let puts = asked.filter(|asked| asked.service == Service::Keeper && asked.method == "PUT");
    let puts = puts.filter(|asked| !asked.path.contains("/iotorch/"));
    puts.map(|asked| (asked.path.trim_start_matches("/api/v3/kvs/key/").to_owned(), asked.json())).collect()
}

fn strict(release: Release) -> Config {
    Config { strict_gap: true, deaf_at_first: true, ..Config::of(release) }
}

/// The topic that the application service sends to.
async fn topic(world: &World) -> String {
    let told = get(format!("{}/api/v3/config", world.fake.url(Service::AppMqttExport))).await;
    let topic = told.pointer("/config/Writable/Pipeline/Functions/MQTTExport/Parameters/topic");
    topic.and_then(Value::as_str).unwrap().to_owned()
}

/// The same step for an export of another name.
fn renamed(work: Work, to: &str) -> Work {
    let Work::Export(job) = work else { panic!() };
    Job { id: gateway().export(&name(to)), ..job }.into()
}

/// Has a step done as another installation.
async fn as_others(world: &World, work: Work) -> Result<Outputs> {
    let mut cx = world.cx();
    cx.installation = "b2".into();
    world.domain.apply(&cx, vec![work]).await.remove(0)
}

#[tokio::test]
async fn the_export_of_edgex_is_told_in_order_without_haste_and_with_another_client_each_time() {
    let world = World::with(strict(Release::V4), &json!({ "export": "edgex" })).await;
    let outputs = world.apply(world.export_work(broker(), "hub/key", create())).await.unwrap();
    let Outputs::Export(outputs) = outputs else { panic!() };
    insta::assert_snapshot!(outputs.destination);
    assert_eq!(topic(&world).await, "channels/c-1/messages/{devicename}");
    let first = told(&world);
    insta::assert_yaml_snapshot!(first);
    world.fake.forget();
    world.apply(world.export_work(broker(), "hub/key", create())).await.unwrap();
    assert_eq!(told(&world), [], "nothing is told twice");
    let changed = Change::Update { before: hub(), after: hub() };
    world.apply(world.export_work(broker(), "hub/key#2", changed)).await.unwrap();
    let second = told(&world);
    let client = |told: &[(String, Value)]| told[1].1["value"]["ClientId"].clone();
    assert_ne!(client(&first), client(&second));
    assert!(world.asked(Service::Keeper, "PUT") > 0);
    // It has not crashed.
    world.ready().await.unwrap();
}

#[tokio::test]
async fn the_export_of_edgex_is_one_and_its_owner_is_named() {
    let world = World::with(strict(Release::V4), &json!({ "export": "edgex" })).await;
    world.apply(world.export_work(broker(), "hub/key", create())).await.unwrap();
    let error = as_others(&world, world.export_work(broker(), "hub/key", create())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    insta::assert_snapshot!(common::world::told(&error));
    let error = as_others(&world, world.export_work(broker(), "hub/key", delete())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn another_export_of_edgex_is_refused_when_it_is_planned_and_to_undo_it_takes_nothing_away() {
    let world = World::with(Config::default(), &json!({ "export": "edgex" })).await;
    let (one, other) = (gateway().export(&name("hub")), gateway().export(&name("hub2")));
    world.apply(world.export_work(broker(), "hub/key", create())).await.unwrap();
    let seen = world.look(&[one.clone(), other.clone()]).await.unwrap();
    let Observed::Foreign { owner, spec: None } = &seen[&other] else { panic!("{seen:?}") };
    assert!(owner.ends_with("/export/hub"), "{owner}");
    world.fake.forget();
    let work = renamed(world.export_work(broker(), "hub/key", create()), "hub2");
    assert_eq!(world.apply(work).await.unwrap_err().kind(), ErrorKind::Conflict);
    for _ in 0..2 {
        let undo = renamed(world.export_work(broker(), "hub/key", delete()), "hub2");
        assert_eq!(world.apply(undo).await.unwrap(), Outputs::Removed { residue: Vec::new() });
    }
    assert_eq!(world.asked(Service::Keeper, "PUT"), 0);
    let seen = world.look(std::slice::from_ref(&one)).await.unwrap();
    assert!(matches!(seen[&one], Observed::Present { .. }), "{seen:?}");
}

#[tokio::test]
async fn what_sends_to_a_server_is_nothing_to_take_over_as_its_key_cannot_be_given_back() {
    for release in [Release::V4, Release::V1] {
        let world = World::with(Config::of(release), &json!({ "export": "edgex" })).await;
        as_others(&world, world.export_work(broker(), "hub/key", create())).await.unwrap();
        let export = gateway().export(&name("hub"));
        let seen = world.look(std::slice::from_ref(&export)).await.unwrap();
        assert!(matches!(&seen[&export], Observed::Foreign { spec: None, .. }), "{release:?}: {seen:?}");
    }
}

#[tokio::test]
async fn a_pipeline_that_somebody_has_set_up_by_hand_is_left_alone() {
    let world = World::with(Config::default(), &json!({ "export": "edgex" })).await;
    let keys =
        format!("{}/api/v3/kvs/key/edgex/v4/app-mqtt-export/Writable", world.fake.url(Service::Keeper));
    let parameters = json!({ "value": { "BrokerAddress": "tcp://plant.example:1883", "Topic": "plant/1" } });
    put(format!("{keys}/Pipeline/Functions/MQTTExport/Parameters?flatten=true"), &parameters).await;
    let before = configuration(&world.fake, "keeper").await;
    let export = gateway().export(&name("hub"));
    let seen = world.look(std::slice::from_ref(&export)).await.unwrap();
    let theirs = Observed::Foreign { owner: "nobody (no mark)".to_owned(), spec: None };
    assert_eq!(seen[&export], theirs);
    let error = world.apply(world.export_work(broker(), "hub/key", create())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    world.apply(world.export_work(broker(), "hub/key", delete())).await.unwrap();
    assert_eq!(configuration(&world.fake, "keeper").await, before);
}

#[tokio::test]
async fn a_pipeline_that_was_told_to_send_no_more_is_degraded() {
    let world = World::with(Config::default(), &json!({ "export": "edgex" })).await;
    let export = gateway().export(&name("hub"));
    world.apply(world.export_work(broker(), "hub/key", create())).await.unwrap();
    let url = world.fake.url(Service::Keeper);
    let key = format!("{url}/api/v3/kvs/key/edgex/v4/app-mqtt-export/Writable/Pipeline/ExecutionOrder");
    put(key, &json!({ "value": "Transform" })).await;
    let seen = world.look(std::slice::from_ref(&export)).await.unwrap();
    let Observed::Present { health: Health::Degraded { reason }, .. } = &seen[&export] else {
        panic!("{seen:?}")
    };
    assert_eq!(reason, "the application service has MQTTExport no more among what it does");
}

#[tokio::test]
async fn a_configuration_whose_consul_has_no_leader_may_come_back() {
    let world = World::with(Config::of(Release::V3_1), &json!({ "export": "edgex" })).await;
    world.fake.fail(Service::Consul, "GET /v1/kv", Fault::Said(500, "No cluster leader"));
    let error = world.apply(world.export_work(broker(), "hub/key", create())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(common::world::told(&error).ends_with("core-consul says 500: No cluster leader"));
    world.insist(world.export_work(broker(), "hub/key", create())).await.unwrap();
}

#[tokio::test]
async fn the_configuration_is_as_it_was_once_the_export_of_edgex_is_gone() {
    for (release, base) in [(Release::V4, "keeper"), (Release::V3_1, "consul")] {
        let world = World::with(strict(release), &json!({ "export": "edgex" })).await;
        let before = configuration(&world.fake, base).await;
        world.apply(world.export_work(broker(), "hub/key", create())).await.unwrap();
        assert_ne!(configuration(&world.fake, base).await, before);
        for _ in 0..2 {
            let gone = world.apply(world.export_work(broker(), "hub/key", delete())).await.unwrap();
            assert_eq!(gone, Outputs::Removed { residue: Vec::new() });
        }
        let mut after = configuration(&world.fake, base).await;
        let client =
            after.iter_mut().find(|(key, _)| key.ends_with("/MQTTExport/Parameters/ClientId")).unwrap().1;
        assert!(client.starts_with("iotorch-"), "no client is connected twice: {client}");
        before
            .iter()
            .find(|(key, _)| key.ends_with("/MQTTExport/Parameters/ClientId"))
            .unwrap()
            .1
            .clone_into(client);
        assert_eq!(after, before);
    }
}

/// The life of an export: it is made, its key is rotated, and it goes.
fn life(world: &World) -> [Work; 3] {
    let changed = Change::Update { before: hub(), after: hub() };
    [
        world.export_work(broker(), "hub/key", create()),
        world.export_work(broker(), "hub/key#2", changed),
        world.export_work(broker(), "hub/key#2", delete()),
    ]
}

/// Lives the life of an export with a fault at the request of this number, and goes on as the next process does.
async fn interrupted(release: Release, questions: &[(Service, String)], at: usize, fault: Fault) {
    let mut world = World::with(Config::of(release), &json!({ "export": "edgex" })).await;
    let before = kept(&world, release).await;
    let (service, question) = &questions[at];
    // The same question may come several times: the fault waits for its turn.
    let earlier = questions[..at].iter();
    let earlier = earlier.filter(|(of, earlier)| of == service && earlier.starts_with(question)).count();
    world.fake.forget();
    world.fake.fail_after(*service, question, earlier, fault);
    let mut was_felt = false;
    for work in life(&world) {
        if world.apply(work.clone()).await.is_err() {
            was_felt = true;
            world.reconnect();
            world.insist(work).await.unwrap();
        }
    }
    assert!(was_felt, "{release:?}: {fault:?} of {question} was not felt");
    assert_eq!(kept(&world, release).await, before, "{release:?}: {fault:?} of {question}");
    let seen = world.look(&[]).await.unwrap();
    assert_eq!(seen.len(), 1, "nothing but the gateway: {seen:?}");
}

/// What a gateway keeps of exports, but for the identity of the client, which is another one each time.
async fn kept(world: &World, release: Release) -> BTreeMap<String, String> {
    let base = match release {
        Release::V4 => "keeper",
        Release::V3_1 => "consul",
        Release::V1 => {
            let registrations =
                get(format!("{}/api/v1/registration", world.fake.url(Service::ExportClient))).await;
            return [("registrations".to_owned(), registrations.to_string())].into();
        }
    };
    let mut kept = configuration(&world.fake, base).await;
    kept.retain(|key, _| !key.ends_with("/MQTTExport/Parameters/ClientId"));
    kept
}

#[tokio::test]
async fn an_export_of_edgex_is_interrupted_at_every_request_and_resumed_and_nothing_is_left() {
    for release in [Release::V4, Release::V3_1, Release::V1] {
        let world = World::with(Config::of(release), &json!({ "export": "edgex" })).await;
        world.fake.forget();
        for work in life(&world) {
            world.apply(work).await.unwrap();
        }
        let asked = world.fake.asked().into_iter();
        let questions: Vec<_> =
            asked.map(|asked| (asked.service, format!("{} {}", asked.method, asked.path))).collect();
        assert!(questions.len() > 5, "{questions:?}");
        let faults = [Fault::Lost, Fault::LostAnswer];
        let cases = faults.iter().flat_map(|fault| (0..questions.len()).map(move |at| (at, *fault)));
        join_all(cases.map(|(at, fault)| interrupted(release, &questions, at, fault))).await;
    }
}

async fn get(url: String) -> Value {
    http().get(url).send().await.unwrap().json().await.unwrap()
}

async fn put(url: String, body: &Value) {
    assert!(http().put(url).json(body).send().await.unwrap().status().is_success());
}

/// The keys of all services, with their values.
async fn configuration(fake: &Fake, base: &str) -> BTreeMap<String, String> {
    let (pairs, key, value) = if base == "keeper" {
        let url = format!("{}/api/v3/kvs/key/edgex?plaintext=true", fake.url(Service::Keeper));
        (get(url).await["response"].clone(), "key", "value")
    } else {
        (get(format!("{}/v1/kv/edgex?recurse=true", fake.url(Service::Consul))).await, "Key", "Value")
    };
    let plain = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        // Consul encodes values.
        let decoded = (base == "consul").then(|| String::from_utf8(STANDARD.decode(text).unwrap()).unwrap());
        decoded.unwrap_or_else(|| text.to_owned())
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    pairs.as_array().unwrap().iter().map(|pair| (text(&pair[key]), plain(&pair[value]))).collect()
}

#[tokio::test]
async fn the_export_of_delhi_is_a_registration_and_a_name_that_is_taken_is_named() {
    let world = World::with(Config::of(Release::V1), &json!({ "export": "edgex" })).await;
    let made = world.apply(world.export_work(broker(), "hub/key", create())).await.unwrap();
    let seen = world.look(&[gateway().export(&name("hub"))]).await.unwrap();
    let Observed::Present { outputs, spec, .. } = &seen[&gateway().export(&name("hub"))] else { panic!() };
    assert_eq!((outputs, spec), (&made, &hub().into()));
    let error = as_others(&world, world.export_work(broker(), "hub/key", create())).await.unwrap_err();
    insta::assert_snapshot!(common::world::told(&error));
    world.apply(world.export_work(broker(), "hub/key", delete())).await.unwrap();
    let seen = world.look(&[gateway().export(&name("hub"))]).await.unwrap();
    assert_eq!(seen[&gateway().export(&name("hub"))], Observed::Absent);
}

#[tokio::test]
async fn a_name_at_delhi_that_somebody_takes_meanwhile_is_looked_at_again() {
    let world = World::with(Config::of(Release::V1), &json!({ "export": "edgex" })).await;
    let mut hold = world.fake.hold(Service::ExportClient, "POST /api/v1/registration");
    let (domain, cx) = (Arc::clone(&world.domain), world.cx());
    let work = world.export_work(broker(), "hub/key", create());
    let ours = tokio::spawn(async move { domain.apply(&cx, vec![work]).await.remove(0) });
    hold.arrived().await;
    as_others(&world, world.export_work(broker(), "hub/key", create())).await.unwrap();
    hold.let_go();
    // EdgeX says 400 of it, as it does of wrong input.
    assert_eq!(ours.await.unwrap().unwrap_err().kind(), ErrorKind::NotReady);
    let error = world.apply(world.export_work(broker(), "hub/key", create())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

/// A gateway with a bridge beside it.
async fn with_bridge(set: &Value) -> (World, Gateway, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let config = GatewayConfig::builder().data_dir(dir.path()).admin_token(Secret::new(ADMIN)).build();
    let bridge = Gateway::start(config).await.unwrap();
    let fake = Fake::start(Config::default()).await.unwrap();
    let mut endpoints = endpoints(&fake, Release::V4);
    endpoints.insert("bridge".to_owned(), bridge.management_address());
    (World::on(fake, application_spec(&endpoints, set)).await, bridge, dir)
}

/// What is at a bridge.
async fn at(bridge: &Gateway) -> Vec<String> {
    let client =
        GatewayClient::new(format!("http://{}", bridge.management_address()), Secret::new(ADMIN)).unwrap();
    client.objects().await.unwrap().into_iter().map(|object| object.path).collect()
}

#[tokio::test]
async fn an_export_goes_over_from_edgex_to_the_bridge_and_back_and_stays_at_one_of_them() {
    let (mut world, bridge, _dir) = with_bridge(&json!({ "export": "edgex" })).await;
    let before = kept(&world, Release::V4).await;
    let export = gateway().export(&name("hub"));
    world.apply(world.export_work(broker(), "hub/key", create())).await.unwrap();
    for set in ["bridge", "edgex", "bridge", "none"] {
        world.spec.settings = settings(&json!({ "export": set }));
        world.application = world.ready().await.unwrap();
        let change = if set == "none" { delete() } else { Change::Update { before: hub(), after: hub() } };
        for _ in 0..2 {
            world.apply(world.export_work(broker(), "hub/key", change.clone())).await.unwrap();
        }
        let is_at_edgex = kept(&world, Release::V4).await != before;
        let is_at_bridge = !at(&bridge).await.is_empty();
        assert_eq!((is_at_edgex, is_at_bridge), (set == "edgex", set == "bridge"), "{set}");
        let seen = world.look(std::slice::from_ref(&export)).await.unwrap();
        assert_eq!(matches!(seen[&export], Observed::Present { .. }), set != "none", "{seen:?}");
    }
    bridge.stop().await;
}

#[tokio::test]
async fn the_bridge_has_the_export_and_edgex_is_told_nothing() {
    let (world, bridge, _dir) = with_bridge(&json!({})).await;
    assert!(!world.application.endpoints.contains_key("app-mqtt-export"), "it is left alone");
    let export = gateway().export(&name("hub"));
    let made = world.apply(world.export_work(broker(), "hub/key", create())).await.unwrap();
    let seen = world.look(std::slice::from_ref(&export)).await.unwrap();
    let Observed::Present { outputs, .. } = &seen[&export] else { panic!("{seen:?}") };
    assert_eq!(*outputs, made);
    assert_eq!(at(&bridge).await, ["exports/greenhouse.hub"]);
    assert_eq!(world.asked(Service::Keeper, "PUT"), 0);
    world.apply(world.export_work(broker(), "hub/key", delete())).await.unwrap();
    assert_eq!(world.look(std::slice::from_ref(&export)).await.unwrap()[&export], Observed::Absent);
    bridge.stop().await;
    assert_eq!(world.look(&[]).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_gateway_that_exports_nothing_says_what_it_lacks() {
    let world = World::of(Config::default()).await;
    let error = world.apply(world.export_work(broker(), "hub/key", create())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    insta::assert_snapshot!(common::world::told(&error));
}
