//! The secure mode, and commands to devices.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::world::*;
use iotorch_core::{
    ErrorKind, Observed,
    model::External,
    resource::{ApplicationSpec, Change, NetAddress},
    secret::{MemorySecretStore, SecretStore, SecretValue},
};
use iotorch_edgex::Commands;
use iotorch_edgex_fake::{Config, Fake, Secure, Service};
use serde_json::json;
use tempfile::TempDir;

/// A gateway behind its API gateway, and where its certificate is.
async fn secured(password: &str, export: &str) -> (Fake, ApplicationSpec, TempDir) {
    let config = Config { secure: Some(Secure::new("admin", password)), ..Config::default() };
    let fake = Fake::start(config).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let trust = dir.path().join("gateway.pem");
    std::fs::write(&trust, fake.certificate().unwrap()).unwrap();
    let address = fake.address(Service::Gateway).unwrap();
    let door = NetAddress { tls: true, ..net(address) };
    let spec = ApplicationSpec {
        external: Some(External {
            endpoints: [("gateway".to_owned(), door)].into(),
            credentials: secret("gw/admin"),
        }),
        ..application_spec(&Default::default(), &json!({ "export": export, "trust": trust }))
    };
    (fake, spec, dir)
}

fn logins(world: &World) -> usize {
    world.asked(Service::Gateway, "POST /vault/v1/auth/userpass/login/admin")
}

#[tokio::test]
async fn everything_goes_through_the_api_gateway_with_one_login_that_is_renewed_when_it_has_expired() {
    let (fake, spec, _dir) = secured(ADMIN, "none").await;
    let world = World::on(fake, spec).await;
    world.apply(world.create_profile()).await.unwrap();
    world.apply(world.create_device("d1")).await.unwrap();
    world.look(&[device("d1")]).await.unwrap();
    assert_eq!(logins(&world), 0, "the login of before is still good");
    world.fake.expire_tokens();
    world.apply(world.create_device("d2")).await.unwrap();
    assert_eq!(logins(&world), 1);
    assert_eq!(world.fake.devices().len(), 2);
    let asked = world.fake.asked();
    assert!(asked.iter().all(|asked| !asked.path.contains(ADMIN)));
}

#[tokio::test]
async fn the_next_process_goes_on_behind_the_api_gateway_without_a_look_before() {
    let (fake, spec, _dir) = secured(ADMIN, "none").await;
    let mut world = World::on(fake, spec).await;
    world.apply(world.create_profile()).await.unwrap();
    world.reconnect();
    assert!(world.apply(world.create_device("d1")).await.is_err(), "it does not know whom to trust");
    world.domain.recall(&world.scope(&[]));
    world.apply(world.create_device("d1")).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_said_once_and_without_showing_it() {
    let (fake, spec, _dir) = secured(ADMIN, "none").await;
    let world = World::on(fake, spec).await;
    let wrong = MemorySecretStore::default();
    wrong.put(&secret("gw/admin"), SecretValue::new("a guess".to_owned())).await.unwrap();
    let world = World { secrets: Arc::new(wrong), ..world };
    let error = world.ready().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    insta::assert_snapshot!(told(&error));
    assert_eq!(logins(&world), 1);
}

#[tokio::test]
async fn the_export_of_edgex_is_made_seen_as_made_rotated_and_removed_and_its_password_shows_nowhere() {
    let (fake, spec, _dir) = secured(ADMIN, "edgex").await;
    let world = World::on(fake, spec).await;
    let (hub, export) = (hub(), gateway().export(&name("hub")));
    let broker = NetAddress { host: "127.0.0.1".to_owned(), port: 9, tls: false };
    let create = Change::Create { after: hub.clone() };
    let changed = Change::Update { before: hub.clone(), after: hub.clone() };
    for (key, change) in [("hub/key", create), ("hub/key#2", changed)] {
        let made = world.apply(world.export_work(broker.clone(), key, change)).await.unwrap();
        let seen = world.look(std::slice::from_ref(&export)).await.unwrap();
        let Observed::Present { outputs, .. } = &seen[&export] else { panic!("{seen:?}") };
        assert_eq!(*outputs, made, "a plan is empty now");
    }
    let asked = world.fake.asked().into_iter();
    let told = asked.filter(|asked| String::from_utf8_lossy(&asked.body).contains("is nowhere else"));
    let told: Vec<_> = told.map(|asked| asked.path).collect();
    let rightly = |path: &String| path.contains("/vault/") || path == "/app-mqtt-export/api/v3/secret";
    assert!(told.len() > 1 && told.iter().all(rightly), "{told:?}");
    for _ in 0..2 {
        let delete = Change::Delete { before: hub.clone() };
        world.apply(world.export_work(broker.clone(), "hub/key#2", delete)).await.unwrap();
    }
    assert_eq!(world.look(std::slice::from_ref(&export)).await.unwrap()[&export], Observed::Absent);
}

#[tokio::test]
async fn commands_are_answered_and_what_goes_wrong_with_devices_is_said() {
    let world = World::of(Config::default()).await;
    world.apply(world.create_profile()).await.unwrap();
    for name in ["d1", "d2"] {
        world.apply(world.create_device(name)).await.unwrap();
    }
    world.fake.device_answers("greenhouse.d1", "temperature", json!(21.5));
    world.fake.device_answers("greenhouse.d1", "vent", json!(true));
    let commands = Commands::open(&world.cx(), &world.application, None).await.unwrap();
    let read = commands.get("greenhouse.d1", "temperature").await.unwrap();
    let read = &read[0];
    assert_eq!((read.resource.as_str(), read.value_type.as_str()), ("temperature", "Float64"));
    assert_eq!((read.value.as_str(), read.units.as_deref()), ("2.15e+01", Some("Cel")));
    commands.set("greenhouse.d1", "vent", &json!(false)).await.unwrap();
    assert_eq!(commands.get("greenhouse.d1", "vent").await.unwrap()[0].value, "false");

    let mut errors = vec![
        told(&commands.get("greenhouse.d2", "temperature").await.unwrap_err()),
        told(&commands.get("greenhouse.d1", "absent").await.unwrap_err()),
        told(&commands.get("absent", "temperature").await.unwrap_err()),
        told(&commands.set("greenhouse.d1", "temperature", &json!(1)).await.unwrap_err()),
        told(&commands.set("greenhouse.d1", "vent", &json!("maybe")).await.unwrap_err()),
    ];
    world.fake.lose(iotorch_edgex_fake::Loss::Killed(Service::DeviceMqtt)).await;
    errors.push(told(&commands.get("greenhouse.d1", "vent").await.unwrap_err()));
    // Ports differ from run to run.
    insta::with_settings!({ filters => vec![(r"127\.0\.0\.1:\d+", "ADDRESS")] }, {
        insta::assert_snapshot!(errors.join("\n\n"));
    });
}
