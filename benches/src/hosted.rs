//! A gateway or a server in a process apart.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use iotorch_lite::{
    Gateway, GatewayConfig, Limits, Secret, Server, ServerConfig,
    client::{GatewayClient, ServerClient},
};
use serde::{Deserialize, Serialize};

use crate::{
    Result,
    apart::{Apart, Task, tell, until_ended},
    resident::{self, Resident},
};

/// The token of the management APIs.
const ADMIN: &str = "the administrator of a benchmark";

/// What clients may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allowed {
    /// What [`Limits`] allows where nothing else is said.
    AsShipped,
    /// Any rate: what is measured is how much can be taken.
    AnyRate,
}

impl From<Allowed> for Limits {
    fn from(allowed: Allowed) -> Self {
        match allowed {
            Allowed::AsShipped => Self::default(),
            Allowed::AnyRate => Self::builder().connections(2_000).rate(f64::INFINITY).build(),
        }
    }
}

/// What a process hosts a gateway or a server with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hosting {
    folder: PathBuf,
    allowed: Allowed,
}

/// Where it listens.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Addresses {
    /// MQTT.
    pub mqtt: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
    /// CoAP, of a gateway.
    pub coap: Option<SocketAddr>,
    /// The management API.
    pub management: SocketAddr,
}

/// A process that hosts a gateway or a server; it is ended when dropped.
#[derive(Debug)]
pub struct Hosted {
    process: Apart,
    /// Where it listens.
    pub at: Addresses,
}

impl Hosted {
    /// Starts a gateway with its data in `folder`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn gateway(folder: &Path, allowed: Allowed) -> Result<Self> {
        Self::start(&Task::Gateway(Hosting { folder: folder.to_owned(), allowed }))
    }

    /// Starts a server with its data in `folder`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn server(folder: &Path, allowed: Allowed) -> Result<Self> {
        Self::start(&Task::Server(Hosting { folder: folder.to_owned(), allowed }))
    }

    fn start(task: &Task) -> Result<Self> {
        let mut process = Apart::start(task)?;
        let at = process.told()?;
        Ok(Self { process, at })
    }

    /// A client of the gateway's management API.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn gateway_client(&self) -> Result<GatewayClient> {
        Ok(GatewayClient::new(format!("http://{}", self.at.management), Secret::new(ADMIN))?)
    }

    /// A client of the server's management API.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn server_client(&self) -> Result<ServerClient> {
        Ok(ServerClient::new(format!("http://{}", self.at.management), Secret::new(ADMIN))?)
    }

    /// The memory that its process takes.
    ///
    /// # Errors
    /// As [`resident::read_of`].
    pub fn resident(&self) -> Result<Resident> {
        resident::read_of(self.process.id())
    }

    /// How many files and connections its process has open.
    ///
    /// # Errors
    /// Where there is no `/proc/PID/fd` as Linux has it.
    pub fn open_files(&self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.process.id());
        let files = fs::read_dir(path).map_err(|error| format!("cannot count open files: {error}"))?;
        Ok(files.count())
    }
}

/// Hosts a gateway until this process is asked to end.
pub(crate) async fn gateway(Hosting { folder, allowed }: Hosting) -> Result<()> {
    let config = GatewayConfig::builder().data_dir(folder).admin_token(Secret::new(ADMIN));
    let gateway = Gateway::start(config.limits(allowed).build()).await?;
    tell(&Addresses {
        mqtt: gateway.mqtt_address(),
        http: gateway.http_address(),
        coap: Some(gateway.coap_address()),
        management: gateway.management_address(),
    })?;
    until_ended().await?;
    gateway.stop().await;
    Ok(())
}

/// Hosts a server until this process is asked to end.
pub(crate) async fn server(Hosting { folder, allowed }: Hosting) -> Result<()> {
    let config = ServerConfig::builder().data_dir(folder).admin_token(Secret::new(ADMIN));
    let server = Server::start(config.limits(allowed).build()).await?;
    tell(&Addresses {
        mqtt: server.mqtt_address(),
        http: server.http_address(),
        coap: None,
        management: server.management_address(),
    })?;
    until_ended().await?;
    server.stop().await;
    Ok(())
}
