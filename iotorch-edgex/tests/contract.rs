//! What goes wrong between iotorch and EdgeX is said as it is: a test for each row of what was observed on running services.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::world::*;
use iotorch_core::{
    ErrorKind, Health, Observed,
    resource::{Change, DeviceSpec, Outputs, Ownership, Spec, Work},
};
use iotorch_edgex_fake::{Config, Fault, Loss, Release, Service};
use serde_json::json;

async fn world() -> World {
    let world = World::of(Config::default()).await;
    world.apply(world.create_profile()).await.unwrap();
    world
}

/// Something that somebody else has made, by the API of EdgeX itself.
async fn by_hand(world: &World, path: &str, body: &serde_json::Value) {
    let url = format!("{}{path}", world.fake.url(Service::Metadata));
    let answer = http().post(url).json(body).send().await.unwrap();
    let text = answer.text().await.unwrap();
    assert!(text.contains("201"), "{text}");
}

fn foreign_device(labels: &serde_json::Value) -> serde_json::Value {
    json!([{ "apiVersion": "v3", "device": {
        "name": "greenhouse.d1", "description": "by hand", "adminState": "UNLOCKED", "operatingState": "UP", "labels": labels,
        "serviceName": "device-mqtt", "profileName": "greenhouse.climate",
        "protocols": { "mqtt": { "CommandTopic": "by/hand" } } } }])
}

#[tokio::test]
async fn a_name_that_somebody_else_has_is_named_with_its_owner_and_left_alone() {
    let world = world().await;
    by_hand(&world, "/api/v3/device", &foreign_device(&json!(["rest"]))).await;
    let error = world.apply(world.create_device("d1")).await.unwrap_err();
    insta::assert_snapshot!(told(&error));
    let delete = world.device_work("d1", Change::Delete { before: device_spec("d1") });
    assert_eq!(world.apply(delete).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(world.fake.devices(), ["greenhouse.d1"]);
}

#[tokio::test]
async fn what_is_adopted_is_given_back_as_it_was_to_the_last_label() {
    let world = world().await;
    by_hand(&world, "/api/v3/device", &foreign_device(&json!(["rest", "a=1", "a=2"]))).await;
    let url = format!("{}/api/v3/device/name/greenhouse.d1", world.fake.url(Service::Metadata));
    let stored = async || {
        let mut found: serde_json::Value = http().get(&url).send().await.unwrap().json().await.unwrap();
        found["device"]["modified"] = json!(null);
        found
    };
    let before = stored().await;
    let Observed::Foreign { owner, spec: Some(Spec::Device(found)) } =
        world.look(&[device("d1")]).await.unwrap()[&device("d1")].clone()
    else {
        panic!()
    };
    assert_eq!(owner, "nobody (no mark)");
    let with = |ownership, change: Change<DeviceSpec>| {
        let Work::Device(job) = world.device_work("d1", change) else { panic!() };
        iotorch_core::resource::Job { ownership, ..job }
    };
    let adoption = Change::Update { before: found, after: device_spec("d1") };
    for _ in 0..2 {
        world.apply(with(Ownership::Adopt, adoption.clone())).await.unwrap();
    }
    assert!(matches!(&world.look(&[device("d1")]).await.unwrap()[&device("d1")], Observed::Present { .. }));
    for _ in 0..2 {
        world.apply(with(Ownership::Release, adoption.clone().inverse())).await.unwrap();
    }
    assert_eq!(stored().await, before);
}

#[tokio::test]
async fn an_unknown_profile_is_wrong_input() {
    let world = world().await;
    let spec = DeviceSpec { profile: "absent".to_owned(), ..device_spec("d1") };
    let error =
        world.apply(world.device_work("d1", Change::Create { after: spec.clone() })).await.unwrap_err();
    insta::assert_snapshot!(told(&error));
    world.apply(world.create_device("d1")).await.unwrap();
    let change = Change::Update { before: device_spec("d1"), after: spec };
    assert_eq!(world.apply(world.device_work("d1", change)).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn an_unknown_device_service_is_wrong_input() {
    let world = world().await;
    let set = settings(&json!({ "service": "device-none" }));
    let after = DeviceSpec { settings: set, ..device_spec("d1") };
    let error = world.apply(world.device_work("d1", Change::Create { after })).await.unwrap_err();
    insta::assert_snapshot!(told(&error));
}

#[tokio::test]
async fn a_device_service_that_does_not_run_is_named_and_may_come_back() {
    let world = world().await;
    world.fake.lose(Loss::Killed(Service::DeviceMqtt)).await;
    let error = world.apply(world.create_device("d1")).await.unwrap_err();
    assert!(error.is_retryable());
    insta::assert_snapshot!(told(&error));
    world.fake.regain(Loss::Killed(Service::DeviceMqtt)).await;
    world.insist(world.create_device("d1")).await.unwrap();
    assert_eq!(world.fake.devices(), ["greenhouse.d1"]);
}

#[tokio::test]
async fn a_bus_that_is_down_is_said_and_may_come_back() {
    let world = world().await;
    world.fake.lose(Loss::Bus).await;
    let error = world.apply(world.create_device("d1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    insta::assert_snapshot!(told(&error));
    world.fake.regain(Loss::Bus).await;
    world.insist(world.create_device("d1")).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_down_is_said_although_services_answer() {
    let world = world().await;
    world.fake.lose(Loss::Database).await;
    let error = world.look(&[device("d1")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    insta::assert_snapshot!(told(&error));
    let error = world.apply(world.create_device("d1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_profile_in_use_stays_and_its_users_are_named() {
    let world = world().await;
    for result in world.batch(world.create_devices(5)).await {
        result.unwrap();
    }
    let delete = world.profile_work(Change::Delete { before: profile_spec(&climate()) });
    let error = world.apply(delete.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    insta::assert_snapshot!(told(&error));
    for number in 0..5 {
        let name = format!("d{number}");
        world.apply(world.device_work(&name, Change::Delete { before: device_spec(&name) })).await.unwrap();
    }
    for _ in 0..2 {
        let gone = world.apply(delete.clone()).await.unwrap();
        assert_eq!(gone, Outputs::Removed { residue: Vec::new() });
    }
    assert!(world.fake.profiles().is_empty() && world.fake.devices().is_empty());
}

#[tokio::test]
async fn one_bad_device_fails_alone_and_the_results_of_the_others_stand() {
    let world = world().await;
    let mut works = world.create_devices(100);
    let bad = DeviceSpec { profile: "absent".to_owned(), ..device_spec("d42") };
    works[42] = world.device_work("d42", Change::Create { after: bad });
    world.fake.forget();
    let results = world.batch(works).await;
    let failed: Vec<_> = (0..100).filter(|index| results[*index].is_err()).collect();
    assert_eq!(failed, [42]);
    assert_eq!(results[42].as_ref().unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(world.fake.devices().len(), 99);
    assert_eq!(world.asked(Service::Metadata, "POST /api/v3/device"), 1);
}

#[tokio::test]
async fn a_list_that_is_cut_into_pages_is_read_to_its_end() {
    let world = world().await;
    for works in world.create_devices(1500).chunks(200) {
        for result in world.batch(works.to_vec()).await {
            result.unwrap();
        }
    }
    let seen = world.look(&[device("d1499")]).await.unwrap();
    let there = seen.values().filter(|seen| matches!(seen, Observed::Present { .. })).count();
    assert_eq!(there, 1500 + 2, "the devices, the profile and the gateway");
}

#[tokio::test]
async fn a_list_that_becomes_shorter_than_what_was_read_of_it_is_at_its_end() {
    let world = world().await;
    for works in world.create_devices(1100).chunks(200) {
        for result in world.batch(works.to_vec()).await {
            result.unwrap();
        }
    }
    let mut hold = world.fake.hold(Service::Metadata, "GET /api/v3/device/all?offset=1024");
    let shorten = async {
        hold.arrived().await;
        let delete = |number: usize| {
            let name = format!("d{number}");
            world.device_work(&name, Change::Delete { before: device_spec(&name) })
        };
        for result in world.batch((0..200).map(delete).collect()).await {
            result.unwrap();
        }
        hold.let_go();
    };
    let (seen, ()) = tokio::join!(world.look(&[]), shorten);
    assert!(seen.unwrap().contains_key(&device("d1023")), "it was on the first page");
}

#[tokio::test]
async fn an_array_that_is_refused_whole_is_sent_again_in_halves() {
    let world = world().await;
    world.fake.forget();
    world.fake.fail(Service::Metadata, "POST /api/v3/device", Fault::Refused(400));
    for result in world.batch(world.create_devices(10)).await {
        result.unwrap();
    }
    assert_eq!(world.asked(Service::Metadata, "POST /api/v3/device"), 3);
    assert_eq!(world.fake.devices().len(), 10);
}

#[tokio::test]
async fn a_device_that_is_gone_is_deleted_all_the_same() {
    let world = world().await;
    world.apply(world.create_device("d1")).await.unwrap();
    for _ in 0..2 {
        let delete = world.device_work("d1", Change::Delete { before: device_spec("d1") });
        assert_eq!(world.apply(delete).await.unwrap(), Outputs::Removed { residue: Vec::new() });
    }
    let question = "DELETE /api/v3/device/name/greenhouse.d1";
    assert_eq!(world.asked(Service::Metadata, question), 2, "the second is told 404");
}

#[tokio::test]
async fn an_outage_of_a_device_service_makes_no_later_array_smaller() {
    let world = world().await;
    world.fake.lose(Loss::Killed(Service::DeviceMqtt)).await;
    for _ in 0..4 {
        for result in world.batch(world.create_devices(200)).await {
            assert!(result.unwrap_err().is_retryable());
        }
    }
    world.fake.regain(Loss::Killed(Service::DeviceMqtt)).await;
    for result in world.insist_on(world.create_devices(200)).await {
        result.unwrap();
    }
    world.fake.forget();
    let more: Vec<_> = (200..400).map(|number| world.create_device(&format!("d{number}"))).collect();
    for result in world.batch(more).await {
        result.unwrap();
    }
    assert_eq!(world.asked(Service::Metadata, "POST /api/v3/device"), 1);
}

#[tokio::test]
async fn the_device_service_that_is_named_is_the_one_that_the_device_is_at() {
    let world = world().await;
    world.fake.lose(Loss::Killed(Service::DeviceRest)).await;
    let set = settings(&json!({ "service": "device-rest" }));
    let after = DeviceSpec { settings: set, ..device_spec("d1") };
    let error = world.apply(world.device_work("d1", Change::Create { after })).await.unwrap_err();
    assert!(told(&error).contains("device-rest cannot be reached"), "{}", told(&error));
}

#[tokio::test]
async fn what_services_say_without_json_is_told_in_their_words() {
    let v1 = World::of(Config::of(Release::V1)).await;
    v1.fake.lose(Loss::Database).await;
    let error = v1.look(&[device("d1")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(told(&error).ends_with("core-metadata says 503: no reachable servers"), "{}", told(&error));
    let world = world().await;
    world.fake.fail(Service::Metadata, "GET /api/v3/device/", Fault::Said(500, "<html>Oops</html>"));
    let error = world.look(&[device("d1")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected, "{}", told(&error));
}

#[tokio::test]
async fn what_somebody_else_has_at_delhi_is_left_alone_and_not_offered_for_adoption() {
    let world = World::of(Config::of(Release::V1)).await;
    let mut cx = world.cx();
    cx.installation = "b2".into();
    for work in [world.create_profile(), world.create_device("d1")] {
        world.domain.apply(&cx, vec![work]).await.remove(0).unwrap();
    }
    let seen = world.look(&[profile(), device("d1")]).await.unwrap();
    for id in [profile(), device("d1")] {
        assert!(matches!(&seen[&id], Observed::Foreign { spec: None, .. }), "{seen:?}");
    }
    let address = async || {
        let url =
            format!("{}/api/v1/addressable/name/iotorch-greenhouse.d1", world.fake.url(Service::Metadata));
        http().get(url).send().await.unwrap().text().await.unwrap()
    };
    let before = address().await;
    let after = DeviceSpec { settings: settings(&json!({ "commandTopic": "x" })), ..device_spec("d1") };
    let error = world.apply(world.device_work("d1", Change::Create { after })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(address().await, before);
}

#[tokio::test]
async fn a_device_that_is_locked_or_down_is_told_and_left_so() {
    let world = world().await;
    world.apply(world.create_device("d1")).await.unwrap();
    let url = format!("{}/api/v3/device", world.fake.url(Service::Metadata));
    let health = async |state: serde_json::Value| {
        let mut change = state;
        change["name"] = json!("greenhouse.d1");
        let body = json!([{ "apiVersion": "v3", "device": change }]);
        http().patch(&url).json(&body).send().await.unwrap();
        let change = Change::Update { before: device_spec("d1"), after: device_spec("d1") };
        world.apply(world.device_work("d1", change)).await.unwrap();
        match world.look(&[device("d1")]).await.unwrap().remove(&device("d1")) {
            Some(Observed::Present { health: Health::Degraded { reason }, .. }) => reason,
            other => panic!("{other:?}"),
        }
    };
    let locked = health(json!({ "adminState": "LOCKED" })).await;
    assert_eq!(locked, "it is locked, so it takes no commands");
    let down = health(json!({ "adminState": "UNLOCKED", "operatingState": "DOWN" })).await;
    assert_eq!(down, "its operating state is DOWN, so it takes no commands");
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_named() {
    let world = world().await;
    world.fake.lose(Loss::Stopped(Service::Command)).await;
    let error = world.ready().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    insta::assert_snapshot!(told(&error).lines().take(2).collect::<Vec<_>>().join("\n"));
    let seen = world.look(&[]).await.unwrap();
    let Observed::Present { health, .. } = &seen[&gateway()] else { panic!() };
    assert_eq!(*health, Health::Degraded { reason: "core-command cannot be reached".to_owned() });
    world.fake.regain(Loss::Stopped(Service::Command)).await;
    world.ready().await.unwrap();
}

#[tokio::test]
async fn a_device_service_that_has_not_registered_is_waited_for() {
    let mut world = world().await;
    world.spec.settings =
        settings(&json!({ "export": "none", "deviceServices": ["device-mqtt", "device-modbus"] }));
    let error = world.ready().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotReady);
    insta::assert_snapshot!(told(&error));
}

#[tokio::test]
async fn services_that_give_up_are_not_taken_for_done_and_what_they_answer_next_may_not_be_meant() {
    let mut texts = Vec::new();
    for release in [Release::V4, Release::V3_1] {
        let world = World::of(Config::of(release)).await;
        world.insist(world.create_profile()).await.unwrap();
        world.fake.mix_late_answers(true);
        // It takes five seconds to find out, which is as long as core-metadata may take.
        world.fake.lose(Loss::Killed(Service::DeviceMqtt)).await;
        let device = world.create_device("d1");
        for _ in 0..2 {
            let error = world.apply(device.clone()).await.unwrap_err();
            assert!(error.is_retryable());
            texts.push(told(&error));
        }
        world.fake.regain(Loss::Killed(Service::DeviceMqtt)).await;
        world.insist(device).await.unwrap();
        assert_eq!(world.fake.devices(), ["greenhouse.d1"]);
    }
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[tokio::test]
async fn what_is_lost_on_the_way_is_said_and_done_again() {
    for fault in [Fault::Lost, Fault::LostAnswer, Fault::Refused(500), Fault::Refused(502)] {
        let world = world().await;
        world.fake.fail(Service::Metadata, "POST /api/v3/device", fault);
        let error = world.apply(world.create_device("d1")).await.unwrap_err();
        assert!(error.is_retryable(), "{fault:?}: {}", told(&error));
        world.insist(world.create_device("d1")).await.unwrap();
        assert_eq!(world.fake.devices(), ["greenhouse.d1"]);
    }
}

#[tokio::test]
async fn what_others_changed_is_seen_and_put_right_in_place() {
    let world = world().await;
    let made = world.apply(world.create_device("d1")).await.unwrap();
    let url = format!("{}/api/v3/device", world.fake.url(Service::Metadata));
    let body = json!([{ "apiVersion": "v3", "device":
        { "name": "greenhouse.d1", "protocols": { "mqtt": { "CommandTopic": "elsewhere" } } } }]);
    http().patch(&url).json(&body).send().await.unwrap();
    let seen = world.look(&[device("d1")]).await.unwrap();
    let Observed::Present { spec: Spec::Device(spec), .. } = &seen[&device("d1")] else { panic!() };
    assert_eq!(spec.settings["commandTopic"], "elsewhere");
    world.fake.forget();
    let change = Change::Update { before: spec.clone(), after: device_spec("d1") };
    assert_eq!(world.apply(world.device_work("d1", change)).await.unwrap(), made);
    assert_eq!(world.asked(Service::Metadata, "PATCH /api/v3/device"), 1);
    assert_eq!(world.asked(Service::Metadata, "DELETE"), 0);
}

#[tokio::test]
async fn a_version_that_is_not_served_is_named() {
    let app = axum::Router::new().route(
        "/api/v2/version",
        axum::routing::get(|| async { r#"{"apiVersion":"v2","version":"2.3.0"}"# }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let mut world = world().await;
    let endpoints = [("metadata".to_owned(), address)].into();
    world.spec = application_spec(&endpoints, &json!({ "export": "none" }));
    let error = world.ready().await.unwrap_err();
    insta::assert_snapshot!(told(&error));
}

#[tokio::test]
async fn each_generation_says_which_it_is() {
    for (release, version) in [(Release::V4, "4.0.2"), (Release::V3_1, "3.1.0"), (Release::V1, "0.7")] {
        let world = World::of(Config::of(release)).await;
        assert_eq!(world.application.version, version);
    }
}
