//! What a slice's servers have stored, read over their own API with the slice's own account.
//!
//! Servers of every kind that can be read are equal here: each is a [`Reader`], and what one of them does not have itself is made up for.

mod aggregate;
mod lite;
mod mainflux;
mod paged;
mod polling;
mod reader;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, stream::BoxStream};
use iotorch_core::{
    Error, ErrorKind, Result,
    model::{PartName, SliceName},
    resource::{
        ApplicationOutputs, ApplicationSpec, AttachmentOutputs, CredentialOutputs, KindName, Outputs,
        ResourceId, Spec, TenantOutputs,
    },
    secret::SecretRef,
    status::{ResourceStatus, SliceStatus},
};
use iotorch_lite::{
    Secret,
    api::{Followed, MessageQuery},
    client::ServerClient,
    senml::Record,
};
use serde::Serialize;

use crate::{
    installation::Session,
    management::{LITE, MAINFLUX, MANAGEMENT, failed, newest_credential, trust, url},
};
use lite::LiteReader;
use reader::Reader;
pub(crate) use reader::Summary;

/// The most messages that a server gives at once.
const PAGE: usize = 1000;

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
    /// What stands before the names of the slice's devices on a gateway that others use too.
    qualifier: Option<String>,
    reader: Arc<dyn Reader>,
}

impl Channel {
    /// As many messages as `limit` in the order that `query` asks for, page by page.
    pub(crate) async fn messages(&self, query: MessageQuery, limit: usize) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        let mut query = query;
        query.name =
            query.name.map(|name| format!("{}{name}", self.qualifier.as_deref().unwrap_or_default()));
        loop {
            query.limit = Some((limit - messages.len()).min(PAGE));
            let page = self.reader.page(&query).await;
            let page = page.map_err(|error| self.unreadable(error))?;
            messages.extend(page.messages.into_iter().map(|record| self.message(record)));
            match page.next {
                Some(next) if messages.len() < limit => query.cursor = Some(next),
                _ => return Ok(messages),
            }
        }
    }

    /// The messages that arrive from now on, until the server ends.
    pub(crate) async fn follow(&self) -> Result<BoxStream<'static, Result<Followed<Message>>>> {
        let arriving = self.reader.follow().await;
        let arriving = arriving.map_err(|error| self.unreadable(error))?;
        let channel = self.clone();
        let message = move |arrived| match arrived {
            Ok(Followed::Item(record)) => Ok(Followed::Item(channel.message(record))),
            Ok(Followed::Skipped { skipped }) => Ok(Followed::Skipped { skipped }),
            Err(error) => Err(channel.unreadable(error)),
        };
        Ok(arriving.map(message).boxed())
    }

    /// How many there are, and the last of each name.
    pub(crate) async fn summary(&self) -> Result<Summary> {
        self.reader.summary().await.map_err(|error| self.unreadable(error))
    }

    /// How many there are of these names, which are those on the gateway.
    pub(crate) async fn count(&self, names: &BTreeSet<String>) -> Result<u64> {
        self.reader.count(names).await.map_err(|error| self.unreadable(error))
    }

    /// The last message of each name.
    pub(crate) fn last(&self, summary: Summary) -> Vec<Message> {
        summary.last.into_iter().map(|record| self.message(record)).collect()
    }

    /// A stored reading, by the name that its device has in the document.
    fn message(&self, mut record: Record) -> Message {
        if let Some(name) = self.qualifier.as_deref().and_then(|slice| record.name.strip_prefix(slice)) {
            record.name = name.to_owned();
        }
        Message {
            slice: self.slice.clone(),
            server: self.server.clone(),
            gateway: self.gateway.clone(),
            record,
        }
    }

    fn unreadable(&self, error: Error) -> Error {
        let (slice, server) = (&self.slice, &self.server);
        let what = format!("cannot read the messages of slice \"{slice}\" on server \"{server}\"");
        let kind = error.kind();
        let failed = Error::new(kind, what);
        let failed = match error.help() {
            Some(help) => failed.with_help(help.to_owned()),
            None => failed,
        };
        failed.with_source(error)
    }
}

/// Finds channels, and keeps the clients that it made for them.
pub(crate) struct Readers<'a> {
    session: &'a Session,
    known: BTreeMap<ResourceId, (Key, Channel)>,
}

/// What a client was made from: with another of these it has to be made again.
type Key = (ApplicationOutputs, SecretRef, AttachmentOutputs, Option<CredentialOutputs>);

impl std::fmt::Debug for Readers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").field("known", &self.known.keys()).finish_non_exhaustive()
    }
}

/// A gateway's attachment with all that is known of its server.
#[derive(Clone, Debug)]
struct Attached<'a> {
    spec: &'a ApplicationSpec,
    server: &'a ApplicationOutputs,
    account: &'a TenantOutputs,
    there: &'a AttachmentOutputs,
    /// The newest generation of the gateway's credential.
    credential: Option<CredentialOutputs>,
}

impl<'a> Attached<'a> {
    fn find(status: &'a SliceStatus, attached: &'a ResourceStatus) -> Option<Self> {
        let host = |kind| attached.id.hosts().find(|host| host.kind() == kind);
        let told = |id: &ResourceId| status.resources.iter().find(|resource| resource.id == *id);
        let (application, tenant) = (told(&host(KindName::Application)?)?, told(&host(KindName::Tenant)?)?);
        let Some(Spec::Application(spec)) = &application.spec else { return None };
        let (
            Some(Outputs::Application(server)),
            Some(Outputs::Tenant(account)),
            Some(Outputs::Attachment(there)),
        ) = (&application.outputs, &tenant.outputs, &attached.outputs)
        else {
            return None;
        };
        let credential = newest_credential(status, &attached.id).map(|(_, credential)| credential);
        Some(Self { spec, server, account, there, credential })
    }

    fn key(&self) -> Key {
        (self.server.clone(), self.account.secret.clone(), self.there.clone(), self.credential.clone())
    }

    /// What reads the channel; none if servers of this kind cannot be read.
    async fn reader(&self, session: &Session) -> Result<Option<Arc<dyn Reader>>> {
        match self.spec.application.as_str() {
            LITE => self.lite(session).await,
            MAINFLUX => mainflux::reader(self, session).await,
            _ => Ok(None),
        }
    }

    async fn lite(&self, session: &Session) -> Result<Option<Arc<dyn Reader>>> {
        let Some(endpoint) = self.server.endpoints.get(MANAGEMENT) else { return Ok(None) };
        let token = session.secrets().fetch(&self.account.secret).await?;
        let route = session.route(endpoint).await?;
        let (url, token) = (url(route.address()), Secret::new(token.expose()));
        let client = match trust(self.spec) {
            Some(trust) => ServerClient::trusting(url, token, &trust),
            None => ServerClient::new(url, token),
        };
        let client = client.map_err(|error| failed("cannot make an HTTP client", error))?;
        let (tenant, channel) = (self.account.id.clone(), self.there.channel.clone());
        Ok(Some(Arc::new(LiteReader { client, tenant, channel, _route: route })))
    }
}

impl<'a> Readers<'a> {
    /// Reads tokens and finds ways through `session`.
    pub(crate) const fn new(session: &'a Session) -> Self {
        Self { session, known: BTreeMap::new() }
    }

    /// The channels of a slice on servers that can be read: one for each gateway that is attached.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if there are only servers that cannot be read.
    pub(crate) async fn channels(&mut self, status: &SliceStatus) -> Result<Vec<Channel>> {
        let (mut channels, mut unreadable) = (Vec::new(), None);
        for attached in status.resources.iter().filter(|resource| resource.id.kind() == KindName::Attachment)
        {
            match self.channel(status, attached).await {
                Ok(channel) => channels.extend(channel),
                Err(error) if error.kind() == ErrorKind::Unsupported => unreadable = Some(error),
                Err(error) => return Err(error),
            }
        }
        match unreadable {
            Some(error) if channels.is_empty() => Err(error),
            _ => Ok(channels),
        }
    }

    async fn channel(&mut self, status: &SliceStatus, attached: &ResourceStatus) -> Result<Option<Channel>> {
        let Some(there) = Attached::find(status, attached) else { return Ok(None) };
        let key = there.key();
        if let Some((known, channel)) = self.known.get(&attached.id)
            && *known == key
        {
            return Ok(Some(channel.clone()));
        }
        let Some(reader) = there.reader(self.session).await? else { return Ok(None) };
        let gateway = PartName::new(attached.id.name())?;
        let shared = ResourceId::external(&status.slice, &gateway);
        let is_shared = status.resources.iter().any(|resource| resource.id == shared);
        let channel = Channel {
            slice: status.slice.clone(),
            server: PartName::new(attached.id.part().unwrap_or_default())?,
            gateway,
            qualifier: is_shared.then(|| format!("{}.", status.slice)),
            reader,
        };
        self.known.insert(attached.id.clone(), (key, channel.clone()));
        Ok(Some(channel))
    }
}
