//! `iotorch messages`

use std::time::Duration;

use clap::Args;
use iotorch_core::{
    Error, ErrorKind,
    model::{PartName, SliceName, TimeSpan},
};
use iotorch_lite::api::MessageQuery;
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    cli::Setting,
    exit::Exit,
    failure::Result,
    installation::{self, Purpose, Session},
    readings::{Message, Readers},
    render,
    screen::Format,
};

/// The most messages that a server gives at once.
const MOST: u16 = 1000;

/// Read what a slice's servers have stored
///
/// Newest first. It reads over the server's own API with the slice's own token, as an application of the customer would. A message is
/// named DEVICE:RESOURCE.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch messages greenhouse
  iotorch messages greenhouse --device bench-1 --since 5min
  iotorch messages greenhouse --name bench-1:temperature --limit 1 --output json")]
pub(crate) struct MessagesArgs {
    /// The slice
    #[arg(value_name = "SLICE")]
    slice: SliceName,
    /// Only from this server
    #[arg(long, value_name = "NAME")]
    server: Option<PartName>,
    /// Only what this gateway sent
    #[arg(long, value_name = "NAME")]
    gateway: Option<PartName>,
    /// Only from this device
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    device: Option<PartName>,
    /// Only messages of this name
    #[arg(long, value_name = "DEVICE:RESOURCE")]
    name: Option<String>,
    /// Only from the last while, such as 30s, 5min or 2h
    #[arg(long, value_name = "TIME")]
    since: Option<TimeSpan>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST)))]
    limit: u16,
}

pub(crate) async fn exec(args: MessagesArgs, setting: &Setting) -> Result<Exit> {
    let messages =
        installation::with(setting, Purpose::Look, async |session| read(session, &args).await).await?;
    match setting.screen.format() {
        Format::Table => setting.screen.result(render::messages::messages(&messages, &TimeZone::system()))?,
        Format::Json | Format::Yaml => setting.screen.data(&messages)?,
    }
    Ok(Exit::Done)
}

async fn read(session: &Session, args: &MessagesArgs) -> Result<Vec<Message>> {
    let known = session.orchestrator().slices().await?;
    if !known.contains(&args.slice) {
        return Err(super::no_such_slice("read", &args.slice, &known).into());
    }
    let status = session.orchestrator().status(&args.slice).await?;
    let mut channels = Readers::new(session.secrets()).channels(&status).await?;
    channels.retain(|channel| {
        args.server.as_ref().is_none_or(|server| channel.server == *server)
            && args.gateway.as_ref().is_none_or(|gateway| channel.gateway == *gateway)
    });
    if channels.is_empty() {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("cannot read the messages of slice \"{}\": no gateway of that choice is attached to a server that can be read", args.slice),
        )
        .with_help(format!("iotorch describe {} shows gateways, servers and attachments", args.slice))
        .into());
    }
    let limit = usize::from(args.limit);
    let since = args.since.map(|span| seconds_ago(span.duration()));
    // A server filters by whole names; for a device's messages its newest are read and sorted out here.
    let asked = if args.device.is_some() { usize::from(MOST) } else { limit };
    let query =
        MessageQuery { name: args.name.clone(), from: since, limit: Some(asked), ..MessageQuery::default() };
    let mut messages = Vec::new();
    for channel in channels {
        messages.extend(channel.messages(&query).await?);
    }
    if let Some(device) = &args.device {
        let prefix = format!("{device}:");
        messages.retain(|message| message.record.name.starts_with(&prefix));
    }
    messages.sort_by(|a, b| b.record.time.total_cmp(&a.record.time));
    messages.truncate(limit);
    Ok(messages)
}

/// The moment so long ago, in seconds since the Unix epoch.
#[allow(clippy::cast_precision_loss, reason = "the time of day in microseconds is below 2^53")]
fn seconds_ago(span: Duration) -> f64 {
    Timestamp::now().as_microsecond() as f64 / 1e6 - span.as_secs_f64()
}
