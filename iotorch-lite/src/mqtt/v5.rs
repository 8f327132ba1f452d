//! MQTT 5.

use super::{
    Broker, IN_FLIGHT, KEEP_ALIVE_SECONDS, Link, Publisher, Unconnected, Unpublished, undelayed, unreachable,
};
use async_trait::async_trait;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, MqttOptions, Packet, Publish, PublishOptions,
    QoS, Transport,
};

pub(super) async fn connect(broker: Broker<'_>) -> Result<Link, Unconnected> {
    let Broker { host, port, tls, login, client_id } = broker;
    let mut options = MqttOptions::new(client_id, (host, port));
    if let Some((user, password)) = login {
        options.set_credentials(user, password.to_owned());
    }
    options.set_keep_alive(KEEP_ALIVE_SECONDS).set_outgoing_inflight_upper_limit(IN_FLIGHT);
    options.set_network_options(undelayed());
    if let Some(tls) = tls {
        options.set_transport(Transport::tls_with_config(tls.into()));
    }
    let (client, mut events) = AsyncClient::builder(options)
        .capacity(1)
        .try_build()
        .map_err(|error| Unconnected::because(error.to_string()))?;
    let accepted = loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(accepted))) => break accepted,
            Ok(_) => {}
            Err(error) => return Err(unconnected(host, port, &error)),
        }
    };
    let largest = accepted.properties.and_then(|said| usize::try_from(said.max_packet_size?).ok());
    let host = host.to_owned();
    let driving = async move {
        loop {
            if let Err(error) = events.poll().await {
                return describe(&host, port, &error);
            }
        }
    };
    Ok((Box::new(LoggedIn { client, largest }), Box::pin(driving)))
}

fn unconnected(host: &str, port: u16, error: &ConnectionError) -> Unconnected {
    use ConnectReturnCode::{RefusedProtocolVersion, UnsupportedProtocolVersion};
    let version = matches!(
        error,
        ConnectionError::ConnectionRefused(RefusedProtocolVersion | UnsupportedProtocolVersion)
            // An answer in the words of 3.1.1, another packet, or none.
            | ConnectionError::MqttState(_)
            | ConnectionError::NotConnAck(_)
    );
    Unconnected { reason: describe(host, port, error), version }
}

fn describe(host: &str, port: u16, error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => format!("the target refused the login: {code:?}"),
        other => unreachable(host, port, other),
    }
}

/// A client that the broker has let in.
struct LoggedIn {
    client: AsyncClient,
    /// The bytes of the largest packet that the broker takes, where it has said so.
    largest: Option<usize>,
}

#[async_trait]
impl Publisher for LoggedIn {
    async fn publish(&self, topic: &str, payload: Vec<u8>) -> Result<(), Unpublished> {
        let mut packet = Publish::new(topic, QoS::AtLeastOnce, payload, None);
        // Any number makes it as long as it is when it leaves.
        packet.pkid = 1;
        if self.largest.is_some_and(|largest| packet.size() > largest) {
            return Err(Unpublished::TooLarge);
        }
        let notice = self
            .client
            .publish_tracked(topic, packet.payload, PublishOptions::at_least_once())
            .await
            .map_err(|error| Unpublished::Failed(error.to_string()))?;
        let taken = notice.wait_completion_async().await;
        taken.map_err(|error| Unpublished::Failed(format!("the target refused readings: {error}")))
    }
}
