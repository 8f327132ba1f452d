//! What a gateway and a server carry: messages a second, the time one takes, and the memory of devices, beside mosquitto.

use std::{
    env, fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use iotorch_benches::{
    Bench, Goal, Result, Samples,
    hosted::{self, Hosted},
    mosquitto::{Kept, Mosquitto},
    mqtt::Client,
    note, run,
};
use iotorch_lite::{
    Secret,
    api::{Attachment, Device, DeviceProtocol, Export, Nothing, Profile, Put},
    client::ServerClient,
};
use rumqttc::QoS;
use serde_json::json;
use tokio::task::JoinSet;

const BENCH: Bench = Bench("lite");
/// How many devices send at once, and how many messages each.
const DEVICES: usize = 8;
const MESSAGES: usize = 4_000;
/// How often everything is measured, one after the other, so that a machine that is now faster and now slower is so for all.
const ROUNDS: usize = 5;
/// How many single messages the time is taken of, and the pause between two: a device that is not busy.
const SINGLE: usize = 500;
const PAUSE: Duration = Duration::from_millis(2);
/// How long messages may be on their way before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(60);

const PASSWORD: &str = "password of a device";
const KEY: &str = "key of a thing";
const TENANT: &str = "benchmark";

fn main() -> ExitCode {
    run(|| {
        // Cargo passes --bench.
        if let Some(task) = env::args().skip(1).find(|argument| argument != "--bench") {
            return hosted::host(&task);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            rates().await?;
            memory().await
        })
    })
}

/// A gateway that exports to a server, both with processes of their own.
struct Pair {
    gateway: Hosted,
    server: Hosted,
    client: ServerClient,
    attachment: Attachment,
}

impl Pair {
    async fn start(folder: &Path, devices: usize) -> Result<Self> {
        let (gateway, server) =
            (Hosted::gateway(&folder.join("gateway"))?, Hosted::server(&folder.join("server"))?);
        let client = server.server_client()?;
        client.put_tenant(TENANT, &put(Nothing {}), false).await?;
        let attachment = client.put_attachment(TENANT, "gw", &put(Nothing {}), false).await?.settings;
        client.put_credential(TENANT, "gw", 1, &put_secret(Nothing {}, KEY), false).await?;
        add_devices(&gateway, devices).await?;
        let export = Export {
            host: server.at.mqtt.ip().to_string(),
            port: server.at.mqtt.port(),
            user_name: Some(attachment.thing.clone()),
            topic: attachment.topic(),
            client_id: None,
            tls: false,
        };
        gateway.gateway_client()?.put_export("hub", &put_secret(export, KEY), false).await?;
        Ok(Self { gateway, server, client, attachment })
    }

    async fn stored(&self) -> Result<u64> {
        Ok(self.client.stats(TENANT, &self.attachment.channel).await?.count)
    }

    /// Waits until this many messages are stored.
    async fn await_stored(&self, count: u64) -> Result<Instant> {
        let begun = Instant::now();
        while self.stored().await? < count {
            if begun.elapsed() > PATIENCE {
                return Err(format!("only {} of {count} messages were stored", self.stored().await?).into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(Instant::now())
    }
}

fn put<T>(settings: T) -> Put<T> {
    Put { mark: "benchmark".to_owned(), spec: json!({}), settings, secret: None }
}

fn put_secret<T>(settings: T, secret: &str) -> Put<T> {
    Put { secret: Some(Secret::new(secret)), ..put(settings) }
}

fn device(number: usize) -> String {
    format!("d{number}")
}

async fn add_devices(gateway: &Hosted, count: usize) -> Result<()> {
    let client = gateway.gateway_client()?;
    let profile: Profile = serde_json::from_value(json!({
        "resources": { "temperature": { "type": "float", "unit": "Cel", "min": -40, "max": 85 } }
    }))?;
    client.put_profile("climate", &put(profile), false).await?;
    for number in 0..count {
        let settings = Device { profile: "climate".to_owned(), protocol: DeviceProtocol::Mqtt };
        client.put_device(&device(number), &put(settings), false).await?;
        client.put_credential(&device(number), 1, &put_secret(Nothing {}, PASSWORD), false).await?;
    }
    Ok(())
}

/// Clients that are the devices of a gateway.
async fn devices(gateway: &Hosted, count: usize) -> Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    for name in (0..count).map(device) {
        clients.push(Client::connect(gateway.at.mqtt.port(), &name, Some((&name, PASSWORD))).await?);
    }
    Ok(clients)
}

/// Clients of a broker that knows no passwords.
async fn strangers(port: u16, count: usize) -> Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    for name in (0..count).map(device) {
        clients.push(Client::connect(port, &name, None).await?);
    }
    Ok(clients)
}

/// Has every client send its messages at once; gives the clients back, and when they began and ended.
async fn flood(clients: Vec<Client>, qos: QoS) -> Result<(Vec<Client>, Instant, Instant)> {
    let begun = Instant::now();
    let mut sending = JoinSet::new();
    for (number, client) in clients.into_iter().enumerate() {
        let topic = format!("devices/{}/temperature", device(number));
        sending.spawn(async move {
            client.publish(&topic, qos, MESSAGES).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(client)
        });
    }
    let mut clients = Vec::new();
    while let Some(client) = sending.join_next().await {
        clients.push(client??);
    }
    Ok((clients, begun, Instant::now()))
}

/// Messages a second in each of the rounds.
#[derive(Default)]
struct Rates {
    acknowledged: Samples,
    delivered: Samples,
}

impl Rates {
    fn add(&mut self, begun: Instant, acknowledged: Instant, delivered: Instant) {
        self.acknowledged.add(rate(begun, acknowledged));
        self.delivered.add(rate(begun, delivered));
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 messages")]
fn rate(begun: Instant, ended: Instant) -> f64 {
    (DEVICES * MESSAGES) as f64 / (ended - begun).as_secs_f64()
}

async fn rates() -> Result<()> {
    // Beside the programs that cargo builds: the folder for temporary files is often no disk.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(target)?;
    let (mut ours, mut ours_at_most_once) = (Rates::default(), Rates::default());
    let (mut durable, mut in_memory) = (Rates::default(), Rates::default());
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        note(&format!("lite: round {round} of {ROUNDS}"));
        let folder = tempfile::tempdir_in(target)?;
        our_times.extend(lite(folder.path(), &mut ours, &mut ours_at_most_once).await?);
        their_times.extend(mosquitto(&folder.path().join("on-disk"), Kept::OnDisk, &mut durable).await?);
        mosquitto(&folder.path().join("in-memory"), Kept::InMemory, &mut in_memory).await?;
    }
    for (whose, rates) in [
        ("lite, QoS 1", &ours),
        ("lite, QoS 0", &ours_at_most_once),
        ("mosquitto on disk, QoS 1", &durable),
        ("mosquitto in memory, QoS 1", &in_memory),
    ] {
        note(&format!("lite: {whose}: end to end {}", rates.delivered));
        BENCH.figure(&format!("{whose}: acknowledged"), rates.acknowledged.median(), "messages/s", None)?;
        BENCH.figure(&format!("{whose}: end to end"), rates.delivered.median(), "messages/s", None)?;
    }
    let ratio = ours.delivered.median() / durable.delivered.median();
    BENCH.figure("QoS 1 end to end, lite to mosquitto on disk", ratio, "times", Some(Goal::AtLeast(0.5)))?;
    for (whose, times) in [("lite", our_times), ("mosquitto on disk", their_times)] {
        percentiles(whose, times)?;
    }
    Ok(())
}

/// Measures a gateway with its server; gives the times of single messages.
async fn lite(folder: &Path, at_least_once: &mut Rates, at_most_once: &mut Rates) -> Result<Vec<Duration>> {
    let pair = Pair::start(folder, DEVICES).await?;
    let mut clients = devices(&pair.gateway, DEVICES).await?;
    let count = (DEVICES * MESSAGES) as u64;
    let mut stored = 0;
    for (qos, rates) in [(QoS::AtLeastOnce, at_least_once), (QoS::AtMostOnce, at_most_once)] {
        let (back, begun, acknowledged) = flood(clients, qos).await?;
        clients = back;
        stored += count;
        rates.add(begun, acknowledged, pair.await_stored(stored).await?);
    }
    let first = clients.first().ok_or("there is no device")?;
    let times = singles(first, "devices/d0/temperature").await?;
    drop(clients);
    drop((pair.gateway, pair.server));
    Ok(times)
}

/// Measures two brokers, one of which forwards to the other; gives the times of single messages.
async fn mosquitto(folder: &Path, kept: Kept, rates: &mut Rates) -> Result<Vec<Duration>> {
    let cloud = Mosquitto::start(&folder.join("cloud"), kept, None)?;
    let edge = Mosquitto::start(&folder.join("edge"), kept, Some(cloud.port))?;
    let mut reader = Client::connect(cloud.port, "reader", None).await?;
    reader.subscribe("devices/#").await?;
    let mut clients = strangers(edge.port, DEVICES).await?;
    // The bridge connects by itself, some time.
    let probe = clients.first().ok_or("there is no client")?;
    probe.publish_one("devices/probe", "0".to_owned()).await?;
    tokio::time::timeout(PATIENCE, reader.receive(1)).await??;
    let receiving = tokio::spawn(async move {
        let last = tokio::time::timeout(PATIENCE, reader.receive(DEVICES * MESSAGES)).await?;
        last.map(|last| (last, reader))
    });
    let (back, begun, acknowledged) = flood(clients, QoS::AtLeastOnce).await?;
    clients = back;
    let (last, _reader) = receiving.await??;
    rates.add(begun, acknowledged, last);
    let first = clients.first().ok_or("there is no client")?;
    singles(first, "devices/d0/temperature").await
}

/// The times until single messages at QoS 1 were acknowledged.
async fn singles(client: &Client, topic: &str) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(SINGLE);
    for number in 0..SINGLE {
        times.push(client.publish_one(topic, format!("{}.5", number % 80)).await?);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(times)
}

fn percentiles(whose: &str, mut times: Vec<Duration>) -> Result<()> {
    times.sort_unstable();
    for (name, part) in [("p50", 50), ("p90", 90), ("p99", 99)] {
        let time = times.get(times.len() * part / 100).ok_or("there are no times")?;
        let metric = format!("{whose}, QoS 1, one message at a time: acknowledged, {name}");
        BENCH.figure(&metric, 1e3 * time.as_secs_f64(), "ms", None)?;
    }
    Ok(())
}

/// The memory of a gateway whose devices are connected and have sent something.
async fn memory() -> Result<()> {
    for (count, goal) in [(0, None), (100, Some(Goal::AtMost(30.0))), (1_000, None)] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let pair = Pair::start(folder.path(), count).await?;
        let clients = devices(&pair.gateway, count).await?;
        for (number, client) in clients.iter().enumerate() {
            let topic = format!("devices/{}/temperature", device(number));
            client.publish_one(&topic, "21.5".to_owned()).await?;
        }
        pair.await_stored(count as u64).await?;
        let resident = megabytes(pair.gateway.resident()?.now);
        BENCH.figure(&format!("gateway with {count} devices: memory"), resident, "MB", goal)?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
