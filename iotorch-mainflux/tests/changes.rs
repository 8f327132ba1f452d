//! What is made is changed, looked at, mended and used again, on every release.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Place, World, built, create, fresh, secret, wire::Person};
use iotorch_core::{
    Health, Observed,
    resource::{
        Application, ApplicationInputs, ApplicationSpec, Attachment, Change, Job, Kind, Ownership, Spec,
        Tenant, Work,
    },
    secret::{SecretStore as _, SecretValue},
};
use iotorch_mainflux_fake::{Config, Fake, Release};
use serde_json::{Value, json};

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
            let name = world.key("gw", generation);
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
            // Whatever is disabled cannot be changed otherwise.
            let name = world.attachment_spec("gw").name;
            person.change("channels", &channel, "", json!({ "name": format!("{name}-2") })).await;
            person.disable("channels", &channel).await;
            expect(&[format!("{attachment}: spec"), format!("{attachment}: outputs")], "disabled").await;
            person.change("things", &thing, "/secret", json!({ "secret": "changed by a person" })).await;
            person.disable("things", &thing).await;
            expect(&absent, "disabled").await;
        }
    }
}

/// The change by which what was made is mended, as a plan has it that has seen it so.
async fn mending<K: Kind>(world: &World, made: &Job<K>, seen: fn(Spec) -> K::Spec) -> Job<K> {
    let Some(Observed::Present { spec, .. }) = world.look().await.unwrap().remove(&made.id) else { panic!() };
    let change = Change::Update { before: seen(spec), after: made.change.after().unwrap().clone() };
    Job { id: made.id.clone(), change, inputs: made.inputs.clone(), ownership: Ownership::Ours }
}

async fn mending_tenant(world: &World) -> Job<Tenant> {
    let Work::Tenant(made) = world.tenant_work() else { panic!() };
    let seen = |spec| if let Spec::Tenant(spec) = spec { spec } else { panic!("{spec:?}") };
    mending(world, &made, seen).await
}

async fn mending_attachment(world: &World) -> Job<Attachment> {
    let Work::Attachment(made) = world.step(2) else { panic!() };
    let seen = |spec| if let Spec::Attachment(spec) = spec { spec } else { panic!("{spec:?}") };
    mending(world, &made, seen).await
}

#[tokio::test]
async fn a_domain_that_somebody_has_disabled_lets_nothing_through_and_is_enabled_again() {
    for release in Release::ALL.into_iter().filter(|release| !release.is_mainflux()) {
        let (_fake, world) = built(release).await;
        Person::tenant(&world).await.disable_domain().await;
        let disabled = Health::Failed { reason: "its domain is disabled".to_owned() };
        assert_eq!(world.health(&world.tenant()).await, disabled);
        assert_eq!(world.differences().await, [format!("{}: spec", world.tenant())], "so a plan mends it");
        let mending = mending_tenant(&world).await;
        let undo = Job { change: mending.change.clone().inverse(), ..mending.clone() };
        world.apply(mending.into()).await.unwrap();
        assert_eq!(world.health(&world.tenant()).await, Health::Ready);
        assert_eq!(world.differences().await, [""; 0]);
        world.apply(undo.into()).await.unwrap();
        assert_eq!(world.differences().await, [""; 0], "it stays mended");
    }
}

#[tokio::test]
async fn a_user_without_its_domain_is_not_ready() {
    for release in Release::ALL.into_iter().filter(|release| !release.is_mainflux()) {
        let (fake, mut world) = fresh(release).await;
        world.make(world.application_work()).await;
        fake.fail_next("POST", "/domains", 500);
        world.apply(world.tenant_work()).await.unwrap_err();
        let without = Health::Failed { reason: "its user has no domain".to_owned() };
        assert_eq!(world.health(&world.tenant()).await, without, "{}", release.name());
        world.apply(mending_tenant(&world).await.into()).await.unwrap();
        assert_eq!(world.health(&world.tenant()).await, Health::Ready);
    }
}

#[tokio::test]
async fn a_channel_that_somebody_has_disabled_is_seen_and_enabled_again() {
    for release in Release::ALL.into_iter().filter(|release| !release.is_mainflux()) {
        let (_fake, world) = built(release).await;
        let attachment = world.attachment("gw");
        Person::tenant(&world).await.disable("channels", &world.attachment_outputs("gw").channel).await;
        let disabled = Health::Failed { reason: "its channel is disabled".to_owned() };
        assert_eq!(world.health(&attachment).await, disabled);
        assert_eq!(world.differences().await, [format!("{attachment}: spec")]);
        let mending = mending_attachment(&world).await;
        let undo = Job { change: mending.change.clone().inverse(), ..mending.clone() };
        assert_eq!(world.apply(mending.into()).await.unwrap(), world.made[2].outputs);
        assert_eq!(world.differences().await, [""; 0]);
        assert_eq!(world.apply(undo.into()).await.unwrap(), world.made[2].outputs);
        assert_eq!(world.differences().await, [""; 0], "it stays mended");
    }
}

#[tokio::test]
async fn messages_that_no_rule_stores_are_told_and_the_rule_is_made_again() {
    let (_fake, world) = built(Release::Magistrala030).await;
    let person = Person::tenant(&world).await;
    let attachment = world.attachment("gw");
    let channel = world.attachment_outputs("gw").channel;
    let unstored = Health::Degraded { reason: "no rule stores what is sent to its channel".to_owned() };
    let rule = |topic: &str, logic: &str, outputs: Value| {
        json!({
            "name": format!("iotorch-{channel}"),
            "input_channel": channel,
            "input_topic": topic,
            "logic": { "type": 0, "value": logic },
            "outputs": outputs,
        })
    };
    let pass_on = "return message.payload";
    let others = [
        None,
        Some(rule("#", pass_on, json!([]))),
        Some(rule("", pass_on, json!([{ "type": "save_senml" }]))),
        Some(rule("#", "return nil", json!([{ "type": "save_senml" }]))),
    ];
    let told = async |what: &str| {
        assert_eq!(world.health(&attachment).await, unstored, "{what}");
        assert_eq!(world.differences().await, [format!("{attachment}: spec")], "{what}");
        let mending = mending_attachment(&world).await;
        assert_eq!(world.apply(mending.into()).await.unwrap(), world.made[2].outputs, "{what}");
        assert_eq!(world.health(&attachment).await, Health::Ready, "{what}");
        assert_eq!(world.differences().await, [""; 0], "{what}");
        assert_eq!(person.ids("rules").await.len(), 1, "{what}");
    };
    person.disable("rules", &person.ids("rules").await[0]).await;
    told("disabled").await;
    for other in others {
        let what = format!("{other:?}");
        person.delete("rules", &person.ids("rules").await[0]).await;
        if let Some(other) = other {
            person.make("rules", other).await;
        }
        told(&what).await;
    }
}

#[tokio::test]
async fn a_rule_goes_also_where_somebody_has_deleted_its_channel() {
    for of_tenant in [false, true] {
        let (_fake, mut world) = built(Release::Magistrala030).await;
        let person = Person::tenant(&world).await;
        let by_hand = person.make("rules", json!({ "name": "theirs", "input_channel": "any" })).await;
        person.delete("channels", &world.attachment_outputs("gw").channel).await;
        assert_eq!(person.ids("rules").await.len(), 2);
        let id = if of_tenant { world.tenant() } else { world.attachment("gw") };
        world.delete(&id).await;
        if of_tenant {
            let work = world.tenant_work();
            world.make(work).await;
        }
        assert_eq!(Person::tenant(&world).await.ids("rules").await, [by_hand]);
    }
}

#[tokio::test]
async fn without_an_endpoint_for_rules_nobody_knows_what_is_stored() {
    let (fake, mut world) = fresh(Release::Magistrala030).await;
    world.place.endpoints.remove("rules");
    world.build().await;
    let reason = "what is stored is not known: the server has no endpoint \"rules\"".to_owned();
    assert_eq!(world.health(&world.attachment("gw")).await, Health::Degraded { reason });
    assert_eq!(world.differences().await, [""; 0], "to make it again would mend nothing");
    drop(fake);
}

#[tokio::test]
async fn what_was_adopted_is_given_back_as_it_was_found() {
    for release in Release::ALL {
        let (_fake, mut world) = fresh(release).await;
        for step in 0..2 {
            let work = world.step(step);
            world.make(work).await;
        }
        let person = Person::tenant(&world).await;
        let channel = person.make("channels", json!({ "name": "greenhouse.gw" })).await;
        let thing = person.make("things", json!({ "name": "greenhouse.gw-1" })).await;
        if !release.is_mainflux() {
            person.disable("channels", &channel).await;
            person.disable("things", &thing).await;
        }
        for step in 2..4 {
            let adoption = match world.step(step) {
                Work::Attachment(job) => adopting(job).into(),
                Work::Credential(job) => adopting(job).into(),
                other => panic!("{other:?}"),
            };
            world.make(adoption).await;
        }
        assert_eq!(person.connected(&channel).await, [thing.as_str()]);
        let expected = Release::Magistrala030 == release;
        assert_eq!(person.listing().await.rules.len(), usize::from(expected));
        for made in world.made[2..].iter().rev() {
            let release = match made.work.clone() {
                Work::Attachment(job) => releasing(job).into(),
                Work::Credential(job) => releasing(job).into(),
                other => panic!("{other:?}"),
            };
            for _ in 0..2 {
                world.apply(Work::clone(&release)).await.unwrap();
            }
        }
        assert_eq!(person.connected(&channel).await, [""; 0], "{}", release.name());
        assert_eq!(person.listing().await.rules, [""; 0]);
        if !release.is_mainflux() {
            assert_eq!(person.disabled("channels").await, [channel]);
            assert_eq!(person.disabled("things").await, [thing]);
        }
    }
}

fn adopting<K: Kind>(job: Job<K>) -> Job<K> {
    let after = job.change.after().unwrap().clone();
    Job { change: Change::Update { before: after.clone(), after }, ownership: Ownership::Adopt, ..job }
}

fn releasing<K: Kind>(job: Job<K>) -> Job<K> {
    Job { change: job.change.inverse(), ownership: Ownership::Release, ..job }
}

#[tokio::test]
async fn a_key_that_somebody_else_had_given_is_named_where_mainflux_never_forgets_it() {
    let (_fake, mut world) = built(Release::Mainflux012).await;
    let thing = world.credential_outputs("gw", 1).user_name;
    let person = Person::tenant(&world).await;
    person.change("things", &thing, "/key", json!({ "key": "changed by a person" })).await;
    world.apply(world.step(3)).await.unwrap();
    let residue = world.delete(&world.attachment("gw").credential(1)).await;
    assert_eq!(
        residue,
        [
            "the key that somebody else gave to thing \"greenhouse.gw-1\": Mainflux never forgets one that was used"
        ]
    );
}

#[tokio::test]
async fn slices_that_share_a_server_have_settings_of_their_own() {
    for release in Release::ALL {
        let config = Config::new(release).with_admin("root@example.com", "root", common::ADMIN_PASSWORD);
        let fake = Fake::start(config).await.unwrap();
        let password = common::ADMIN_PASSWORD;
        let bare = Place { admin: password.to_owned(), ..Place::of(&fake, release) };
        let mut world = World::new(bare.clone(), "greenhouse").await;
        world.settings.insert("adminUser".to_owned(), "root@example.com".into());
        let named = Place { admin: format!("root@example.com:{password}"), ..bare };
        let mut other = World::new(named, "orchard").await;
        other.domain = std::sync::Arc::clone(&world.domain);
        for world in [&mut world, &mut other] {
            let work = world.application_work();
            world.make(work).await;
        }
        // To take over a user that is left behind, the administrator is asked.
        for _ in 0..2 {
            let work = world.tenant_work();
            world.make(work).await;
            let tenant = world.tenant();
            world.delete(&tenant).await;
        }
        // Another process, which has not looked at it, is told what is recorded.
        let mut world = world.reopened();
        world.domain.recall(&world.scope());
        let work = world.tenant_work();
        world.make(work).await;
    }
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
        put_admin(&world, NEW).await;
        for _ in 0..2 {
            let outputs = world.apply(rotation(&world).into()).await.unwrap();
            world.record(world.application_work(), outputs);
        }
        let work = world.tenant_work();
        world.make(work).await;
        assert_eq!(world.tenant_outputs(), before);
        let work = world.step(2);
        world.make(work).await;
    }
}

/// The administrator's next password.
const NEW: &str = "another one";

async fn put_admin(world: &World, password: &str) {
    let value = SecretValue::new(format!("{}:{password}", common::ADMIN));
    world.secrets.put(&secret("hub/admin#2"), value).await.unwrap();
}

/// The step by which the administrator gets the next version of its secret.
fn rotation(world: &World) -> Job<Application> {
    let after = ApplicationSpec { admin: secret("hub/admin#2"), ..world.application_spec() };
    Job {
        id: world.server(),
        change: Change::Update { before: world.application_spec(), after },
        inputs: ApplicationInputs { workload: None },
        ownership: Ownership::Ours,
    }
}

#[tokio::test]
async fn a_user_that_is_left_behind_is_found_also_when_the_password_was_changed_at_the_server() {
    for release in Release::ALL {
        for is_told in [true, false] {
            let (_fake, mut world) = built(release).await;
            world.delete(&world.tenant()).await;
            Person::admin(&world).await.change_password(common::ADMIN_PASSWORD, NEW).await;
            put_admin(&world, NEW).await;
            let mut rotation = rotation(&world);
            if !is_told {
                // As where the record of the server was lost meanwhile.
                let after = rotation.change.after().unwrap().clone();
                rotation.change = Change::Create { after };
            }
            let outputs = world.apply(rotation.into()).await.unwrap();
            world.record(world.application_work(), outputs);
            if is_told {
                // What follows from the old password is not needed any more.
                world.secrets.remove(&secret("hub/admin")).await.unwrap();
            }
            let work = world.tenant_work();
            world.make(work).await;
            world.delete(&world.tenant()).await;
            world.secrets.remove(&secret("hub/admin")).await.unwrap();
            let work = world.tenant_work();
            world.make(work).await;
        }
    }
}

#[tokio::test]
async fn a_password_that_the_server_refuses_changes_nothing_for_users_that_are_left_behind() {
    for release in Release::ALL {
        let (_fake, mut world) = built(release).await;
        world.delete(&world.tenant()).await;
        put_admin(&world, "short").await;
        world.apply(rotation(&world).into()).await.unwrap_err();
        world.secrets.remove(&secret("hub/admin#2")).await.unwrap();
        let work = world.tenant_work();
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
