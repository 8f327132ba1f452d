//! A device that speaks MQTT.

use std::error::Error;

use iotorch_core::{
    resource::{Endpoint, Outputs},
    secret::SecretStore,
    status::{ResourceStatus, SliceStatus},
};
use iotorch_lite::{
    Secret,
    device::{Link, Login, Message, Qos, Reading},
};

/// A device of a slice, logged in at its gateway until this is dropped.
#[derive(Debug)]
pub struct Sensor(Link);

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
        let Some(Endpoint::Net(address)) = device.endpoint.clone() else {
            return Err("its gateway does not listen here".into());
        };
        let login = Login::builder()
            .address(address)
            .path(device.path.clone().ok_or("its gateway names no topic")?)
            .user(newest.user_name.as_str())
            .password(Secret::new(password.expose()))
            .build();
        Ok(Self(Link::connect(&login, Qos::AtLeastOnce).await?))
    }

    /// Sends a reading, and waits until the gateway has it on disk.
    ///
    /// # Errors
    /// When the connection broke before.
    pub async fn send(&self, resource: &str, value: f64) -> Result<(), Box<dyn Error>> {
        self.0.send(&Message::of_readings(&[Reading::new(resource, value)])?).await?;
        Ok(())
    }
}
