//! MQTT 5.

use super::{Broker, IN_FLIGHT, KEEP_ALIVE_SECONDS, Link, Publisher, Unconnected, undelayed, unreachable};
use async_trait::async_trait;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, MqttOptions, Packet, PublishOptions, Transport,
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
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => break,
            Ok(_) => {}
            Err(error) => return Err(unconnected(host, port, &error)),
        }
    }
    let host = host.to_owned();
    let driving = async move {
        loop {
            if let Err(error) = events.poll().await {
                return describe(&host, port, &error);
            }
        }
    };
    Ok((Box::new(client), Box::pin(driving)))
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

#[async_trait]
impl Publisher for AsyncClient {
    async fn publish(&self, topic: &str, payload: Vec<u8>) -> Result<(), String> {
        let notice = self
            .publish_tracked(topic, payload, PublishOptions::at_least_once())
            .await
            .map_err(|error| error.to_string())?;
        notice.wait_completion_async().await.map_err(|error| format!("the target refused readings: {error}"))
    }
}
