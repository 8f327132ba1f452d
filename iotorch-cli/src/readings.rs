//! What a slice's servers have stored, read over their own API with the slice's own token.

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt, stream::BoxStream};
use iotorch_core::{
    Error, Result, Route,
    model::{PartName, SliceName},
    resource::{Endpoint, KindName, Outputs, ResourceId, Spec},
    secret::SecretRef,
    status::{ResourceStatus, SliceStatus},
};
use iotorch_lite::{
    Secret,
    api::{ChannelStats, Followed, MessageQuery},
    client::{self, ServerClient},
    senml::Record,
};
use serde::Serialize;

use crate::{
    installation::Session,
    management::{LITE, MANAGEMENT, failed, trust, url},
};

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
    tenant: String,
    name: String,
    /// What stands before the names of the slice's devices on a gateway that others use too.
    qualifier: Option<String>,
    client: ServerClient,
    _route: Arc<Route>,
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
            let page = self.client.messages(&self.tenant, &self.name, &query).await;
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
        let arriving = self.client.follow(&self.tenant, &self.name).await;
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
    pub(crate) async fn stats(&self) -> Result<ChannelStats> {
        self.client.stats(&self.tenant, &self.name).await.map_err(|error| self.unreadable(error))
    }

    /// The last message of each name.
    pub(crate) fn last(&self, stats: &ChannelStats) -> Vec<Message> {
        stats.names.values().map(|name| self.message(name.last.clone())).collect()
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

    fn unreadable(&self, error: client::Error) -> Error {
        failed(
            format!("cannot read the messages of slice \"{}\" on server \"{}\"", self.slice, self.server),
            error,
        )
    }
}

/// Finds channels, and keeps the clients that it made for them.
pub(crate) struct Readers<'a> {
    session: &'a Session,
    known: BTreeMap<ResourceId, (Key, Channel)>,
}

/// What a client was made from: with another of these it has to be made again.
type Key = (Endpoint, SecretRef, String);

impl std::fmt::Debug for Readers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").field("known", &self.known.keys()).finish_non_exhaustive()
    }
}

impl<'a> Readers<'a> {
    /// Reads tokens and finds ways through `session`.
    pub(crate) const fn new(session: &'a Session) -> Self {
        Self { session, known: BTreeMap::new() }
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
        let Some(Spec::Application(spec)) = &application.spec else { return Ok(None) };
        let is_lite = spec.application.as_str() == LITE;
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
        let token = self.session.secrets().fetch(&account.secret).await?;
        let route = self.session.route(endpoint).await?;
        let (url, token) = (url(route.address()), Secret::new(token.expose()));
        let client = match trust(spec) {
            Some(trust) => ServerClient::trusting(url, token, &trust),
            None => ServerClient::new(url, token),
        };
        let client = client.map_err(|error| failed("cannot make an HTTP client", error))?;
        let gateway = part(attached.id.name())?;
        let is_shared = by_id.contains_key(&ResourceId::external(&status.slice, &gateway));
        let channel = Channel {
            slice: status.slice.clone(),
            server: part(attached.id.part().unwrap_or_default())?,
            gateway,
            qualifier: is_shared.then(|| format!("{}.", status.slice)),
            tenant: account.id.clone(),
            name: there.channel.clone(),
            client,
            _route: Arc::new(route),
        };
        self.known.insert(attached.id.clone(), (key, channel.clone()));
        Ok(Some(channel))
    }
}
