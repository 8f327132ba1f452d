//! A slice of `lite` that runs: being its device, and reading what its server has stored.

use std::time::Duration;

use iotorch_core::{
    Error, ErrorKind, Places, Route,
    resource::{Endpoint, KindName, Outputs, Role, Spec},
    secret::{SecretRef, SecretStore},
    status::SliceStatus,
};
use iotorch_lite::{
    Secret,
    api::MessageQuery,
    client::ServerClient,
    device::{Answer, Link, Login, Message, Qos},
};

use crate::Result;

/// How long to wait before a server is asked again.
const PAUSE: Duration = Duration::from_millis(2);

/// A slice that runs, with a device, and the ways to it.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a store of secrets shows none")]
pub struct Running<'a> {
    /// How it is.
    pub status: &'a SliceStatus,
    /// The secrets of its device and of its tenant.
    pub secrets: &'a dyn SecretStore,
    /// The places that it is on.
    pub places: &'a Places,
}

impl Running<'_> {
    /// Sends a reading as the device does, and waits until the server has stored it.
    ///
    /// # Errors
    /// When the slice has no device, gateway or server, or one of them refuses.
    pub async fn first_reading(self, payload: &str) -> Result<()> {
        let (device, server) = futures::try_join!(self.device(), self.server())?;
        futures::try_join!(device.send(payload), server.await_reading())?;
        Ok(())
    }

    fn outputs<T>(&self, pick: impl Fn(&Outputs) -> Option<T>) -> Result<T> {
        let outputs = self.status.resources.iter().filter_map(|resource| resource.outputs.as_ref());
        Ok(outputs.into_iter().find_map(pick).ok_or("cannot find what a slice is made of")?)
    }

    async fn secret(&self, secret: &SecretRef) -> Result<Secret> {
        Ok(Secret::new(self.secrets.fetch(secret).await?.expose()))
    }

    async fn device(&self) -> Result<Device> {
        let there = self.outputs(|outputs| match outputs {
            Outputs::Device(device) => Some(device.clone()),
            _ => None,
        })?;
        let protocol = self.status.resources.iter().find_map(|resource| match &resource.spec {
            Some(Spec::Device(device)) => Some(device.protocol),
            _ => None,
        });
        let credential = self.outputs(|outputs| match outputs {
            Outputs::Credential(credential) if credential.user_name == there.name => Some(credential.clone()),
            _ => None,
        })?;
        let endpoint = there.endpoint.ok_or("cannot find the device's gateway")?;
        let route = self.places.open(&endpoint).await?;
        let login = Login::builder()
            .protocol(protocol.unwrap_or_default())
            .address(route.address().clone())
            .path(there.path.unwrap_or_default())
            .user(credential.user_name)
            .password(self.secret(&credential.secret).await?)
            .build();
        Ok(Device { login, _route: route })
    }

    async fn server(&self) -> Result<Server> {
        let management =
            self.status.resources.iter().find_map(|resource| match (&resource.spec, &resource.outputs) {
                (Some(Spec::Application(spec)), Some(Outputs::Application(application)))
                    if spec.role == Role::Server && resource.id.kind() == KindName::Application =>
                {
                    application.endpoints.get("management").cloned()
                }
                _ => None,
            });
        let management: Endpoint = management.ok_or("cannot find the server")?;
        let tenant = self.outputs(|outputs| match outputs {
            Outputs::Tenant(tenant) => Some(tenant.clone()),
            _ => None,
        })?;
        let channel = self.outputs(|outputs| match outputs {
            Outputs::Attachment(attachment) => Some(attachment.channel.clone()),
            _ => None,
        })?;
        let route = self.places.open(&management).await?;
        let token = self.secret(&tenant.secret).await?;
        let client = ServerClient::new(format!("http://{}", route.address()), token)?;
        Ok(Server { client, tenant: tenant.id, channel, _route: route })
    }
}

/// How to be the device.
struct Device {
    login: Login,
    _route: Route,
}

impl Device {
    /// The way to a new gateway may be a moment behind the gateway itself.
    async fn send(&self, payload: &str) -> Result<()> {
        loop {
            match self.try_to_send(payload).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => tokio::time::sleep(PAUSE).await,
                sent => return Ok(sent?),
            }
        }
    }

    async fn try_to_send(&self, payload: &str) -> iotorch_core::Result<()> {
        let link = Link::connect(&self.login, Qos::AtLeastOnce).await?;
        match link.send(&Message::new(payload)).await? {
            Answer::Accepted => Ok(()),
            other => Err(Error::new(ErrorKind::Invalid, format!("the gateway answers {other:?}"))),
        }
    }
}

/// How to read what the server has stored.
struct Server {
    client: ServerClient,
    tenant: String,
    channel: String,
    _route: Route,
}

impl Server {
    async fn await_reading(&self) -> Result<()> {
        let query = MessageQuery { limit: Some(1), ..MessageQuery::default() };
        while self.client.messages(&self.tenant, &self.channel, &query).await?.messages.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}
