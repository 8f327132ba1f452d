//! Devices that speak CoAP, as libcoap's `coap-client` does with the DTLS of OpenSSL and of GnuTLS.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{
    systems::{is_required, is_there},
    *,
};
use iotorch_lite::{
    Gateway, GatewayConfig, Limits,
    api::{CommandState, Device, DeviceProtocol, NewCommand, Nothing},
    client::GatewayClient,
};
use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};
use std::{
    future::Future,
    process::{ExitCode, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::UdpSocket,
    process::Command,
};

/// The clients of libcoap, one for each library of TLS.
const CLIENTS: [&str; 2] = ["coap-client-openssl", "coap-client-gnutls"];

/// The packet limit of the tests, in bytes.
const LARGEST: usize = 16 * 1024;

fn main() -> ExitCode {
    let absent = !CLIENTS.iter().all(|client| is_there(client)) && !is_required("libcoap");
    let mut trials = Vec::new();
    for client in CLIENTS {
        let mut trial = |name: &str, test: fn(&'static str)| {
            let kind = if absent { "libcoap is absent" } else { client };
            let test = Trial::test(name, move || {
                test(client);
                Ok(())
            });
            trials.push(test.with_kind(kind).with_ignored_flag(absent));
        };
        trial("readings_of_every_format_are_taken", |client| run(readings(client)));
        trial("what_is_rejected_is_told", |client| run(rejected(client)));
        trial("a_wrong_key_and_an_unknown_device_are_refused_and_seen", |client| run(refused(client)));
        trial("a_device_has_no_access_to_another", |client| run(other_device(client)));
        trial("large_bodies_go_in_blocks_and_too_large_ones_do_not", |client| run(blocks(client)));
        trial("commands_are_observed_read_and_acknowledged", |client| run(commands(client)));
        trial("stalled_handshakes_and_garbage_hold_up_nobody", |client| run(stalled(client)));
        trial("a_session_ends_when_its_key_is_removed", |client| run(removed(client)));
        trial("a_device_moves_from_key_to_key", |client| run(rotated(client)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

/// A gateway with the devices `d1` and `d2`, which speak CoAP.
struct World {
    dir: tempfile::TempDir,
    gateway: Gateway,
    client: GatewayClient,
    program: &'static str,
}

/// What `coap-client` has shown: payloads and what its libraries say, and errors with their codes.
#[derive(Debug)]
struct Shown {
    answer: String,
    error: String,
}

impl Shown {
    /// Whether the handshake has failed.
    fn has_no_session(&self) -> bool {
        self.answer.contains("cannot send CoAP pdu")
    }
}

impl World {
    async fn new(program: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = GatewayConfig::builder()
            .data_dir(dir.path().join("gateway"))
            .admin_token(admin())
            .limits(Limits::builder().packet(LARGEST).build())
            .build();
        let gateway = Gateway::start(config).await.unwrap();
        let client = gateway_client(&gateway);
        client.put_profile("sensor", &put(profile()), false).await.unwrap();
        for name in ["d1", "d2"] {
            let device = Device { profile: "sensor".to_owned(), protocol: DeviceProtocol::Coap };
            client.put_device(name, &put(device), false).await.unwrap();
            client.put_credential(name, 1, &put_secret(Nothing {}, PASSWORD), false).await.unwrap();
        }
        Self { dir, gateway, client, program }
    }

    /// `coap-client` as this identity with this key. It gives up after some seconds.
    fn command(&self, identity: &str, key: &str, arguments: &[&str], path: &str) -> Command {
        let mut command = Command::new(self.program);
        command
            .args(["-u", identity, "-k", key, "-B", "15"])
            .args(arguments)
            .arg(format!("coaps://{}/{path}", self.gateway.coap_address()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn ask_as(&self, identity: &str, key: &str, arguments: &[&str], path: &str) -> Shown {
        let output = self.command(identity, key, arguments, path).output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        Shown { answer: text(output.stdout), error: text(output.stderr) }
    }

    async fn ask(&self, arguments: &[&str], path: &str) -> Shown {
        self.ask_as("d1", PASSWORD, arguments, path).await
    }

    /// Posts a reading, which is taken.
    async fn post(&self, arguments: &[&str], path: &str) {
        let shown = self.ask(&[&["-m", "post"], arguments].concat(), path).await;
        assert_eq!((shown.answer.as_str(), shown.error.as_str()), ("", ""), "{arguments:?}");
    }

    fn file(&self, content: &[u8]) -> String {
        let path = self.dir.path().join("payload");
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    async fn readings(&self, device: &str) -> u64 {
        self.client.status().await.unwrap().devices.get(device).map_or(0, |status| status.accepted)
    }

    async fn refusal(&self, user: &str) -> String {
        let status = await_status(&self.client, |status| status.refused.contains_key(user)).await;
        status.refused[user].last_reason.clone()
    }

    async fn order(&self, value: f64) -> u64 {
        let order = NewCommand { resource: "valve".to_owned(), value: json!(value), expires_in: 60.0 };
        self.client.send_command("d1", &order).await.unwrap().id
    }
}

async fn readings(program: &'static str) {
    let world = World::new(program).await;
    let temperature = "devices/d1/temperature";
    world.post(&["-e", "21.5"], temperature).await;
    world.post(&["-e", "22", "-t", "0"], temperature).await;
    world.post(&["-e", "23", "-N"], temperature).await;
    world.post(&["-e", r#"{"temperature":24,"count":1}"#, "-t", "50"], "devices/d1").await;
    world.post(&["-e", r#"[{"n":"temperature","v":25}]"#, "-t", "110"], "devices/d1").await;
    // An array of one map: n is "count", v is 7 (RFC 8428 section 6).
    let pack = world.file(&[0x81, 0xa2, 0x00, 0x65, b'c', b'o', b'u', b'n', b't', 0x02, 0x07]);
    world.post(&["-f", &pack, "-t", "112"], "devices/d1").await;
    let put = world.ask(&["-m", "put", "-e", "26"], temperature).await;
    assert_eq!(put.error, "");
    eventually("eight readings", async || (world.readings("d1").await == 8).then_some(())).await;
    world.gateway.stop().await;
}

async fn rejected(program: &'static str) {
    let world = World::new(program).await;
    let shown = world.ask(&["-m", "post", "-e", "hot"], "devices/d1/temperature").await;
    let (code, body) = shown.error.split_once(' ').unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!((code, &body["accepted"]), ("4.22", &json!(0)));
    assert_eq!(body["rejected"].as_array().unwrap().len(), 1);
    let in_part =
        world.ask(&["-m", "post", "-e", r#"{"temperature":1,"other":2}"#, "-t", "50"], "devices/d1").await;
    let body: Value = serde_json::from_str(&in_part.answer).unwrap();
    assert_eq!((&body["accepted"], in_part.error.as_str()), (&json!(1), ""));
    let other_format = world.ask(&["-m", "post", "-e", "x", "-t", "42"], "devices/d1").await;
    assert!(other_format.error.starts_with("4.15"), "{other_format:?}");
    world.gateway.stop().await;
}

async fn refused(program: &'static str) {
    let world = World::new(program).await;
    let path = "devices/d1/temperature";
    let wrong_key = world.ask_as("d1", "guess", &["-m", "post", "-e", "1"], path).await;
    assert!(wrong_key.has_no_session(), "{wrong_key:?}");
    assert_eq!(world.refusal("d1").await, "the key is wrong");
    let unknown = world.ask_as("d9", PASSWORD, &["-m", "post", "-e", "1"], path).await;
    assert!(unknown.has_no_session(), "{unknown:?}");
    assert_eq!(world.refusal("d9").await, "there is no such device");
    assert_eq!(world.readings("d1").await, 0);
    world.gateway.stop().await;
}

async fn other_device(program: &'static str) {
    let world = World::new(program).await;
    let post = world.ask(&["-m", "post", "-e", "1"], "devices/d2/temperature").await;
    assert!(post.error.starts_with("4.03"), "{post:?}");
    assert_eq!(world.refusal("d1").await, "published to \"devices/d2/temperature\", which is not its own");
    let commands = world.ask(&["-m", "get"], "devices/d2/commands").await;
    assert!(commands.error.starts_with("4.03"), "{commands:?}");
    assert_eq!(world.readings("d2").await, 0);
    world.gateway.stop().await;
}

async fn blocks(program: &'static str) {
    let world = World::new(program).await;
    let pack: Vec<_> = (0..200).map(|count| json!({ "n": "count", "v": count, "t": -count })).collect();
    let large = world.file(json!(pack).to_string().as_bytes());
    world.post(&["-f", &large, "-t", "110"], "devices/d1").await;
    world.post(&["-f", &large, "-t", "110", "-b", "64"], "devices/d1").await;
    assert_eq!(world.readings("d1").await, 400);
    let too_large = world.file(&vec![b'1'; LARGEST + 1]);
    let shown = world.ask(&["-m", "post", "-f", &too_large], "devices/d1/count").await;
    assert!(shown.error.starts_with("4.13"), "{shown:?}");
    world.gateway.stop().await;
}

async fn commands(program: &'static str) {
    let world = World::new(program).await;
    let links = world.ask(&["-m", "get"], ".well-known/core").await;
    assert!(links.answer.contains("</devices/d1/commands>;ct=50;obs"), "{links:?}");
    let path = "devices/d1/commands";
    let mut observer = world.command("d1", PASSWORD, &["-m", "get", "-s", "30", "-w"], path).spawn().unwrap();
    let mut told = BufReader::new(observer.stdout.take().unwrap()).lines();
    let mut next = async || -> Value {
        let line =
            tokio::time::timeout(Duration::from_secs(20), told.next_line()).await.unwrap().unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    };
    assert_eq!(next().await, json!([]));
    let first = world.order(0.5).await;
    let waiting = next().await;
    assert_eq!((&waiting[0]["id"], &waiting[0]["value"]), (&json!(first), &json!(0.5)));

    let read = world.ask(&["-m", "get"], path).await;
    assert_eq!(serde_json::from_str::<Value>(&read.answer).unwrap(), waiting);
    let done = world.ask(&["-m", "delete"], &format!("{path}/{first}")).await;
    assert_eq!(done.error, "");
    assert_eq!(next().await, json!([]));
    let states = world.client.commands("d1").await.unwrap();
    assert_eq!(states[0].state, CommandState::Delivered);
    let unknown = world.ask(&["-m", "delete"], &format!("{path}/99")).await;
    assert!(unknown.error.starts_with("4.04"), "{unknown:?}");

    observer.kill().await.unwrap();
    for step in 0..30 {
        world.order(f64::from(step)).await;
    }
    let long = world.ask(&["-m", "get"], path).await;
    assert!(long.answer.len() > 1024);
    assert_eq!(serde_json::from_str::<Value>(&long.answer).unwrap().as_array().unwrap().len(), 30);
    world.gateway.stop().await;
}

/// Sends hellos that nothing follows, and what is no DTLS, from ports of their own.
async fn disturb(world: &World) -> Vec<UdpSocket> {
    let mut hello = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60];
    hello.extend([1; 60]);
    let mut sockets = Vec::new();
    for _ in 0..50 {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        socket.connect(world.gateway.coap_address()).await.unwrap();
        for datagram in [&hello[..], b"", b"GET / HTTP/1.1\r\n\r\n", &[0x40, 1, 0, 1], &[0xff; 3000]] {
            socket.send(datagram).await.unwrap();
        }
        sockets.push(socket);
    }
    sockets
}

async fn stalled(program: &'static str) {
    let world = World::new(program).await;
    let mut sockets = Vec::new();
    for count in 1..4 {
        sockets.extend(disturb(&world).await);
        world.post(&["-e", "21.5"], "devices/d1/temperature").await;
        assert_eq!(world.readings("d1").await, count);
    }
    world.gateway.stop().await;
}

async fn removed(program: &'static str) {
    let world = World::new(program).await;
    let observe = ["-m", "get", "-s", "60", "-w", "-v", "6"];
    let mut observer = world.command("d1", PASSWORD, &observe, "devices/d1/commands").spawn().unwrap();
    let mut lines = BufReader::new(observer.stdout.take().unwrap()).lines();
    let mut established = false;
    while !established {
        let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await.unwrap().unwrap();
        established = line.unwrap().contains("[]");
    }
    world.client.delete("devices/d1/credentials/1", Some(MARK)).await.unwrap();
    let mut error = String::new();
    let mut said = BufReader::new(observer.stderr.take().unwrap());
    let ended = tokio::time::timeout(Duration::from_secs(20), said.read_to_string(&mut error));
    let told = ended.await.is_ok_and(|read| read.is_ok());
    assert!(told, "the client has ended: {error}");
    let again = world.ask(&["-m", "post", "-e", "1"], "devices/d1/temperature").await;
    assert!(again.has_no_session(), "{again:?}");
    world.gateway.stop().await;
}

async fn rotated(program: &'static str) {
    let world = World::new(program).await;
    let post = async |identity: &str, key: &str| {
        let shown = world.ask_as(identity, key, &["-m", "post", "-e", "1"], "devices/d1/count").await;
        !shown.has_no_session() && shown.error.is_empty()
    };
    world.client.put_credential("d1", 2, &put_secret(Nothing {}, "second key"), false).await.unwrap();
    assert!(post("d1", PASSWORD).await && post("d1:2", "second key").await && post("d1:1", PASSWORD).await);
    assert!(!post("d1", "second key").await, "as long as there is an older key, it is the one");
    world.client.delete("devices/d1/credentials/1", Some(MARK)).await.unwrap();
    assert!(post("d1", "second key").await && post("d1:2", "second key").await);
    assert!(!post("d1:1", PASSWORD).await);
    world.gateway.stop().await;
}
