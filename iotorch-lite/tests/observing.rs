//! What an operator sees of a gateway and a server: metrics, the description of the API, and the log.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use futures::StreamExt;
use iotorch_lite::{
    Gateway, Secret, Server,
    api::{Followed, Level, LogEntry, LogQuery},
    client::{Error, GatewayClient},
};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

/// A gateway with a device `d1` that exports to a server.
async fn slice(dir: &Path) -> (Gateway, Server) {
    let (gateway, server) = (start_gateway(dir).await, start_server(dir).await);
    add_devices(&gateway_client(&gateway), &["d1"]).await;
    let attachment = attach(&server_client(&server)).await;
    export(&gateway_client(&gateway), &server, &attachment).await;
    (gateway, server)
}

#[tokio::test]
async fn metrics_count_what_was_sent_stored_and_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, server) = slice(dir.path()).await;
    let device = Mqtt::device(&gateway, "d1").await;
    device.publish("devices/d1", r#"{"temperature":20,"count":1,"open":3}"#).await.unwrap();
    for guess in ["a guess", "another"] {
        assert!(Mqtt::connect(gateway.mqtt_address(), "d1:x", "d1", guess).await.is_err());
        assert!(Mqtt::connect(gateway.mqtt_address(), "s", "stranger", guess).await.is_err());
    }
    assert!(device.publish("devices/other", "1").await.is_err());
    await_status(&gateway_client(&gateway), |status| status.exports["main"].acknowledged == 2).await;

    let at_gateway = scrape(gateway.management_address()).await;
    for (name, expected) in [
        ("messages_total", 1.0),
        ("readings_accepted_total", 2.0),
        ("readings_rejected_total", 1.0),
        ("refused_logins_total{protocol=\"mqtt\"}", 4.0),
        ("refused_requests_total{protocol=\"mqtt\"}", 1.0),
        ("connections{protocol=\"http\"}", 0.0),
        ("devices", 1.0),
        ("outbox_readings", 0.0),
        ("outbox_bytes", 0.0),
        ("outbox_dropped_readings_total", 0.0),
        ("export_connected{export=\"main\"}", 1.0),
        ("export_pending_readings{export=\"main\"}", 0.0),
        ("export_acknowledged_readings_total{export=\"main\"}", 2.0),
    ] {
        assert_eq!(at_gateway.get(name), Some(&expected), "{name} in {at_gateway:#?}");
    }
    assert!(at_gateway["connections{protocol=\"mqtt\"}"] >= 1.0);
    assert!(at_gateway["store_commit_seconds_count"] > 1.0);
    assert!(at_gateway.keys().all(|name| !name.contains("stranger")), "labels do not come from strangers");

    let at_server = scrape(server.management_address()).await;
    let usage = server_client(&server).status().await.unwrap().tenants["acme"];
    assert_eq!(at_server["stored_messages{tenant=\"acme\"}"], 2.0);
    assert_eq!(at_server["stored_bytes{tenant=\"acme\"}"], usage.bytes as f64);
    assert_eq!(at_server["dropped_messages_total{tenant=\"acme\"}"], 0.0);
    let names = at_gateway.keys().chain(at_server.keys()).map(|name| name.split('{').next().unwrap());
    let names: BTreeSet<_> = names.collect();
    insta::assert_debug_snapshot!(names);

    let bare =
        plain_http().get(format!("http://{}/metrics", server.management_address())).send().await.unwrap();
    assert_eq!(bare.status(), StatusCode::UNAUTHORIZED);
    gateway.stop().await;
    server.stop().await;
}

/// Every method of every path.
fn operations(document: &Value) -> Vec<(Method, String)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let of_path = |(path, item): (&String, &Value)| -> Vec<_> {
        let methods = item.as_object().unwrap().keys();
        methods.map(|method| (method.to_uppercase().parse().unwrap(), path.clone())).collect()
    };
    paths.flat_map(of_path).collect()
}

/// All references in a document.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

fn check_document(document: &Value) {
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let mut found = Vec::new();
    references(document, &mut found);
    for reference in found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    let mut identifiers = BTreeSet::new();
    for (method, path) in operations(document) {
        let operation = &document["paths"][&path][method.as_str().to_lowercase()];
        assert!(operation["summary"].is_string(), "{method} {path}");
        assert!(identifiers.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
        let parameters = operation["parameters"].as_array().unwrap();
        for parameter in parameters {
            assert!(parameter["schema"].is_object() || parameter["schema"].is_boolean(), "{parameter}");
            assert_eq!(
                parameter["in"] == "path",
                path.contains(&format!("{{{}}}", parameter["name"].as_str().unwrap()))
            );
        }
        for (_, response) in operation["responses"].as_object().unwrap() {
            assert!(response["description"].is_string(), "{method} {path}");
        }
    }
}

/// The sorts of failures are described as they are answered.
fn check_failures(document: &Value) {
    let sorts = document["components"]["schemas"]["FailureKind"]["oneOf"].as_array().unwrap();
    let names: Vec<_> = sorts.iter().map(|sort| sort["const"].as_str().unwrap()).collect();
    let answered =
        ["invalid", "unauthorized", "forbidden", "not_found", "conflict", "in_use", "limited", "internal"];
    assert_eq!(names, answered);
    assert!(sorts.iter().all(|sort| sort["description"].as_str().unwrap().contains("status ")));
}

/// The paths that the table in the documentation of the API has, for one role, each with its methods.
fn documented(role: &str) -> Vec<(Method, String)> {
    let other = if role == "gateway" { "server: " } else { "gateway: " };
    let table = include_str!("../src/api.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
    let rows = table.filter(|row| row.contains('/') && !row.starts_with(other));
    let of_row = |row: &str| -> Vec<(Method, String)> {
        let mut cells = row.split(" | ");
        let (paths, methods) = (cells.next().unwrap(), cells.next().unwrap().split(',').next().unwrap());
        let methods: Vec<Method> = methods.split(' ').map(|method| method.parse().unwrap()).collect();
        let paths = paths.split('`').filter(|part| part.starts_with('/'));
        paths.flat_map(|path| methods.iter().map(move |method| (method.clone(), path.to_owned()))).collect()
    };
    rows.flat_map(of_row).collect()
}

#[tokio::test]
async fn the_description_of_the_api_has_every_call_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, server) = (start_gateway(dir.path()).await, start_server(dir.path()).await);
    let mut listed = String::new();
    for (role, at) in [("gateway", gateway.management_address()), ("server", server.management_address())] {
        let document = plain_http().get(format!("http://{at}/openapi.json")).send().await.unwrap();
        let document: Value = document.json().await.unwrap();
        check_document(&document);
        check_failures(&document);
        let described = operations(&document);
        for (method, path) in &described {
            let path = path.replace(['{', '}'], "");
            // Answers that go on are not waited for: their start is enough.
            let request =
                plain_http().request(method.clone(), format!("http://{at}{path}")).bearer_auth(ADMIN);
            let answer = request.body("{}").send().await.unwrap();
            assert_ne!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            if answer.status() == StatusCode::NOT_FOUND {
                // It is an object that is not there, not a path that is not.
                let text = answer.text().await.unwrap();
                assert!(!text.contains(&format!("\\\"{path}\\\"")), "{method} {path}: {text}");
            }
        }
        let sorted = |mut calls: Vec<(Method, String)>| {
            calls.sort_by_key(|(method, path)| (path.clone(), method.to_string()));
            calls.iter().map(|(method, path)| format!("{method} {path}\n")).collect::<String>()
        };
        assert_eq!(sorted(described.clone()), sorted(documented(role)), "the table in the documentation");
        listed.push_str(&format!("{role}\n{}\n", sorted(described)));
    }
    insta::assert_snapshot!(listed);
    gateway.stop().await;
    server.stop().await;
}

async fn await_log(client: &GatewayClient, holds: impl Fn(&[LogEntry]) -> bool) -> Vec<LogEntry> {
    let all = LogQuery { limit: Some(1000), ..LogQuery::default() };
    eventually("entries of the log", || async {
        Some(client.log(&all).await.unwrap().entries).filter(|entries| holds(entries))
    })
    .await
}

#[tokio::test]
async fn the_log_tells_what_happened_in_this_start_and_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, server) = slice(dir.path()).await;
    let client = gateway_client(&gateway);
    let device = Mqtt::device(&gateway, "d1").await;
    device.publish("devices/d1/temperature", "warm").await.unwrap();
    assert!(Mqtt::connect(gateway.mqtt_address(), "d1:x", "d1", "not its password").await.is_err());
    await_log(&client, |entries| entries.iter().any(|entry| entry.event == "export-connected")).await;
    server.stop().await;
    let has = |entries: &[LogEntry], event: &str| entries.iter().any(|entry| entry.event == event);
    await_log(&client, |entries| has(entries, "export-interrupted") && has(entries, "refused-login")).await;
    gateway.stop().await;

    let gateway = start_gateway(dir.path()).await;
    let client = gateway_client(&gateway);
    let entries = await_log(&client, |entries| entries.last().is_some_and(|entry| entry.start == 2)).await;
    let (before, now): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.start == 1);
    assert!(now.iter().any(|entry| entry.event == "started"));
    assert_eq!(before.last().unwrap().event, "stopped");
    let told = |event: &str| {
        before.iter().find(|entry| entry.event == event).map(|entry| entry.to_string()).unwrap()
    };
    assert_eq!(told("rejected"), "a reading of \"d1\" rejected: \"temperature\" is not a number");
    assert_eq!(told("refused-login"), "login of \"d1\" refused: the password is wrong");
    assert!(told("export-connected").starts_with("export \"main\" is connected to 127.0.0.1:"));
    assert!(told("export-interrupted").starts_with("export \"main\" was interrupted: "));
    assert!(before.iter().all(|entry| entry.level >= Level::Info && entry.seq > 0));

    let previous = LogQuery { start: Some(1), limit: Some(1), ..LogQuery::default() };
    let page = client.log(&previous).await.unwrap();
    assert_eq!((page.start, page.entries[0].event.as_str()), (2, "stopped"));
    let after = LogQuery { after: Some(1), limit: Some(2), ..LogQuery::default() };
    let numbers: Vec<_> = client.log(&after).await.unwrap().entries.iter().map(|entry| entry.seq).collect();
    assert_eq!(numbers, [2, 3]);
    let wrong = client.log(&LogQuery { limit: Some(0), ..LogQuery::default() }).await;
    assert!(matches!(wrong, Err(Error::Invalid { message }) if message == "limit: use 1 to 1000"));

    let written = fs::read_to_string(dir.path().join("gateway/log.ndjson")).unwrap();
    for secret in [ADMIN, PASSWORD, KEY, "not its password"] {
        assert!(!written.contains(secret));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_log_can_be_followed_with_the_token_only() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = start_gateway(dir.path()).await;
    let client = gateway_client(&gateway);
    let mut news = Box::pin(client.follow_log().await.unwrap());
    assert!(Mqtt::connect(gateway.mqtt_address(), "s", "stranger", "guess").await.is_err());
    loop {
        match news.next().await.unwrap().unwrap() {
            Followed::Item(entry) if entry.event == "refused-login" => {
                assert_eq!(entry.subject, "stranger");
                break;
            }
            Followed::Item(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let stranger = GatewayClient::new(client.base_url(), Secret::new("guess")).unwrap();
    assert!(matches!(stranger.follow_log().await.err(), Some(Error::Refused)));
    gateway.stop().await;
    while let Some(entry) = news.next().await {
        assert!(entry.is_ok());
    }
}
