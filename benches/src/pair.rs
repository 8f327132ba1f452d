//! A gateway that exports to a server, each in a process of its own.

use std::{
    fmt,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use iotorch_lite::{
    Secret,
    api::{Attachment, Device, DeviceProtocol, Export, Nothing, Profile, Put},
    client::{GatewayClient, ServerClient},
    device::{Login, Message, NetAddress},
};
use serde_json::json;
use tokio::sync::mpsc::{Receiver, channel};

use crate::{
    Result,
    hosted::{Allowed, Hosted},
};

/// The password of every device, and the key of every thing.
const PASSWORD: &str = "password of a device";
/// The only tenant.
const TENANT: &str = "benchmark";
/// What the gateway is on the server.
const GATEWAY: &str = "gw";

/// How long messages may be on their way before a benchmark gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway and the server it exports to. All that they manage has the same password.
#[derive(Debug)]
pub struct Pair {
    /// The gateway.
    pub gateway: Hosted,
    /// The server.
    pub server: Hosted,
    client: ServerClient,
    channel: String,
}

impl Pair {
    /// Starts both with their data below `folder`. The gateway has no devices yet, but the profile they all have.
    ///
    /// # Errors
    /// When one of them does not start, or refuses what it is told.
    pub async fn start(folder: &Path, allowed: Allowed) -> Result<Self> {
        let gateway = Hosted::gateway(&folder.join("gateway"), allowed)?;
        let server = Hosted::server(&folder.join("server"), allowed)?;
        let client = server.server_client()?;
        client.put_tenant(TENANT, &put(Nothing {}), false).await?;
        let attachment = attach(&client, GATEWAY).await?;
        let export = Export {
            kind: Default::default(),
            host: server.at.mqtt.ip().to_string(),
            port: server.at.mqtt.port(),
            user_name: Some(attachment.thing.clone()),
            topic: attachment.topic(),
            client_id: None,
            tls: false,
        };
        let manager = gateway.gateway_client()?;
        manager.put_export("hub", &put_secret(export), false).await?;
        let profile: Profile = serde_json::from_value(json!({
            "resources": { "temperature": { "type": "float", "unit": "Cel", "min": -40, "max": 85 } }
        }))?;
        manager.put_profile("climate", &put(profile), false).await?;
        Ok(Self { gateway, server, client, channel: attachment.channel })
    }

    /// Adds a device to the gateway, and gives what it logs in with.
    ///
    /// # Errors
    /// When the gateway refuses it.
    pub async fn add_device(&self, name: &str, protocol: DeviceProtocol) -> Result<Login> {
        let manager = self.gateway.gateway_client()?;
        let settings = Device { profile: "climate".to_owned(), protocol };
        manager.put_device(name, &put(settings), false).await?;
        manager.put_credential(name, 1, &put_secret(Nothing {}), false).await?;
        let listener = match protocol {
            DeviceProtocol::Http => Listener::GatewayHttp,
            DeviceProtocol::Coap => Listener::GatewayCoap,
            _ => Listener::GatewayMqtt,
        };
        Ok(login(listener, self.address(listener)?, name, format!("devices/{name}")))
    }

    /// Adds somebody at a listener. Names are told apart by listener.
    ///
    /// # Errors
    /// When the gateway or server refuses it.
    pub async fn add_client(&self, name: &str, listener: Listener) -> Result<Client> {
        let name = &format!("{name}-{}", listener.to_string().to_lowercase().replace(' ', "-"));
        Ok(match listener {
            Listener::GatewayMqtt | Listener::GatewayHttp | Listener::GatewayCoap => {
                let login = self.add_device(name, listener.protocol()).await?;
                Client::Sender { login, message: Message::new(r#"{"temperature":21.5}"#) }
            }
            Listener::ServerMqtt | Listener::ServerHttp => {
                let attachment = attach(&self.client, name).await?;
                let login = login(listener, self.address(listener)?, &attachment.thing, attachment.topic());
                Client::Sender { login, message: Message::new(r#"[{"n":"temperature","u":"Cel","v":21.5}]"#) }
            }
            Listener::GatewayManagement => Client::GatewayManager(self.gateway.gateway_client()?),
            Listener::ServerManagement => Client::ServerManager(self.client.clone()),
        })
    }

    /// Where a listener is.
    ///
    /// # Errors
    /// Where the gateway has no CoAP.
    pub fn address(&self, listener: Listener) -> Result<SocketAddr> {
        let (gateway, server) = (&self.gateway.at, &self.server.at);
        Ok(match listener {
            Listener::GatewayMqtt => gateway.mqtt,
            Listener::GatewayHttp => gateway.http,
            Listener::GatewayCoap => gateway.coap.ok_or("the gateway listens for no CoAP")?,
            Listener::GatewayManagement => gateway.management,
            Listener::ServerMqtt => server.mqtt,
            Listener::ServerHttp => server.http,
            Listener::ServerManagement => server.management,
        })
    }

    /// How many messages the server has stored of the gateway.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn stored(&self) -> Result<u64> {
        Ok(self.client.stats(TENANT, &self.channel).await?.count)
    }

    /// The times at which messages of the gateway come in at the server, from now on.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn arrivals(&self) -> Result<Receiver<Instant>> {
        let mut messages = Box::pin(self.client.follow(TENANT, &self.channel).await?);
        let (sender, arrivals) = channel(1024);
        tokio::spawn(async move {
            while let Some(Ok(_)) = messages.next().await {
                if sender.send(Instant::now()).await.is_err() {
                    return;
                }
            }
        });
        Ok(arrivals)
    }

    /// Waits until this many messages are stored.
    ///
    /// # Errors
    /// When that takes longer than [`PATIENCE`].
    pub async fn await_stored(&self, count: u64) -> Result<Instant> {
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

/// A listener of one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Listener {
    /// Devices over MQTT.
    GatewayMqtt,
    /// Devices over HTTP.
    GatewayHttp,
    /// Devices over CoAP.
    GatewayCoap,
    /// The gateway's management API.
    GatewayManagement,
    /// Things over MQTT, among them the gateway.
    ServerMqtt,
    /// Things over HTTP.
    ServerHttp,
    /// The server's management API.
    ServerManagement,
}

impl Listener {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::GatewayMqtt,
        Self::GatewayHttp,
        Self::GatewayCoap,
        Self::GatewayManagement,
        Self::ServerMqtt,
        Self::ServerHttp,
        Self::ServerManagement,
    ];

    /// What is spoken there.
    #[must_use]
    pub const fn protocol(self) -> DeviceProtocol {
        match self {
            Self::GatewayMqtt | Self::ServerMqtt => DeviceProtocol::Mqtt,
            Self::GatewayCoap => DeviceProtocol::Coap,
            Self::GatewayHttp | Self::GatewayManagement | Self::ServerHttp | Self::ServerManagement => {
                DeviceProtocol::Http
            }
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GatewayMqtt => "gateway MQTT",
            Self::GatewayHttp => "gateway HTTP",
            Self::GatewayCoap => "gateway CoAP",
            Self::GatewayManagement => "gateway management",
            Self::ServerMqtt => "server MQTT",
            Self::ServerHttp => "server HTTP",
            Self::ServerManagement => "server management",
        })
    }
}

/// Somebody at a listener.
#[derive(Clone, Debug)]
pub enum Client {
    /// A device or a thing, and what it sends.
    Sender {
        /// What it logs in with.
        login: Login,
        /// What it sends.
        message: Message,
    },
    /// Who manages the gateway.
    GatewayManager(GatewayClient),
    /// Who manages the server.
    ServerManager(ServerClient),
}

async fn attach(client: &ServerClient, name: &str) -> Result<Attachment> {
    let attachment = client.put_attachment(TENANT, name, &put(Nothing {}), false).await?.settings;
    client.put_credential(TENANT, name, 1, &put_secret(Nothing {}), false).await?;
    Ok(attachment)
}

fn login(listener: Listener, at: SocketAddr, user: &str, path: String) -> Login {
    Login::builder()
        .protocol(listener.protocol())
        .address(NetAddress { host: at.ip().to_string(), port: at.port(), tls: false })
        .path(path)
        .user(user)
        .password(Secret::new(PASSWORD))
        .build()
}

fn put<T>(settings: T) -> Put<T> {
    Put { mark: "benchmark".to_owned(), spec: json!({}), settings, secret: None }
}

fn put_secret<T>(settings: T) -> Put<T> {
    Put { secret: Some(Secret::new(PASSWORD)), ..put(settings) }
}
