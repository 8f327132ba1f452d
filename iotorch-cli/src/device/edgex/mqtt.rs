//! Over MQTT: to the broker that device-mqtt reads, in version 5 or, where the broker refuses that, 3.1.1.

mod v3;
mod v5;

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use iotorch_core::{Error, ErrorKind, Result};
use iotorch_lite::device::{Answer, Qos};
use rumqttc::NetworkOptions;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Login, PATIENCE, no_answer};

const KEEP_ALIVE_SECONDS: u16 = 20;

/// The messages that may wait for their acknowledgement at once.
const IN_FLIGHT: u16 = 100;

/// How many messages may wait to be written. Past it sending waits.
const QUEUE: usize = 100;

/// A connection to the broker.
#[derive(Debug)]
pub(crate) struct MqttLink {
    client: Box<dyn Publisher>,
    path: String,
    qos: Qos,
    connection: Connection,
}

/// A client of one version of MQTT.
#[async_trait]
trait Publisher: std::fmt::Debug + Send + Sync {
    /// Publishes, and waits for what the version and the quality of service promise.
    async fn publish(&self, topic: String, payload: Vec<u8>, qos: Qos) -> Result<()>;

    /// Says good-bye; whether it could be said.
    async fn disconnect(&self) -> bool;
}

/// The task that reads and writes; it ends with the connection.
#[derive(Debug)]
struct Connection {
    task: JoinHandle<()>,
    ended: CancellationToken,
}

impl Connection {
    fn start(driving: impl Future<Output = ()> + Send + 'static) -> Self {
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let task = tokio::spawn(async move {
            let _guard = guard;
            driving.await;
        });
        Self { task, ended }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Packets leave at once, and do not wait until the ones before them are acknowledged.
fn undelayed() -> NetworkOptions {
    let mut options = NetworkOptions::new();
    options.set_tcp_nodelay(true);
    options
}

/// Why there is no connection.
enum Unconnected {
    /// The broker speaks another version.
    Version,
    /// Anything else.
    Because(Error),
}

impl MqttLink {
    pub(super) async fn connect(login: &Login, qos: Qos) -> Result<Self> {
        let connecting = async {
            match v5::connect(login).await {
                Err(Unconnected::Version) => v3::connect(login).await,
                connected => connected,
            }
        };
        let connected = timeout(PATIENCE, connecting).await.map_err(|_| no_answer())?;
        let (client, connection) = connected.map_err(|failure| match failure {
            Unconnected::Version => {
                Error::new(ErrorKind::Unsupported, "the broker speaks neither MQTT 5 nor MQTT 3.1.1")
            }
            Unconnected::Because(error) => error,
        })?;
        Ok(Self { client, path: login.path.clone(), qos, connection })
    }

    pub(super) async fn send(&self, resource: &str, value: &Value) -> Result<Answer> {
        let topic = format!("{}/{resource}", self.path);
        let payload = json!({ resource: value }).to_string().into_bytes();
        let published = self.client.publish(topic, payload, self.qos);
        timeout(PATIENCE, published).await.map_err(|_| no_answer())??;
        Ok(match self.qos {
            Qos::AtMostOnce => Answer::Sent,
            _ => Answer::Acknowledged,
        })
    }

    pub(super) async fn close(&self) {
        let ended = async {
            if self.client.disconnect().await {
                self.connection.ended.cancelled().await;
            }
        };
        // Late or not, the connection is over.
        let _ = timeout(PATIENCE, ended).await;
    }
}

/// One that no other connection has: a second one with the same would end the first.
fn client_id(name: &str) -> String {
    static LINKS: AtomicU64 = AtomicU64::new(0);
    format!("{name}:{}-{}", std::process::id(), LINKS.fetch_add(1, Ordering::Relaxed))
}

fn refused(why: impl std::fmt::Debug) -> Error {
    Error::new(ErrorKind::Denied, "the gateway refuses the login").with_source(format!("{why:?}"))
}

fn no_topic() -> Error {
    Error::new(ErrorKind::Invalid, "a resource of that name has no topic that can be published to")
}

fn unmade(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Unexpected, "cannot make an MQTT client").with_source(error)
}
