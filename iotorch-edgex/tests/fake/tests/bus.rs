//! What the fake says on a real broker is what EdgeX 4.0.2 said.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use common::{
    ask,
    broker::{Broker, Client, Message},
    play::{DEVICES, Play, Values, comparing, lines, recorded},
};
use iotorch_edgex_fake::{Config, Fake, Service};
use iotorch_transcript::{Answer, Line, Request, Response};
use serde_json::{Value, json};

const EVENTS: &str = include_str!("../../transcripts/edgex-4.0-events.jsonl");

const PARAMETERS: &str =
    "/api/v3/kvs/key/edgex/v4/app-mqtt-export/Writable/Pipeline/Functions/MQTTExport/Parameters?flatten=true";

fn recorded_messages(broker: &str) -> Vec<Value> {
    let all = EVENTS.lines().map(|line| serde_json::from_str(line).unwrap());
    all.filter(|message: &Value| message["broker"] == broker).collect()
}

/// A topic without the number of the request that it belongs to.
fn without_number(topic: &str) -> String {
    let is_number = |part: &str| part.len() == 36 && part.split('-').count() == 5;
    let parts = topic.split('/').map(|part| if is_number(part) { "NUMBER" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// The device, profile or service that a message is about.
fn subject(message: &Value) -> Value {
    let payload = &message["payload"];
    let named = [&payload["details"]["name"], &payload["device"]["name"]];
    named.into_iter().find(|name| !name.is_null()).cloned().unwrap_or_default()
}

fn payload(message: &Message) -> Value {
    if message.1.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(&message.1).unwrap_or_else(|_| String::from_utf8_lossy(&message.1).into())
}

fn line(recorded: &Value) -> Line {
    let request =
        Request { method: "SEEN".into(), path: String::new(), headers: BTreeMap::new(), body: Value::Null };
    let response = Response { status: None, headers: BTreeMap::new(), body: recorded["payload"].clone() };
    Line { name: recorded["step"].to_string(), service: "bus".into(), request, response, note: String::new() }
}

#[tokio::test]
async fn services_say_on_the_bus_what_edgex_said() {
    let broker = Broker::start();
    let mut seen = Client::start(&broker, "#").await;
    let values = Values::default();
    let device = Client::device(&broker, Arc::clone(&values)).await;
    let bus = Some(("127.0.0.1".to_owned(), broker.port));
    let config = Config { bus, patience: Duration::from_millis(500), ..recorded() };
    let mut play = Play::start(config, Some(values)).await;
    let mut replay = comparing();
    let wrong = play.replay(&mut replay, &lines(&[DEVICES])).await;
    assert!(wrong.is_empty(), "{} answers differ:\n{}", wrong.len(), wrong.join("\n"));
    play.before("data.event.all").await;
    // What was said until now has all been seen when this has: the gateway says it last.
    let (end, value) = ("/api/v3/kvs/key/edgex/v4/end", json!({ "value": "" }));
    assert_eq!(ask(play.address(Service::Keeper), "PUT", end, value).await.status, Some(200));
    let mut said = Vec::new();
    loop {
        let message = seen.next().await;
        if message.0 == "edgex/configs/edgex/v4/end" {
            break;
        }
        said.push(message);
    }
    let mut wrong = Vec::new();
    for recorded in recorded_messages("bus") {
        let topic = recorded["topic"].as_str().unwrap();
        // What was answered follows what was asked under the same number; else the same name is meant.
        let here = if topic.starts_with("edgex/response/") {
            let mut asked = line(&recorded);
            asked.request.path = topic.to_owned();
            let topic = replay.question(&asked).path;
            said.iter().position(|message| message.0 == topic)
        } else {
            let topic = without_number(topic);
            let name = subject(&recorded["payload"]);
            said.iter()
                .position(|message| without_number(&message.0) == topic && subject(&payload(message)) == name)
        };
        let Some(at) = here else {
            wrong.push(format!("{}: nothing on {topic}", recorded["step"]));
            continue;
        };
        let here = Answer { body: payload(&said.remove(at)), ..Answer::default() };
        if let Err(why) = replay.judge(&line(&recorded), &here) {
            wrong.push(format!("{} on {topic}: {why}", recorded["step"]));
        }
    }
    device.abort();
    assert!(wrong.is_empty(), "{} messages differ:\n{}", wrong.len(), wrong.join("\n"));
}

async fn with_device(broker: &Broker) -> Fake {
    let bus = Some(("127.0.0.1".to_owned(), broker.port));
    let fake = Fake::start(Config { bus, ..Config::default() }).await.unwrap();
    let metadata = fake.address(Service::Metadata).unwrap();
    for line in
        lines(&[DEVICES]).iter().filter(|line| ["profile.create", "device.create"].contains(&&*line.name))
    {
        let Request { path, body, .. } = line.request.clone();
        assert_eq!(ask(metadata, "POST", &path, body).await.status, Some(207));
    }
    fake
}

/// Sets an export as it was set when it was recorded, to another broker.
async fn export(fake: &Fake, port: u16, topic: &str, client_id: &str) {
    let parameters = json!({
        "BrokerAddress": format!("tcp://127.0.0.1:{port}"),
        "Topic": topic,
        "ClientId": client_id,
        "AuthMode": "none",
        "QOS": "1",
        "PreConnect": "false",
    });
    let keeper = fake.address(Service::Keeper).unwrap();
    assert_eq!(ask(keeper, "PUT", PARAMETERS, json!({ "value": parameters })).await.status, Some(200));
}

#[tokio::test]
async fn events_are_exported_to_the_topics_of_their_devices() {
    let (bus, north) = (Broker::start(), Broker::start());
    let fake = with_device(&bus).await;
    let device = Client::start(&bus, "nothing").await;
    let mut exports = Client::start(&north, "channels/#").await;
    let recorded = recorded_messages("export");
    let topics =
        ["channels/c1/messages/{devicename}", "channels/c8/messages/{devicename}/{profilename}/{sourcename}"];
    for (index, (recorded, topic)) in recorded.iter().zip(topics).enumerate() {
        export(&fake, north.port, topic, &format!("edgex-export-{index}")).await;
        device.publish("incoming/data/mf-dev-1/temperature", "21.5").await;
        let message = exports.next().await;
        assert_eq!(message.0, recorded["topic"].as_str().unwrap());
        let here = Answer { body: payload(&message), ..Answer::default() };
        comparing().judge(&line(recorded), &here).unwrap();
        let event = payload(&message);
        let kept = fake.events().pop().unwrap();
        assert_eq!(event["origin"], kept["origin"], "what is exported is rounded like what core-data keeps");
    }
    assert_eq!(fake.export_clients(), 2, "nobody closes the client of a former configuration");
}

#[tokio::test]
async fn an_export_loses_what_it_cannot_send() {
    let (bus, mut north) = (Broker::start(), Broker::start());
    let fake = with_device(&bus).await;
    let mut exports = Client::start(&north, "channels/#").await;
    export(&fake, north.port, "channels/c1/messages/{devicename}", "edgex-export-1").await;
    fake.reading("incoming/data/mf-dev-1/temperature", "1").unwrap();
    assert!(String::from_utf8(exports.next().await.1).unwrap().contains("1e+00"));
    north.stop();
    let noticed = async {
        while fake.is_exporting() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), noticed).await.unwrap();
    fake.reading("incoming/data/mf-dev-1/temperature", "2").unwrap();
    north.again();
    // It is back when something arrives that was sent later.
    let later = async {
        loop {
            fake.reading("incoming/data/mf-dev-1/temperature", "3").unwrap();
            let next = tokio::time::timeout(Duration::from_millis(100), exports.next());
            if let Ok(message) = next.await {
                return message;
            }
        }
    };
    let message = tokio::time::timeout(Duration::from_secs(30), later).await.unwrap();
    assert!(String::from_utf8(message.1).unwrap().contains("3e+00"));
}

#[tokio::test]
async fn without_its_broker_a_gateway_makes_only_devices_that_it_does_not_ask_about() {
    let mut broker = Broker::start();
    let fake = with_device(&broker).await;
    broker.stop();
    let metadata = fake.address(Service::Metadata).unwrap();
    let device = json!({
        "apiVersion": "v3",
        "device": {
            "name": "d2", "adminState": "UNLOCKED", "operatingState": "UP", "serviceName": "device-mqtt",
            "profileName": "mf-sensor", "protocols": { "mqtt": { "CommandTopic": "command/d2" } },
        },
    });
    let refused = async {
        loop {
            let answer = ask(metadata, "POST", "/api/v3/device", json!([device])).await;
            if answer.body[0]["statusCode"] == 503 {
                return;
            }
            // The end of the connection was not noticed yet.
            ask(metadata, "DELETE", "/api/v3/device/name/d2", Value::Null).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), refused).await.unwrap();
    let answer = ask(metadata, "POST", "/api/v3/device?bypassValidation=true", json!([device])).await;
    assert_eq!(answer.body[0]["statusCode"], 201);
    assert!(fake.reading("incoming/data/d2/temperature", "1").is_err(), "device-mqtt has not heard of it");
}
