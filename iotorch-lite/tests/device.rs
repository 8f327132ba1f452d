//! Acting as a device over each protocol, and what a caller learns when that fails.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use futures::future::join_all;
use iotorch_core::ErrorKind;
use iotorch_lite::{
    Gateway, GatewayConfig, Limits, Secret,
    api::{Device, DeviceProtocol, Nothing},
    client::GatewayClient,
    device::{Answer, Link, Login, Message, NetAddress, Qos, Reading},
};
use std::net::SocketAddr;
use tokio::net::{TcpListener, UdpSocket};

const PROTOCOLS: [DeviceProtocol; 3] = [DeviceProtocol::Mqtt, DeviceProtocol::Http, DeviceProtocol::Coap];

/// A gateway with a device for each protocol, which is called as its protocol is.
struct World {
    _dir: tempfile::TempDir,
    gateway: Gateway,
    client: GatewayClient,
}

impl World {
    async fn new(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config =
            GatewayConfig::builder().data_dir(dir.path()).admin_token(admin()).limits(limits).build();
        let gateway = Gateway::start(config).await.unwrap();
        let client = gateway_client(&gateway);
        client.put_profile("sensor", &put(profile()), false).await.unwrap();
        for protocol in PROTOCOLS {
            let (name, device) = (protocol.to_string(), Device { profile: "sensor".to_owned(), protocol });
            client.put_device(&name, &put(device), false).await.unwrap();
            client.put_credential(&name, 1, &put_secret(Nothing {}, PASSWORD), false).await.unwrap();
        }
        Self { _dir: dir, gateway, client }
    }

    fn login(&self, protocol: DeviceProtocol) -> Login {
        let at = match protocol {
            DeviceProtocol::Http => self.gateway.http_address(),
            DeviceProtocol::Coap => self.gateway.coap_address(),
            _ => self.gateway.mqtt_address(),
        };
        login(protocol, at)
    }

    async fn accepted(&self, protocol: DeviceProtocol) -> u64 {
        self.client.status().await.unwrap().devices[&protocol.to_string()].accepted
    }
}

fn login(protocol: DeviceProtocol, at: SocketAddr) -> Login {
    Login::builder()
        .protocol(protocol)
        .address(address(at))
        .path(format!("devices/{protocol}"))
        .user(protocol.to_string())
        .password(Secret::new(PASSWORD))
        .build()
}

fn address(at: SocketAddr) -> NetAddress {
    NetAddress { host: at.ip().to_string(), port: at.port(), tls: false }
}

async fn connect(login: &Login) -> Link {
    Link::connect(login, Qos::default()).await.unwrap()
}

/// Why a message does not get through, whether that shows at the login or at the message.
async fn refused(login: &Login, message: &Message) -> ErrorKind {
    match Link::connect(login, Qos::default()).await {
        Ok(link) => link.send(message).await.unwrap_err().kind(),
        Err(error) => error.kind(),
    }
}

fn temperature(value: f64) -> Message {
    Message::of_readings(&[Reading::new("temperature", value), Reading::new("open", true)]).unwrap()
}

/// What a gateway says that has taken everything.
fn taken(protocol: DeviceProtocol) -> Answer {
    if protocol == DeviceProtocol::Mqtt { Answer::Acknowledged } else { Answer::Accepted }
}

#[tokio::test]
async fn messages_of_every_form_are_taken_over_each_protocol() {
    let world = World::new(Limits::default()).await;
    for protocol in PROTOCOLS {
        let login = world.login(protocol);
        let link = connect(&login).await;
        let readings = [Reading::new("temperature", 21.5), Reading::new("label", "x".repeat(3000))];
        for message in [
            temperature(20.5),
            Message::of_pack(&readings, 1_700_000_000.0),
            Message::new(r#"{"count":3}"#),
            Message::new([0x81, 0xa2, 0x00, 0x65, b'c', b'o', b'u', b'n', b't', 0x02, 0x04]),
        ] {
            assert_eq!(link.send(&message).await.unwrap(), taken(protocol), "{protocol}: {message:?}");
        }
        link.close().await;

        let path = format!("{}/temperature", login.path);
        let link = connect(&Login { path, ..login }).await;
        assert_eq!(link.send(&Message::new("22.5")).await.unwrap(), taken(protocol), "{protocol}");
        assert_eq!(world.accepted(protocol).await, 7, "{protocol}");
    }
    world.gateway.stop().await;
}

#[tokio::test]
async fn what_is_rejected_is_told_where_the_protocol_has_an_answer() {
    let world = World::new(Limits::default()).await;
    let rejected = |accepted| Answer::Rejected {
        accepted,
        rejected: vec!["\"temperature\" is 900, above 85".to_owned()],
    };
    let only = Message::of_readings(&[Reading::new("temperature", 900)]).unwrap();
    for protocol in [DeviceProtocol::Http, DeviceProtocol::Coap] {
        let link = connect(&world.login(protocol)).await;
        assert_eq!(link.send(&temperature(900.0)).await.unwrap(), rejected(1), "{protocol}");
        assert_eq!(link.send(&only).await.unwrap(), rejected(0), "{protocol}");
    }
    let link = connect(&world.login(DeviceProtocol::Mqtt)).await;
    assert_eq!(link.send(&temperature(900.0)).await.unwrap(), Answer::Acknowledged);
    world.gateway.stop().await;
}

#[tokio::test]
async fn without_a_promise_a_message_is_only_sent() {
    let world = World::new(Limits::default()).await;
    let link = Link::connect(&world.login(DeviceProtocol::Mqtt), Qos::AtMostOnce).await.unwrap();
    assert_eq!(link.send(&temperature(20.5)).await.unwrap(), Answer::Sent);
    await_status(&world.client, |status| status.devices["mqtt"].accepted == 2).await;
    world.gateway.stop().await;
}

#[tokio::test]
async fn clones_of_a_link_send_side_by_side() {
    let world = World::new(Limits::builder().rate(f64::INFINITY).build()).await;
    for protocol in PROTOCOLS {
        let link = connect(&world.login(protocol)).await;
        let sending = (0..20).map(|_| {
            let link = link.clone();
            async move { link.send(&temperature(20.5)).await.unwrap() }
        });
        assert_eq!(join_all(sending).await, vec![taken(protocol); 20]);
        assert_eq!(world.accepted(protocol).await, 40, "{protocol}");
    }
    world.gateway.stop().await;
}

#[tokio::test]
async fn wrong_passwords_strangers_and_paths_of_others_are_denied() {
    let world = World::new(Limits::default()).await;
    for protocol in PROTOCOLS {
        let login = world.login(protocol);
        for login in [
            Login { password: Secret::new("a guess"), ..login.clone() },
            Login { user: "stranger".to_owned(), ..login.clone() },
            Login { path: "devices/stranger".to_owned(), ..login.clone() },
        ] {
            assert_eq!(refused(&login, &temperature(20.5)).await, ErrorKind::Denied, "{protocol}: {login:?}");
        }
        assert_eq!(world.accepted(protocol).await, 0, "{protocol}");
    }
    world.gateway.stop().await;
}

#[tokio::test]
async fn over_coap_the_generation_chooses_the_password() {
    let world = World::new(Limits::default()).await;
    let next = "the next password";
    world.client.put_credential("coap", 2, &put_secret(Nothing {}, next), false).await.unwrap();
    let login = Login { password: Secret::new(next), ..world.login(DeviceProtocol::Coap) };
    assert_eq!(refused(&login, &temperature(20.5)).await, ErrorKind::Denied, "the oldest is another one");
    let link = connect(&Login { generation: Some(2), ..login }).await;
    assert_eq!(link.send(&temperature(20.5)).await.unwrap(), Answer::Accepted);
    world.gateway.stop().await;
}

#[tokio::test]
async fn who_is_too_quick_is_told_how_long_to_wait() {
    let world = World::new(Limits::builder().rate(0.5).build()).await;
    for protocol in [DeviceProtocol::Http, DeviceProtocol::Coap] {
        let link = connect(&world.login(protocol)).await;
        assert_eq!(link.send(&temperature(20.5)).await.unwrap(), Answer::Accepted, "{protocol}");
        let error = link.send(&temperature(20.5)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimited, "{protocol}");
        let pause = error.retry_after().unwrap().as_secs();
        assert!((1..=2).contains(&pause), "{protocol}: {pause} s");
    }
    world.gateway.stop().await;
}

#[tokio::test]
async fn what_cannot_be_sent_at_all_is_invalid() {
    let world = World::new(Limits::builder().packet(1024).build()).await;
    let large = Message::of_readings(&[Reading::new("label", "x".repeat(4096))]).unwrap();
    for protocol in PROTOCOLS {
        assert_eq!(refused(&world.login(protocol), &large).await, ErrorKind::Invalid, "{protocol}");
    }
    let mqtt = world.login(DeviceProtocol::Mqtt);
    let filter = Login { path: "devices/mqtt/#".to_owned(), ..mqtt };
    assert_eq!(refused(&filter, &temperature(20.5)).await, ErrorKind::Invalid);
    world.gateway.stop().await;
}

#[tokio::test]
async fn a_gateway_that_is_gone_cannot_be_reached() {
    let world = World::new(Limits::default()).await;
    let mut links = Vec::new();
    for protocol in PROTOCOLS {
        let link = connect(&world.login(protocol)).await;
        link.send(&temperature(20.5)).await.unwrap();
        links.push((protocol, link));
    }
    let logins = [DeviceProtocol::Mqtt, DeviceProtocol::Http].map(|protocol| world.login(protocol));
    world.gateway.stop().await;
    for (protocol, link) in links {
        let error = link.send(&temperature(20.5)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{protocol}: {error:?}");
        link.close().await;
    }
    for login in logins {
        assert_eq!(refused(&login, &temperature(20.5)).await, ErrorKind::Unavailable, "{login:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_says_nothing_is_not_waited_for_for_ever() {
    let (tcp, udp) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    for protocol in PROTOCOLS {
        let at = if protocol == DeviceProtocol::Coap { udp.local_addr() } else { tcp.local_addr() };
        let login = login(protocol, at.unwrap());
        assert_eq!(refused(&login, &temperature(20.5)).await, ErrorKind::Timeout, "{protocol}");
    }
}

#[tokio::test]
async fn a_thing_sends_to_its_server_too() {
    let dir = tempfile::tempdir().unwrap();
    let server = start_server(dir.path()).await;
    let client = server_client(&server);
    let attachment = attach(&client).await;
    for (protocol, at) in
        [(DeviceProtocol::Mqtt, server.mqtt_address()), (DeviceProtocol::Http, server.http_address())]
    {
        let login = Login::builder()
            .protocol(protocol)
            .address(address(at))
            .path(attachment.topic())
            .user(attachment.thing.as_str())
            .password(Secret::new(KEY))
            .build();
        let pack = Message::of_pack(&[Reading::new(protocol.to_string(), 1)], 1_700_000_000.0);
        assert_eq!(connect(&login).await.send(&pack).await.unwrap(), taken(protocol));
    }
    let stored = messages(&client, &attachment).await;
    let names: Vec<_> = stored.iter().map(|record| record.name.as_str()).collect();
    assert_eq!((names.len(), names.contains(&"mqtt"), names.contains(&"http")), (2, true, true));
    server.stop().await;
}
