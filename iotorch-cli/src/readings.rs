//! What a slice's servers have stored, read over their own API with the slice's own token.

use std::{collections::BTreeMap, sync::Arc};

use iotorch_core::{
    Error, ErrorKind, Result,
    model::{PartName, SliceName},
    resource::{Endpoint, KindName, Outputs, ResourceId, Spec},
    secret::{SecretRef, SecretStore},
    status::{ResourceStatus, SliceStatus},
};
use iotorch_lite::{
    Secret,
    api::{ChannelStats, MessageQuery},
    client::{self, ServerClient},
    senml::Record,
};
use serde::Serialize;

/// The name of the driver whose servers can be read.
const LITE: &str = "lite";

/// The endpoint of a `lite` server that answers readers.
const MANAGEMENT: &str = "management";

/// A stored reading and where it was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    /// The slice.
    pub(crate) slice: SliceName,
    /// The server that stored it.
    pub(crate) server: PartName,
    /// The gateway that sent it.
    pub(crate) gateway: PartName,
    /// What was stored.
    #[serde(flatten)]
    pub(crate) record: Record,
}

/// What a gateway has sent to a server.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    /// The slice.
    pub(crate) slice: SliceName,
    /// The server.
    pub(crate) server: PartName,
    /// The gateway.
    pub(crate) gateway: PartName,
    tenant: String,
    name: String,
    client: ServerClient,
}

impl Channel {
    /// Messages, the newest first.
    pub(crate) async fn messages(&self, query: &MessageQuery) -> Result<Vec<Message>> {
        let page = self.client.messages(&self.tenant, &self.name, query).await;
        let page = page.map_err(|error| self.unreadable(error))?;
        Ok(page.messages.into_iter().map(|record| self.message(record)).collect())
    }

    /// How many there are, and the last of each name.
    pub(crate) async fn stats(&self) -> Result<ChannelStats> {
        self.client.stats(&self.tenant, &self.name).await.map_err(|error| self.unreadable(error))
    }

    /// The last message of each name.
    pub(crate) fn last(&self, stats: &ChannelStats) -> Vec<Message> {
        stats.names.values().map(|name| self.message(name.last.clone())).collect()
    }

    fn message(&self, record: Record) -> Message {
        Message {
            slice: self.slice.clone(),
            server: self.server.clone(),
            gateway: self.gateway.clone(),
            record,
        }
    }

    fn unreadable(&self, error: client::Error) -> Error {
        let kind = match &error {
            client::Error::Unreachable(_) => ErrorKind::Unavailable,
            client::Error::Timeout => ErrorKind::Timeout,
            client::Error::Refused => ErrorKind::Denied,
            client::Error::NotFound { .. } => ErrorKind::NotFound,
            client::Error::Invalid { .. } => ErrorKind::Invalid,
            _ => ErrorKind::Unexpected,
        };
        let message =
            format!("cannot read the messages of slice \"{}\" on server \"{}\"", self.slice, self.server);
        Error::new(kind, message).with_source(error)
    }
}

/// Finds channels, and keeps the clients that it made for them.
pub(crate) struct Readers {
    secrets: Arc<dyn SecretStore>,
    known: BTreeMap<ResourceId, (Key, Channel)>,
}

/// What a client was made from: with another of these it has to be made again.
type Key = (Endpoint, SecretRef, String);

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").field("known", &self.known.keys()).finish_non_exhaustive()
    }
}

impl Readers {
    /// Reads tokens from `secrets`.
    pub(crate) fn new(secrets: Arc<dyn SecretStore>) -> Self {
        Self { secrets, known: BTreeMap::new() }
    }

    /// The channels of a slice on servers of this kind: one for each gateway that is attached.
    pub(crate) async fn channels(&mut self, status: &SliceStatus) -> Result<Vec<Channel>> {
        let by_id: BTreeMap<&ResourceId, &ResourceStatus> =
            status.resources.iter().map(|resource| (&resource.id, resource)).collect();
        let mut channels = Vec::new();
        for attached in status.resources.iter().filter(|resource| resource.id.kind() == KindName::Attachment)
        {
            if let Some(channel) = self.channel(status, attached, &by_id).await? {
                channels.push(channel);
            }
        }
        Ok(channels)
    }

    async fn channel(
        &mut self,
        status: &SliceStatus,
        attached: &ResourceStatus,
        by_id: &BTreeMap<&ResourceId, &ResourceStatus>,
    ) -> Result<Option<Channel>> {
        let host = |kind| attached.id.hosts().find(|host| host.kind() == kind);
        let told = |kind| host(kind).and_then(|id| by_id.get(&id).copied());
        let (Some(application), Some(tenant)) = (told(KindName::Application), told(KindName::Tenant)) else {
            return Ok(None);
        };
        let is_lite =
            matches!(&application.spec, Some(Spec::Application(spec)) if spec.application.as_str() == LITE);
        let (
            Some(Outputs::Application(server)),
            Some(Outputs::Tenant(account)),
            Some(Outputs::Attachment(there)),
        ) = (&application.outputs, &tenant.outputs, &attached.outputs)
        else {
            return Ok(None);
        };
        let (true, Some(endpoint)) = (is_lite, server.endpoints.get(MANAGEMENT)) else { return Ok(None) };
        let key: Key = (endpoint.clone(), account.secret.clone(), there.channel.clone());
        if let Some((known, channel)) = self.known.get(&attached.id)
            && *known == key
        {
            return Ok(Some(channel.clone()));
        }
        let part = |name: &str| PartName::new(name);
        let token = self.secrets.fetch(&account.secret).await?;
        let client = ServerClient::new(url(endpoint)?, Secret::new(token.expose())).map_err(|error| {
            Error::new(ErrorKind::Unexpected, "cannot make an HTTP client").with_source(error)
        })?;
        let channel = Channel {
            slice: status.slice.clone(),
            server: part(attached.id.part().unwrap_or_default())?,
            gateway: part(attached.id.name())?,
            tenant: account.id.clone(),
            name: there.channel.clone(),
            client,
        };
        self.known.insert(attached.id.clone(), (key, channel.clone()));
        Ok(Some(channel))
    }
}

fn url(endpoint: &Endpoint) -> Result<String> {
    match endpoint {
        Endpoint::Net(address) => Ok(format!("http{}://{address}", if address.tls { "s" } else { "" })),
        Endpoint::Service { infrastructure, .. } => Err(Error::new(
            ErrorKind::Unsupported,
            format!("cannot reach {endpoint} from here: it is inside infrastructure \"{infrastructure}\""),
        )),
    }
}
