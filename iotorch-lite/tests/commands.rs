//! Commands in the management API: taken, waited for, withdrawn, and what becomes of them when things around change.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use iotorch_lite::{
    Gateway,
    api::{Access, Command, CommandState, Device, DeviceProtocol, NewCommand},
    client::{Error, GatewayClient},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const NO_WAIT: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(60);

fn valve(value: impl Into<Value>) -> NewCommand {
    NewCommand { resource: "valve".to_owned(), value: value.into(), expires_in: 3600.0 }
}

async fn gateway_with(devices: &[&str]) -> (tempfile::TempDir, Gateway, GatewayClient) {
    let dir = tempfile::tempdir().unwrap();
    let gateway = start_gateway(dir.path()).await;
    let client = gateway_client(&gateway);
    add_devices(&client, devices).await;
    (dir, gateway, client)
}

fn invalid<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Invalid { message }) => message,
        other => panic!("{other:?}"),
    }
}

fn missing<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::NotFound { message }) => message,
        other => panic!("{other:?}"),
    }
}

fn states(commands: &[Command]) -> Vec<CommandState> {
    commands.iter().map(|command| command.state).collect()
}

/// Starts to wait for the end of a command, and returns once the request is on its way.
async fn awaiting(
    client: &GatewayClient,
    device: &'static str,
    id: u64,
) -> tokio::task::JoinHandle<Result<Command, Error>> {
    let client = client.clone();
    let (sent, sending) = tokio::sync::oneshot::channel();
    let waiting = tokio::spawn(async move {
        sent.send(()).unwrap();
        client.command(device, id, LONG).await
    });
    sending.await.unwrap();
    waiting
}

#[tokio::test]
async fn commands_wait_in_order_through_a_restart() {
    let (dir, gateway, client) = gateway_with(&["d1", "d10"]).await;
    let sent = [
        client.send_command("d1", &valve(1.5)).await.unwrap(),
        client.send_command("d1", &valve(2)).await.unwrap(),
        client.send_command("d10", &valve(3)).await.unwrap(),
    ];
    assert_eq!(sent.each_ref().map(|command| command.id), [1, 2, 1]);
    assert!(sent.iter().all(|command| command.is_waiting() && command.expires == command.created + 3600.0));
    gateway.stop().await;

    let gateway = start_gateway(dir.path()).await;
    let client = gateway_client(&gateway);
    assert_eq!(client.commands("d1").await.unwrap(), sent[..2]);
    assert_eq!(client.command("d10", 1, NO_WAIT).await.unwrap(), sent[2]);
    let devices = client.status().await.unwrap().devices;
    assert_eq!((devices["d1"].commands_waiting, devices["d10"].commands_waiting), (2, 1));
    gateway.stop().await;
}

#[tokio::test]
async fn only_what_the_profile_allows_is_taken() {
    let (_dir, gateway, client) = gateway_with(&["d1"]).await;
    for (resource, value, expires_in, message) in [
        ("valve", json!("open"), 1.0, "\"valve\" is not a number"),
        ("valve", json!([1]), 1.0, "\"valve\" is not a number"),
        ("valve", json!(9_007_199_254_740_993_u64), 1.0, "\"valve\" is 9007199254740993, which a double"),
        ("temperature", json!(20), 1.0, "\"temperature\" can only be read"),
        ("lid", json!(1), 1.0, "the profile has no resource \"lid\""),
        ("valve", json!(1), 0.0, "a command expires in more than 0 and at most 2592000 s"),
        ("valve", json!(1), 2_592_001.0, "a command expires in more than 0 and at most 2592000 s"),
    ] {
        let command = NewCommand { resource: resource.to_owned(), value, expires_in };
        let refusal = invalid(client.send_command("d1", &command).await);
        assert!(refusal.starts_with(message), "{refusal}");
    }
    assert_eq!(missing(client.send_command("d2", &valve(1)).await), "there is no \"devices/d2\"");
    assert_eq!(missing(client.commands("d2").await), "there is no \"devices/d2\"");
    assert_eq!(missing(client.command("d1", 1, NO_WAIT).await), "there is no \"devices/d1/commands/1\"");
    assert_eq!(missing(client.withdraw_command("d1", 1).await), "there is no \"devices/d1/commands/1\"");
    assert!(client.commands("d1").await.unwrap().is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn the_api_says_what_is_wrong_with_a_request() {
    let (_dir, gateway, client) = gateway_with(&["d1"]).await;
    client.send_command("d1", &valve(1)).await.unwrap();
    let http = plain_http();
    let at = |path: &str| format!("{}/{path}", client.base_url());
    let said = |request: reqwest::RequestBuilder| async {
        let answer = request.bearer_auth(ADMIN).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    for (body, status, message) in [
        ("{", 400, "the body is not a command: EOF"),
        (
            r#"{"resource":"valve","value":1,"more":1}"#,
            400,
            "the body is not a command: unknown field `more`",
        ),
        (
            r#"{"resource":"valve","value":1,"expires_in":1e999}"#,
            400,
            "the body is not a command: number out",
        ),
    ] {
        let (code, answer) = said(http.post(at("devices/d1/commands")).body(body)).await;
        assert_eq!(code, status, "{body}");
        assert!(answer["error"]["message"].as_str().unwrap().starts_with(message), "{answer}");
    }
    for (path, status) in [
        ("devices/d1/commands/x", 404),
        ("devices/d1/commands/1?wait=-1", 400),
        ("devices/d1/commands/1?wait=61", 400),
        ("devices/d1/commands/1?wait=NaN", 400),
        ("devices/d1/commands/1?patience=1", 400),
        ("devices/d1%2Fcredentials%2F1/commands", 400),
    ] {
        assert_eq!(said(http.get(at(path))).await.0, status, "{path}");
    }
    let (code, command) =
        said(http.post(at("devices/d1/commands")).body(r#"{"resource":"valve","value":7}"#)).await;
    let waits = command["expires"].as_f64().unwrap() - command["created"].as_f64().unwrap();
    assert_eq!((code, waits, &command["state"]), (201, 3600.0, &json!("waiting")));
    let stranger = http.get(at("devices/d1/commands")).send().await.unwrap();
    assert_eq!(stranger.status().as_u16(), 401);
    gateway.stop().await;
}

#[tokio::test]
async fn whoever_waits_for_a_command_is_told_when_it_is_withdrawn() {
    let (_dir, gateway, client) = gateway_with(&["d1"]).await;
    client.send_command("d1", &valve(1)).await.unwrap();
    let waiting = awaiting(&client, "d1", 1).await;
    let withdrawn = client.withdraw_command("d1", 1).await.unwrap();
    assert_eq!(withdrawn.state, CommandState::Withdrawn);
    assert!(withdrawn.ended.unwrap() >= withdrawn.created);
    assert_eq!(waiting.await.unwrap().unwrap(), withdrawn);
    assert_eq!(client.withdraw_command("d1", 1).await.unwrap(), withdrawn, "it can be repeated");
    assert_eq!(client.send_command("d1", &valve(2)).await.unwrap().id, 2);
    gateway.stop().await;
}

#[tokio::test]
async fn a_command_that_expires_ends_the_wait_and_stays_expired() {
    let (_dir, gateway, client) = gateway_with(&["d1"]).await;
    let short = NewCommand { expires_in: 0.05, ..valve(1) };
    let sent = client.send_command("d1", &short).await.unwrap();
    let expired = client.command("d1", 1, LONG).await.unwrap();
    assert_eq!((expired.state, expired.ended), (CommandState::Expired, Some(sent.expires)));
    assert_eq!(client.withdraw_command("d1", 1).await.unwrap(), expired);
    assert_eq!(client.status().await.unwrap().devices["d1"].commands_waiting, 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_wait_ends_with_the_command_as_it_is_when_its_time_is_over_or_the_gateway_stops() {
    let (_dir, gateway, client) = gateway_with(&["d1"]).await;
    let sent = client.send_command("d1", &valve(1)).await.unwrap();
    assert_eq!(client.command("d1", 1, Duration::from_millis(20)).await.unwrap(), sent);
    let waiting = awaiting(&client, "d1", 1).await;
    let stopped = Instant::now();
    gateway.stop().await;
    assert!(stopped.elapsed() < LONG / 2);
    // The request was answered, or had not arrived yet.
    match waiting.await.unwrap() {
        Ok(command) => assert_eq!(command, sent),
        Err(error) => assert!(matches!(error, Error::Unreachable(_)), "{error:?}"),
    }
}

#[tokio::test]
async fn so_many_wait_and_so_many_are_remembered() {
    let (_dir, gateway, client) = gateway_with(&["d1"]).await;
    for count in 0..100 {
        client.send_command("d1", &valve(count)).await.unwrap();
    }
    let refusal = invalid(client.send_command("d1", &valve(0)).await);
    assert_eq!(refusal, "100 commands wait for device \"d1\" already");
    for id in 1..=100 {
        client.withdraw_command("d1", id).await.unwrap();
    }
    for count in 0..3 {
        let sent = client.send_command("d1", &valve(count)).await.unwrap();
        client.withdraw_command("d1", sent.id).await.unwrap();
    }
    client.send_command("d1", &valve(0)).await.unwrap();
    let remembered = client.commands("d1").await.unwrap();
    assert_eq!((remembered.len(), remembered[0].id, remembered[100].id), (101, 4, 104));
    missing(client.command("d1", 3, NO_WAIT).await);
    gateway.stop().await;
}

#[tokio::test]
async fn commands_go_with_their_device_and_leave_nothing_to_the_next_of_its_name() {
    let (_dir, gateway, client) = gateway_with(&["d1", "d10"]).await;
    for device in ["d1", "d10"] {
        client.send_command(device, &valve(1)).await.unwrap();
    }
    let waiting = awaiting(&client, "d1", 1).await;
    client.delete("devices/d1", None).await.unwrap();
    assert_eq!(missing(waiting.await.unwrap()), "there is no \"devices/d1\"");
    missing(client.commands("d1").await);
    assert_eq!(states(&client.commands("d10").await.unwrap()), [CommandState::Waiting]);
    add_devices(&client, &["d1"]).await;
    assert!(client.commands("d1").await.unwrap().is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn a_change_of_the_profile_withdraws_what_it_does_not_allow_any_more() {
    let (_dir, gateway, client) = gateway_with(&["d1"]).await;
    for value in [1, 50] {
        client.send_command("d1", &valve(value)).await.unwrap();
    }
    let mut narrower = profile();
    narrower.resources.get_mut("valve").unwrap().max = Some(10.0);
    client.put_profile("sensor", &put(narrower), false).await.unwrap();
    let commands = client.commands("d1").await.unwrap();
    assert_eq!(states(&commands), [CommandState::Waiting, CommandState::Withdrawn]);

    // Another protocol changes nothing for them, another profile may.
    let device = |profile: &str, protocol| put(Device { profile: profile.to_owned(), protocol });
    client.put_device("d1", &device("sensor", DeviceProtocol::Http), false).await.unwrap();
    assert!(client.command("d1", 1, NO_WAIT).await.unwrap().is_waiting());
    let mut closed = profile();
    closed.resources.get_mut("valve").unwrap().access = Access::Read;
    client.put_profile("closed", &put(closed), false).await.unwrap();
    client.put_device("d1", &device("closed", DeviceProtocol::Http), false).await.unwrap();
    assert_eq!(client.command("d1", 1, NO_WAIT).await.unwrap().state, CommandState::Withdrawn);
    gateway.stop().await;
}

#[tokio::test]
async fn the_status_shows_the_protocol_and_when_a_device_was_seen() {
    let (_dir, gateway, client) = gateway_with(&["d1"]).await;
    let status = &client.status().await.unwrap().devices["d1"];
    assert_eq!((status.protocol, status.last_seen), (DeviceProtocol::Mqtt, None));
    let before = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let device = Mqtt::device(&gateway, "d1").await;
    device.publish("devices/d1/temperature", "wrong").await.unwrap();
    let seen = client.status().await.unwrap().devices["d1"].last_seen.unwrap();
    assert!((before - 0.001..before + 20.0).contains(&seen), "{seen} after {before}");
    gateway.stop().await;
}
