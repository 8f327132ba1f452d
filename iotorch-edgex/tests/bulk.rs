//! A thousand devices in few requests, and steps that are repeated, interrupted, and overtaken by their own beginnings.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::world::*;
use iotorch_core::{
    ErrorKind, Observed, Result,
    resource::{Change, Outputs, ResourceId, Work},
};
use iotorch_edgex_fake::{Config, Fault, Release, Service};
use serde_json::Value;

/// The most devices in one call.
const BATCH: usize = 200;

/// What core-metadata is asked at most for a thousand devices.
const REQUESTS: usize = 12;

async fn world() -> World {
    let world = World::of(Config::default()).await;
    world.apply(world.create_profile()).await.unwrap();
    world.fake.forget();
    world
}

/// Has works done in batches as core does, with what may pass done again.
async fn in_batches(world: &World, works: Vec<Work>) -> Vec<Result<Outputs>> {
    let mut results = Vec::new();
    for some in works.chunks(BATCH) {
        results.extend(world.insist_on(some.to_vec()).await);
    }
    results
}

fn requests(world: &World) -> usize {
    world.asked(Service::Metadata, "")
}

async fn there(world: &World, count: usize) {
    let known: Vec<_> = (0..count).map(|number| device(&format!("d{number}"))).collect();
    let seen = world.look(&known).await.unwrap();
    let present = known.iter().filter(|id| matches!(seen[id], Observed::Present { .. })).count();
    assert_eq!((present, seen.len()), (count, count + 2), "and the profile and the gateway");
}

#[tokio::test]
async fn a_thousand_devices_take_at_most_twelve_requests_with_the_look_at_them_before() {
    let world = world().await;
    let known: Vec<_> = (0..1000).map(|number| device(&format!("d{number}"))).collect();
    world.look(&known).await.unwrap();
    for result in in_batches(&world, world.create_devices(1000)).await {
        result.unwrap();
    }
    assert!(requests(&world) <= REQUESTS, "{}", requests(&world));
    there(&world, 1000).await;
}

#[tokio::test]
async fn a_thousand_devices_take_at_most_twelve_requests_also_when_one_is_given_up_on_and_goes_on() {
    for done in [0, 57, 199] {
        let world = world().await;
        world.fake.exceed(done);
        for result in in_batches(&world, world.create_devices(1000)).await {
            result.unwrap();
        }
        assert!(requests(&world) <= REQUESTS, "{}", requests(&world));
        world.fake.finish_late_work(1000);
        there(&world, 1000).await;
        assert_eq!(world.fake.devices().len(), 1000);
    }
}

#[tokio::test]
async fn what_lands_late_after_the_step_was_repeated_changes_nothing() {
    let world = World::of(Config { late_after: None, ..Config::default() }).await;
    world.apply(world.create_profile()).await.unwrap();
    world.fake.exceed(20);
    let works = world.create_devices(100);
    for result in world.insist_on(works.clone()).await {
        result.unwrap();
    }
    assert!(world.fake.late_work() > 0, "the first request is still worked on");
    world.fake.finish_late_work(1000);
    there(&world, 100).await;
    let before = listing(&world, Release::V4).await;
    for result in world.insist_on(works).await {
        result.unwrap();
    }
    assert_eq!(listing(&world, Release::V4).await, before);
}

#[tokio::test]
async fn what_lands_late_after_it_was_removed_is_found_by_the_next_look_and_goes() {
    let world = World::of(Config { late_after: None, ..Config::default() }).await;
    world.apply(world.create_profile()).await.unwrap();
    world.fake.exceed(1);
    let works = world.create_devices(3);
    let error = world.batch(works).await.remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    for number in 0..3 {
        let name = format!("d{number}");
        world.insist(world.device_work(&name, Change::Delete { before: device_spec(&name) })).await.unwrap();
    }
    world.fake.finish_late_work(1000);
    let left = world.fake.devices().len();
    assert!(left > 0, "something came late");
    let seen = world.look(&[]).await.unwrap();
    let strays: Vec<ResourceId> = seen.into_keys().filter(|id| id.name().starts_with('d')).collect();
    assert_eq!(strays.len(), left);
    for id in strays {
        let before = device_spec(id.name());
        world.apply(world.device_work(id.name(), Change::Delete { before })).await.unwrap();
    }
    assert!(world.fake.devices().is_empty());
}

/// Everything that is there, whoever made it, without the times.
async fn listing(world: &World, release: Release) -> Vec<String> {
    if release != Release::V1 {
        return [world.fake.devices(), world.fake.profiles()].concat();
    }
    let mut names = Vec::new();
    for kind in ["device", "deviceprofile", "addressable"] {
        let url = format!("{}/api/v1/{kind}", world.fake.url(Service::Metadata));
        let found: Vec<Value> = http().get(url).send().await.unwrap().json().await.unwrap();
        names.extend(found.iter().map(|one| one["name"].as_str().unwrap().to_owned()));
    }
    names
}

/// The requests that the whole life of a profile and two devices takes, by what each begins with.
fn life(world: &World) -> Vec<Work> {
    let changed = Change::Update { before: device_spec("d1"), after: relabelled("d1") };
    let growth = Change::Update { before: profile_spec(&climate()), after: profile_spec(&grown()) };
    vec![
        world.create_profile(),
        world.create_device("d0"),
        world.create_device("d1"),
        world.profile_work(growth),
        world.device_work("d1", changed),
        world.device_work("d0", Change::Delete { before: device_spec("d0") }),
        world.device_work("d1", Change::Delete { before: relabelled("d1") }),
        world.profile_work(Change::Delete { before: profile_spec(&grown()) }),
    ]
}

fn grown() -> serde_json::Value {
    serde_json::json!([{ "name": "temperature", "type": "float" }, { "name": "light", "type": "integer" }])
}

fn relabelled(name: &str) -> iotorch_core::resource::DeviceSpec {
    let labels = [("bench".to_owned(), "2".to_owned())].into();
    iotorch_core::resource::DeviceSpec { labels, ..device_spec(name) }
}

#[tokio::test]
async fn a_run_is_interrupted_at_every_request_and_resumed_and_nothing_is_there_twice_or_left() {
    for release in [Release::V4, Release::V1] {
        interrupt_at_every_request(release).await;
    }
}

async fn interrupt_at_every_request(release: Release) {
    let questions = {
        let world = World::of(Config::of(release)).await;
        let works = life(&world);
        world.fake.forget();
        for work in works {
            world.apply(work).await.unwrap();
        }
        let asked = world.fake.asked();
        asked.iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect::<Vec<_>>()
    };
    assert!(questions.len() > 10, "{questions:?}");
    for fault in [Fault::Lost, Fault::LostAnswer] {
        for (at, question) in questions.iter().enumerate() {
            let mut world = World::of(Config::of(release)).await;
            let before = listing(&world, release).await;
            // The same question may come several times: the fault waits for its turn.
            let earlier = questions[..at].iter().filter(|earlier| earlier.starts_with(question)).count();
            let works = life(&world);
            world.fake.fail_after(Service::Metadata, question, earlier, fault);
            let mut stopped_at = works.len();
            for (index, work) in works.iter().enumerate() {
                if world.apply(work.clone()).await.is_err() {
                    stopped_at = index;
                    break;
                }
            }
            assert!(stopped_at < works.len(), "{release:?}: {fault:?} of {question} was not felt");
            // The next process goes on with the step that was under way.
            world.reconnect();
            for work in &works[stopped_at..] {
                world.insist(work.clone()).await.unwrap();
            }
            assert_eq!(listing(&world, release).await, before, "{release:?}: {fault:?} of {question}");
            let seen = world.look(&[]).await.unwrap();
            assert_eq!(seen.len(), 1, "nothing but the gateway: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_request_that_arrives_late_after_the_step_was_resumed_makes_no_second_object() {
    let mut world = world().await;
    let mut hold = world.fake.hold(Service::Metadata, "POST /api/v3/device");
    let (domain, cx) = (std::sync::Arc::clone(&world.domain), world.cx());
    let work = world.create_device("d1");
    let dead = tokio::spawn(async move { domain.apply(&cx, vec![work]).await });
    hold.arrived().await;
    dead.abort();
    world.reconnect();
    world.insist(world.create_device("d1")).await.unwrap();
    let before = world.look(&[device("d1")]).await.unwrap();
    hold.let_go();
    // It is there when the next request is answered.
    for _ in 0..3 {
        assert_eq!(world.look(&[device("d1")]).await.unwrap(), before);
    }
    assert_eq!(world.fake.devices(), ["greenhouse.d1"]);
}
