//! What every kind of server has to answer about one channel.

use std::{collections::BTreeSet, fmt};

use async_trait::async_trait;
use futures::stream::BoxStream;
use iotorch_core::Result;
use iotorch_lite::{
    api::{Followed, MessageQuery, Page},
    senml::Record,
};

/// What a server that can be read sends, as it arrives.
pub(super) type Arriving = BoxStream<'static, Result<Followed<Record>>>;

/// What a channel has, in short.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Summary {
    /// How many messages.
    pub(crate) count: u64,
    /// The last of each name, as far as the server tells.
    pub(crate) last: Vec<Record>,
}

/// A channel at a server of one kind. The words of a query are those of `lite`; what a server itself does not have for them is made up
/// for here.
#[async_trait]
pub(super) trait Reader: fmt::Debug + Send + Sync {
    /// A page of messages.
    async fn page(&self, query: &MessageQuery) -> Result<Page>;

    /// What arrives from now on, until the server ends.
    async fn follow(&self) -> Result<Arriving>;

    /// How many there are, and the last of each name.
    async fn summary(&self) -> Result<Summary>;

    /// How many there are of these names.
    async fn count(&self, names: &BTreeSet<String>) -> Result<u64>;
}
