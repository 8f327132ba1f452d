//! The recorded calls put to a fake in their order, with what happened between them.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use iotorch_edgex_fake::{Config, Fake, Loss, Service};
use iotorch_transcript::{Answer, Line, Replay, Request, read};
use serde_json::{Value, json};

use super::{Connection, ask};

pub(crate) const DEVICES: &str = include_str!("../../../transcripts/edgex-4.0-devices.jsonl");

pub(crate) const OUTAGES: &str = include_str!("../../../transcripts/edgex-4.0-outages.jsonl");

pub(crate) const READINGS: &str = include_str!("../../../transcripts/edgex-4.0-readings.jsonl");

/// What stands where something was left out.
const LEFT_OUT: &str = "…";

/// Where things come in another order each time, and why. They are put into the order of their names on both sides.
const UNORDERED: [(&str, &str); 3] = [
    ("response", "keys are told as a map of Go or the database has them"),
    ("registrations", "the database tells first what was changed last"),
    ("profiles", "profiles that were made in the same millisecond have no order"),
];

/// What is another one each time, besides identities and dates.
const VARYING: [&str; 6] = ["created", "modified", "Created", "Modified", "origin", "timestamp"];

/// Answers without the header that all others have, and why.
const WITHOUT_TYPE: [(&str, &str); 1] = [("device_rest.post_reading", "an accepted reading has no body")];

fn service(name: &str) -> Service {
    match name {
        "metadata" => Service::Metadata,
        "command" => Service::Command,
        "keeper" => Service::Keeper,
        "data" => Service::Data,
        "device_mqtt" => Service::DeviceMqtt,
        "device_rest" => Service::DeviceRest,
        "app_mqtt_export" => Service::AppMqttExport,
        other => panic!("there is no service {other}"),
    }
}

/// The gateway as it was recorded: at the usual ports, with the samples of the device services, without device-coap.
pub(crate) fn recorded() -> Config {
    let mut config = Config { samples: true, late_after: None, ..Config::default() };
    config.services.retain(|service| *service != Service::DeviceCoap);
    let told = |service: &Service| (*service, "127.0.0.1".to_owned(), service.usual_port(config.release));
    config.told = config.services.iter().map(told).collect();
    config.told_bus = Some(("127.0.0.1".to_owned(), 18830));
    config
}

/// What a device answers to commands, by resource, where it is a client of a broker.
pub(crate) type Values = Arc<Mutex<BTreeMap<String, Value>>>;

pub(crate) struct Play {
    pub(crate) fake: Fake,
    /// What the device `mf-dev-1` answers, if it does so over a broker.
    pub(crate) device: Option<Values>,
    connections: HashMap<Service, Connection>,
}

impl Play {
    pub(crate) async fn start(config: Config, device: Option<Values>) -> Self {
        let fake = Fake::start(config).await.unwrap();
        Self { fake, device, connections: HashMap::new() }
    }

    pub(crate) fn address(&self, service: Service) -> SocketAddr {
        self.fake.address(service).unwrap()
    }

    /// Lets the device answer this from now on.
    fn answers(&self, resource: &str, value: Value) {
        match &self.device {
            Some(values) => drop(values.lock().unwrap().insert(resource.to_owned(), value)),
            None => self.fake.device_answers("mf-dev-1", resource, value),
        }
    }

    /// Puts these calls to the fake, and tells which answers differ.
    pub(crate) async fn replay(&mut self, replay: &mut Replay, lines: &[Line]) -> Vec<String> {
        let mut wrong = Vec::new();
        for line in lines {
            let mut line = line.clone();
            self.before(&line.name).await;
            let question = replay.question(&line);
            let mut answer = self.ask(service(&line.service), &question).await;
            expect_header(&mut line);
            if line.response.status.is_none() {
                // Why there was no answer is told in words of the client that recorded it.
                line.response.body = Value::Null;
            }
            adjust(&mut line.response.body, &mut answer.body);
            if let Err(why) = replay.judge(&line, &answer) {
                wrong.push(format!("{}: {why}", line.name));
            }
        }
        wrong
    }

    async fn ask(&mut self, service: Service, question: &Request) -> Answer {
        let address = self.address(service);
        self.connections.entry(service).or_default().ask(address, question).await
    }

    /// What happened before a line that stands in none.
    pub(crate) async fn before(&mut self, line: &str) {
        let fake = &self.fake;
        match line {
            "command.get.resource" => {
                let values =
                    [("temperature", json!(21.5)), ("humidity", json!(48.25)), ("switch", json!(true))];
                let others = [("note", json!("hello")), ("blob", json!({ "a": 1 })), ("setpoint", json!(0))];
                for (resource, value) in values.into_iter().chain(others) {
                    self.answers(resource, value);
                }
            }
            "command.get.out_of_range" => self.answers("humidity", json!(250.0)),
            "command.get.wrong_type_from_device" => self.answers("humidity", json!("abc")),
            "command.get.float64_big" => self.answers("temperature", json!(1e300)),
            "command.get.float64_small" => self.answers("temperature", json!(0.1)),
            "device_mqtt.get.resource_direct" => self.answers("temperature", json!(21.5)),
            "data.event.all" => self.readings_until("reading.device_locked"),
            "down.deviceservice.get" => fake.lose(Loss::Stopped(Service::DeviceMqtt)).await,
            "down.device.create" => fake.mix_late_answers(true),
            "timeout_mixup.0.create" => {
                fake.lose(Loss::Killed(Service::DeviceMqtt)).await;
                fake.mix_late_answers(true);
            }
            "down.device.create.bulk_3" | "timeout_mixup.1.create" => fake.mix_late_answers(false),
            "down.registry.after_11s" => fake.finish_late_work(usize::MAX),
            "up.device.create" => fake.regain(Loss::Stopped(Service::DeviceMqtt)).await,
            "timeout_background.get_1" => {
                // The second of three still fails; then the device service is back, and the third does not.
                fake.finish_late_work(1);
                fake.regain(Loss::Killed(Service::DeviceMqtt)).await;
                fake.finish_late_work(usize::MAX);
            }
            "killed.registry" => fake.lose(Loss::Killed(Service::DeviceMqtt)).await,
            "kvs.get.parameters.keysOnly" => {
                fake.regain(Loss::Killed(Service::DeviceMqtt)).await;
                fake.check_health();
            }
            "export.config.after_poison_removed" => fake.lose(Loss::Killed(Service::AppMqttExport)).await,
            "kvs.poisoned.put_after_delete#2" => fake.regain(Loss::Killed(Service::AppMqttExport)).await,
            "app.ping.after_restart_preconnect" | "export.config.after_restart" => {
                fake.lose(Loss::Stopped(Service::AppMqttExport)).await;
                fake.regain(Loss::Stopped(Service::AppMqttExport)).await;
            }
            "bus_down.device.create" => {
                // The last of many changes that were made to see what ends the service.
                let path = "/api/v3/kvs/key/edgex/v4/app-mqtt-export/Writable/Pipeline/Functions/MQTTExport/Parameters";
                let change = json!({ "value": { "ClientId": "edgex-export-181" } });
                let keeper = self.address(Service::Keeper);
                let answer = ask(keeper, "PUT", &format!("{path}?flatten=true"), change).await;
                assert_eq!(answer.status, Some(200));
                self.fake.lose(Loss::Bus).await;
            }
            "bus_down.later.command.get_direct" | "db_down.ping" => {
                fake.regain(Loss::Bus).await;
                if line == "db_down.ping" {
                    fake.lose(Loss::Database).await;
                }
            }
            // The application service did not hear of this change: nothing was logged, and its configuration stayed.
            "keeper_restarted.parameters" => fake.lose(Loss::Bus).await,
            "db_back.device.get" => fake.regain(Loss::Database).await,
            "keeper_down.device.create" => fake.lose(Loss::Stopped(Service::Keeper)).await,
            "metadata_down.command.get" => {
                fake.regain(Loss::Stopped(Service::Keeper)).await;
                fake.lose(Loss::Stopped(Service::Metadata)).await;
            }
            "keeper_restart_test.1_before" => fake.regain(Loss::Stopped(Service::Metadata)).await,
            // Recorded on a fresh gateway.
            "kvs2.get.keyOnly" => *self = Self::start(recorded(), None).await,
            _ => {}
        }
    }

    /// The readings that were published before core-data was asked.
    fn readings_until(&self, last: &str) {
        for line in READINGS.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let name = line["name"].as_str().unwrap();
            let (topic, payload) = (&line["publish"]["topic"], &line["publish"]["payload"]);
            let made = self.fake.reading(topic.as_str().unwrap(), payload.as_str().unwrap());
            let events = line["events"].as_array().unwrap();
            assert_eq!(made.is_ok(), !events.is_empty(), "{name}: {made:?}");
            if let (Err(why), Some(logged)) = (made, line["log"].as_str()) {
                assert_eq!(why, logged, "{name}");
            }
            if name == last {
                return;
            }
        }
        panic!("there is no reading {last}");
    }
}

/// The recorded calls of these transcripts.
pub(crate) fn lines(texts: &[&str]) -> Vec<Line> {
    texts.iter().flat_map(|text| read(text).unwrap()).collect()
}

/// What compares: identities and dates are told by their form, and these fields vary as well.
pub(crate) fn comparing() -> Replay {
    Replay::new(|_: &Line, name: &str| VARYING.contains(&name))
}

fn expect_header(line: &mut Line) {
    let without = WITHOUT_TYPE.iter().any(|(name, _)| *name == line.name);
    if line.response.headers.is_empty() && line.response.status.is_some() && !without {
        line.response.headers.insert("content-type".to_owned(), "application/json".to_owned());
    }
}

/// Leaves out of an answer what was left out of the recorded one, and puts both into the same order.
fn adjust(recorded: &mut Value, here: &mut Value) {
    match (recorded, here) {
        (Value::Object(recorded), Value::Object(here)) => {
            if recorded.remove(LEFT_OUT).is_some() {
                here.retain(|name, _| recorded.contains_key(name));
            }
            for (name, recorded) in recorded {
                let Some(here) = here.get_mut(name) else { continue };
                if UNORDERED.iter().any(|(unordered, _)| unordered == name) {
                    order(recorded);
                    order(here);
                }
                adjust(recorded, here);
            }
        }
        (recorded @ Value::String(_), here @ Value::String(_)) => {
            if let (Some(one), Some(other)) = (documents(recorded), documents(here)) {
                (*recorded, *here) = (one, other);
            }
        }
        (Value::Array(recorded), Value::Array(here)) => {
            let before = recorded.len();
            recorded.retain(|item| item != LEFT_OUT);
            if recorded.len() < before {
                here.retain(|item| recorded.iter().any(|one| name(one) == name(item)));
            }
            recorded.iter_mut().zip(here).for_each(|(recorded, here)| adjust(recorded, here));
        }
        _ => {}
    }
}

/// Two documents in one body, as they come where a late answer is put before the next one.
fn documents(text: &Value) -> Option<Value> {
    let lines = text.as_str()?.lines().map(|line| serde_json::from_str::<Value>(line).ok());
    lines.collect()
}

fn order(value: &mut Value) {
    if let Some(items) = value.as_array_mut() {
        items.sort_by_key(name);
    }
}

/// What an item is called.
fn name(item: &Value) -> String {
    let named = ["key", "serviceId", "deviceName", "name"].iter().find_map(|field| item[*field].as_str());
    named.or_else(|| item.as_str()).unwrap_or_default().to_owned()
}
