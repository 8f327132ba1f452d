//! This side as a client of MQTT brokers, in the versions that they speak.

pub(crate) mod v3;
mod v5;

use crate::{Result, tls};
use async_trait::async_trait;
use futures::future::BoxFuture;
use rumqttc::NetworkOptions;
use rustls::ClientConfig;
use std::path::Path;

/// The packs that a client keeps room for: one is on its way at a time, and room for all that MQTT can number takes 16 MB.
const IN_FLIGHT: u16 = 8;

const KEEP_ALIVE_SECONDS: u16 = 20;

/// The largest packet of MQTT. What is read is judged by its own limits; a client that refused it would lose its connection.
const LARGEST_PACKET: usize = 268_435_455;

/// A broker, and how to log in there.
#[derive(Debug)]
pub(crate) struct Broker<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) tls: Option<ClientConfig>,
    pub(crate) login: Option<(&'a str, &'a str)>,
    pub(crate) client_id: String,
}

/// What the certificate of a broker that speaks TLS is checked by. It is read for each connection, so that a renewed authority
/// counts from then on.
pub(crate) fn trusting(tls: bool, trust: Option<&Path>) -> Result<Option<ClientConfig>> {
    tls.then(|| tls::trusting(trust)).transpose()
}

/// Packets leave at once. One that waited until the one before it is acknowledged would wait for as long as the other side puts off
/// acknowledgements, 40 ms on Linux.
pub(crate) fn undelayed() -> NetworkOptions {
    let mut options = NetworkOptions::new();
    options.set_tcp_nodelay(true);
    options
}

/// A version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V5,
    /// 3.1.1
    V3,
}

impl Version {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::V5 => Self::V3,
            Self::V3 => Self::V5,
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct Unconnected {
    pub(crate) reason: String,
    /// Whether the other version of MQTT may be what the broker asks for: many say nothing and close the connection.
    pub(crate) version: bool,
}

impl Unconnected {
    fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), version: false }
    }
}

/// Why something was not published.
#[derive(Debug)]
pub(crate) enum Unpublished {
    /// It is larger than the broker takes, as it said at the login. It was not sent.
    TooLarge,
    Failed(String),
}

/// What publishes at a broker that is logged in at.
#[async_trait]
pub(crate) trait Publisher: Send + Sync {
    /// Publishes at QoS 1 and returns when the broker has acknowledged it, or says why it has not.
    async fn publish(&self, topic: &str, payload: Vec<u8>) -> Result<(), Unpublished>;
}

/// A publisher, and what keeps its connection alive until it breaks, and then says why.
pub(crate) type Link = (Box<dyn Publisher>, BoxFuture<'static, String>);

/// Logs in at a broker, without a session that outlasts the connection.
pub(crate) async fn connect(version: Version, broker: Broker<'_>) -> Result<Link, Unconnected> {
    match version {
        Version::V5 => v5::connect(broker).await,
        Version::V3 => v3::connect(broker).await,
    }
}

fn unreachable(host: &str, port: u16, error: &impl std::fmt::Display) -> String {
    format!("no connection to {host}:{port}: {error}")
}
