//! Messages are read back as they were sent.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{World, built, wire::Person};
use iotorch_core::{ErrorKind, secret::SecretStore};
use iotorch_mainflux::{Messages, Page, Query, Record, Time, Value};
use iotorch_mainflux_fake::{Dependency, Release, Service};
use serde_json::json;

async fn messages(world: &World) -> iotorch_core::Result<Messages> {
    let (application, tenant) = (world.application(), world.tenant_outputs());
    let (attachment, credential) = (world.attachment_outputs("gw"), world.credential_outputs("gw", 1));
    Messages::open(&world.cx(), &application, &tenant, &attachment, &credential, None).await
}

/// Publishes a pack as the gateway does.
async fn publish(world: &World, pack: serde_json::Value) {
    let key = world.secrets.fetch(&world.credential_outputs("gw", 1).secret).await.unwrap();
    let attachment = world.attachment_outputs("gw");
    let topic = attachment.topic();
    let prefix = match world.application().version.as_str() {
        "0.12.1" => "",
        "0.13.0" => "Thing ",
        _ => "Client ",
    };
    let sender = Person::admin(world).await.authorized(format!("{prefix}{}", key.expose()));
    let (status, answer) = sender.send("http", reqwest::Method::POST, &format!("/{topic}"), pack).await;
    assert!((200..300).contains(&status), "{status}: {answer}");
}

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

/// The page, once it has so many records: storing takes a moment.
async fn stored(messages: &Messages, query: &Query, total: u64) -> Page {
    for _ in 0..2000 {
        let page = messages.page(query).await.unwrap();
        if page.total >= total {
            assert_eq!(page.total, total);
            return page;
        }
        tokio::task::yield_now().await;
    }
    panic!("{total} records were not stored")
}

fn names(page: &Page) -> Vec<&str> {
    page.records.iter().map(|record| record.name.as_str()).collect()
}

const RELEASES: [Release; 3] = [Release::Mainflux012, Release::Mainflux013, Release::Magistrala030];

#[tokio::test]
async fn values_of_all_types_come_back_with_name_unit_and_exact_time() {
    for release in RELEASES {
        let (_fake, world) = built(release).await;
        let pack = json!([
            { "bn": "bench-1:", "bt": 1_700_000_000, "n": "temperature", "u": "Cel", "v": 21.5 },
            { "n": "state", "vs": "on", "t": 1 },
            { "n": "open", "vb": true, "t": 2 },
            { "n": "picture", "vd": "aGVsbG8", "t": 3 },
            { "n": "energy", "u": "J", "s": 5.25, "t": 4 },
        ]);
        publish(&world, pack).await;
        let messages = messages(&world).await.unwrap();
        let page = stored(&messages, &Query::default(), 5).await;
        let publisher = world.credential_outputs("gw", 1).user_name;
        let seen: Vec<_> = page
            .records
            .iter()
            .rev()
            .map(|record| {
                let Record { name, unit, time, value, sum, publisher: from, subtopic, .. } = record;
                assert_eq!((from, subtopic.as_str()), (&publisher, ""));
                (name.as_str(), unit.as_deref(), time.to_string(), value.clone(), *sum)
            })
            .collect();
        let at = |second: u32| (1_700_000_000 + second).to_string();
        let expected = [
            ("bench-1:temperature", Some("Cel"), at(0), Some(Value::Number(21.5)), None),
            ("bench-1:state", None, at(1), Some(Value::String("on".to_owned())), None),
            ("bench-1:open", None, at(2), Some(Value::Bool(true)), None),
            ("bench-1:picture", None, at(3), Some(Value::Data("aGVsbG8".to_owned())), None),
            ("bench-1:energy", Some("J"), at(4), None, Some(5.25)),
        ];
        assert_eq!(seen, expected, "{}", release.name());
    }
}

#[tokio::test]
async fn pages_go_through_names_and_times() {
    for release in RELEASES {
        let (_fake, world) = built(release).await;
        let record = |number: u32| {
            let name = if number.is_multiple_of(2) { "even" } else { "odd" };
            json!({ "n": name, "t": 1_700_000_000 + number, "v": number })
        };
        publish(&world, (0..25).map(record).collect()).await;
        let messages = messages(&world).await.unwrap();
        let values = |page: &Page| -> Vec<u32> {
            let value = |record: &Record| match record.value {
                Some(Value::Number(number)) => number as u32,
                _ => panic!("{record:?}"),
            };
            page.records.iter().map(value).collect()
        };
        let newest = stored(&messages, &Query::builder().limit(10).build(), 25).await;
        assert_eq!(values(&newest), (15..25).rev().collect::<Vec<_>>());
        let last = messages.page(&Query::builder().limit(10).offset(20).build()).await.unwrap();
        assert_eq!(values(&last), [4, 3, 2, 1, 0]);
        let beyond = messages.page(&Query::builder().offset(30).build()).await.unwrap();
        assert_eq!(beyond, Page { total: 25, records: Vec::new() });
        let named = Query::builder().name("odd").from(time("1700000003")).to(time("1700000009")).build();
        let page = messages.page(&named).await.unwrap();
        assert_eq!((values(&page), page.total), (vec![7, 5, 3], 3), "from is included, to is not");
        assert_eq!(names(&page), ["odd"; 3]);
        let nothing = messages.page(&Query::builder().name("neither").build()).await.unwrap();
        assert_eq!(nothing, Page::default());
    }
}

#[tokio::test]
async fn a_reader_that_is_away_or_refuses_is_told_apart_from_an_empty_channel() {
    for release in RELEASES {
        let (fake, world) = built(release).await;
        let reader = messages(&world).await.unwrap();
        assert_eq!(reader.page(&Query::default()).await.unwrap(), Page::default());
        let wrong = reader.page(&Query::builder().limit(0).build()).await.unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Invalid);
        let needed: Dependency =
            if release.is_mainflux() { Service::Things.into() } else { Dependency::SpiceDb };
        fake.lose(needed).await;
        let away = reader.page(&Query::default()).await.unwrap_err();
        assert_eq!(away.kind(), ErrorKind::Unavailable, "{}", away.to_cause());
        fake.mend(needed).await.unwrap();
        let person = Person::tenant(&world).await;
        let (channel, thing) =
            (world.attachment_outputs("gw").channel, world.credential_outputs("gw", 1).user_name);
        if release.is_mainflux() {
            person.disconnect(&channel, &thing).await;
        } else {
            person.delete("channels", &channel).await;
        }
        let refused = messages(&world).await.unwrap().page(&Query::default()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Denied, "{}", refused.to_cause());
        fake.lose(Service::Reader).await;
        let away = reader.page(&Query::default()).await.unwrap_err();
        assert_eq!(away.kind(), ErrorKind::Unavailable, "{}", away.to_cause());
    }
}

#[tokio::test]
async fn a_server_without_a_reader_says_so() {
    let (_fake, world) = built(Release::SuperMq019).await;
    let error = messages(&world).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.to_cause().root(), "the server has no endpoint \"reader\"");
}
