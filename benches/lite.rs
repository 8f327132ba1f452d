//! What a gateway and a server carry: messages a second, the time one takes, and the memory of devices, beside mosquitto.

use std::{
    fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use iotorch_benches::{
    Bench, Goal, Result, Samples, apart,
    hosted::Allowed,
    mosquitto::{Kept, Mosquitto},
    mqtt::Client,
    note,
    pair::{PATIENCE, Pair},
    run,
};
use iotorch_lite::{
    api::DeviceProtocol,
    device::{Answer, Link, Message, Qos},
};
use rumqttc::QoS;
use tokio::sync::mpsc::Receiver;

const BENCH: Bench = Bench("lite");
/// How many devices send at once, and how many messages each.
const DEVICES: usize = 8;
const MESSAGES: usize = 4_000;
/// As many for a broker that writes all that waits to the disk at each change: its time grows with their square.
const FEWER_MESSAGES: usize = 250;
/// How many messages each sends over a protocol in which it waits for each answer.
const REQUESTS: usize = 500;
/// How often everything is measured, one after the other, so that a machine that is now faster and now slower is so for all.
const ROUNDS: usize = 5;
/// How many single messages the time is taken of, and the pause between two: a device that is not busy.
const SINGLE: usize = 500;
const PAUSE: Duration = Duration::from_millis(2);
fn main() -> ExitCode {
    run(|| {
        if apart::task()? {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            rates().await?;
            requests().await?;
            memory().await
        })
    })
}

/// Clients that are new devices of a gateway.
async fn devices(pair: &Pair, count: usize) -> Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    for name in (0..count).map(device) {
        let login = pair.add_device(&name, DeviceProtocol::Mqtt).await?;
        let password = login.password.expose();
        clients.push(Client::connect(login.address.port, &name, Some((&name, password))).await?);
    }
    Ok(clients)
}

fn device(number: usize) -> String {
    format!("d{number}")
}

/// Clients of a broker that knows no passwords.
async fn strangers(port: u16, count: usize) -> Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    for name in (0..count).map(device) {
        clients.push(Client::connect(port, &name, None).await?);
    }
    Ok(clients)
}

/// Has every client send its messages at once, each for its own device, and gives when they began and ended.
async fn flood(clients: &[Client], qos: QoS, messages: usize) -> Result<(Instant, Instant)> {
    let begun = Instant::now();
    let sending = clients.iter().enumerate().map(|(number, client)| async move {
        let topic = format!("devices/{}/temperature", device(number));
        client.publish(&topic, qos, messages).await
    });
    try_join_all(sending).await?;
    Ok((begun, Instant::now()))
}

/// Messages a second in each of the rounds.
#[derive(Default)]
struct Rates {
    acknowledged: Samples,
    delivered: Samples,
}

impl Rates {
    fn add(&mut self, messages: usize, begun: Instant, acknowledged: Instant, delivered: Instant) {
        self.acknowledged.add(per_second(messages, begun, acknowledged));
        self.delivered.add(per_second(messages, begun, delivered));
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 messages")]
fn per_second(messages: usize, begun: Instant, ended: Instant) -> f64 {
    messages as f64 / (ended - begun).as_secs_f64()
}

async fn rates() -> Result<()> {
    // Beside the programs that cargo builds: the folder for temporary files is often no disk.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(target)?;
    let (mut ours, mut ours_at_most_once) = (Rates::default(), Rates::default());
    let (mut durable, mut in_memory) = (Rates::default(), Rates::default());
    let (mut our_times, mut their_times) = (Times::default(), Times::default());
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
    for (whose, theirs, goal) in
        [("on disk", durable, Some(Goal::AtLeast(0.5))), ("in memory", in_memory, None)]
    {
        let ratio = ours.delivered.median() / theirs.delivered.median();
        BENCH.figure(&format!("QoS 1 end to end, lite to mosquitto {whose}"), ratio, "times", goal)?;
    }
    for (whose, times) in [("lite", our_times), ("mosquitto on disk", their_times)] {
        times.figures(whose)?;
    }
    Ok(())
}

/// Measures a gateway with its server; gives the times of single messages.
async fn lite(folder: &Path, at_least_once: &mut Rates, at_most_once: &mut Rates) -> Result<Times> {
    let pair = Pair::start(folder, Allowed::AnyRate).await?;
    let clients = devices(&pair, DEVICES).await?;
    let count = DEVICES * MESSAGES;
    let mut stored = 0;
    for (qos, rates) in [(QoS::AtLeastOnce, at_least_once), (QoS::AtMostOnce, at_most_once)] {
        let (begun, acknowledged) = flood(&clients, qos, MESSAGES).await?;
        stored += count;
        rates.add(count, begun, acknowledged, pair.await_stored(stored as u64).await?);
    }
    let first = clients.first().ok_or("there is no device")?;
    Times::of_singles(first, &mut pair.arrivals().await?).await
}

/// Measures two brokers, one of which forwards to the other; gives the times of single messages.
async fn mosquitto(folder: &Path, kept: Kept, rates: &mut Rates) -> Result<Times> {
    let cloud = Mosquitto::start(&folder.join("cloud"), kept, None)?;
    let edge = Mosquitto::start(&folder.join("edge"), kept, Some(cloud.port))?;
    let mut reader = Client::connect(cloud.port, "reader", None).await?;
    reader.subscribe("devices/#").await?;
    let clients = strangers(edge.port, DEVICES).await?;
    // The bridge connects by itself, some time.
    let probe = clients.first().ok_or("there is no client")?;
    probe.publish_one("devices/probe", "0".to_owned()).await?;
    tokio::time::timeout(PATIENCE, reader.receive(1)).await??;
    let messages = if kept == Kept::OnDisk { FEWER_MESSAGES } else { MESSAGES };
    let count = DEVICES * messages;
    let receiving = tokio::spawn(async move {
        let last = tokio::time::timeout(PATIENCE, reader.receive(count)).await?;
        last.map(|last| (last, reader))
    });
    let (begun, acknowledged) = flood(&clients, QoS::AtLeastOnce, messages).await?;
    let (last, mut reader) = receiving.await??;
    rates.add(count, begun, acknowledged, last);
    let first = clients.first().ok_or("there is no client")?;
    Times::of_singles(first, reader.arrivals()).await
}

/// The times of single messages at QoS 1 of a device that is not busy.
#[derive(Default)]
struct Times {
    acknowledged: Vec<Duration>,
    delivered: Vec<Duration>,
}

impl Times {
    async fn of_singles(client: &Client, arrivals: &mut Receiver<Instant>) -> Result<Self> {
        let mut times = Self::default();
        for number in 0..SINGLE {
            let begun = Instant::now();
            let value = format!("{}.5", number % 80);
            times.acknowledged.push(client.publish_one("devices/d0/temperature", value).await?);
            let arrived = tokio::time::timeout(PATIENCE, arrivals.recv()).await?;
            times.delivered.push(arrived.ok_or("nothing arrives any more")? - begun);
            tokio::time::sleep(PAUSE).await;
        }
        Ok(times)
    }

    fn extend(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.delivered.extend(other.delivered);
    }

    fn figures(self, whose: &str) -> Result<()> {
        percentiles(&format!("{whose}, QoS 1, one message at a time: acknowledged"), self.acknowledged)?;
        percentiles(&format!("{whose}, QoS 1, one message at a time: end to end"), self.delivered)
    }
}

fn percentiles(what: &str, mut times: Vec<Duration>) -> Result<()> {
    times.sort_unstable();
    for (name, part) in [("p50", 50), ("p90", 90), ("p99", 99)] {
        let time = times.get(times.len() * part / 100).ok_or("there are no times")?;
        BENCH.figure(&format!("{what}, {name}"), 1e3 * time.as_secs_f64(), "ms", None)?;
    }
    Ok(())
}

/// Messages a second over the protocols in which each message is a request with an answer.
async fn requests() -> Result<()> {
    for (protocol, name) in [(DeviceProtocol::Http, "HTTP"), (DeviceProtocol::Coap, "CoAP")] {
        let (mut answered, mut delivered, mut times) = (Samples::default(), Samples::default(), Vec::new());
        for round in 1..=ROUNDS {
            note(&format!("lite: {name}: round {round} of {ROUNDS}"));
            let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
            let pair = Pair::start(folder.path(), Allowed::AnyRate).await?;
            let mut links = Vec::with_capacity(DEVICES);
            for name in (0..DEVICES).map(device) {
                links.push(Link::connect(&pair.add_device(&name, protocol).await?, Qos::default()).await?);
            }
            let begun = Instant::now();
            let sending = links.iter().map(ask);
            for asked in try_join_all(sending).await? {
                times.extend(asked);
            }
            answered.add(per_second(DEVICES * REQUESTS, begun, Instant::now()));
            let stored = pair.await_stored((DEVICES * REQUESTS) as u64).await?;
            delivered.add(per_second(DEVICES * REQUESTS, begun, stored));
        }
        BENCH.figure(&format!("lite, {name}: answered"), answered.median(), "messages/s", None)?;
        BENCH.figure(&format!("lite, {name}: end to end"), delivered.median(), "messages/s", None)?;
        percentiles(&format!("lite, {name}, {DEVICES} devices: answered"), times)?;
    }
    Ok(())
}

/// Sends one message after the other, and gives the time each took until it was answered.
async fn ask(link: &Link) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(REQUESTS);
    for number in 0..REQUESTS {
        let message = Message::new(format!("{{\"temperature\":{}.5}}", number % 80));
        let begun = Instant::now();
        match link.send(&message).await? {
            Answer::Accepted => times.push(begun.elapsed()),
            other => return Err(format!("a gateway answers {other:?}").into()),
        }
    }
    Ok(times)
}

/// The memory of a gateway whose devices are connected and have sent something.
async fn memory() -> Result<()> {
    for (count, goal) in [(0, None), (100, Some(Goal::AtMost(30.0))), (1_000, None)] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let pair = Pair::start(folder.path(), Allowed::AnyRate).await?;
        let clients = devices(&pair, count).await?;
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
