//! What is made is changed, looked at, mended and used again, on every release.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{built, create, secret, wire::Person};
use iotorch_core::{
    Health, Observed,
    resource::{Change, Job, Ownership, Tenant},
    secret::{SecretStore as _, SecretValue},
};
use iotorch_mainflux_fake::Release;
use serde_json::json;

#[tokio::test]
async fn a_password_changes_in_place_and_an_interrupted_change_is_seen_and_finished() {
    for release in Release::ALL {
        let (_fake, mut world) = built(release).await;
        let work = Job::<Tenant> {
            id: world.tenant(),
            change: Change::Update { before: world.tenant_spec(1), after: world.tenant_spec(2) },
            inputs: iotorch_core::resource::InApplication { application: world.application() },
            ownership: Ownership::Ours,
        };
        let outputs = world.apply(work.clone().into()).await.unwrap();
        assert_eq!(world.apply(work.clone().into()).await.unwrap(), outputs, "repeated");
        // The process died before it was written down: the password of the next version opens it.
        let tenant = world.tenant().to_string();
        assert_eq!(
            world.reopened().differences().await,
            [format!("{tenant}: spec"), format!("{tenant}: outputs")]
        );
        world.record(create::<Tenant>(&world.tenant(), world.tenant_spec(2), work.inputs).into(), outputs);
        assert_eq!(world.differences().await, [""; 0]);
        // And back, as an undo does.
        let undo = Job::<Tenant> {
            id: world.tenant(),
            change: Change::Update { before: world.tenant_spec(2), after: world.tenant_spec(1) },
            inputs: iotorch_core::resource::InApplication { application: world.application() },
            ownership: Ownership::Ours,
        };
        let outputs = world.apply(undo.into()).await.unwrap();
        let inputs = iotorch_core::resource::InApplication { application: world.application() };
        world.record(create::<Tenant>(&world.tenant(), world.tenant_spec(1), inputs).into(), outputs);
        assert_eq!(world.differences().await, [""; 0]);
    }
}

#[tokio::test]
async fn the_keys_of_a_batch_are_made_in_one_request() {
    for release in Release::ALL {
        let (fake, mut world) = built(release).await;
        for generation in 10..60 {
            let name = secret(&format!("gw/key#{generation}"));
            world.secrets.put(&name, SecretValue::new(format!("key {generation}"))).await.unwrap();
        }
        let works: Vec<_> = (10..60).map(|generation| world.credential_work("gw", generation)).collect();
        let before = fake.asked().len();
        let results = world.domain.apply(&world.cx(), works.clone()).await;
        let asked = fake.asked().split_off(before);
        let made =
            asked.iter().filter(|asked| asked.method == "POST" && asked.path.ends_with("/bulk")).count();
        assert_eq!(made, 1, "{}", release.name());
        for (work, outputs) in works.into_iter().zip(results) {
            world.record(work, outputs.unwrap());
        }
        assert_eq!(world.differences().await, [""; 0]);
    }
}

#[tokio::test]
async fn more_than_a_page_is_read_whole() {
    for release in Release::ALL {
        let (_fake, world) = built(release).await;
        let person = Person::tenant(&world).await;
        for number in 0..205 {
            let body = json!({ "name": format!("fill-{number}") });
            let (service, path) = person.place("things");
            assert_eq!(person.send(service, reqwest::Method::POST, &path, body).await.0, 201);
        }
        assert_eq!(world.differences().await, [""; 0], "{}", release.name());
        assert_eq!(world.apply(world.step(3)).await.unwrap(), world.made[3].outputs);
        assert_eq!(person.ids("things").await.len(), 206);
    }
}

#[tokio::test]
async fn what_a_person_has_done_to_our_objects_is_seen_and_put_right() {
    for release in Release::ALL {
        let (_fake, world) = built(release).await;
        let person = Person::tenant(&world).await;
        let (channel, thing) =
            (world.attachment_outputs("gw").channel, world.credential_outputs("gw", 1).user_name);
        let attachment = world.attachment("gw");
        let credential = attachment.credential(1);
        let expect = async |differences: &[String], what: &str| {
            let what = format!("{} on {}", what, release.name());
            assert_eq!(world.differences().await, differences, "{what}");
            for made in &world.made {
                assert_eq!(world.apply(made.work.clone()).await.unwrap(), made.outputs, "{what}");
            }
            assert_eq!(world.differences().await, [""; 0], "{what}");
        };
        let absent = [format!("{credential}: absent")];
        person.disconnect(&channel, &thing).await;
        expect(&absent, "disconnected").await;
        let (tail, body) = if release.is_mainflux() {
            ("/key", json!({ "key": "changed by a person" }))
        } else {
            ("/secret", json!({ "secret": "changed by a person" }))
        };
        person.change("things", &thing, tail, body).await;
        expect(&absent, "given another key").await;
        let noted =
            json!({ "iotorch": { "mark": format!("a1/{attachment}"), "id": channel.as_str() }, "theirs": 1 });
        person.change("channels", &channel, "", json!({ "name": "other", "metadata": noted })).await;
        expect(&[format!("{attachment}: spec"), format!("{attachment}: outputs")], "renamed").await;
        if !release.is_mainflux() {
            person.disable("things", &thing).await;
            expect(&absent, "disabled").await;
        }
    }
}

#[tokio::test]
async fn a_domain_that_somebody_has_disabled_lets_nothing_through_and_is_enabled_again() {
    for release in Release::ALL.into_iter().filter(|release| !release.is_mainflux()) {
        let (_fake, world) = built(release).await;
        Person::tenant(&world).await.disable_domain().await;
        let disabled = Health::Failed { reason: "its domain is disabled".to_owned() };
        assert_eq!(world.health(&world.tenant()).await, disabled);
        world.apply(world.tenant_work()).await.unwrap();
        assert_eq!(world.health(&world.tenant()).await, Health::Ready);
    }
}

#[tokio::test]
async fn messages_that_no_rule_stores_are_told_and_the_rule_is_made_again() {
    let (_fake, world) = built(Release::Magistrala030).await;
    let person = Person::tenant(&world).await;
    let attachment = world.attachment("gw");
    let unstored = Health::Degraded { reason: "no rule stores what is sent to its channel".to_owned() };
    person.disable("rules", &person.ids("rules").await[0]).await;
    assert_eq!(world.health(&attachment).await, unstored);
    assert_eq!(world.apply(world.step(2)).await.unwrap(), world.made[2].outputs);
    assert_eq!(world.health(&attachment).await, Health::Ready);
    person.delete("rules", &person.ids("rules").await[0]).await;
    assert_eq!(world.health(&attachment).await, unstored);
    assert_eq!(world.apply(world.step(2)).await.unwrap(), world.made[2].outputs);
    assert_eq!(world.health(&attachment).await, Health::Ready);
    assert_eq!(person.ids("rules").await.len(), 1);
}

#[tokio::test]
async fn a_key_is_rotated_by_a_new_thing_and_the_old_one_goes() {
    for release in Release::ALL {
        let (_fake, mut world) = built(release).await;
        let work = world.credential_work("gw", 2);
        world.make(work).await;
        assert_ne!(world.credential_outputs("gw", 1).user_name, world.credential_outputs("gw", 2).user_name);
        assert_eq!(world.differences().await, [""; 0], "both are valid while users are switched");
        let old = world.attachment("gw").credential(1);
        assert_eq!(world.delete(&old).await, [""; 0]);
        assert_eq!(world.differences().await, [""; 0]);
        let person = Person::tenant(&world).await;
        assert_eq!(person.listing().await.things, ["greenhouse.gw-2"]);
    }
}

#[tokio::test]
async fn a_user_that_is_left_behind_is_used_again_also_when_the_administrator_has_another_password() {
    for release in Release::ALL {
        let (_fake, mut world) = built(release).await;
        let before = world.tenant_outputs();
        let residue = world.delete(&world.tenant()).await;
        assert!(residue[0].contains(&before.id), "{residue:?}");
        world
            .secrets
            .put(&secret("hub/admin#2"), SecretValue::new(format!("{}:another one", common::ADMIN)))
            .await
            .unwrap();
        let mut after = world.application_spec();
        after.admin = secret("hub/admin#2");
        let rotation = Job::<iotorch_core::resource::Application> {
            id: world.server(),
            change: Change::Update { before: world.application_spec(), after },
            inputs: iotorch_core::resource::ApplicationInputs { workload: None },
            ownership: Ownership::Ours,
        };
        for _ in 0..2 {
            let outputs = world.apply(rotation.clone().into()).await.unwrap();
            world.record(world.application_work(), outputs);
        }
        let work = world.tenant_work();
        world.make(work).await;
        assert_eq!(world.tenant_outputs(), before);
        let work = world.step(2);
        world.make(work).await;
    }
}

#[tokio::test]
async fn two_gateways_have_channels_of_their_own_and_go_with_their_tenant() {
    for release in Release::ALL {
        let (_fake, mut world) = built(release).await;
        let work = world.attachment_work("gw-2");
        world.make(work).await;
        let work = world.credential_work("gw-2", 1);
        world.make(work).await;
        assert_ne!(world.attachment_outputs("gw").channel, world.attachment_outputs("gw-2").channel);
        assert_eq!(world.differences().await, [""; 0]);
        let tenant = world.tenant();
        world.delete(&tenant).await;
        let seen = world.look().await.unwrap();
        assert!(!seen.values().any(|seen| matches!(seen, Observed::Present { spec, .. } if spec.kind() != iotorch_core::resource::KindName::Application)));
        let work = world.tenant_work();
        world.make(work).await;
        assert_eq!(Person::tenant(&world).await.listing().await, Default::default());
    }
}
