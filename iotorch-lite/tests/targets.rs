//! Targets of exports that are not servers of this crate: what they are sent, and what is told of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use common::*;
use iotorch_lite::{
    Gateway,
    api::{Export, ExportKind},
    client::GatewayClient,
};
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// How a broker meets those who speak another version than 3.1.1.
#[derive(Clone, Copy, PartialEq)]
enum Refuses {
    /// By the answer of 3.1.1 that the version is not acceptable.
    InWords,
    /// By closing the connection.
    Silently,
    /// Everybody, silently, as Mainflux does with wrong credentials.
    Everybody,
}

/// A broker that speaks only MQTT 3.1.1, and little of it.
struct Broker {
    port: u16,
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Heard {
    /// The version and the client identifier of each login.
    logins: Vec<(u8, String)>,
    payloads: Vec<String>,
}

impl Broker {
    async fn start(refuses: Refuses) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::<Mutex<Heard>>::default();
        let hearing = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // Who breaks off is not served any further.
                let _ = serve(stream, refuses, &hearing).await;
            }
        });
        Self { port, heard, task }
    }

    async fn await_payload(&self) -> String {
        eventually("a pack", || async { self.heard.lock().unwrap().payloads.first().cloned() }).await
    }

    fn logins(&self) -> Vec<(u8, String)> {
        self.heard.lock().unwrap().logins.clone()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The type of a packet, and what follows its length (MQTT 3.1.1 section 2).
async fn packet(stream: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let first = stream.read_u8().await?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    Ok((first, rest))
}

fn text(bytes: &[u8]) -> (&str, &[u8]) {
    let (length, rest) = bytes.split_at(2);
    let (text, rest) = rest.split_at(usize::from(u16::from_be_bytes(length.try_into().unwrap())));
    (std::str::from_utf8(text).unwrap(), rest)
}

async fn serve(mut stream: TcpStream, refuses: Refuses, heard: &Mutex<Heard>) -> std::io::Result<()> {
    let (_, connect) = packet(&mut stream).await?;
    let (name, rest) = text(&connect);
    assert_eq!(name, "MQTT");
    let version = rest[0];
    // Version 5 has properties before the identifier.
    let client_id = if version == 4 { text(&rest[4..]).0.to_owned() } else { String::new() };
    heard.lock().unwrap().logins.push((version, client_id));
    match refuses {
        Refuses::Everybody => return Ok(()),
        _ if version == 4 => stream.write_all(&[0x20, 2, 0, 0]).await?,
        Refuses::InWords => return stream.write_all(&[0x20, 2, 0, 1]).await,
        Refuses::Silently => return Ok(()),
    }
    loop {
        let (first, rest) = packet(&mut stream).await?;
        if first >> 4 == 3 {
            let (_, rest) = text(&rest);
            let payload = String::from_utf8(rest[2..].to_vec()).unwrap();
            stream.write_all(&[0x40, 2, rest[0], rest[1]]).await?;
            heard.lock().unwrap().payloads.push(payload);
        }
    }
}

fn export(kind: ExportKind, port: u16) -> Export {
    Export {
        kind,
        host: "127.0.0.1".to_owned(),
        port,
        tls: false,
        user_name: None,
        topic: "readings".to_owned(),
        client_id: None,
    }
}

/// A gateway with a device, an export, and a reading.
async fn reading(export: Export) -> (tempfile::TempDir, Gateway, GatewayClient) {
    let dir = tempfile::tempdir().unwrap();
    let gateway = start_gateway(dir.path()).await;
    let client = gateway_client(&gateway);
    add_devices(&client, &["d1"]).await;
    client.put_export("main", &put_secret(export, "user:password"), false).await.unwrap();
    let device = Mqtt::device(&gateway, "d1").await;
    device.publish("devices/d1", r#"[{"n":"temperature","v":21.5,"t":1795409404.510374078}]"#).await.unwrap();
    (dir, gateway, client)
}

#[tokio::test]
async fn a_broker_that_speaks_only_3_1_1_is_found_out_and_spoken_to_in_it() {
    for refuses in [Refuses::InWords, Refuses::Silently] {
        let broker = Broker::start(refuses).await;
        let (_dir, gateway, client) = reading(export(ExportKind::Mqtt, broker.port)).await;
        let pack = broker.await_payload().await;
        assert!(
            pack.contains(r#""v":21.5,"t":1795409404.510374078"#) && pack.contains("\"seq\":1"),
            "{pack}"
        );
        let versions: Vec<_> = broker.logins().iter().map(|(version, _)| *version).collect();
        assert_eq!(versions, [5, 4]);
        await_status(&client, |status| status.exports["main"].pending == 0).await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_server_of_another_make_gets_plain_packs_from_a_client_that_stays_the_same() {
    let broker = Broker::start(Refuses::Silently).await;
    let (dir, gateway, client) = reading(export(ExportKind::Mqtt3, broker.port)).await;
    let pack = r#"[{"n":"d1:temperature","u":"Cel","v":21.5,"t":1795409404.510374078}]"#;
    assert_eq!(broker.await_payload().await, pack);
    await_status(&client, |status| status.exports["main"].acknowledged == 1).await;
    gateway.stop().await;
    let gateway = start_gateway(dir.path()).await;
    let logins =
        eventually("a second login", || async { Some(broker.logins()).filter(|all| all.len() == 2) });
    let logins = logins.await;
    assert_eq!(logins[0], logins[1]);
    assert!(logins[0].0 == 4 && logins[0].1.starts_with("iotorch-main-"), "{logins:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_only_closes_the_connection_is_told_to_refuse_or_to_be_away() {
    let broker = Broker::start(Refuses::Everybody).await;
    let named = Export { user_name: Some("thing-1".to_owned()), ..export(ExportKind::Mqtt3, broker.port) };
    let (_dir, gateway, client) = reading(named).await;
    let status = await_status(&client, |status| status.exports["main"].last_error.is_some()).await;
    let expected = format!(
        "127.0.0.1:{} closed the connection without an answer: the server refused the credentials or is away",
        broker.port
    );
    assert_eq!(status.exports["main"].last_error, Some(expected));
    assert_eq!(status.exports["main"].pending, 1);
    assert_eq!(broker.logins()[0], (4, "thing-1".to_owned()));
    gateway.stop().await;
}

/// A database that asks who it is even of one that only asks whether it is there, as InfluxDB 3 does. It gives what was written.
async fn database(token: &'static str) -> (u16, Arc<Mutex<String>>, JoinHandle<()>) {
    let written = Arc::<Mutex<String>>::default();
    let kept = Arc::clone(&written);
    let knows = move |headers: &HeaderMap| headers.get("authorization").is_some_and(|it| it == token);
    let answer = move |knows: bool| if knows { StatusCode::NO_CONTENT } else { StatusCode::UNAUTHORIZED };
    let write = move |headers: HeaderMap, body: String| {
        let is_known = knows(&headers);
        if is_known {
            kept.lock().unwrap().push_str(&body);
        }
        std::future::ready(answer(is_known))
    };
    let routes = Router::new()
        .route("/ping", get(move |headers: HeaderMap| std::future::ready(answer(knows(&headers)))))
        .route("/write", post(write));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (port, written, task)
}

#[tokio::test]
async fn a_database_that_asks_everybody_who_they_are_is_told_from_the_first_request_on() {
    let (port, written, task) = database("Token right").await;
    let influxdb = || Export { topic: "plant".to_owned(), ..export(ExportKind::Influxdb, port) };
    let (_dir, gateway, client) = reading(influxdb()).await;
    let status = await_status(&client, |status| status.exports["main"].last_error.is_some()).await;
    let why = status.exports["main"].last_error.clone().unwrap();
    assert!(why.starts_with("the target refused the login: 401 Unauthorized"), "{why}");
    client.put_export("main", &put_secret(influxdb(), "right"), false).await.unwrap();
    await_status(&client, |status| status.exports["main"].acknowledged == 1).await;
    let line = written.lock().unwrap().clone();
    assert!(line.starts_with("temperature,device=d1,unit=Cel value=21.5 "), "{line}");
    gateway.stop().await;
    task.abort();
}
