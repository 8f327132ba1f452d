//! A gateway that reads the bus of EdgeX at a real broker: what it has taken is not lost, whoever goes away meanwhile.
//!
//! The test starts its own program again as the gateway that is killed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the child tells its addresses")]

mod common;

use common::{
    systems::{System, is_required, is_there},
    *,
};
use iotorch_lite::{
    Bus, Gateway, GatewayConfig,
    api::{BusStatus, Export, ExportKind, GatewayStatus, LogQuery},
    client::{GatewayClient, ServerClient},
    senml::{self, Value},
};
use libtest_mimic::{Arguments, Failed, Trial};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::json;
use std::{
    collections::BTreeSet,
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    runtime::Runtime,
    sync::watch,
    task::JoinHandle,
};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Messages recorded on the bus of EdgeX 4.0.
const RECORDED: &str = include_str!("bus/edgex-4.0-events.jsonl");

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().collect();
    if let [_, role, dir, broker] = arguments.as_slice()
        && role == "gateway"
    {
        return runtime().block_on(run_gateway(Path::new(dir), broker.parse().unwrap()));
    }
    let absent = !is_there("mosquitto") && !is_required("mosquitto");
    let trial = |name: &str, test: fn() -> Result<()>| {
        let test = Trial::test(name, move || test().map_err(|error| Failed::from(error.to_string())));
        test.with_kind(if absent { "mosquitto is absent" } else { "" }).with_ignored_flag(absent)
    };
    let tests = vec![
        trial("events_of_edgex_are_read_at_a_server_as_they_were_measured", || {
            runtime().block_on(readings())
        }),
        trial("what_was_said_on_the_bus_arrives_though_server_bridge_and_export_change", || {
            runtime().block_on(survives())
        }),
        trial("a_bus_that_is_away_is_told_and_found_again", || runtime().block_on(away())),
        trial("topics_that_are_not_wanted_any_more_are_given_up", || runtime().block_on(topics())),
        trial("a_broker_that_takes_little_at_once_gets_all_of_it_in_smaller_packs", || {
            runtime().block_on(small_packs())
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn config(dir: &Path, bus: Bus) -> GatewayConfig {
    GatewayConfig::builder().data_dir(dir.join("gateway")).admin_token(admin()).bus(bus).build()
}

fn bus_at(broker: SocketAddr) -> Bus {
    Bus::builder().host("127.0.0.1").port(broker.port()).build()
}

async fn run_gateway(dir: &Path, broker: SocketAddr) -> ExitCode {
    let gateway = Gateway::start(config(dir, bus_at(broker))).await.unwrap();
    println!("{}", gateway.management_address());
    std::future::pending().await
}

/// A gateway in a process that can be killed.
struct Bridge {
    dir: PathBuf,
    broker: SocketAddr,
    child: Child,
    management: String,
}

impl Bridge {
    async fn start(dir: &Path, broker: SocketAddr) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .arg("gateway")
            .arg(dir)
            .arg(broker.to_string())
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        let line = BufReader::new(out).lines().next_line().await?.ok_or("the process did not start")?;
        Ok(Self { dir: dir.to_owned(), broker, child, management: format!("http://{line}") })
    }

    async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    async fn start_again(&mut self) -> Result<()> {
        let again = Self::start(&self.dir, self.broker).await?;
        assert_eq!(again.management, self.management, "the port stays");
        *self = again;
        Ok(())
    }
}

async fn is_connected(client: &GatewayClient) -> BusStatus {
    let status = await_status(client, |status| status.bus.as_ref().is_some_and(|bus| bus.connected));
    status.await.bus.unwrap()
}

fn event(id: u32, device: &str, value: u32) -> Vec<u8> {
    let reading = json!({ "origin": 1_795_409_404_000_000_000_i64 + i64::from(value), "deviceName": device,
        "resourceName": "count", "valueType": "Uint32", "value": value.to_string() });
    let event = json!({ "apiVersion": "v3", "id": format!("event-{id}"), "deviceName": device, "readings": [reading] });
    json!({ "apiVersion": "v3", "payload": { "apiVersion": "v3", "event": event } }).to_string().into_bytes()
}

async fn readings() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (broker, server) = (System::mosquitto(dir.path()).await, start_server(dir.path()).await);
    let gateway = Gateway::start(config(dir.path(), bus_at(broker.address))).await?;
    let (at_gateway, at_server) = (gateway_client(&gateway), server_client(&server));
    let doors = [gateway.mqtt_address(), gateway.http_address(), gateway.coap_address()];
    assert!(doors.iter().all(|door| door.port() == 0), "no device comes in: {doors:?}");
    let attachment = attach(&at_server).await;
    export(&at_gateway, &server, &attachment).await;
    let plain = Export {
        kind: ExportKind::Mqtt,
        port: broker.address.port(),
        user_name: None,
        topic: "north".to_owned(),
        ..export_to(&server, &attachment)
    };
    at_gateway.put_export("plain", &put(plain), false).await?;
    let north = Listener::at(broker.address, "north").await?;
    is_connected(&at_gateway).await;
    await_status(&at_gateway, |status| status.exports.values().all(|export| export.connected)).await;

    let edgex = Mqtt::connect(broker.address, "edgex", "edgex", "any").await.unwrap();
    let mut sent = 0;
    for line in RECORDED.lines() {
        let recorded: serde_json::Value = serde_json::from_str(line)?;
        let (topic, payload) = (recorded["topic"].as_str().unwrap(), recorded["payload"].as_str().unwrap());
        if recorded["broker"] == "bus" {
            edgex.publish(topic, payload).await.unwrap();
            sent += u64::from(topic.starts_with("edgex/events/device/"));
        }
    }
    // What has no value, what is said again, and what is no event.
    edgex.publish("edgex/events/device/x/y/z", event(7, "d1", 7)).await.unwrap();
    edgex.publish("edgex/events/device/x/y/z", event(7, "d1", 7)).await.unwrap();
    edgex.publish("edgex/events/device/x/y/z", "warm").await.unwrap();
    let status = await_status(&at_gateway, |status| {
        let done = status.exports.values().all(|export| export.pending == 0 && export.acknowledged > 0);
        done && status.bus.as_ref().is_some_and(|bus| bus.messages == sent + 3)
    });
    let status = status.await;
    let bus = status.bus.clone().unwrap();
    // Each line of the file was chosen for a reading of its own, some of them of one event.
    assert_eq!((bus.refused, bus.as_text), (1, 3), "{bus:?}");
    assert!(bus.repeated >= 1 && bus.last_refusal.unwrap().starts_with("it is no event"));
    let main = &status.exports["main"];
    assert_eq!((main.acknowledged + main.unsendable, main.unsendable), (bus.taken, 4), "{main:?}");
    assert!(main.last_unsendable.as_deref().unwrap().contains("a name starts with a letter or digit"));

    let records = messages(&at_server, &attachment).await;
    assert_eq!(records.len() as u64, main.acknowledged);
    let humidity = records.iter().rfind(|record| record.name == "mf-dev-1:humidity").unwrap();
    assert_eq!((humidity.value.clone(), humidity.unit.as_deref()), (Some(Value::Number(48.25)), Some("%RH")));
    let pack = plain_http()
        .get(format!(
            "http://{}/tenants/acme/channels/{}/messages",
            server.management_address(),
            attachment.channel
        ))
        .query(&[("limit", "1000")])
        .bearer_auth(ADMIN)
        .header("accept", "application/senml+json")
        .send()
        .await?
        .text()
        .await?;
    // Nine digits, of which a double has seven.
    let exact = r#""n":"mf-dev-1:humidity","u":"%RH","v":48.25,"t":1795409422.406747136"#;
    assert!(pack.contains(exact), "{pack}");
    let mut exported = north.heard(records.len()).await;
    exported.sort_by(|a, b| (&a.name, a.nanoseconds).partial_cmp(&(&b.name, b.nanoseconds)).unwrap());
    let exact = exported.iter().find(|record| record.name == "mf-dev-1:humidity").unwrap();
    assert_eq!(exact.nanoseconds, Some(1_795_409_422_406_747_136));

    let log = at_gateway.log(&LogQuery::default()).await?.entries;
    let told: Vec<_> = log.iter().filter(|entry| entry.event == "unsendable").collect();
    assert!(told.iter().any(|entry| entry.subject == "mf odd:temperature"), "{told:?}");
    assert!(log.iter().any(|entry| entry.event == "bus-refused" && entry.message.contains("no event")));
    let metrics = scrape(gateway.management_address()).await;
    assert_eq!(metrics["bus_readings_total"], bus.taken as f64);
    assert_eq!(metrics["export_unsendable_readings_total{export=\"main\"}"], 4.0);
    gateway.stop().await;
    server.stop().await;
    Ok(())
}

/// Whoever takes SenML packs at a broker.
struct Listener {
    records: Arc<Mutex<Vec<senml::Record>>>,
    task: JoinHandle<()>,
}

impl Listener {
    async fn at(broker: SocketAddr, topic: &str) -> Result<Self> {
        let options = MqttOptions::new("listener", (broker.ip().to_string(), broker.port()));
        let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
        client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
        while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}
        let records = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&records);
        let task = tokio::spawn(async move {
            let _client = client;
            while let Ok(event) = events.poll().await {
                if let Event::Incoming(Packet::Publish(message)) = event {
                    heard.lock().unwrap().extend(senml::parse(&message.payload, 1.8e9).unwrap());
                }
            }
        });
        Ok(Self { records, task })
    }

    async fn heard(self, count: usize) -> Vec<senml::Record> {
        let enough = || async { (self.records.lock().unwrap().len() >= count).then_some(()) };
        eventually("records at the broker", enough).await;
        self.task.abort();
        std::mem::take(&mut self.records.lock().unwrap())
    }
}

/// Somebody who says one number after the other on the bus.
struct Counting {
    acknowledged: watch::Receiver<u32>,
    allowed: watch::Sender<u32>,
    task: JoinHandle<()>,
}

impl Counting {
    fn start(broker: SocketAddr) -> Self {
        let (allowed, mut may) = watch::channel(0);
        let (counted, acknowledged) = watch::channel(0);
        let task = tokio::spawn(async move {
            let edgex = Mqtt::connect(broker, "edgex", "edgex", "any").await.unwrap();
            for number in 1.. {
                may.wait_for(|allowed| number <= *allowed).await.unwrap();
                edgex.publish("edgex/events/device/s/p/d1/count", event(number, "d1", number)).await.unwrap();
                counted.send_replace(number);
            }
        });
        Self { acknowledged, allowed, task }
    }

    /// Waits for this many further acknowledgements of the broker, while twice as many are said.
    async fn more(&mut self, more: u32) {
        let enough = *self.acknowledged.borrow() + more;
        self.allowed.send_replace(enough + more);
        self.acknowledged.wait_for(|acknowledged| *acknowledged >= enough).await.unwrap();
    }

    /// The last number.
    fn stop(self) -> u32 {
        self.task.abort();
        *self.acknowledged.borrow()
    }
}

async fn survives() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let broker = System::mosquitto(dir.path()).await;
    let mut server = start_server(dir.path()).await;
    let mut bridge = Bridge::start(dir.path(), broker.address).await?;
    let at_gateway = GatewayClient::new(&bridge.management, admin())?;
    let attachment = attach(&server_client(&server)).await;
    let plain = Export { kind: ExportKind::Mqtt3, ..export_to(&server, &attachment) };
    let export = |client_id: String| Export { client_id: Some(client_id), ..plain.clone() };
    at_gateway.put_export("main", &put_secret(plain.clone(), KEY), false).await?;
    is_connected(&at_gateway).await;

    let mut edgex = Counting::start(broker.address);
    for round in 0..4 {
        edgex.more(100).await;
        server.stop().await;
        edgex.more(100).await;
        // In the middle of taking; what is said meanwhile waits at the broker.
        bridge.kill().await?;
        edgex.more(100).await;
        bridge.start_again().await?;
        edgex.more(100).await;
        let changed = export(format!("{}:{round}", attachment.thing));
        at_gateway.put_export("main", &put_secret(changed, KEY), false).await?;
        edgex.more(100).await;
        server = start_server(dir.path()).await;
        edgex.more(100).await;
        // In the middle of forwarding.
        bridge.kill().await?;
        bridge.start_again().await?;
        at_gateway.put_export("main", &put_secret(plain.clone(), KEY), false).await?;
    }
    is_connected(&at_gateway).await;
    edgex.more(100).await;
    let last = edgex.stop();
    let at_server = server_client(&server);
    eventually("all that was said", || async {
        let status = at_gateway.status().await.ok()?;
        let taken = status.bus?.taken >= u64::from(last);
        (taken && status.exports["main"].pending == 0).then_some(())
    })
    .await;

    let stored = stored(&at_server, &attachment.channel).await?;
    let lost: Vec<_> = (1..=last).filter(|number| !stored.contains(number)).collect();
    assert!(lost.is_empty(), "said and lost: {lost:?} of {last}");
    bridge.kill().await?;
    server.stop().await;
    Ok(())
}

/// All numbers at the server, once each.
async fn stored(at_server: &ServerClient, channel: &str) -> Result<BTreeSet<u32>> {
    let mut numbers = BTreeSet::new();
    let mut query = iotorch_lite::api::MessageQuery { limit: Some(1000), ..Default::default() };
    loop {
        let page = at_server.messages("acme", channel, &query).await?;
        for record in page.messages {
            let Some(Value::Number(number)) = record.value else {
                return Err("a message is no number".into());
            };
            numbers.insert(number as u32);
        }
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(numbers),
        }
    }
}

async fn away() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let gateway = Gateway::start(config(dir.path(), bus_at(nobody))).await?;
    let client = gateway_client(&gateway);
    let is_away = |bus: &BusStatus| !bus.connected && bus.last_error.is_some();
    let status = await_status(&client, |status| status.bus.as_ref().is_some_and(is_away)).await;
    let why = status.bus.unwrap().last_error.unwrap();
    assert!(why.starts_with(&format!("no connection to 127.0.0.1:{}: ", nobody.port())), "{why}");
    gateway.stop().await;

    let broker = System::mosquitto(dir.path()).await;
    let gateway = Gateway::start(config(dir.path(), bus_at(broker.address))).await?;
    let bus = is_connected(&gateway_client(&gateway)).await;
    assert_eq!((bus.taken, bus.last_error), (0, None));
    gateway.stop().await;
    Ok(())
}

async fn topics() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let broker = System::mosquitto(dir.path()).await;
    let edgex = Mqtt::connect(broker.address, "edgex", "edgex", "any").await.unwrap();
    for (round, topics) in [["a/#", "b/#"], ["b/#", "c/#"]].into_iter().enumerate() {
        let bus = Bus::builder()
            .host("127.0.0.1")
            .port(broker.address.port())
            .topics(topics.map(str::to_owned))
            .build();
        let gateway = Gateway::start(config(dir.path(), bus)).await?;
        let client = gateway_client(&gateway);
        // It is connected once it is subscribed to these topics, and to no others.
        is_connected(&client).await;
        for (number, topic) in (round as u32 * 10..).zip(["a/x", "b/x", "c/x"]) {
            edgex.publish(topic, event(number, "d1", number)).await.unwrap();
        }
        let marker = format!("{}/last", topics[1].trim_end_matches("/#"));
        edgex.publish(&marker, event(100 + round as u32, "d1", 1)).await.unwrap();
        let expected = 3 * (round as u64 + 1);
        let status =
            await_status(&client, |status| status.bus.as_ref().is_some_and(|bus| bus.taken >= expected));
        assert_eq!(status.await.bus.unwrap().taken, expected);
        gateway.stop().await;
    }
    Ok(())
}

async fn small_packs() -> Result<()> {
    const READINGS: u64 = 150;
    let dir = tempfile::tempdir()?;
    let broker = System::mosquitto_with(dir.path(), "max_packet_size 8192\n").await;
    let gateway = start_gateway(dir.path()).await;
    let client = gateway_client(&gateway);
    add_devices(&client, &["d1"]).await;
    let kinds = [("new", ExportKind::Mqtt), ("old", ExportKind::Mqtt3)];
    for (name, kind) in kinds {
        let export = Export {
            kind,
            host: "127.0.0.1".to_owned(),
            port: broker.address.port(),
            tls: false,
            user_name: None,
            topic: "readings".to_owned(),
            client_id: None,
        };
        client.put_export(name, &put(export), false).await?;
    }
    // All of them wait at once.
    let text = "much to say ".repeat(10);
    let mut pack: Vec<_> = (0..READINGS).map(|t| json!({ "n": "label", "vs": text, "t": t })).collect();
    pack[0]["bt"] = json!(1_795_409_404);
    let device = Mqtt::device(&gateway, "d1").await;
    device.publish("devices/d1", json!(pack).to_string()).await.unwrap();
    let is_done = |status: &GatewayStatus| {
        kinds.iter().all(|(name, _)| {
            let export = &status.exports[*name];
            (export.acknowledged, export.unsendable) == (READINGS, 0) && export.last_error.is_none()
        })
    };
    await_status(&client, is_done).await;
    // A broker of MQTT 5 says at the login how much it takes at once.
    client.delete("exports/old", None).await?;
    let long = "much to say ".repeat(1000);
    let pack = json!([{ "n": "label", "vs": long }, { "n": "label", "vs": text }]);
    device.publish("devices/d1", pack.to_string()).await.unwrap();
    let is_done = |status: &GatewayStatus| {
        let export = &status.exports["new"];
        (export.acknowledged, export.unsendable) == (READINGS + 1, 1) && export.last_error.is_none()
    };
    await_status(&client, is_done).await;
    gateway.stop().await;
    Ok(())
}
