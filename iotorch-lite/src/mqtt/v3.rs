//! MQTT 3.1.1.

use super::{
    Broker, IN_FLIGHT, KEEP_ALIVE_SECONDS, LARGEST_PACKET, Link, Publisher, Unconnected, Unpublished,
    undelayed, unreachable,
};
use async_trait::async_trait;
use rumqttc_v4::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, MqttOptions, Packet, PublishOptions, StateError,
    Transport,
};

/// How to log in at a broker.
pub(crate) fn options(broker: Broker<'_>) -> MqttOptions {
    let Broker { host, port, tls, login, client_id } = broker;
    let mut options = MqttOptions::new(client_id, (host, port));
    if let Some((user, password)) = login {
        options.set_credentials(user, password.to_owned());
    }
    options.set_keep_alive(KEEP_ALIVE_SECONDS).set_max_packet_size(LARGEST_PACKET, LARGEST_PACKET);
    if let Some(tls) = tls {
        options.set_transport(Transport::tls_with_config(tls.into()));
    }
    options
}

pub(super) async fn connect(broker: Broker<'_>) -> Result<Link, Unconnected> {
    let (host, port) = (broker.host.to_owned(), broker.port);
    let mut options = options(broker);
    options.set_inflight(IN_FLIGHT);
    let (client, mut events) = AsyncClient::builder(options)
        .capacity(1)
        .try_build()
        .map_err(|error| Unconnected::because(error.to_string()))?;
    events.set_network_options(undelayed());
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => break,
            Ok(_) => {}
            Err(error) => return Err(unconnected(&host, port, &error)),
        }
    }
    let driving = async move {
        loop {
            if let Err(error) = events.poll().await {
                return broken(&host, port, &error);
            }
        }
    };
    Ok((Box::new(client), Box::pin(driving)))
}

/// Why a login failed.
pub(crate) fn unconnected(host: &str, port: u16, error: &ConnectionError) -> Unconnected {
    let reason = match error {
        ConnectionError::ConnectionRefused(code) => format!("the target refused the login: {code:?}"),
        // Mainflux and SuperMQ give no reason.
        ConnectionError::MqttState(StateError::ConnectionAborted | StateError::Io(_)) => format!(
            "{host}:{port} closed the connection without an answer: the server refused the credentials or is away"
        ),
        other => unreachable(host, port, other),
    };
    let version = matches!(
        error,
        ConnectionError::ConnectionRefused(ConnectReturnCode::RefusedProtocolVersion)
            | ConnectionError::MqttState(_)
            | ConnectionError::NotConnAck(_)
    );
    Unconnected { reason, version }
}

/// Why a connection broke.
pub(crate) fn broken(host: &str, port: u16, error: &ConnectionError) -> String {
    unreachable(host, port, error)
}

#[async_trait]
impl Publisher for AsyncClient {
    async fn publish(&self, topic: &str, payload: Vec<u8>) -> Result<(), Unpublished> {
        let notice = self
            .publish_tracked(topic, payload, PublishOptions::at_least_once())
            .await
            .map_err(|error| Unpublished::Failed(error.to_string()))?;
        let taken = notice.wait_completion_async().await;
        taken.map_err(|error| Unpublished::Failed(format!("the target refused readings: {error}")))
    }
}
