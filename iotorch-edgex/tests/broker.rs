//! The users of devices at a real broker: mosquitto with its dynamic security plug-in.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{process::ExitCode, sync::Arc};

use common::{
    broker::{Mosquitto, plugin},
    runtime,
    world::*,
};
use iotorch_core::{
    ErrorKind, Observed,
    resource::{Change, CredentialHolder, CredentialInputs, CredentialSpec, DeviceSpec, Job, Outputs, Work},
    secret::{MemorySecretStore, SecretStore, SecretValue},
};
use iotorch_edgex_fake::{Config, Fake, Release, Service};
use libtest_mimic::Arguments;
use serde_json::json;

/// A gateway, and the broker of its devices.
async fn start() -> (World, Mosquitto) {
    let broker = Mosquitto::start(ADMIN).await;
    let fake = Fake::start(Config::default()).await.unwrap();
    let mut endpoints = endpoints(&fake, Release::V4);
    endpoints.insert("mqtt".to_owned(), broker.address());
    let spec = application_spec(&endpoints, &json!({ "export": "none", "broker": "managed" }));
    let world = World::on(fake, spec).await;
    world.apply(world.create_profile()).await.unwrap();
    world.apply(world.create_device("d1")).await.unwrap();
    (world, broker)
}

fn generation(number: u32) -> CredentialSpec {
    let version = if number == 1 { String::new() } else { format!("#{number}") };
    CredentialSpec { generation: number, secret: secret(&format!("gw/d1/password{version}")) }
}

fn create(number: u32) -> Change<CredentialSpec> {
    Change::Create { after: generation(number) }
}

async fn password(world: &World, number: u32) -> String {
    world.secrets.fetch(&generation(number).secret).await.unwrap().expose().to_owned()
}

const TOPIC: &str = "incoming/data/greenhouse.d1/temperature";

async fn a_device_logs_in_with_its_own_user_and_publishes_only_under_its_own_topics() {
    let (world, broker) = start().await;
    let word = password(&world, 1).await;
    assert!(!broker.takes("greenhouse.d1", &word, TOPIC), "nobody has let it in yet");
    world.apply(world.credential_work(1, create(1))).await.unwrap();
    assert!(broker.takes("greenhouse.d1", &word, TOPIC));
    assert!(broker.takes("greenhouse.d1", &word, "command/response/7"));
    assert!(!broker.takes("greenhouse.d1", &word, "incoming/data/greenhouse.d2/temperature"));
    assert!(!broker.takes("greenhouse.d1", "a guess", TOPIC));
}

async fn a_device_takes_commands_under_the_topic_that_its_document_says() {
    let (world, broker) = start().await;
    let set = settings(&json!({ "commandTopic": "orders/d1" }));
    let after = DeviceSpec { settings: set, ..device_spec("d1") };
    let change = Change::Update { before: device_spec("d1"), after };
    let Outputs::Device(made) = world.apply(world.device_work("d1", change)).await.unwrap() else { panic!() };
    let Work::Credential(job) = world.credential_work(1, create(1)) else { panic!() };
    let word = password(&world, 1).await;
    let hears = |topic: &str| broker.tells("greenhouse.d1", &word, topic);
    world.apply(job.clone()).await.unwrap();
    assert!(hears("command/greenhouse.d1/#") && !hears("orders/d1/#"));
    let holder = CredentialHolder::Device(made);
    let inputs = CredentialInputs { holder, ..job.inputs };
    world.apply(Job { inputs, ..job }).await.unwrap();
    assert!(hears("orders/d1/#") && !hears("command/greenhouse.d1/#"));
}

async fn a_password_is_rotated_with_both_valid_in_between() {
    let (world, broker) = start().await;
    world.apply(world.credential_work(1, create(1))).await.unwrap();
    world.apply(world.credential_work(2, create(2))).await.unwrap();
    let words = [password(&world, 1).await, password(&world, 2).await];
    assert!(broker.takes("greenhouse.d1", &words[0], TOPIC));
    assert!(broker.takes("greenhouse.d1.2", &words[1], TOPIC));
    for _ in 0..2 {
        world.apply(world.credential_work(1, Change::Delete { before: generation(1) })).await.unwrap();
    }
    assert!(!broker.takes("greenhouse.d1", &words[0], TOPIC));
    assert!(broker.takes("greenhouse.d1.2", &words[1], TOPIC));
}

async fn the_users_of_a_device_go_with_it() {
    let (world, broker) = start().await;
    world.apply(world.credential_work(1, create(1))).await.unwrap();
    world.apply(world.device_work("d1", Change::Delete { before: device_spec("d1") })).await.unwrap();
    assert!(!broker.takes("greenhouse.d1", &password(&world, 1).await, TOPIC));
    let seen = world.look(&[device("d1").credential(1)]).await.unwrap();
    assert_eq!(seen[&device("d1").credential(1)], Observed::Absent);
}

async fn the_users_of_a_device_go_with_it_also_when_it_is_gone_already() {
    let (world, broker) = start().await;
    world.apply(world.credential_work(1, create(1))).await.unwrap();
    let url = format!("{}/api/v3/device/name/greenhouse.d1", world.fake.url(Service::Metadata));
    assert!(http().delete(url).send().await.unwrap().status().is_success());
    for _ in 0..2 {
        let delete = Change::Delete { before: device_spec("d1") };
        let gone = world.apply(world.device_work("d1", delete)).await.unwrap();
        assert_eq!(gone, Outputs::Removed { residue: Vec::new() });
    }
    assert!(!broker.takes("greenhouse.d1", &password(&world, 1).await, TOPIC));
}

async fn who_may_not_manage_users_is_denied_at_once() {
    let (world, _broker) = start().await;
    world.apply(world.credential_work(1, create(1))).await.unwrap();
    let login = format!("greenhouse.d1:{}", password(&world, 1).await);
    let others = Arc::new(MemorySecretStore::default());
    others.put(&secret("gw/admin"), SecretValue::new(login)).await.unwrap();
    let stranger = World { secrets: others, domain: Arc::clone(&world.domain), ..world };
    let error = stranger.ready().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{}", told(&error));
}

async fn a_broker_that_refuses_or_is_away_is_said() {
    let (world, broker) = start().await;
    let wrong = Arc::new(MemorySecretStore::default());
    wrong.put(&secret("gw/admin"), SecretValue::new("a guess".to_owned())).await.unwrap();
    let stranger = World { secrets: wrong, domain: Arc::clone(&world.domain), ..world };
    let error = stranger.ready().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{}", told(&error));
    insta::assert_snapshot!("a_broker_that_refuses", told(&error));
    drop(broker);
    let error = stranger.look(&[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", told(&error));
}

async fn hundreds_of_users_are_made_and_listed_in_pages() {
    let (world, _broker) = start().await;
    let works: Vec<_> = world.create_devices(300).into_iter().collect();
    for some in works.chunks(200) {
        for result in world.batch(some.to_vec()).await {
            result.unwrap();
        }
    }
    let credentials: Vec<_> = (0..300)
        .map(|number| {
            let Work::Credential(job) = world.credential_work(1, create(1)) else { panic!() };
            let id = device(&format!("d{number}")).credential(1);
            Job { id, ..job }.into()
        })
        .collect();
    for some in credentials.chunks(200) {
        for result in world.batch(some.to_vec()).await {
            result.unwrap();
        }
    }
    let seen = world.look(&[]).await.unwrap();
    let users = seen.keys().filter(|id| id.as_str().ends_with("/credential/1")).count();
    assert_eq!(users, 300);
}

fn main() -> ExitCode {
    let absent = plugin().is_none().then_some("mosquitto");
    macro_rules! trials {
        ($($name:ident),* $(,)?) => {
            vec![$(common::trial(absent, stringify!($name), || {
                runtime().block_on($name());
                Ok(())
            })),*]
        };
    }
    let trials = trials![
        a_device_logs_in_with_its_own_user_and_publishes_only_under_its_own_topics,
        a_device_takes_commands_under_the_topic_that_its_document_says,
        a_password_is_rotated_with_both_valid_in_between,
        the_users_of_a_device_go_with_it,
        the_users_of_a_device_go_with_it_also_when_it_is_gone_already,
        who_may_not_manage_users_is_denied_at_once,
        a_broker_that_refuses_or_is_away_is_said,
        hundreds_of_users_are_made_and_listed_in_pages,
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
