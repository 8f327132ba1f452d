//! What devices and things do over HTTP, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use iotorch_lite::{
    Gateway, GatewayConfig, Limits, Server,
    api::{CommandState, Device, DeviceProtocol, NewCommand, Nothing},
    client::GatewayClient,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

struct World {
    _dir: tempfile::TempDir,
    gateway: Gateway,
    client: GatewayClient,
    http: Client,
}

impl World {
    async fn new(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config =
            GatewayConfig::builder().data_dir(dir.path()).admin_token(admin()).limits(limits).build();
        let gateway = Gateway::start(config).await.unwrap();
        let client = gateway_client(&gateway);
        add_devices(&client, &["m1"]).await;
        for name in ["d1", "d2"] {
            let device = Device { profile: "sensor".to_owned(), protocol: DeviceProtocol::Http };
            client.put_device(name, &put(device), false).await.unwrap();
            client.put_credential(name, 1, &put_secret(Nothing {}, PASSWORD), false).await.unwrap();
        }
        Self { _dir: dir, gateway, client, http: plain_http() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.gateway.http_address()))
    }

    /// A request of device `d1`.
    fn d1(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).basic_auth("d1", Some(PASSWORD))
    }

    async fn post(&self, path: &str, body: &str) -> (StatusCode, Value) {
        answer(self.d1(Method::POST, path).body(body.to_owned()).send().await.unwrap()).await
    }

    async fn is_well(&self) {
        assert_eq!(self.post("/devices/d1/count", "1").await.0, StatusCode::NO_CONTENT);
    }
}

async fn answer(response: Response) -> (StatusCode, Value) {
    let (status, body) = (response.status(), response.text().await.unwrap());
    (status, if body.is_empty() { Value::Null } else { serde_json::from_str(&body).unwrap() })
}

/// Sends bytes and reads until the other side has closed the connection.
async fn raw(at: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    // Who refuses early may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn an_answer_says_what_was_accepted_and_why_the_rest_was_not() {
    let world = World::new(Limits::default()).await;
    assert_eq!(world.post("/devices/d1/temperature", "20.5").await, (StatusCode::NO_CONTENT, Value::Null));
    let pack = r#"[{"n":"count","v":3},{"n":"open","vb":true}]"#;
    assert_eq!(world.post("/devices/d1", pack).await.0, StatusCode::NO_CONTENT);
    let put = world.d1(Method::PUT, "/devices/d1/count").body("4").send().await.unwrap();
    assert_eq!(put.status(), StatusCode::NO_CONTENT);

    let (status, body) = world.post("/devices/d1", r#"{"temperature":20,"count":1.5}"#).await;
    let reason = "\"count\" is an integer, not 1.5";
    assert_eq!((status, body), (StatusCode::OK, json!({ "accepted": 1, "rejected": [reason] })));
    let (status, body) = world.post("/devices/d1/temperature", "99").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body, json!({ "accepted": 0, "rejected": ["\"temperature\" is 99, above 85"] }));

    let status = &world.client.status().await.unwrap().devices["d1"];
    assert_eq!((status.accepted, status.rejected), (5, 2));
    world.gateway.stop().await;
}

#[tokio::test]
async fn strangers_other_paths_and_other_protocols_are_refused_and_counted() {
    let world = World::new(Limits::default()).await;
    let path = "/devices/d1/count";
    let anonymous = world.request(Method::POST, path).body("1").send().await.unwrap();
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(anonymous.headers()["www-authenticate"], "Basic realm=\"iotorch\", charset=\"UTF-8\"");
    for (user, password) in [("d1", "guess"), ("d3", PASSWORD), ("m1", PASSWORD)] {
        let request = world.request(Method::POST, path).basic_auth(user, Some(password)).body("1");
        assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "{user}");
    }
    for path in
        ["/devices/d2/count", "/devices/d2", "/devices/d1/count/x", "/elsewhere", "/devices/d2%2Fcount"]
    {
        let (status, body) = world.post(path, "1").await;
        assert_eq!((status, &body["error"]["kind"]), (StatusCode::FORBIDDEN, &json!("forbidden")), "{path}");
    }
    let commands = world.d1(Method::GET, "/devices/d2/commands").send().await.unwrap();
    assert_eq!(commands.status(), StatusCode::FORBIDDEN);
    assert!(Mqtt::connect(world.gateway.mqtt_address(), "d1", "d1", PASSWORD).await.is_err());

    let refused = world.client.status().await.unwrap().refused;
    assert_eq!((refused["d1"].logins, refused["d1"].requests), (2, 6));
    assert_eq!(refused["d1"].last_reason, "the device speaks http, not mqtt");
    assert_eq!(refused["m1"].last_reason, "the device speaks mqtt, not http");
    assert_eq!((refused["d3"].logins, refused[""].logins), (1, 1));
    world.gateway.stop().await;
}

#[tokio::test]
async fn health_is_told_to_everybody_and_what_is_not_there_to_nobody() {
    let world = World::new(Limits::default()).await;
    let health = world.request(Method::GET, "/health").send().await.unwrap();
    assert_eq!(answer(health).await.1["role"], "gateway");
    let head = world.request(Method::HEAD, "/health").send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    let nothing = world.request(Method::GET, "/").send().await.unwrap();
    assert_eq!(nothing.status(), StatusCode::NOT_FOUND);
    let method = world.d1(Method::GET, "/devices/d1/count").send().await.unwrap();
    assert_eq!(method.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer(method).await.1["error"]["kind"], "invalid");
    world.gateway.stop().await;
}

#[tokio::test]
async fn what_is_too_big_is_refused_however_it_is_sent() {
    let world = World::new(Limits::builder().packet(1024).build()).await;
    assert_eq!(world.post("/devices/d1/label", &"x".repeat(1024)).await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.post("/devices/d1/label", &"x".repeat(1025)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let login =
        "Authorization: Basic ZDE6cGFzc3dvcmQtb2YtYS1kZXZpY2U=\r\nHost: gateway\r\nConnection: close\r\n";
    let chunked =
        format!("POST /devices/d1/label HTTP/1.1\r\n{login}Transfer-Encoding: chunked\r\n\r\n800\r\n");
    let chunked = chunked + &"x".repeat(2048) + "\r\n0\r\n\r\n";
    let answer = raw(world.gateway.http_address(), chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let answer = raw(world.gateway.http_address(), long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    world.is_well().await;
    world.gateway.stop().await;
}

#[tokio::test]
async fn who_is_too_fast_is_told_when_to_come_back_and_others_are_not_held_up() {
    let world = World::new(Limits::builder().rate(0.5).build()).await;
    world.is_well().await;
    let refused = world.d1(Method::POST, "/devices/d1/count").body("2").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    let other = world.request(Method::POST, "/devices/d2/count").basic_auth("d2", Some(PASSWORD)).body("1");
    assert_eq!(other.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    world.gateway.stop().await;
}

#[tokio::test]
async fn a_client_of_mqtt_that_is_too_fast_is_slowed_down_and_loses_nothing() {
    let world = World::new(Limits::builder().rate(20.0).build()).await;
    let device = Mqtt::device(&world.gateway, "m1").await;
    let start = Instant::now();
    for count in 0..60 {
        device.publish("devices/m1/count", count.to_string()).await.unwrap();
    }
    // The first 40 are the burst.
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    assert_eq!(world.client.status().await.unwrap().devices["m1"].accepted, 60);
    world.gateway.stop().await;
}

#[tokio::test]
async fn malformed_requests_harm_nobody() {
    let world = World::new(Limits::default()).await;
    let at = world.gateway.http_address();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /devices/d1 HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /devices/d1 HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /devices/d1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /devices/%FF HTTP/1.1\r\nConnection: close\r\n\r\n",
    ] {
        let answer = raw(at, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{bytes:?}: {answer}");
    }
    world.is_well().await;
    world.gateway.stop().await;
}

#[tokio::test]
async fn strangers_who_stall_do_not_keep_others_out() {
    let world = World::new(Limits::builder().connections(4).build()).await;
    let (http, mqtt) = (world.gateway.http_address(), world.gateway.mqtt_address());
    let device = Mqtt::device(&world.gateway, "m1").await;
    let mut stalled = Vec::new();
    for at in [http, mqtt] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(at).await.unwrap();
            let _ = stream.write_all(b"POST").await;
            stalled.push(stream);
        }
    }
    world.is_well().await;
    device.publish("devices/m1/count", "1").await.unwrap();
    drop(stalled);
    world.gateway.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_go_on_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = start_gateway(dir.path()).await;
    let (http, mqtt, management) =
        (gateway.http_address(), gateway.mqtt_address(), gateway.management_address());
    assert_eq!(raw(http, b"POST /devices/d1 HTTP/1.1\r\n").await, "");
    assert_eq!(raw(management, b"").await, "");
    assert_eq!(raw(mqtt, b"\x10").await, "");
    let answer = raw(http, b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "an idle connection ends after its answer: {answer}");
    let authorization = format!("Authorization: Bearer {ADMIN}\r\nContent-Length: 10\r\n\r\n{{");
    let answer = raw(management, format!("PUT /profiles/a HTTP/1.1\r\n{authorization}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_device_waits_for_its_commands_and_acknowledges_them() {
    let world = World::new(Limits::default()).await;
    let path = "/devices/d1/commands";
    let none = answer(world.d1(Method::GET, path).send().await.unwrap()).await;
    assert_eq!(none, (StatusCode::OK, json!([])));
    let waiting = tokio::spawn(world.d1(Method::GET, &format!("{path}?wait=60")).send());
    let order =
        |value: f64| NewCommand { resource: "valve".to_owned(), value: json!(value), expires_in: 60.0 };
    world.client.send_command("d1", &order(0.5)).await.unwrap();
    let (status, commands) = answer(waiting.await.unwrap().unwrap()).await;
    assert_eq!(
        (status, &commands[0]["resource"], &commands[0]["value"]),
        (StatusCode::OK, &json!("valve"), &json!(0.5))
    );

    let one = format!("{path}/{}", commands[0]["id"]);
    for _ in 0..2 {
        let acknowledged = world.d1(Method::DELETE, &one).send().await.unwrap();
        assert_eq!(acknowledged.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(world.client.commands("d1").await.unwrap()[0].state, CommandState::Delivered);
    let unknown = world.d1(Method::DELETE, &format!("{path}/99")).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let too_long = world.d1(Method::GET, &format!("{path}?wait=61")).send().await.unwrap();
    assert_eq!(too_long.status(), StatusCode::BAD_REQUEST);
    world.gateway.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_those_who_wait() {
    let world = World::new(Limits::default()).await;
    let waiting = tokio::spawn(world.d1(Method::GET, "/devices/d1/commands?wait=60").send());
    // The login comes before the wait, so another one on the same connection pool has to be let in after it.
    world.is_well().await;
    let start = Instant::now();
    world.gateway.stop().await;
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let _ = waiting.await.unwrap();
}

#[tokio::test]
async fn a_thing_posts_packs_to_its_own_channel_only() {
    let dir = tempfile::tempdir().unwrap();
    let server: Server = start_server(dir.path()).await;
    let client = server_client(&server);
    let attachment = attach(&client).await;
    let other = client.put_attachment("acme", "other", &put(Nothing {}), false).await.unwrap().settings;
    let http = plain_http();
    let post = async |topic: String, key: &str, body: &'static str| {
        let request = http.post(format!("http://{}/{topic}", server.http_address()));
        request.basic_auth(&attachment.thing, Some(key)).body(body).send().await.unwrap().status()
    };
    let pack = r#"[{"n":"a","v":1,"t":1700000000}]"#;
    assert_eq!(post(attachment.topic(), KEY, pack).await, StatusCode::NO_CONTENT);
    assert_eq!(post(attachment.topic(), KEY, "no pack").await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(post(other.topic(), KEY, pack).await, StatusCode::FORBIDDEN);
    assert_eq!(post(attachment.topic(), "guess", pack).await, StatusCode::UNAUTHORIZED);
    assert_eq!(post("devices/d1/commands".to_owned(), KEY, pack).await, StatusCode::FORBIDDEN);
    assert_eq!(messages(&client, &attachment).await.len(), 1);
    server.stop().await;
}
