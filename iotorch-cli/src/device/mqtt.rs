//! A device that speaks MQTT 5.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use iotorch_core::{Error, ErrorKind, Result, resource::NetAddress, secret::SecretValue};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, PubAckReason,
    PublishNoticeError, PublishOptions, Transport,
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Answer, Device, Link, Message, PATIENCE, Qos, no_answer, refused_login, tls, too_fast, unreachable,
};

const KEEP_ALIVE_SECONDS: u16 = 20;

/// How many messages may wait to be written. Past it sending waits.
const QUEUE: usize = 100;

pub(super) struct MqttLink {
    client: AsyncClient,
    topic: String,
    qos: Qos,
    connection: Connection,
}

/// The task that reads and writes; it ends with the connection.
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
    pub(super) async fn connect(
        device: &Device,
        address: &NetAddress,
        password: &SecretValue,
        qos: Qos,
    ) -> Result<Self> {
        let mut options = MqttOptions::new(client_id(&device.user), (address.host.as_str(), address.port));
        options.set_credentials(device.user.as_str(), password.expose().to_owned());
        options.set_keep_alive(KEEP_ALIVE_SECONDS);
        if address.tls {
            options.set_transport(Transport::tls_with_config(tls(device)?.into()));
        }
        let (client, mut events) =
            AsyncClient::builder(options).capacity(QUEUE).try_build().map_err(|error| {
                Error::new(ErrorKind::Unexpected, "cannot make an MQTT client").with_source(error)
            })?;
        timeout(PATIENCE, connected(&mut events)).await.map_err(|_| no_answer())??;
        let connection = Connection::start(events);
        Ok(Self { client, topic: device.path.clone(), qos, connection })
    }
}

/// One that no other connection has: a second one with the same would end the first.
fn client_id(user: &str) -> String {
    static LINKS: AtomicU64 = AtomicU64::new(0);
    format!("{user}:{}-{}", std::process::id(), LINKS.fetch_add(1, Ordering::Relaxed))
}

async fn connected(events: &mut EventLoop) -> Result<()> {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => return Ok(()),
            Ok(_) => {}
            Err(ConnectionError::ConnectionRefused(
                code @ (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized),
            )) => return Err(refused_login(format!("{code:?}"))),
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

#[async_trait]
impl Link for MqttLink {
    async fn send(&self, message: &Message) -> Result<Answer> {
        let (options, answer) = match self.qos {
            Qos::AtMostOnce => (PublishOptions::at_most_once(), Answer::Sent),
            Qos::AtLeastOnce => (PublishOptions::at_least_once(), Answer::Acknowledged),
        };
        let publish = async {
            let notice = self
                .client
                .publish_tracked(&self.topic, message.payload.clone(), options)
                .await
                .map_err(|_| unreachable("the connection was lost"))?;
            notice.wait_completion_async().await.map_err(not_taken)
        };
        timeout(PATIENCE, publish).await.map_err(|_| no_answer())??;
        Ok(answer)
    }

    async fn close(&self) {
        if self.client.disconnect().await.is_ok() {
            // Late or not, the connection is over.
            let _ = timeout(PATIENCE, self.connection.ended.cancelled()).await;
        }
    }
}

fn not_taken(error: PublishNoticeError) -> Error {
    match error {
        PublishNoticeError::V5PubAck(PubAckReason::NotAuthorized) => {
            Error::new(ErrorKind::Denied, "the gateway does not let this device publish there")
        }
        PublishNoticeError::V5PubAck(PubAckReason::QuotaExceeded) => too_fast("quota exceeded"),
        PublishNoticeError::V5PubAck(reason) => {
            Error::new(ErrorKind::Invalid, format!("the gateway refuses the message: {reason:?}"))
        }
        PublishNoticeError::Recv | PublishNoticeError::SessionReset | PublishNoticeError::Qos0NotFlushed => {
            unreachable("the connection was lost")
        }
        other => Error::new(ErrorKind::Unexpected, "cannot publish").with_source(other),
    }
}
