//! A device that speaks MQTT 5.

use super::{
    Answer, Login, Message, PATIENCE, Qos,
    failure::{no_answer, refused_login, too_fast, too_large, unreachable},
};
use crate::mqtt::undelayed;
use iotorch_core::{Error, ErrorKind, Result};
use rumqttc::{
    AsyncClient, ClientError, ConnAck, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions,
    Packet, PubAckReason, Publish, PublishNoticeError, PublishOptions, QoS, Transport,
};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

const KEEP_ALIVE_SECONDS: u16 = 20;

/// The messages that may wait for their acknowledgement at once. The client keeps room for each of them, and a process can be
/// many devices.
const IN_FLIGHT: u16 = 100;

/// How many messages may wait to be written. Past it sending waits.
const QUEUE: usize = 100;

#[derive(Debug)]
pub(super) struct MqttLink {
    client: AsyncClient,
    topic: String,
    qos: Qos,
    /// The largest packet that the gateway takes, in bytes, if it says so.
    largest: Option<usize>,
    connection: Connection,
}

/// The task that reads and writes; it ends with the connection.
#[derive(Debug)]
struct Connection {
    task: JoinHandle<()>,
    ended: CancellationToken,
}

impl Connection {
    fn start(events: EventLoop) -> Self {
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let task = tokio::spawn(async move {
            let _guard = guard;
            drive(events).await;
        });
        Self { task, ended }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl MqttLink {
    pub(super) async fn connect(login: &Login, qos: Qos) -> Result<Self> {
        let Login { address, path, user, password, .. } = login;
        let mut options = MqttOptions::new(client_id(user), (address.host.as_str(), address.port));
        options.set_credentials(user.as_str(), password.expose().to_owned());
        options.set_keep_alive(KEEP_ALIVE_SECONDS).set_connect_timeout(PATIENCE);
        options.set_outgoing_inflight_upper_limit(IN_FLIGHT);
        options.set_network_options(undelayed());
        if address.tls {
            options.set_transport(Transport::tls_with_config(login.tls()?.into()));
        }
        let client = AsyncClient::builder(options).capacity(QUEUE).try_build();
        let (client, mut events) = client.map_err(|error| {
            Error::new(ErrorKind::Unexpected, "cannot make an MQTT client").with_source(error)
        })?;
        let accepted = logged_in(&mut events).await?;
        let largest = accepted.properties.and_then(|said| usize::try_from(said.max_packet_size?).ok());
        let connection = Connection::start(events);
        Ok(Self { client, topic: path.clone(), qos, largest, connection })
    }

    pub(super) async fn send(&self, message: &Message) -> Result<Answer> {
        let (qos, answer) = match self.qos {
            Qos::AtMostOnce => (QoS::AtMostOnce, Answer::Sent),
            Qos::AtLeastOnce => (QoS::AtLeastOnce, Answer::Acknowledged),
        };
        let mut packet = Publish::new(&self.topic, qos, message.payload().to_vec(), None);
        // Any number makes it as long as it is when it leaves.
        packet.pkid = 1;
        if self.largest.is_some_and(|largest| packet.size() > largest) {
            // The gateway would end the connection.
            return Err(too_large());
        }
        let publish = async {
            let options = PublishOptions::new(qos);
            let published = self.client.publish_tracked(&self.topic, packet.payload, options).await;
            published.map_err(not_sent)?.wait_completion_async().await.map_err(not_taken)
        };
        timeout(PATIENCE, publish).await.map_err(|_| no_answer())??;
        Ok(answer)
    }

    pub(super) async fn close(&self) {
        let ended = async {
            if self.client.disconnect().await.is_ok() {
                self.connection.ended.cancelled().await;
            }
        };
        // Late or not, the connection is over.
        let _ = timeout(PATIENCE, ended).await;
    }
}

/// One that no other connection has: a second one with the same would end the first.
fn client_id(user: &str) -> String {
    static LINKS: AtomicU64 = AtomicU64::new(0);
    format!("{user}:{}-{}", std::process::id(), LINKS.fetch_add(1, Ordering::Relaxed))
}

async fn logged_in(events: &mut EventLoop) -> Result<ConnAck> {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(accepted))) => return Ok(accepted),
            Ok(_) => {}
            Err(ConnectionError::ConnectionRefused(
                code @ (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized),
            )) => return Err(refused_login(format!("{code:?}"))),
            Err(ConnectionError::Timeout(_)) => return Err(no_answer()),
            Err(error) => return Err(unreachable(error)),
        }
    }
}

async fn drive(mut events: EventLoop) {
    loop {
        match events.poll().await {
            Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "the connection ended");
                return;
            }
        }
    }
}

fn not_sent(error: ClientError) -> Error {
    match error {
        ClientError::InvalidRequest(_) => {
            Error::new(ErrorKind::Invalid, "the path is no topic that can be published to")
        }
        _ => unreachable("the connection was lost"),
    }
}

fn not_taken(error: PublishNoticeError) -> Error {
    match error {
        PublishNoticeError::V5PubAck(PubAckReason::NotAuthorized) => {
            Error::new(ErrorKind::Denied, "the gateway does not let this device publish there")
        }
        PublishNoticeError::V5PubAck(PubAckReason::QuotaExceeded) => too_fast("quota exceeded", None),
        PublishNoticeError::V5PubAck(reason) => {
            Error::new(ErrorKind::Invalid, format!("the gateway refuses the message: {reason:?}"))
        }
        PublishNoticeError::Recv | PublishNoticeError::SessionReset | PublishNoticeError::Qos0NotFlushed => {
            unreachable("the connection was lost")
        }
        other => Error::new(ErrorKind::Unexpected, "cannot publish").with_source(other),
    }
}
