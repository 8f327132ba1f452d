//! The stored readings of a slice.

use std::{error::Error, time::Duration};

use iotorch_core::{
    resource::{KindName, Outputs, ResourceId},
    secret::SecretStore,
    status::SliceStatus,
};
use iotorch_lite::{Secret, api::MessageQuery, client::ServerClient, senml::Record};

/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// How long readings may take from a gateway to a server on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a slice's gateway sends to its server, seen by somebody who has the slice's token.
#[derive(Debug)]
pub struct Channel {
    server: ServerClient,
    tenant: String,
    name: String,
}

impl Channel {
    /// The channel of a slice that has one gateway and one server.
    ///
    /// # Errors
    /// When the slice has no gateway that is attached to a server.
    pub async fn of(status: &SliceStatus, secrets: &dyn SecretStore) -> Result<Self, Box<dyn Error>> {
        let is_attachment = |id: &&ResourceId| id.kind() == KindName::Attachment;
        let attachment = status.resources.iter().map(|resource| &resource.id).find(is_attachment);
        let attachment = attachment.ok_or("no gateway of the slice is attached to a server")?;
        // An attachment lives in a tenant, and that in a server: each says what its own part of the way is.
        let told = |kind| {
            let id =
                [attachment.clone()].into_iter().chain(attachment.hosts()).find(|id| id.kind() == kind)?;
            status.resources.iter().find(|resource| resource.id == id)?.outputs.as_ref()
        };
        let (
            Some(Outputs::Application(server)),
            Some(Outputs::Tenant(tenant)),
            Some(Outputs::Attachment(attached)),
        ) = (told(KindName::Application), told(KindName::Tenant), told(KindName::Attachment))
        else {
            return Err("the server is not ready".into());
        };
        let address = server.endpoints.get("management").ok_or("the server cannot be read")?;
        let token = secrets.fetch(&tenant.secret).await?;
        Ok(Self {
            server: ServerClient::new(format!("http://{address}"), Secret::new(token.expose()))?,
            tenant: tenant.id.clone(),
            name: attached.channel.clone(),
        })
    }

    /// The newest readings, the newest first, as soon as there are so many (at most 1000).
    ///
    /// # Errors
    /// When the server cannot be read, or there are not so many within half a minute.
    pub async fn newest(&self, count: usize) -> Result<Vec<Record>, Box<dyn Error>> {
        let query = MessageQuery { limit: Some(count), ..MessageQuery::default() };
        let all_there = async {
            loop {
                let page = self.server.messages(&self.tenant, &self.name, &query).await?;
                if page.messages.len() >= count {
                    return Ok::<_, Box<dyn Error>>(page.messages);
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(PATIENCE, all_there).await?
    }

    /// How many readings are stored.
    ///
    /// # Errors
    /// When the server cannot be read.
    pub async fn count(&self) -> Result<u64, Box<dyn Error>> {
        Ok(self.server.stats(&self.tenant, &self.name).await?.count)
    }
}
