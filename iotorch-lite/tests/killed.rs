//! A gateway whose process is killed without warning: what it acknowledged is not lost.
//!
//! The test starts its own program again, with the argument `gateway`, as the process to be killed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and its child tells its addresses"
)]

mod common;

use common::*;
use libtest_mimic::{Arguments, Failed, Trial};
use std::{env, path::Path, process::ExitCode};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    runtime::Runtime,
};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().collect();
    if let [_, role, dir] = arguments.as_slice()
        && role == "gateway"
    {
        return runtime().block_on(run_gateway(Path::new(dir)));
    }
    let test = Trial::test("what_a_killed_gateway_acknowledged_arrives_once", || {
        runtime().block_on(survives()).map_err(|error| Failed::from(error.to_string()))
    });
    libtest_mimic::run(&Arguments::from_args(), vec![test]).exit_code()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn run_gateway(dir: &Path) -> ExitCode {
    let gateway = start_gateway(dir).await;
    println!("{} {}", gateway.mqtt_address(), gateway.management_address());
    std::future::pending().await
}

struct Process {
    child: Child,
    mqtt: std::net::SocketAddr,
    management: String,
}

impl Process {
    async fn start(dir: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let mut child = Command::new(env::current_exe()?)
            .arg("gateway")
            .arg(dir)
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        let line = BufReader::new(out).lines().next_line().await?.ok_or("the gateway did not start")?;
        let (mqtt, management) = line.split_once(' ').ok_or("no addresses")?;
        Ok(Self { child, mqtt: mqtt.parse()?, management: format!("http://{management}") })
    }
}

async fn survives() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let server = start_server(dir.path()).await;
    let at_server = server_client(&server);
    let attachment = attach(&at_server).await;
    let mut process = Process::start(dir.path()).await?;
    let at_gateway = iotorch_lite::client::GatewayClient::new(&process.management, admin())?;
    add_devices(&at_gateway, &["d1"]).await;
    export(&at_gateway, &server, &attachment).await;

    // Killed right after an acknowledgement, while it forwards.
    let mut sent = 0;
    for _ in 0..4 {
        let device = Mqtt::connect(process.mqtt, "d1", "d1", PASSWORD).await?;
        for _ in 0..40 {
            device.publish("devices/d1/count", sent.to_string()).await?;
            sent += 1;
        }
        process.child.kill().await?;
        let before = process.mqtt;
        process = Process::start(dir.path()).await?;
        assert_eq!(process.mqtt, before, "the ports stay");
    }
    let at_gateway = iotorch_lite::client::GatewayClient::new(&process.management, admin())?;
    await_status(&at_gateway, |status| status.exports["main"].pending == 0).await;
    let records = messages(&at_server, &attachment).await;
    let counts: Vec<_> = records.iter().rev().filter_map(|record| record.value.clone()).collect();
    let expected: Vec<_> = (0..sent).map(|count| iotorch_lite::senml::Value::Number(count as f64)).collect();
    assert_eq!(counts, expected);
    server.stop().await;
    Ok(())
}
