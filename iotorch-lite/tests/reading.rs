//! Reading messages back: names, orders, pages, downsampling, SenML, and following.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use futures::StreamExt;
use iotorch_lite::{
    Server,
    api::{Aggregate, Attachment, Followed, MessageQuery, Order},
    client::{Error, ServerClient},
    senml::{self, Record, Value},
};
use std::path::Path;

const START: u32 = 1_600_000_020;

/// A server with one attachment and somebody who publishes as its thing.
struct Channel {
    server: Server,
    client: ServerClient,
    attachment: Attachment,
    mqtt: Mqtt,
}

impl Channel {
    async fn open(dir: &Path) -> Self {
        let server = start_server(dir).await;
        let client = server_client(&server);
        let attachment = attach(&client).await;
        let mqtt = thing(&server, &attachment).await;
        Self { server, client, attachment, mqtt }
    }

    async fn store(&self, records: impl IntoIterator<Item = String>) {
        let records: Vec<_> = records.into_iter().collect();
        for pack in records.chunks(500) {
            self.mqtt.publish(&self.attachment.topic(), format!("[{}]", pack.join(","))).await.unwrap();
        }
    }

    /// Everything that a query gives, page after page.
    async fn all(&self, query: &MessageQuery) -> Vec<Record> {
        let mut query = query.clone();
        let mut read = Vec::new();
        loop {
            let page = self.client.messages("acme", &self.attachment.channel, &query).await.unwrap();
            assert!(page.messages.len() <= query.limit.unwrap_or(100));
            read.extend(page.messages);
            query.cursor = page.next;
            if query.cursor.is_none() {
                return read;
            }
        }
    }

    async fn refusal(&self, query: &str) -> String {
        let answer = self.get(&format!("messages?{query}"), "*/*").await;
        assert_eq!(answer.status(), 400, "{query}");
        let answer: serde_json::Value = answer.json().await.unwrap();
        answer["error"]["message"].as_str().unwrap().to_owned()
    }

    async fn get(&self, path: &str, accept: &str) -> reqwest::Response {
        let at = self.server.management_address();
        let path = format!("http://{at}/tenants/acme/channels/{}/{path}", self.attachment.channel);
        plain_http().get(path).bearer_auth(ADMIN).header("accept", accept).send().await.unwrap()
    }
}

fn number(name: &str, time: f64, value: f64) -> String {
    format!(r#"{{"n":"{name}","u":"Cel","t":{time},"v":{value}}}"#)
}

fn values(records: &[Record]) -> Vec<(&str, f64, f64)> {
    let value = |record: &Record| match record.value {
        Some(Value::Number(number)) => number,
        ref other => panic!("{other:?}"),
    };
    records.iter().map(|record| (record.name.as_str(), record.time, value(record))).collect()
}

#[tokio::test]
async fn pages_over_few_and_many_names_go_both_ways_without_gap_or_repetition() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Channel::open(dir.path()).await;
    // More names than are read side by side, of which some start alike.
    let name = |n: u32| format!("d{}:{}", n % 300, ["temperature", "humidity"][n as usize % 2]);
    channel.store((0..900).map(|n| number(&name(n), f64::from(START + n / 5), f64::from(n)))).await;

    for (wanted, count) in [(None, 900), (Some("d1*"), 333), (Some("d12:*"), 3), (Some("d12:temperature"), 3)]
    {
        let query =
            MessageQuery { name: wanted.map(str::to_owned), limit: Some(70), ..MessageQuery::default() };
        let down = channel.all(&query).await;
        let mut up = channel.all(&MessageQuery { order: Some(Order::Asc), ..query }).await;
        assert_eq!(down.len(), count, "{wanted:?}");
        assert!(up.windows(2).all(|pair| pair[0].time <= pair[1].time));
        up.reverse();
        assert_eq!(up, down, "{wanted:?}");
    }
    channel.server.stop().await;
}

#[tokio::test]
async fn pages_stay_apart_while_messages_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Channel::open(dir.path()).await;
    channel.store((0..10).map(|n| number("a", f64::from(START + n), 0.0))).await;
    let mut query = MessageQuery { limit: Some(5), ..MessageQuery::default() };
    let first = channel.client.messages("acme", &channel.attachment.channel, &query).await.unwrap();
    channel.store((10..20).map(|n| number("a", f64::from(START + n), 0.0))).await;
    query.cursor = first.next;
    let second = channel.client.messages("acme", &channel.attachment.channel, &query).await.unwrap();
    let times: Vec<_> = first.messages.iter().chain(&second.messages).map(|record| record.time).collect();
    assert_eq!(times, (0..10).rev().map(|n| f64::from(START + n)).collect::<Vec<_>>());
    channel.server.stop().await;
}

#[tokio::test]
async fn intervals_are_aligned_to_the_epoch_and_hold_what_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Channel::open(dir.path()).await;
    let minute = f64::from(START - START % 60);
    let at = |seconds: f64| minute + seconds;
    channel
        .store([
            number("a", at(1.0), 1.0),
            number("a", at(30.0), 5.0),
            number("a", at(59.5), 3.0),
            number("a", at(60.0), 10.0),
            number("b", at(30.0), -4.0),
            format!(r#"{{"n":"door","t":{},"vs":"open"}}"#, at(10.0)),
            format!(r#"{{"n":"door","t":{},"vs":"shut"}}"#, at(20.0)),
        ])
        .await;
    for (aggregate, expected) in [
        (None, [3.0, 10.0, -4.0]),
        (Some(Aggregate::Min), [1.0, 10.0, -4.0]),
        (Some(Aggregate::Max), [5.0, 10.0, -4.0]),
        (Some(Aggregate::Sum), [9.0, 10.0, -4.0]),
    ] {
        for limit in [1, 100] {
            let query = MessageQuery {
                interval: Some("60s".parse().unwrap()),
                order: Some(Order::Asc),
                limit: Some(limit),
                aggregate,
                ..MessageQuery::default()
            };
            let read = channel.all(&query).await;
            let [a, next, b] = expected;
            let expected = [("a", at(0.0), a), ("a", at(60.0), next), ("b", at(0.0), b)];
            assert_eq!(values(&read), expected, "{aggregate:?}");
            assert!(read.iter().all(|record| record.unit.as_deref() == Some("Cel")));
        }
    }
    let query = |aggregate, name: &str| MessageQuery {
        interval: Some("1m".parse().unwrap()),
        aggregate: Some(aggregate),
        name: Some(name.to_owned()),
        ..MessageQuery::default()
    };
    let counts = channel.all(&query(Aggregate::Count, "*")).await;
    let expected = [("a", at(60.0), 1.0), ("a", at(0.0), 3.0), ("b", at(0.0), 1.0), ("door", at(0.0), 2.0)];
    assert_eq!(values(&counts), expected);
    for (aggregate, numbers, text) in
        [(Aggregate::First, [10.0, 1.0], "open"), (Aggregate::Last, [10.0, 3.0], "shut")]
    {
        for limit in [1, 100] {
            let limited = |name| MessageQuery { limit: Some(limit), ..query(aggregate, name) };
            let read = channel.all(&limited("a")).await;
            assert_eq!(values(&read), [("a", at(60.0), numbers[0]), ("a", at(0.0), numbers[1])]);
            let door = channel.all(&limited("door")).await;
            assert_eq!((door.len(), &door[0].value), (1, &Some(Value::Text(text.to_owned()))));
        }
    }
    channel.server.stop().await;
}

#[tokio::test]
async fn an_interval_with_more_messages_than_a_page_looks_at_is_aggregated_over_pages() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Channel::open(dir.path()).await;
    let count = 25_000u32;
    channel.store((0..count).map(|n| format!(r#"{{"n":"a","t":{START}.{n:06},"v":{n}}}"#))).await;
    let query = |aggregate| MessageQuery {
        interval: Some("1s".parse().unwrap()),
        aggregate: Some(aggregate),
        ..MessageQuery::default()
    };
    let first =
        channel.client.messages("acme", &channel.attachment.channel, &query(Aggregate::Max)).await.unwrap();
    assert!(first.messages.is_empty() && first.next.is_some(), "a page is bounded");
    for (aggregate, expected) in
        [(Aggregate::Count, f64::from(count)), (Aggregate::Max, f64::from(count - 1)), (Aggregate::Min, 0.0)]
    {
        assert_eq!(values(&channel.all(&query(aggregate)).await), [("a", f64::from(START), expected)]);
    }
    let mean = channel.all(&query(Aggregate::Mean)).await;
    assert_eq!(values(&mean), [("a", f64::from(START), f64::from(count - 1) / 2.0)]);
    channel.server.stop().await;
}

#[tokio::test]
async fn wrong_parameters_are_named_with_what_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Channel::open(dir.path()).await;
    let mut refusals = Vec::new();
    for query in [
        "order=up",
        "aggregate=median&interval=60s",
        "aggregate=mean",
        "interval=60",
        "interval=1y",
        "limit=0",
        "limit=many",
        "limit=1.5",
        "from=noon",
        "from=NaN",
        "name=a*b",
        "cursor=x",
        "colour=red",
    ] {
        refusals.push(format!("{query}: {}", channel.refusal(query).await));
    }
    insta::assert_snapshot!(refusals.join("\n"));
    channel.server.stop().await;
}

#[tokio::test]
async fn whoever_accepts_senml_gets_a_pack_and_a_link_to_the_next_page() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Channel::open(dir.path()).await;
    channel.store((0..3).map(|n| number("a", f64::from(START + n), f64::from(n)))).await;
    for form in ["application/senml+json", "application/senml+cbor"] {
        let first = channel.get("messages?limit=2&order=asc", &format!("{form}, */*;q=0.1")).await;
        assert_eq!(first.headers()["content-type"], form);
        let link = first.headers()["link"].to_str().unwrap().to_owned();
        let pack = first.bytes().await.unwrap();
        let expected = [("a", f64::from(START), 0.0), ("a", f64::from(START + 1), 1.0)];
        assert_eq!(values(&senml::parse(&pack, 0.0).unwrap()), expected);
        let (path, rest) = link.trim_start_matches('<').split_once('>').unwrap();
        assert_eq!(rest, "; rel=\"next\"");
        let next = channel.get(path.rsplit_once('/').unwrap().1, form).await;
        assert!(next.headers().get("link").is_none());
        assert!(!next.bytes().await.unwrap().is_empty());
    }
    let page: serde_json::Value = channel.get("messages", "text/html").await.json().await.unwrap();
    assert_eq!(page["messages"].as_array().unwrap().len(), 3);
    channel.server.stop().await;
}

#[tokio::test]
async fn followers_see_new_messages_of_their_channel_once_until_the_server_stops() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Channel::open(dir.path()).await;
    channel.store([number("a", f64::from(START), 0.0)]).await;
    let mut news = Box::pin(channel.client.follow("acme", &channel.attachment.channel).await.unwrap());
    for pack in [1.0, 1.0, 2.0] {
        channel.store([number("a", f64::from(START) + pack, pack)]).await;
    }
    for expected in [1.0, 2.0] {
        match news.next().await.unwrap().unwrap() {
            Followed::Item(record) => assert_eq!(record.value, Some(Value::Number(expected))),
            other => panic!("{other:?}"),
        }
    }
    let nowhere = channel.client.follow("acme", "nowhere").await;
    assert!(matches!(nowhere.err(), Some(Error::NotFound { .. })));
    channel.server.stop().await;
    assert!(news.next().await.is_none(), "the stream ends with the server");
}
