//! Channels at servers of `lite`, which can do all that is asked of them.

use std::collections::BTreeSet;

use async_trait::async_trait;
use futures::StreamExt;
use iotorch_core::{Result, Route};
use iotorch_lite::{
    api::{MessageQuery, Page},
    client::ServerClient,
};

use super::reader::{Arriving, Reader, Summary};
use crate::management::failed;

/// A channel of a tenant.
#[derive(Debug)]
pub(super) struct LiteReader {
    pub(super) client: ServerClient,
    pub(super) tenant: String,
    pub(super) channel: String,
    /// The way to the server, open for as long as it is read.
    pub(super) _route: Route,
}

/// What the server was asked for; what it says itself comes below.
const ASKED: &str = "cannot ask the server";

#[async_trait]
impl Reader for LiteReader {
    async fn page(&self, query: &MessageQuery) -> Result<Page> {
        let page = self.client.messages(&self.tenant, &self.channel, query).await;
        page.map_err(|error| failed(ASKED, error))
    }

    async fn follow(&self) -> Result<Arriving> {
        let arriving = self.client.follow(&self.tenant, &self.channel).await;
        let arriving = arriving.map_err(|error| failed(ASKED, error))?;
        Ok(arriving.map(|arrived| arrived.map_err(|error| failed(ASKED, error))).boxed())
    }

    async fn summary(&self) -> Result<Summary> {
        let stats = self.client.stats(&self.tenant, &self.channel).await;
        let stats = stats.map_err(|error| failed(ASKED, error))?;
        let last = stats.names.into_values().map(|name| name.last).collect();
        Ok(Summary { count: stats.count, last })
    }

    async fn count(&self, names: &BTreeSet<String>) -> Result<u64> {
        let stats = self.client.stats(&self.tenant, &self.channel).await;
        let stats = stats.map_err(|error| failed(ASKED, error))?;
        let asked = stats.names.iter().filter(|(name, _)| names.contains(*name));
        Ok(asked.map(|(_, stats)| stats.count).sum())
    }
}
