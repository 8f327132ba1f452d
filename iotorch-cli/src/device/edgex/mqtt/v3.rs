//! MQTT 3.1.1.

use async_trait::async_trait;
use iotorch_core::Result;
use iotorch_lite::device::Qos;
use rumqttc_v4::{
    AsyncClient, ClientError, ConnectReturnCode, ConnectionError, Event, MqttOptions, Outgoing, Packet,
    PublishOptions, QoS, Transport,
};

use super::{
    super::{Login, trust::trusting, unreachable},
    Connection, IN_FLIGHT, KEEP_ALIVE_SECONDS, Publisher, QUEUE, Unconnected, client_id, no_topic, refused,
    undelayed, unmade,
};

pub(super) async fn connect(login: &Login) -> Result<(Box<dyn Publisher>, Connection), Unconnected> {
    let Login { address, name, credential, trust, .. } = login;
    let mut options = MqttOptions::new(client_id(name), (address.host.as_str(), address.port));
    if let Some((user, password)) = credential {
        options.set_credentials(user.as_str(), password.expose().to_owned());
    }
    options.set_keep_alive(KEEP_ALIVE_SECONDS).set_inflight(IN_FLIGHT);
    if address.tls {
        let config = trusting(trust.as_deref()).map_err(Unconnected::Because)?;
        options.set_transport(Transport::tls_with_config(config.into()));
    }
    let (client, mut events) = AsyncClient::builder(options)
        .capacity(QUEUE)
        .try_build()
        .map_err(|error| Unconnected::Because(unmade(error)))?;
    events.set_network_options(undelayed());
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => break,
            Ok(_) => {}
            Err(error) => return Err(unconnected(error)),
        }
    }
    let connection = Connection::start(async move {
        loop {
            match events.poll().await {
                Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "the connection ended");
                    return;
                }
            }
        }
    });
    Ok((Box::new(client), connection))
}

fn unconnected(error: ConnectionError) -> Unconnected {
    use ConnectReturnCode::{BadUserNamePassword, NotAuthorized, RefusedProtocolVersion};
    match error {
        ConnectionError::ConnectionRefused(code @ (BadUserNamePassword | NotAuthorized)) => {
            Unconnected::Because(refused(code))
        }
        ConnectionError::ConnectionRefused(RefusedProtocolVersion) => Unconnected::Version,
        other => Unconnected::Because(unreachable(other)),
    }
}

#[async_trait]
impl Publisher for AsyncClient {
    async fn publish(&self, topic: String, payload: Vec<u8>, qos: Qos) -> Result<()> {
        let qos = if qos == Qos::AtMostOnce { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let published = self.publish_tracked(topic, payload, PublishOptions::new(qos)).await;
        let published = published.map_err(|error| match error {
            ClientError::InvalidRequest(_) => no_topic(),
            _ => unreachable("the connection was lost"),
        })?;
        published.wait_completion_async().await.map(drop).map_err(unreachable)
    }

    async fn disconnect(&self) -> bool {
        Self::disconnect(self).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use iotorch_core::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn a_name_that_is_no_topic_is_told_to_be_wrong_and_breaks_no_connection() {
        let options = MqttOptions::new("bench-1", ("127.0.0.1", 1883));
        let (client, _events) = AsyncClient::builder(options).capacity(1).build();
        let sent =
            Publisher::publish(&client, "incoming/data/bench-1/a#".into(), Vec::new(), Qos::AtMostOnce);
        assert_eq!(sent.await.unwrap_err().kind(), ErrorKind::Invalid);
    }
}
