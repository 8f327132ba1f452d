//! A gateway and a server to test with, and a device that speaks MQTT.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

pub mod systems;
pub mod world;

use iotorch_lite::{
    Gateway, GatewayConfig, Secret, Server, ServerConfig,
    api::{
        Attachment, Device, DeviceProtocol, Export, ExportKind, GatewayStatus, MessageQuery, Nothing,
        Profile, Put,
    },
    client::{GatewayClient, ServerClient},
    senml::Record,
};
use rumqttc::{
    AsyncClient, ConnectionError, Event, MqttOptions, Packet, PublishNoticeError, PublishOptions, QoS,
    SubscribeNoticeError,
};
use std::{
    collections::BTreeMap,
    future::Future,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

pub const ADMIN: &str = "admin-token-of-the-tests";
pub const PASSWORD: &str = "password-of-a-device";
pub const KEY: &str = "key-of-a-thing";
pub const MARK: &str = "test/owner";

/// Waits until a condition holds, and gives what it found. The deadline is for a broken program only.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain waited for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn admin() -> Secret {
    Secret::new(ADMIN)
}

pub async fn start_gateway(dir: &Path) -> Gateway {
    Gateway::start(GatewayConfig::builder().data_dir(dir.join("gateway")).admin_token(admin()).build())
        .await
        .unwrap()
}

pub async fn start_server(dir: &Path) -> Server {
    Server::start(ServerConfig::builder().data_dir(dir.join("server")).admin_token(admin()).build())
        .await
        .unwrap()
}

pub fn gateway_client(gateway: &Gateway) -> GatewayClient {
    GatewayClient::new(format!("http://{}", gateway.management_address()), admin()).unwrap()
}

pub fn server_client(server: &Server) -> ServerClient {
    ServerClient::new(format!("http://{}", server.management_address()), admin()).unwrap()
}

pub fn put<T>(settings: T) -> Put<T> {
    Put { mark: MARK.to_owned(), spec: serde_json::json!({ "from": "a test" }), settings, secret: None }
}

pub fn put_secret<T>(settings: T, secret: &str) -> Put<T> {
    Put { secret: Some(Secret::new(secret)), ..put(settings) }
}

pub fn profile() -> Profile {
    serde_json::from_value(serde_json::json!({ "resources": {
        "temperature": { "type": "float", "unit": "Cel", "min": -40, "max": 85 },
        "count": { "type": "integer" },
        "open": { "type": "bool" },
        "label": { "type": "string" },
        "valve": { "type": "float", "access": "write" },
    }}))
    .unwrap()
}

/// Puts the profile in place and the devices, each with generation 1 of its password.
pub async fn add_devices(client: &GatewayClient, devices: &[&str]) {
    client.put_profile("sensor", &put(profile()), false).await.unwrap();
    for device in devices {
        client
            .put_device(
                device,
                &put(Device { profile: "sensor".to_owned(), protocol: DeviceProtocol::Mqtt }),
                false,
            )
            .await
            .unwrap();
        client.put_credential(device, 1, &put_secret(Nothing {}, PASSWORD), false).await.unwrap();
    }
}

/// Puts a tenant and an attachment in place, with generation 1 of its key.
pub async fn attach(client: &ServerClient) -> Attachment {
    client.put_tenant("acme", &put(Nothing {}), false).await.unwrap();
    let attachment = client.put_attachment("acme", "gw", &put(Nothing {}), false).await.unwrap().settings;
    client.put_credential("acme", "gw", 1, &put_secret(Nothing {}, KEY), false).await.unwrap();
    attachment
}

/// A plain client of HTTP.
pub fn plain_http() -> reqwest::Client {
    // It asks for TLS even where it speaks none.
    let tls = iotorch_lite::client::tls(None).unwrap();
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap()
}

/// The samples of a scrape, by name and labels.
pub async fn scrape(at: SocketAddr) -> BTreeMap<String, f64> {
    let answer = plain_http().get(format!("http://{at}/metrics")).bearer_auth(ADMIN).send().await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = answer.text().await.unwrap();
    assert!(text.ends_with("# EOF\n"));
    let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.strip_prefix("iotorch_lite_").unwrap().to_owned(), value.parse().unwrap())
    });
    samples.collect()
}

/// Whoever publishes as the thing of an attachment.
pub async fn thing(server: &Server, attachment: &Attachment) -> Mqtt {
    let thing = attachment.thing.as_str();
    Mqtt::connect(server.mqtt_address(), thing, thing, KEY).await.unwrap()
}

pub fn export_to(server: &Server, attachment: &Attachment) -> Export {
    Export {
        kind: ExportKind::Mqtt,
        host: "127.0.0.1".to_owned(),
        port: server.mqtt_address().port(),
        tls: false,
        user_name: Some(attachment.thing.clone()),
        topic: attachment.topic(),
        client_id: None,
    }
}

pub async fn export(client: &GatewayClient, server: &Server, attachment: &Attachment) {
    client.put_export("main", &put_secret(export_to(server, attachment), KEY), false).await.unwrap();
}

pub async fn messages(client: &ServerClient, attachment: &Attachment) -> Vec<Record> {
    let query = MessageQuery { limit: Some(1000), ..MessageQuery::default() };
    client.messages("acme", &attachment.channel, &query).await.unwrap().messages
}

/// Waits for a number of messages, the newest first.
pub async fn await_messages(client: &ServerClient, attachment: &Attachment, count: usize) -> Vec<Record> {
    eventually("messages at the server", || async {
        Some(messages(client, attachment).await).filter(|messages| messages.len() >= count)
    })
    .await
}

pub async fn await_status(client: &GatewayClient, holds: impl Fn(&GatewayStatus) -> bool) -> GatewayStatus {
    eventually("a status of the gateway", || async { client.status().await.ok().filter(&holds) }).await
}

/// A client of MQTT 5.
pub struct Mqtt {
    pub client: AsyncClient,
    connection: JoinHandle<ConnectionError>,
}

impl Mqtt {
    pub async fn connect(
        at: SocketAddr,
        id: &str,
        user: &str,
        password: &str,
    ) -> Result<Self, ConnectionError> {
        let mut options = MqttOptions::new(id, (at.ip().to_string(), at.port()));
        options.set_credentials(user, password.to_owned()).set_keep_alive(20);
        let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
        while !matches!(events.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}
        let connection = tokio::spawn(async move {
            loop {
                if let Err(error) = events.poll().await {
                    return error;
                }
            }
        });
        Ok(Self { client, connection })
    }

    pub async fn device(gateway: &Gateway, name: &str) -> Self {
        Self::connect(gateway.mqtt_address(), name, name, PASSWORD).await.unwrap()
    }

    /// Publishes at QoS 1 and waits for the acknowledgement.
    pub async fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>) -> Result<(), PublishNoticeError> {
        let options = PublishOptions::at_least_once();
        self.client
            .publish_tracked(topic, payload.into(), options)
            .await
            .unwrap()
            .wait_completion_async()
            .await
    }

    pub async fn subscribe(&self, filter: &str) -> Result<(), SubscribeNoticeError> {
        self.client
            .subscribe_tracked(filter, QoS::AtLeastOnce)
            .await
            .unwrap()
            .wait_completion_async()
            .await
            .map(drop)
    }

    pub fn is_connected(&self) -> bool {
        !self.connection.is_finished()
    }

    /// Waits until the broker has ended the connection.
    pub async fn disconnected(&mut self) {
        tokio::time::timeout(Duration::from_secs(20), &mut self.connection).await.unwrap().unwrap();
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
