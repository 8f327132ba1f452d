//! What is refused is refused over every protocol, and whoever operates it sees it: in the log, the status and the metrics.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use iotorch_core::ErrorKind;
use iotorch_lite::{
    Gateway, Secret, Server,
    api::{Attachment, Device, DeviceProtocol, LogEntry, LogPage, LogQuery, MessageQuery, Nothing},
    client::{Error, GatewayClient, ServerClient},
    device::{Link, Login, Message, NetAddress, Qos},
};
use std::{net::SocketAddr, path::Path};

const ALL: LogQuery = LogQuery { after: None, limit: Some(1000), start: None };

/// The gateway of a slice, on which devices of this password speak each protocol.
struct Slice {
    gateway: Gateway,
    client: GatewayClient,
    password: String,
}

impl Slice {
    async fn new(dir: &Path, name: &str) -> Self {
        let gateway = start_gateway(&dir.join(name)).await;
        let client = gateway_client(&gateway);
        Self { gateway, client, password: format!("the password of {name}") }
    }

    async fn add(&self, device: &str, protocol: DeviceProtocol) {
        self.client.put_profile("sensor", &put(profile()), false).await.unwrap();
        let settings = Device { profile: "sensor".to_owned(), protocol };
        self.client.put_device(device, &put(settings), false).await.unwrap();
        let credential = put_secret(Nothing {}, &self.password);
        self.client.put_credential(device, 1, &credential, false).await.unwrap();
    }

    /// The login of a device at this gateway, to send its count.
    fn login(&self, device: &str, protocol: DeviceProtocol) -> Login {
        let at = match protocol {
            DeviceProtocol::Mqtt => self.gateway.mqtt_address(),
            DeviceProtocol::Http => self.gateway.http_address(),
            _ => self.gateway.coap_address(),
        };
        login(protocol, at, device, &self.password, &format!("devices/{device}/count"))
    }

    async fn metric(&self, name: &str, protocol: DeviceProtocol) -> f64 {
        metric(self.gateway.management_address(), name, &protocol.to_string()).await
    }

    async fn accepted(&self) -> u64 {
        self.client.status().await.unwrap().devices.values().map(|device| device.accepted).sum()
    }
}

fn login(protocol: DeviceProtocol, at: SocketAddr, user: &str, password: &str, path: &str) -> Login {
    let address = NetAddress { host: at.ip().to_string(), port: at.port(), tls: false };
    let password = Secret::new(password);
    Login::builder().protocol(protocol).address(address).user(user).password(password).path(path).build()
}

async fn send(login: &Login, message: &str) -> Result<(), ErrorKind> {
    let sent = async {
        let link = Link::connect(login, Qos::AtLeastOnce).await?;
        let message = Message::new(message);
        let sent = link.send(&message).await;
        link.close().await;
        sent
    };
    sent.await.map(drop).map_err(|error| error.kind())
}

async fn metric(at: SocketAddr, name: &str, protocol: &str) -> f64 {
    let name = format!("{name}_total{{protocol=\"{protocol}\"}}");
    scrape(at).await.get(&name).copied().unwrap_or_default()
}

/// Waits for the entry of an event about somebody, and gives what it says.
async fn told(log: impl AsyncFn() -> Result<LogPage, Error>, event: &str, subject: &str) -> String {
    let is_it = |entry: &&LogEntry| entry.event == event && entry.subject == subject;
    eventually("an entry of the log", async || {
        log().await.unwrap().entries.iter().find(is_it).map(ToString::to_string)
    })
    .await
}

#[tokio::test]
async fn wrong_passwords_other_paths_and_other_slices_are_refused_over_every_protocol_and_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (Slice::new(dir.path(), "here").await, Slice::new(dir.path(), "there").await);
    for protocol in [DeviceProtocol::Mqtt, DeviceProtocol::Http, DeviceProtocol::Coap] {
        let device = |name: &str| format!("{name}-{protocol}");
        let (own, other, only_here) = (device("own"), device("other"), device("only-here"));
        for name in [&own, &other, &only_here] {
            here.add(name, protocol).await;
        }
        there.add(&own, protocol).await;
        let secret = if protocol == DeviceProtocol::Coap { "key" } else { "password" };

        let wrong = Login { password: Secret::new("a guess"), ..here.login(&own, protocol) };
        assert_eq!(send(&wrong, "1").await, Err(ErrorKind::Denied), "{protocol}: a wrong password");
        let log = async || here.client.log(&ALL).await;
        let wrong = format!("login of \"{own}\" refused: the {secret} is wrong");
        assert_eq!(told(log, "refused-login", &own).await, wrong);

        let astray = Login { path: format!("devices/{other}/count"), ..here.login(&own, protocol) };
        assert_eq!(
            send(&astray, "1").await,
            Err(ErrorKind::Denied),
            "{protocol}: the path of another device"
        );
        let astray = told(log, "refused-request", &own).await;
        let elsewhere = format!(" \"devices/{other}/count\", which is not its own");
        assert!(astray.starts_with(&format!("request of \"{own}\" refused: ")), "{astray}");
        assert!(astray.ends_with(&elsewhere), "{astray}");

        // A device of the same name is in both slices, each with its own password.
        let log = async || there.client.log(&ALL).await;
        for (name, why) in
            [(&own, format!("the {secret} is wrong")), (&only_here, "there is no such device".to_owned())]
        {
            let login = Login { password: Secret::new(&*here.password), ..there.login(name, protocol) };
            assert_eq!(send(&login, "1").await, Err(ErrorKind::Denied), "{protocol}: of another slice");
            let expected = format!("login of \"{name}\" refused: {why}");
            assert_eq!(told(log, "refused-login", name).await, expected);
        }

        assert_eq!(here.metric("refused_logins", protocol).await, 1.0);
        assert_eq!(here.metric("refused_requests", protocol).await, 1.0);
        assert_eq!(there.metric("refused_logins", protocol).await, 2.0);
        let seen = &here.client.status().await.unwrap().refused[&own];
        assert_eq!((seen.logins, seen.requests), (1, 1));
        assert_eq!((here.accepted().await, there.accepted().await), (0, 0));
    }
    for (count, protocol) in
        [DeviceProtocol::Mqtt, DeviceProtocol::Http, DeviceProtocol::Coap].iter().enumerate()
    {
        assert_eq!(send(&here.login(&format!("own-{protocol}"), *protocol), "1").await, Ok(()));
        assert_eq!(here.accepted().await, count as u64 + 1, "what is allowed is not refused");
    }
    here.gateway.stop().await;
    there.gateway.stop().await;
}

/// A tenant of a server and one of its things.
async fn tenant(client: &ServerClient, name: &str, thing: &str) -> Attachment {
    client.put_tenant(name, &put_secret(Nothing {}, &format!("the token of {name}")), false).await.unwrap();
    let attachment = client.put_attachment(name, thing, &put(Nothing {}), false).await.unwrap().settings;
    let key = put_secret(Nothing {}, &format!("the key of {name}"));
    client.put_credential(name, thing, 1, &key, false).await.unwrap();
    attachment
}

fn thing_at(server: &Server, protocol: DeviceProtocol, thing: &str, key: &str, topic: &str) -> Login {
    let http = protocol == DeviceProtocol::Http;
    let at = if http { server.http_address() } else { server.mqtt_address() };
    login(protocol, at, thing, key, topic)
}

#[tokio::test]
async fn a_server_refuses_wrong_keys_other_channels_and_other_slices_and_shows_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = start_server(dir.path()).await;
    let client = server_client(&server);
    let log = async || client.log(&ALL).await;
    let pack = r#"[{"n":"a","v":1}]"#;
    for protocol in [DeviceProtocol::Mqtt, DeviceProtocol::Http] {
        let north = tenant(&client, "north", &format!("{protocol}-1")).await;
        let second = tenant(&client, "north", &format!("{protocol}-2")).await;
        let south = tenant(&client, "south", &protocol.to_string()).await;
        let at = |thing: &Attachment, key: &str, channel: &Attachment| {
            thing_at(&server, protocol, &thing.thing, key, &channel.topic())
        };
        let key = "the key of north";
        for (what, login) in [
            ("a wrong key", at(&north, "a guess", &north)),
            ("the key of another slice", at(&second, "the key of south", &second)),
            ("the channel of another slice", at(&south, "the key of south", &north)),
            ("another channel", at(&north, key, &second)),
        ] {
            assert_eq!(send(&login, pack).await, Err(ErrorKind::Denied), "{protocol}: {what}");
        }
        for thing in [&north.thing, &second.thing] {
            let wrong = format!("login of \"{thing}\" refused: the key is wrong");
            assert_eq!(told(log, "refused-login", thing).await, wrong);
        }
        for (thing, channel) in [(&south.thing, &north), (&north.thing, &second)] {
            let astray = told(log, "refused-request", thing).await;
            let elsewhere = format!(" \"{}\", which is not its own", channel.topic());
            assert!(astray.ends_with(&elsewhere), "{astray}");
        }
        let at_server = server.management_address();
        assert_eq!(metric(at_server, "refused_logins", &protocol.to_string()).await, 2.0);
        assert_eq!(metric(at_server, "refused_requests", &protocol.to_string()).await, 2.0);
        assert!(client.status().await.unwrap().tenants.values().all(|tenant| tenant.messages == 0));
        assert_eq!(send(&at(&north, key, &north), pack).await, Ok(()));
        client.delete("tenants/north", None).await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn tokens_of_others_at_a_management_api_are_refused_and_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, server) = (start_gateway(dir.path()).await, start_server(dir.path()).await);
    let client = server_client(&server);
    let (north, south) = (tenant(&client, "north", "gw").await, tenant(&client, "south", "gw").await);
    let with = |token: &str| ServerClient::new(client.base_url(), Secret::new(token)).unwrap();
    let reader = with("the token of north");
    let read = async |tenant: &str, attachment: &Attachment| {
        reader.messages(tenant, &attachment.channel, &MessageQuery::default()).await.map(drop)
    };
    read("north", &north).await.unwrap();
    assert!(matches!(read("south", &south).await, Err(Error::Refused)));
    let log = async || client.log(&ALL).await;
    assert_eq!(
        told(log, "refused-request", "(management)").await,
        format!(
            "request of \"(management)\" refused: the token is for reading the channels of its tenant only: \
             GET /tenants/south/channels/{}/messages",
            south.channel
        )
    );
    assert!(matches!(with("a guess").objects().await, Err(Error::Refused)));
    assert_eq!(
        told(log, "refused-login", "(management)").await,
        "login of \"(management)\" refused: the token is not valid: GET /objects"
    );
    let at = server.management_address();
    assert_eq!(metric(at, "refused_requests", "management").await, 1.0);
    assert_eq!(metric(at, "refused_logins", "management").await, 1.0);

    let at_gateway = gateway_client(&gateway);
    let stranger = GatewayClient::new(at_gateway.base_url(), Secret::new("the token of north")).unwrap();
    assert!(matches!(stranger.status().await, Err(Error::Refused)));
    let log = async || at_gateway.log(&ALL).await;
    assert_eq!(
        told(log, "refused-login", "(management)").await,
        "login of \"(management)\" refused: the token is not valid: GET /status"
    );
    assert_eq!(metric(gateway.management_address(), "refused_logins", "management").await, 1.0);
    gateway.stop().await;
    server.stop().await;
}
