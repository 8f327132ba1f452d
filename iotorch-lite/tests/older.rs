//! Stores of older releases, of later ones, and damaged ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use common::*;
use iotorch_lite::{
    Error, ErrorKind, Gateway, GatewayConfig,
    api::{Attachment, DeviceProtocol, MessageQuery, Order},
    senml::{Record, Value},
};
use redb::{Database, TableDefinition, WriteTransaction};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{error::Error as _, fs, path::Path};

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");

/// What a store of format 1 had, as the release that made it wrote it.
mod first {
    use super::*;

    const THINGS: TableDefinition<&str, &str> = TableDefinition::new("things");
    const CHANNELS: TableDefinition<&str, &str> = TableDefinition::new("channels");
    const MESSAGES: TableDefinition<(&str, &str, i64, u32), &[u8]> = TableDefinition::new("messages");
    const NAMES: TableDefinition<(&str, &str), u64> = TableDefinition::new("message-names");
    const ORIGINS: TableDefinition<(&str, &str), u64> = TableDefinition::new("message-origins");
    const REJECTED: TableDefinition<&str, (u64, &str)> = TableDefinition::new("messages-rejected");

    const COUNTS: TableDefinition<&str, (u64, u64, &str)> = TableDefinition::new("device-counts");
    const LAST: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("device-last");
    const OUTBOX: TableDefinition<u64, &[u8]> = TableDefinition::new("outbox");
    const CURSORS: TableDefinition<&str, (u64, u64)> = TableDefinition::new("outbox-cursors");
    const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("outbox-numbers");
    const ORIGIN: TableDefinition<(), &str> = TableDefinition::new("outbox-origin");

    /// A server with one thing, which has sent two readings of its gateway.
    pub(crate) fn server(txn: &WriteTransaction, attachment: &Attachment) {
        let Attachment { thing, channel } = attachment;
        let path = "tenants/acme/attachments/gw";
        txn.open_table(META).unwrap().insert("format", 1).unwrap();
        put(txn, "tenants/acme", "tenant", json!({}), json!(null));
        put(txn, path, "attachment", json!({ "thing": thing, "channel": channel }), json!(null));
        put(txn, &format!("{path}/credentials/1"), "credential", json!({}), hash(KEY));
        txn.open_table(THINGS).unwrap().insert(thing.as_str(), path).unwrap();
        txn.open_table(CHANNELS).unwrap().insert(channel.as_str(), path).unwrap();
        let mut messages = txn.open_table(MESSAGES).unwrap();
        for (time, record) in [(1_600_000_000, reading(1)), (1_600_000_001, reading(2))] {
            let key = (channel.as_str(), "d1:count", time * 1_000_000, 0);
            messages.insert(key, record.as_slice()).unwrap();
        }
        txn.open_table(NAMES).unwrap().insert((channel.as_str(), "d1:count"), 2).unwrap();
        txn.open_table(ORIGINS).unwrap().insert((thing.as_str(), "an-origin"), 2).unwrap();
        txn.open_table(REJECTED).unwrap().insert(channel.as_str(), (1, "record 1 has no name")).unwrap();
    }

    /// A gateway with one device and one export, which has acknowledged one of three readings but not noted a second one.
    pub(crate) fn gateway(txn: &WriteTransaction, attachment: &Attachment, port: u16) {
        txn.open_table(META).unwrap().insert("format", 1).unwrap();
        let resources = json!({ "count": { "type": "integer", "access": "read" } });
        put(txn, "profiles/sensor", "profile", json!({ "resources": resources }), json!(null));
        put(txn, "devices/d1", "device", json!({ "profile": "sensor" }), json!(null));
        put(txn, "devices/d1/credentials/1", "credential", json!({}), hash(PASSWORD));
        let export = json!({
            "host": "127.0.0.1", "port": port, "user_name": attachment.thing, "topic": attachment.topic(),
        });
        put(txn, "exports/main", "export", export, json!({ "clear": KEY }));
        txn.open_table(COUNTS).unwrap().insert("d1", (3, 1, "\"count\" is not an integer")).unwrap();
        txn.open_table(LAST).unwrap().insert(("d1", "count"), reading(3).as_slice()).unwrap();
        let mut outbox = txn.open_table(OUTBOX).unwrap();
        for sequence in 2..=3 {
            outbox.insert(u64::from(sequence), reading(sequence).as_slice()).unwrap();
        }
        txn.open_table(CURSORS).unwrap().insert("main", (1, 1)).unwrap();
        txn.open_table(NUMBERS).unwrap().insert("sequence", 3).unwrap();
        txn.open_table(ORIGIN).unwrap().insert((), "an-origin").unwrap();
    }

    fn put(
        txn: &WriteTransaction,
        path: &str,
        kind: &str,
        settings: serde_json::Value,
        secret: serde_json::Value,
    ) {
        let object =
            json!({ "kind": kind, "mark": MARK, "spec": {}, "settings": settings, "secret": secret });
        txn.open_table(OBJECTS).unwrap().insert(path, object.to_string().as_bytes()).unwrap();
    }

    fn hash(secret: &str) -> serde_json::Value {
        let digest = Sha256::new().chain_update("salt").chain_update(b"\0").chain_update(secret).finalize();
        json!({ "hash": { "salt": "salt", "digest": STANDARD_NO_PAD.encode(digest) } })
    }

    fn reading(number: u32) -> Vec<u8> {
        let time = 1_600_000_000 + i64::from(number) - 1;
        format!(r#"{{"n":"d1:count","v":{number}.0,"t":{time}.0}}"#).into_bytes()
    }
}

fn store(path: &Path, write: impl FnOnce(&WriteTransaction)) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let database = Database::create(path).unwrap();
    let txn = database.begin_write().unwrap();
    write(&txn);
    txn.commit().unwrap();
}

fn numbers(records: &[Record]) -> Vec<f64> {
    let number = |record: &Record| match record.value {
        Some(Value::Number(number)) => number,
        ref other => panic!("{other:?}"),
    };
    records.iter().map(number).collect()
}

#[tokio::test]
async fn a_gateway_and_a_server_go_on_with_the_stores_of_the_first_release() {
    let dir = tempfile::tempdir().unwrap();
    let attachment = Attachment { thing: "a".repeat(32), channel: "b".repeat(32) };
    store(&dir.path().join("server/server.redb"), |txn| first::server(txn, &attachment));
    let server = start_server(dir.path()).await;
    let at_server = server_client(&server);
    let usage = at_server.status().await.unwrap().tenants["acme"];
    assert!((usage.messages, usage.dropped) == (2, 0) && usage.bytes > 200, "{usage:?}");

    let port = server.mqtt_address().port();
    store(&dir.path().join("gateway/gateway.redb"), |txn| first::gateway(txn, &attachment, port));
    let gateway = start_gateway(dir.path()).await;
    let at_gateway = gateway_client(&gateway);
    let device = Mqtt::device(&gateway, "d1").await;
    device.publish("devices/d1/count", "4").await.unwrap();
    let status = await_status(&at_gateway, |status| status.exports["main"].acknowledged == 4).await;
    let d1 = &status.devices["d1"];
    assert_eq!((d1.protocol, d1.accepted, d1.rejected), (DeviceProtocol::Mqtt, 4, 1));
    assert_eq!((status.outbox.records, status.outbox.bytes, status.outbox.dropped), (0, 0, 0));

    // The second reading was stored before, and the pages are read by what is new since.
    let query = MessageQuery { order: Some(Order::Asc), ..MessageQuery::default() };
    let all = at_server.messages("acme", &attachment.channel, &query).await.unwrap().messages;
    assert_eq!(numbers(&all), [1.0, 2.0, 3.0, 4.0]);
    let stats = at_server.stats("acme", &attachment.channel).await.unwrap();
    assert_eq!((stats.count, stats.rejected), (4, 1));
    gateway.stop().await;
    server.stop().await;
}

/// Why a gateway does not start on what is in a directory, its cause, and what to do.
async fn refusal(dir: &Path) -> (ErrorKind, String, String) {
    let config = GatewayConfig::builder().data_dir(dir).admin_token(admin()).build();
    let error: Error = Gateway::start(config).await.unwrap_err();
    let path = dir.join("gateway.redb");
    assert_eq!(error.to_string(), format!("cannot open store \"{}\"", path.display()));
    let cause = error.source().unwrap().to_string();
    (error.kind(), cause, error.help().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_store_of_a_later_release_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.redb");
    store(&path, |txn| drop(txn.open_table(META).unwrap().insert("format", 1000).unwrap()));
    let (kind, cause, help) = refusal(dir.path()).await;
    assert_eq!((kind, cause.as_str()), (ErrorKind::Store, "it has format 1000, newer than 3"));
    assert_eq!(help, "use the release that has written it, or a later one");
    let database = Database::open(&path).unwrap();
    let tables = redb::ReadableDatabase::begin_read(&database).unwrap().list_tables().unwrap().count();
    assert_eq!(tables, 1, "nothing was added to it");
}

#[tokio::test]
async fn a_damaged_store_is_refused_with_what_to_do_and_never_taken_for_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.redb");
    let config = || GatewayConfig::builder().data_dir(dir.path()).admin_token(admin()).build();
    let gateway = Gateway::start(config()).await.unwrap();
    add_devices(&gateway_client(&gateway), &["d1", "d2", "d3"]).await;
    gateway.stop().await;
    let whole = fs::read(&path).unwrap();
    let middle = |bytes: &mut [u8]| {
        // Where the objects are, wherever that is.
        let at = bytes.windows(10).position(|window| window == b"devices/d2").unwrap();
        bytes[at] = b'D';
    };
    let mut altered = whole.clone();
    middle(&mut altered);
    let mut no_header = whole.clone();
    no_header[..64].fill(0);
    for damaged in [&b""[..], b"not a store", &whole[..whole.len() / 2], &no_header, &altered] {
        fs::write(&path, damaged).unwrap();
        let (kind, cause, help) = refusal(dir.path()).await;
        assert_eq!((kind, cause.as_str()), (ErrorKind::Store, "it is damaged"), "{} bytes", damaged.len());
        assert!(help.starts_with("put a copy of the directory in its place, or move it away"), "{help}");
        assert_eq!(
            fs::metadata(&path).unwrap().len(),
            damaged.len() as u64,
            "it is left for whoever can read it"
        );
    }
    fs::write(&path, &whole).unwrap();
    Gateway::start(config()).await.unwrap().stop().await;
}
