//! What goes wrong is said as it is: a test for each row of the contract with the services.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Place, World, built, create, delete, fresh, secret, wire::Person};
use iotorch_core::{
    Error, ErrorKind, Health, Observed,
    resource::{
        Credential, CredentialHolder, CredentialInputs, CredentialSpec, InApplication, Outputs, Spec, Tenant,
        TenantSpec, Work,
    },
    secret::{SecretStore, SecretValue},
};
use iotorch_mainflux_fake::{Config, Dependency, Fake, Release, Service};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// An error as a person reads it, with what differs from run to run taken out.
fn read(error: &Error) -> String {
    let mut text = format!("{}: {error}", error.kind());
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        // What lies below is the business of the operating system.
        if cause.is::<reqwest::Error>() {
            break;
        }
        text.push_str(&format!("\n  {cause}"));
        next = cause.source();
    }
    if let Some(help) = error.help() {
        text.push_str(&format!("\nhelp: {help}"));
    }
    text
}

macro_rules! assert_reads {
    ($name:expr, $texts:expr) => {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID");
        settings.add_filter(r"os error \d+", "os error N");
        settings.add_filter(r"127\.0\.0\.1:\d+", "ADDRESS");
        settings.bind(|| insta::assert_snapshot!($name, $texts));
    };
}

/// The same on every release: one text for each, under its name.
fn by_release(texts: Vec<(Release, String)>) -> String {
    texts.into_iter().map(|(release, text)| format!("{}\n{text}\n\n", release.name())).collect()
}

/// The things that are wanted of a key, of whatever secret.
fn credential_with(world: &World, generation: u32, name: &str) -> Work {
    let holder = CredentialHolder::Attachment {
        tenant: world.tenant_outputs(),
        attachment: world.attachment_outputs("gw"),
    };
    let inputs = CredentialInputs { application: world.application(), holder };
    let id = world.attachment("gw").credential(generation);
    create::<Credential>(&id, CredentialSpec { generation, secret: secret(name) }, inputs).into()
}

#[tokio::test]
async fn a_wrong_password_of_the_administrator_is_denied_and_says_which_secret() {
    let mut texts = Vec::new();
    for release in Release::ALL {
        let (_fake, world) = fresh(release).await;
        let name = secret("hub/admin");
        world.secrets.remove(&name).await.unwrap();
        world.secrets.put(&name, SecretValue::new("admin@example.com:a wrong one".to_owned())).await.unwrap();
        let error = world.apply(world.application_work()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        texts.push((release, read(&error)));
    }
    assert_reads!("wrong_admin", by_release(texts));
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_named() {
    let mut texts = Vec::new();
    for release in Release::ALL {
        for service in release.services() {
            let (fake, world) = built(release).await;
            if !world.place.endpoints.contains_key(service.name()) {
                continue;
            }
            fake.lose(*service).await;
            let error = world.apply(world.application_work()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            let named = format!("\"{}\"", service.name());
            assert!(error.to_string().contains(&named), "{error}");
            let seen = match world.look().await {
                Ok(seen) => match &seen[&world.server()] {
                    Observed::Present { health: Health::Degraded { reason }, .. } => reason.clone(),
                    other => panic!("{other:?}"),
                },
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable);
                    error.to_cause().to_string()
                }
            };
            assert!(seen.contains(&named), "{seen}");
            if *service == Service::Rules {
                let reason = "what is stored is not known: it does not answer at \"rules\"".to_owned();
                assert_eq!(world.health(&world.attachment("gw")).await, Health::Degraded { reason });
                assert_eq!(world.differences().await, [""; 0], "nothing that a plan could mend");
            }
            if release == Release::Mainflux012 {
                texts.push((release, format!("{}\nseen: {seen}", read(&error))));
            }
            fake.mend(*service).await.unwrap();
            assert_eq!(world.health(&world.server()).await, Health::Ready);
        }
    }
    assert_reads!("service_away", by_release(texts));
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_is_replaced_once() {
    for release in Release::ALL {
        let (fake, mut world) = fresh(release).await;
        for step in 0..2 {
            let work = world.step(step);
            world.make(work).await;
        }
        let work = world.step(2);
        world.make(work).await;
        fake.pass(Duration::from_secs(11 * 60 * 60));
        let before = fake.asked().len();
        let work = world.step(3);
        world.make(work).await;
        let asked = fake.asked().split_off(before);
        let logins = asked.iter().filter(|asked| asked.path.contains("tokens")).count();
        let refused = asked.iter().filter(|asked| matches!(asked.status, Some(401 | 403))).count();
        assert_eq!((logins, refused), (1, 1), "{}", release.name());
    }
}

#[tokio::test]
async fn a_new_token_that_is_refused_means_that_auth_is_away() {
    let mut texts = Vec::new();
    for release in Release::ALL {
        let (fake, mut world) = built(release).await;
        fake.lose(Service::Auth).await;
        // Nobody told where auth is, as behind a proxy.
        let mut work = world.step(2);
        if let Work::Attachment(job) = &mut work {
            job.inputs.application.endpoints.remove("auth");
        }
        let before = fake.asked().len();
        let error = world.reopened().apply(work.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.to_cause());
        // Also where a token was known.
        if release.is_mainflux() {
            let error = world.apply(work).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.to_cause());
        }
        let asked = fake.asked().split_off(before);
        assert!(asked.len() < 6, "{} requests were sent in vain", asked.len());
        texts.push((release, read(&error)));
        fake.mend(Service::Auth).await.unwrap();
        world = world.reopened();
        assert_eq!(world.differences().await, [""; 0]);
    }
    assert_reads!("auth_away", by_release(texts));
}

#[tokio::test]
async fn a_token_that_nobody_takes_is_asked_for_once_more_and_not_for_ever() {
    for release in [Release::Mainflux012, Release::Mainflux013, Release::SuperMq019] {
        let (fake, world) = built(release).await;
        for _ in 0..10 {
            fake.fail_next("GET", if release.is_mainflux() { "/channels" } else { "/" }, 401);
        }
        let before = fake.asked().len();
        let error = world.apply(world.step(2)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let asked = fake.asked().split_off(before);
        assert_eq!(asked.len(), 3, "a request, a login, and the request again: {asked:?}");
        assert_reads!(format!("token_refused_{}", release.name()), read(&error));
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_unavailable_and_absence_is_not_concluded() {
    let (fake, world) = built(Release::Mainflux012).await;
    fake.lose(Dependency::Database).await;
    let mut texts = Vec::new();
    for step in 0..4 {
        let error = world.apply(world.step(step)).await.unwrap_err();
        texts.push(read(&error));
    }
    let error = world.reopened().look().await.unwrap_err();
    texts.push(read(&error));
    assert_reads!("database_away", texts.join("\n\n"));
    fake.mend(Dependency::Database).await.unwrap();
    assert_eq!(world.differences().await, [""; 0]);
}

#[tokio::test]
async fn a_user_whose_password_somebody_has_changed_is_a_conflict_that_names_it() {
    let mut texts = Vec::new();
    for release in Release::ALL {
        let (_fake, world) = built(release).await;
        let old = world.secrets.fetch(&world.tenant_outputs().secret).await.unwrap();
        Person::tenant(&world).await.change_password(old.expose(), "changed by a person").await;
        let world = world.reopened();
        let error = world.apply(world.tenant_work()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_cause().to_string().contains(&world.tenant_outputs().id));
        let seen = world.look().await.unwrap();
        assert!(matches!(&seen[&world.tenant()], Observed::Foreign { spec: None, .. }), "{seen:?}");
        let denied = world.apply(world.step(2)).await.unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::Denied);
        texts.push((release, format!("{}\n{}", read(&error), read(&denied))));
    }
    assert_reads!("user_taken", by_release(texts));
}

#[tokio::test]
async fn a_server_is_not_sent_a_secret_because_its_metadata_name_it() {
    for release in Release::ALL {
        let (_fake, world) = built(release).await;
        let person = Person::tenant(&world).await;
        let noted =
            json!({ "iotorch": { "spec": { "tenant": { "name": "greenhouse", "secret": "other" } } } });
        let (service, method, path) = if release.is_mainflux() {
            ("users", reqwest::Method::PUT, "/users".to_owned())
        } else {
            let (_, path) = person.place("things");
            let domain = path.trim_end_matches("/clients");
            ("domains", reqwest::Method::PATCH, format!("/domains{domain}"))
        };
        let (status, answer) = person.send(service, method, &path, json!({ "metadata": noted })).await;
        assert_eq!(status, 200, "{answer}");
        // It would be let in with this one.
        let old = world.secrets.fetch(&world.tenant_outputs().secret).await.unwrap();
        let other = world.secrets.fetch(&secret("other")).await.unwrap();
        person.change_password(old.expose(), other.expose()).await;
        let mut world = world.reopened();
        let seen = world.look().await.unwrap();
        assert!(matches!(&seen[&world.tenant()], Observed::Foreign { .. }), "{seen:?}");
        for work in [world.tenant_work(), delete(&world.tenant_work())] {
            let error = world.apply(work).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict, "{}", read(&error));
        }
        // Nor where nothing is recorded of the tenant.
        world.made.truncate(1);
        let seen = world.look().await.unwrap();
        assert!(!seen.values().any(|seen| matches!(seen, Observed::Present { spec: Spec::Tenant(_), .. })));
    }
}

#[tokio::test]
async fn a_domain_that_somebody_else_has_is_a_conflict() {
    for release in Release::ALL.into_iter().filter(|release| !release.is_mainflux()) {
        let (_fake, elsewhere) = built(release).await;
        let id = elsewhere.attachment_outputs("gw").topic.unwrap()[2..38].to_owned();
        let (_fake, mut world) = fresh(release).await;
        world.make(world.application_work()).await;
        let body = json!({ "id": id, "name": "theirs", "route": "theirs" });
        let admin = Person::admin(&world).await;
        let (status, answer) = admin.send("domains", reqwest::Method::POST, "/domains", body).await;
        assert_eq!(status, 201, "{answer}");
        let error = world.apply(world.tenant_work()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{}", read(&error));
        assert!(read(&error).contains("does not let this user in"), "{}", read(&error));
        // Nor is it taken for removed.
        let error = world.apply(delete(&world.tenant_work())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{}", read(&error));
    }
}

#[tokio::test]
async fn a_server_that_wants_verified_addresses_says_so() {
    for release in [Release::SuperMq019, Release::Magistrala030] {
        let fake = Fake::start(Config::new(release).with_verified_addresses()).await.unwrap();
        let mut world = World::new(Place::of(&fake, release), "greenhouse").await;
        world.make(world.application_work()).await;
        let error = world.apply(world.tenant_work()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        let text = read(&error);
        assert!(
            text.contains("email not verified") && text.contains("help: set SMQ_ALLOW_UNVERIFIED_USER=true"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_enabled_is_not_taken_for_enabled() {
    for release in Release::ALL.into_iter().filter(|release| !release.is_mainflux()) {
        let (fake, world) = built(release).await;
        let person = Person::tenant(&world).await;
        for (word, step, id) in [
            ("channels", 2, world.attachment_outputs("gw").channel),
            ("things", 3, world.credential_outputs("gw", 1).user_name),
        ] {
            person.disable(word, &id).await;
            let (_, path) = person.place(word);
            fake.fail_next("POST", &format!("{path}/{id}/enable"), 422);
            let error = world.apply(world.step(step)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", read(&error));
            world.apply(world.step(step)).await.unwrap();
            assert_eq!(world.differences().await, [""; 0]);
        }
    }
}

#[tokio::test]
async fn a_user_that_somebody_has_disabled_is_a_conflict_and_nothing_of_it_counts_as_removed() {
    for release in Release::ALL.into_iter().filter(|release| !release.is_mainflux()) {
        let (_fake, world) = built(release).await;
        let email = world.tenant_outputs().id;
        let admin = Person::admin(&world).await;
        admin.enable_user(&email, "disable").await;
        let mut world = world.reopened();
        let seen = world.look().await.unwrap();
        let Observed::Foreign { owner, .. } = &seen[&world.tenant()] else { panic!("{seen:?}") };
        assert_eq!(owner, "somebody who has disabled it");
        for made in world.made.iter().skip(1) {
            let error = world.apply(delete(&made.work)).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Denied), "{}", read(&error));
        }
        admin.enable_user(&email, "enable").await;
        assert_eq!(world.differences().await, [""; 0], "everything is there on {}", release.name());
        world.delete(&world.tenant()).await;
    }
}

#[tokio::test]
async fn a_name_that_somebody_else_has_is_a_conflict_that_names_the_owner() {
    let mut texts = Vec::new();
    for release in Release::ALL {
        let (_fake, mut world) = fresh(release).await;
        for step in 0..2 {
            let work = world.step(step);
            world.make(work).await;
        }
        let person = Person::tenant(&world).await;
        let by_hand = person.make("channels", json!({ "name": "greenhouse.gw" })).await;
        let nobodys = world.apply(world.step(2)).await.unwrap_err();
        person.delete("channels", &by_hand).await;
        let mark = json!({ "iotorch": { "mark": format!("b2/{}", world.attachment("gw")) } });
        let theirs = person.make("channels", json!({ "name": "anything", "metadata": mark })).await;
        let somebodys = world.apply(world.step(2)).await.unwrap_err();
        assert_eq!((nobodys.kind(), somebodys.kind()), (ErrorKind::Conflict, ErrorKind::Conflict));
        person.delete("channels", &theirs).await;
        // Names that only look alike are nobody's business, also where the server takes them for the same.
        for name in ["greenhouse.gw-extra", "GREENHOUSE.GW", "greenhouse_gw", "a,b"] {
            person.make("channels", json!({ "name": name })).await;
        }
        let work = world.step(2);
        world.make(work).await;
        assert_eq!(world.differences().await, [""; 0]);
        texts.push((release, format!("{}\n{}", read(&nobodys), read(&somebodys))));
    }
    assert_reads!("name_taken", by_release(texts));
}

#[tokio::test]
async fn a_key_that_somebody_else_has_is_a_conflict_also_in_a_batch() {
    let mut texts = Vec::new();
    for release in Release::ALL {
        let (_fake, world) = built(release).await;
        let person = Person::tenant(&world).await;
        let key = world.secrets.fetch(&secret("other")).await.unwrap();
        let body = if release.is_mainflux() {
            json!({ "name": "theirs", "key": key.expose() })
        } else {
            json!({ "name": "theirs", "credentials": { "secret": key.expose() } })
        };
        person.make("things", body).await;
        let taken = credential_with(&world, 3, "other");
        let error = world.apply(taken.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(!read(&error).contains(key.expose()));
        let results = world.domain.apply(&world.cx(), vec![world.credential_work("gw", 2), taken]).await;
        assert!(matches!(&results[0], Ok(Outputs::Credential(_))), "{results:?}");
        assert_eq!(results[1].as_ref().unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(person.ids("things").await.len(), 3, "a bulk request that is refused makes nothing");
        texts.push((release, read(&error)));
    }
    assert_reads!("key_taken", by_release(texts));
}

/// A service that says that it has five things, and gives two.
async fn cutting_lists() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 65536];
                while let Ok(read) = stream.read(&mut buffer).await {
                    if read == 0 {
                        return;
                    }
                    let request = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    let (status, body) = if request.starts_with("GET /version") {
                        (200, json!({ "service": "things", "version": "0.12.1" }))
                    } else if request.starts_with("GET /health") {
                        (404, Value::Null)
                    } else {
                        let entries = if request.contains("offset=0") {
                            json!([{ "id": "a" }, { "id": "b" }])
                        } else {
                            json!([])
                        };
                        (200, json!({ "total": 5, "things": entries, "channels": entries }))
                    };
                    let body = body.to_string();
                    let head = format!("HTTP/1.1 {status} .\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(head.as_bytes()).await.unwrap();
                }
            });
        }
    });
    at
}

#[tokio::test]
async fn a_list_that_is_cut_is_an_error_and_no_absence() {
    let (_fake, mut world) = built(Release::Mainflux012).await;
    let at = cutting_lists().await;
    let cut = iotorch_core::resource::Endpoint::net(at.ip().to_string(), at.port());
    for made in &mut world.made {
        if let Outputs::Application(outputs) = &mut made.outputs {
            outputs.endpoints.insert("things".to_owned(), cut.clone());
        }
    }
    let seen = world.look().await.unwrap_err();
    let made = world.apply(world.step(2)).await.unwrap_err();
    let gone = world.apply(common::delete(&world.step(3))).await.unwrap_err();
    assert_eq!([&seen, &made, &gone].map(Error::kind), [ErrorKind::Unavailable; 3]);
    assert_reads!("list_cut", [read(&seen), read(&made), read(&gone)].join("\n\n"));
}

#[tokio::test]
async fn an_object_that_has_lost_its_mark_belongs_to_nobody_and_is_not_touched() {
    let (_fake, world) = built(Release::Mainflux012).await;
    let person = Person::tenant(&world).await;
    let thing = world.credential_outputs("gw", 1).user_name;
    // Without metadata in it, a change clears them on Mainflux.
    person.change("things", &thing, "", json!({ "name": "greenhouse.gw-1" })).await;
    let seen = world.look().await.unwrap();
    let expected = Observed::Foreign { owner: "nobody (no mark)".to_owned(), spec: None };
    assert_eq!(seen[&world.attachment("gw").credential(1)], expected);
    let error = world.apply(world.step(3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_reads!("mark_lost", read(&error));
}

#[tokio::test]
async fn a_create_whose_answer_is_an_error_may_have_made_the_object() {
    // SuperMQ answers 500 while NATS is away, and has made the client.
    for release in [Release::SuperMq017, Release::SuperMq019] {
        let (fake, mut world) = fresh(release).await;
        for step in 0..3 {
            let work = world.step(step);
            world.make(work).await;
        }
        let domain = world.attachment_outputs("gw").topic.unwrap()[2..38].to_owned();
        let held = fake.hold_next("POST", &format!("/{domain}/clients"));
        let meanwhile = async {
            held.arrived().await;
            fake.lose(Dependency::Nats).await;
            held.let_go();
        };
        let (result, ()) = futures::join!(world.apply(world.step(3)), meanwhile);
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.to_cause());
        fake.mend(Dependency::Nats).await.unwrap();
        let work = world.step(3);
        world.make(work).await;
        assert_eq!(world.differences().await, [""; 0]);
        assert_eq!(Person::tenant(&world).await.listing().await.things, ["greenhouse.gw-1"]);
    }
}

#[tokio::test]
async fn what_is_forbidden_while_permissions_cannot_be_asked_is_an_outage() {
    let mut texts = Vec::new();
    for release in [Release::SuperMq017, Release::SuperMq019, Release::Magistrala030] {
        let (fake, mut world) = fresh(release).await;
        for step in 0..2 {
            let work = world.step(step);
            world.make(work).await;
        }
        fake.lose(Dependency::SpiceDb).await;
        let error = world.apply(world.step(2)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.to_cause());
        texts.push((release, read(&error)));
        fake.mend(Dependency::SpiceDb).await.unwrap();
        let work = world.step(2);
        world.make(work).await;
    }
    assert_reads!("spicedb_away", by_release(texts));
}

/// A step that makes the tenant with the password in `name`.
fn tenant_with(world: &World, name: &str) -> Work {
    let spec = TenantSpec { secret: secret(name), ..world.tenant_spec(1) };
    create::<Tenant>(&world.tenant(), spec, InApplication { application: world.application() }).into()
}

#[tokio::test]
async fn a_password_that_is_too_short_or_too_long_is_invalid_and_makes_no_user() {
    let mut texts = Vec::new();
    for release in Release::ALL {
        let (_fake, mut world) = fresh(release).await;
        world.make(world.application_work()).await;
        // Mainflux leaves out what is over the seventy-two bytes.
        for name in ["hub/short", "hub/long"].into_iter().take(if release.is_mainflux() { 1 } else { 2 }) {
            let error = world.apply(tenant_with(&world, name)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert_eq!(Person::admin(&world).await.users().await.len(), 1);
            texts.push((release, read(&error)));
        }
    }
    assert_reads!("unfit_password", by_release(texts));
}
