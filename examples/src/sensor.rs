//! A device that speaks MQTT.

use std::error::Error;

use iotorch_core::{
    resource::Outputs,
    secret::SecretStore,
    status::{ResourceStatus, SliceStatus},
};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, PublishOptions};
use tokio::task::JoinHandle;

/// A device of a slice, logged in at its gateway until this is dropped.
#[derive(Debug)]
pub struct Sensor {
    client: AsyncClient,
    topic: String,
    connection: JoinHandle<()>,
}

impl Sensor {
    /// Logs in as the device `name`, with the newest credential that it has.
    ///
    /// # Errors
    /// When there is no such device, or its gateway refuses it or cannot be reached.
    pub async fn connect(
        status: &SliceStatus,
        name: &str,
        secrets: &dyn SecretStore,
    ) -> Result<Self, Box<dyn Error>> {
        let device = status.resources.iter().find_map(|resource| match &resource.outputs {
            Some(Outputs::Device(device)) if device.name == name => Some((resource, device)),
            _ => None,
        });
        let (resource, device) = device.ok_or("the slice has no such device")?;
        let is_of_device = |other: &&ResourceStatus| other.id.host().as_ref() == Some(&resource.id);
        let credentials =
            status.resources.iter().filter(is_of_device).filter_map(|other| match &other.outputs {
                Some(Outputs::Credential(credential)) => Some(credential),
                _ => None,
            });
        let newest = credentials.max_by_key(|credential| credential.secret.version());
        let newest = newest.ok_or("the device has no credential")?;
        let password = secrets.fetch(&newest.secret).await?;
        let address = device.endpoint.as_ref().ok_or("its gateway does not listen")?.to_string();
        let topic = device.path.clone().ok_or("its gateway names no topic")?;

        let (host, port) = address.rsplit_once(':').ok_or("an address has a host and a port")?;
        let mut options = MqttOptions::new(name, (host, port.parse::<u16>()?));
        options.set_credentials(newest.user_name.as_str(), password.expose().to_owned());
        let (client, mut events) = AsyncClient::builder(options).capacity(8).try_build()?;
        while !matches!(events.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}
        let connection = tokio::spawn(async move { while events.poll().await.is_ok() {} });
        Ok(Self { client, topic, connection })
    }

    /// Sends a reading, and waits until the gateway has it on disk.
    ///
    /// # Errors
    /// When the connection broke before.
    pub async fn send(&self, resource: &str, value: f64) -> Result<(), Box<dyn Error>> {
        let topic = format!("{}/{resource}", self.topic);
        let options = PublishOptions::at_least_once();
        let sent = self.client.publish_tracked(topic, value.to_string(), options).await?;
        sent.wait_completion_async().await?;
        Ok(())
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
