//! A gateway and a server whose processes are killed without warning: what was acknowledged is not lost, and not doubled.
//!
//! The test starts its own program again, with a role as argument, as the process to be killed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and its child tells its addresses"
)]

mod common;

use common::*;
use iotorch_lite::{
    api::{Attachment, Export, ExportKind, MessageQuery},
    client::{GatewayClient, ServerClient},
    senml::Value,
};
use libtest_mimic::{Arguments, Failed, Trial};
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
    task::JoinHandle,
};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().collect();
    match arguments.as_slice() {
        [_, role, dir] if role == "gateway" => runtime().block_on(run_gateway(Path::new(dir))),
        [_, role, dir] if role == "server" => runtime().block_on(run_server(Path::new(dir))),
        _ => {
            let test =
                Trial::test("what_was_acknowledged_arrives_once_though_both_are_killed_in_turn", || {
                    runtime().block_on(survives()).map_err(|error| Failed::from(error.to_string()))
                });
            libtest_mimic::run(&Arguments::from_args(), vec![test]).exit_code()
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn run_gateway(dir: &Path) -> ExitCode {
    let gateway = start_gateway(dir).await;
    println!("{} {}", gateway.mqtt_address(), gateway.management_address());
    std::future::pending().await
}

async fn run_server(dir: &Path) -> ExitCode {
    let server = start_server(dir).await;
    println!("{} {}", server.mqtt_address(), server.management_address());
    std::future::pending().await
}

/// A process with a gateway or a server.
struct Process {
    role: &'static str,
    dir: PathBuf,
    child: Child,
    mqtt: SocketAddr,
    management: String,
}

impl Process {
    async fn start(role: &'static str, dir: &Path) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .arg(role)
            .arg(dir)
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        let line = BufReader::new(out).lines().next_line().await?.ok_or("the process did not start")?;
        let (mqtt, management) = line.split_once(' ').ok_or("no addresses")?;
        let (mqtt, management) = (mqtt.parse()?, format!("http://{management}"));
        Ok(Self { role, dir: dir.to_owned(), child, mqtt, management })
    }

    async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    async fn start_again(&mut self) -> Result<()> {
        let again = Self::start(self.role, &self.dir).await?;
        assert_eq!(again.mqtt, self.mqtt, "the ports stay");
        *self = again;
        Ok(())
    }
}

/// The numbers that a device has sent, and those of them that were acknowledged.
#[derive(Debug, Default)]
struct Counted {
    sent: u32,
    acknowledged: BTreeSet<u32>,
}

/// A device that counts, and never sends a number twice.
struct Counting {
    counted: Arc<Mutex<Counted>>,
    task: JoinHandle<()>,
}

impl Counting {
    fn start(gateway: SocketAddr) -> Self {
        let counted = Arc::new(Mutex::new(Counted::default()));
        let task = tokio::spawn(count(gateway, Arc::clone(&counted)));
        Self { counted, task }
    }

    /// Waits for this many further acknowledgements.
    async fn await_acknowledged(&self, more: usize) {
        let enough = self.counted.lock().unwrap().acknowledged.len() + more;
        let reached = || async { (self.counted.lock().unwrap().acknowledged.len() >= enough).then_some(()) };
        eventually("acknowledgements", reached).await;
    }

    fn stop(self) -> Counted {
        self.task.abort();
        std::mem::take(&mut self.counted.lock().unwrap())
    }
}

async fn count(gateway: SocketAddr, counted: Arc<Mutex<Counted>>) {
    loop {
        let Ok(device) = Mqtt::connect(gateway, "d1", "d1", PASSWORD).await else {
            tokio::task::yield_now().await;
            continue;
        };
        loop {
            let number = {
                let mut counted = counted.lock().unwrap();
                counted.sent += 1;
                counted.sent
            };
            if device.publish("devices/d1/count", number.to_string()).await.is_err() {
                break;
            }
            counted.lock().unwrap().acknowledged.insert(number);
        }
    }
}

async fn survives() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Process::start("server", dir.path()).await?;
    let mut gateway = Process::start("gateway", dir.path()).await?;
    let at_server = ServerClient::new(&server.management, admin())?;
    let attachment = attach(&at_server).await;
    let at_gateway = GatewayClient::new(&gateway.management, admin())?;
    add_devices(&at_gateway, &["d1"]).await;
    let export = Export { port: server.mqtt.port(), ..export_of(&attachment) };
    at_gateway.put_export("main", &put_secret(export, KEY), false).await?;

    let device = Counting::start(gateway.mqtt);
    for _ in 0..4 {
        // In the middle of forwarding, and while the server is away.
        device.await_acknowledged(30).await;
        server.kill().await?;
        device.await_acknowledged(30).await;
        gateway.kill().await?;
        gateway.start_again().await?;
        device.await_acknowledged(30).await;
        server.start_again().await?;
        device.await_acknowledged(30).await;
        gateway.kill().await?;
        gateway.start_again().await?;
    }
    device.await_acknowledged(1).await;
    let counted = device.stop();
    await_status(&at_gateway, |status| status.exports["main"].pending == 0).await;

    let stored = stored(&at_server, &attachment).await?;
    let distinct: BTreeSet<_> = stored.iter().copied().collect();
    assert_eq!(stored.len(), distinct.len(), "nothing is there twice");
    let lost: Vec<_> = counted.acknowledged.difference(&distinct).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(distinct.iter().all(|number| (1..=counted.sent).contains(number)), "only what was sent is there");
    Ok(())
}

fn export_of(attachment: &Attachment) -> Export {
    Export {
        kind: ExportKind::Mqtt,
        host: "127.0.0.1".to_owned(),
        port: 0,
        tls: false,
        user_name: Some(attachment.thing.clone()),
        topic: attachment.topic(),
        client_id: None,
    }
}

/// All numbers at the server.
async fn stored(at_server: &ServerClient, attachment: &Attachment) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    let mut query = MessageQuery { limit: Some(1000), ..MessageQuery::default() };
    loop {
        let page = at_server.messages("acme", &attachment.channel, &query).await?;
        for record in page.messages {
            let Some(Value::Number(number)) = record.value else {
                return Err("a message is no number".into());
            };
            numbers.push(number as u32);
        }
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(numbers),
        }
    }
}
