//! What a slice's servers have stored, read over their own API with the slice's own account.
//!
//! Servers of every kind that can be read are equal here: each is a [`Reader`], and what one of them does not have itself is made up for.

mod aggregate;
mod arrivals;
mod lite;
mod mainflux;
mod paged;
mod polling;
mod reader;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::stream::BoxStream;
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
use iotorch_lite::{Secret, api::MessageQuery, client::ServerClient, senml::Record};
use serde::Serialize;

use crate::{
    installation::Session,
    management::{LITE, MAINFLUX, MANAGEMENT, failed, newest_credential, trust, url},
};
pub(crate) use arrivals::Arrival;
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
                _ => {
                    // A server may give more at once than it was asked for.
                    messages.truncate(limit);
                    return Ok(messages);
                }
            }
        }
    }

    /// What arrives from now on, also after the server was away.
    pub(crate) async fn follow(&self) -> Result<BoxStream<'static, Arrival>> {
        arrivals::follow(self.clone()).await
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

    /// The channels of a slice on servers that can be read, one for each gateway that is attached, as far as `is_wanted` of a server and
    /// a gateway. No other server is looked for.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if there are only servers that cannot be read.
    pub(crate) async fn channels(
        &mut self,
        status: &SliceStatus,
        is_wanted: impl Fn(&PartName, &PartName) -> bool,
    ) -> Result<Vec<Channel>> {
        self.each(status, is_wanted).await.into_iter().collect()
    }

    /// The same, each channel or why there is no way to it.
    pub(crate) async fn each(
        &mut self,
        status: &SliceStatus,
        is_wanted: impl Fn(&PartName, &PartName) -> bool,
    ) -> Vec<Result<Channel>> {
        let (mut channels, mut unreadable) = (Vec::new(), None);
        for attached in status.resources.iter().filter(|resource| resource.id.kind() == KindName::Attachment)
        {
            let Some((server, gateway)) =
                ends(&attached.id).filter(|(server, gateway)| is_wanted(server, gateway))
            else {
                continue;
            };
            match self.channel(status, attached, server, gateway).await {
                Err(error) if error.kind() == ErrorKind::Unsupported => unreadable = Some(error),
                channel => channels.extend(channel.transpose()),
            }
        }
        if channels.is_empty() {
            channels.extend(unreadable.map(Err));
        }
        channels
    }

    async fn channel(
        &mut self,
        status: &SliceStatus,
        attached: &ResourceStatus,
        server: PartName,
        gateway: PartName,
    ) -> Result<Option<Channel>> {
        let Some(there) = Attached::find(status, attached) else { return Ok(None) };
        let key = there.key();
        if let Some((known, channel)) = self.known.get(&attached.id)
            && *known == key
        {
            return Ok(Some(channel.clone()));
        }
        let Some(reader) = there.reader(self.session).await? else { return Ok(None) };
        let shared = ResourceId::external(&status.slice, &gateway);
        let is_shared = status.resources.iter().any(|resource| resource.id == shared);
        let channel = Channel {
            slice: status.slice.clone(),
            server,
            gateway,
            qualifier: is_shared.then(|| format!("{}.", status.slice)),
            reader,
        };
        self.known.insert(attached.id.clone(), (key, channel.clone()));
        Ok(Some(channel))
    }
}

/// The server and the gateway of an attachment.
fn ends(attachment: &ResourceId) -> Option<(PartName, PartName)> {
    Some((PartName::new(attachment.part()?).ok()?, PartName::new(attachment.name()).ok()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{collections::VecDeque, sync::Mutex};

    use async_trait::async_trait;
    use iotorch_lite::{
        api::{Followed, Page},
        senml::Value,
    };

    use super::{reader::Arriving, *};

    /// A server that gives these pages, one after the other, and tells of nothing.
    #[derive(Debug)]
    pub(crate) struct Script(Mutex<VecDeque<Result<Vec<Record>>>>);

    impl Script {
        pub(crate) fn new(pages: impl IntoIterator<Item = Result<Vec<Record>>>) -> Self {
            Self(Mutex::new(pages.into_iter().collect()))
        }
    }

    #[async_trait]
    impl Reader for Script {
        async fn page(&self, _: &MessageQuery) -> Result<Page> {
            let page = self.0.lock().unwrap().pop_front().expect("it is asked for no more than it has");
            page.map(|messages| Page { messages, next: None })
        }

        async fn follow(&self) -> Result<Arriving> {
            let left = self.page(&MessageQuery::default()).await?;
            let records = left.messages.into_iter().map(|record| Ok(Followed::Item(record)));
            let broken = Err(Error::new(ErrorKind::Unavailable, "the connection was lost"));
            Ok(Box::pin(futures::stream::iter(records.chain([broken]))))
        }

        async fn summary(&self) -> Result<Summary> {
            Ok(Summary::default())
        }

        async fn count(&self, _: &BTreeSet<String>) -> Result<u64> {
            Ok(0)
        }
    }

    pub(crate) fn channel(script: Script) -> Channel {
        Channel {
            slice: "greenhouse".parse().unwrap(),
            server: "hub".parse().unwrap(),
            gateway: "gw".parse().unwrap(),
            qualifier: None,
            reader: Arc::new(script),
        }
    }

    fn record(time: f64) -> Record {
        Record::new("bench-1:temperature", time, Value::Number(21.5))
    }

    #[tokio::test]
    async fn no_more_messages_are_given_than_were_asked_for() {
        let all = || channel(Script::new([Ok((0..2_500).map(|time| record(f64::from(time))).collect())]));
        for (limit, given) in [(20, 20), (1_500, 1_500), (usize::MAX, 2_500)] {
            let messages = all().messages(MessageQuery::default(), limit).await.unwrap();
            assert_eq!(messages.len(), given);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_follows_is_told_why_a_server_is_away_and_when_it_is_back() {
        use futures::StreamExt;
        let refused = || Error::new(ErrorKind::Unavailable, "connection refused");
        let pages = [Ok(vec![record(1.0)]), Err(refused()), Ok(vec![record(2.0)])];
        let arrivals = channel(Script::new(pages)).follow().await.unwrap();
        let told = arrivals.take(5).map(|arrival| match arrival {
            Arrival::Message(message) => message.record.time.to_string(),
            Arrival::Away(error) => error.to_string(),
            other => format!("{other:?}"),
        });
        let told: Vec<String> = told.collect().await;
        assert_eq!(told, ["1", "the connection was lost", "Back", "2", "the connection was lost"]);
    }
}
