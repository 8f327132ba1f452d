//! Following a channel over the times at which its server is away.

use std::time::Duration;

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use iotorch_core::{Error, ErrorKind, Result};
use iotorch_lite::api::Followed;

use super::{Channel, Message, reader::Arriving};

/// The pause before a server that went is asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// What one who follows a channel is told.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A message was stored.
    Message(Message),
    /// So many came faster than they could be told.
    Skipped(u64),
    /// The server does not tell any more, and why not. What it stores until it is back is not told.
    Away(Error),
    /// It is back, and tells what it stores from now on.
    Back,
}

/// What arrives from now on. It has no end.
///
/// # Errors
/// The server cannot be followed now.
pub(super) async fn follow(channel: Channel) -> Result<BoxStream<'static, Arrival>> {
    let arriving = channel.reader.follow().await.map_err(|error| channel.unreadable(error))?;
    let arrivals = stream::unfold((channel, Some(arriving)), async |(channel, arriving)| {
        let (arrival, arriving) = match arriving {
            Some(arriving) => next(&channel, arriving).await,
            None => (Arrival::Back, Some(again(&channel).await)),
        };
        Some((arrival, (channel, arriving)))
    });
    Ok(arrivals.boxed())
}

async fn next(channel: &Channel, mut arriving: Arriving) -> (Arrival, Option<Arriving>) {
    match arriving.next().await {
        Some(Ok(Followed::Item(record))) => (Arrival::Message(channel.message(record)), Some(arriving)),
        Some(Ok(Followed::Skipped { skipped })) => (Arrival::Skipped(skipped), Some(arriving)),
        Some(Err(error)) => (Arrival::Away(error), None),
        None => {
            let ended = Error::new(ErrorKind::Unavailable, "the server has ended the connection");
            (Arrival::Away(ended), None)
        }
    }
}

/// Asks until the server can be followed.
async fn again(channel: &Channel) -> Arriving {
    loop {
        tokio::time::sleep(AGAIN).await;
        match channel.reader.follow().await {
            Ok(arriving) => return arriving,
            Err(error) => {
                tracing::debug!(cause = %error.to_cause(), server = %channel.server, "a server is still away");
            }
        }
    }
}
