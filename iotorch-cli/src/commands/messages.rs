//! `iotorch messages`

use std::{collections::HashSet, str::FromStr};

use clap::{Args, ValueEnum};
use futures::{StreamExt, stream};
use iotorch_core::{
    Error, ErrorKind,
    model::{PartName, SliceName, TimeSpan, nearest},
    resource::KindName,
    status::SliceStatus,
};
use iotorch_lite::api::{self, Interval, MessageQuery, Order};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::{
    cli::Setting,
    exit::Exit,
    failure::Result,
    installation::{self, Purpose, Session},
    interrupt,
    readings::{Arrival, Channel, Message, Readers},
    render,
    screen::Format,
};

/// How many messages are shown where nobody says how many.
const SHOWN: usize = 20;

/// Read what a slice's servers have stored
///
/// Newest first. It reads over the server's own API with the slice's own token, as an application of the customer would. A message is
/// named DEVICE:RESOURCE. Readers of Mainflux have no stream: --follow asks them once a second, and what arrives more than five minutes late
/// is not shown.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch messages greenhouse
  iotorch messages greenhouse --device bench-1 --from 5min
  iotorch messages greenhouse --name bench-1:temperature --limit 1 --output json
  iotorch messages greenhouse --follow                                as they arrive, until Ctrl-C
  iotorch messages greenhouse --from 1d --interval 1h --aggregate max
  iotorch messages greenhouse --from 2024-06-01T00:00:00Z --all --oldest-first --csv > june.csv")]
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
    /// Only messages of this name or, with a * at its end, of names that start so
    #[arg(long, value_name = "DEVICE:RESOURCE")]
    name: Option<String>,
    /// Only from this time on: a time such as 2024-06-01T12:00:00Z, or so long ago, such as 30s, 5min or 2h
    #[arg(long, visible_alias = "since", value_name = "TIME")]
    from: Option<Moment>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,
    /// At most so many, 20 if not set; with --follow, end after so many
    #[arg(long, short = 'n', value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// The oldest first
    #[arg(long)]
    oldest_first: bool,
    /// One value for each name and this time, such as 60s, 5m or 1h, in place of the messages
    #[arg(long, value_name = "TIME", value_parser = interval)]
    interval: Option<Interval>,
    /// What the values of an interval become
    #[arg(long, value_name = "HOW", requires = "interval")]
    aggregate: Option<Aggregate>,
    /// Show what arrives from now on, after what there is --from a time, until Ctrl-C
    #[arg(long, short, conflicts_with_all = ["to", "interval", "all", "oldest_first"])]
    follow: bool,
    /// Print comma-separated values: time, gateway, name, value, unit
    #[arg(long, conflicts_with_all = ["output", "follow"])]
    csv: bool,
}

/// A moment as a person types it, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moment(f64);

impl FromStr for Moment {
    type Err = String;

    #[allow(clippy::cast_precision_loss, reason = "a time in microseconds is below 2^53")]
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seconds = |at: Timestamp| at.as_microsecond() as f64 / 1e6;
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(Self(seconds(at)));
        }
        span(text).map(|ago| Self(seconds(Timestamp::now()) - ago.as_secs_f64())).ok_or_else(|| {
            "use a time such as 2024-06-01T12:00:00Z, or so long ago, such as 30s, 5min or 2h".into()
        })
    }
}

/// A time as documents write it, or in the words of others, such as `5m`.
fn span(text: &str) -> Option<SignedDuration> {
    let span = text.parse::<TimeSpan>().ok().and_then(|span| span.duration().try_into().ok());
    span.or_else(|| text.parse().ok())
}

/// An interval, in the same spellings as the times of `--from`.
fn interval(text: &str) -> Result<Interval, String> {
    let interval = match (text.parse::<Interval>(), span(text)) {
        (Err(_), Some(span)) => format!("{}ms", span.as_millis()).parse(),
        (interval, _) => interval,
    };
    interval.map_err(|error| error.to_string())
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Aggregate {
    Mean,
    Min,
    Max,
    Sum,
    Count,
    First,
    Last,
}

impl From<Aggregate> for api::Aggregate {
    fn from(typed: Aggregate) -> Self {
        match typed {
            Aggregate::Mean => Self::Mean,
            Aggregate::Min => Self::Min,
            Aggregate::Max => Self::Max,
            Aggregate::Sum => Self::Sum,
            Aggregate::Count => Self::Count,
            Aggregate::First => Self::First,
            Aggregate::Last => Self::Last,
        }
    }
}

pub(crate) async fn exec(args: MessagesArgs, setting: &Setting) -> Result<Exit> {
    let slices = [args.slice.clone()];
    super::or_host(show(args, setting).await, &slices, setting).await
}

async fn show(args: MessagesArgs, setting: &Setting) -> Result<Exit> {
    let stop = interrupt::asked_to_stop()?;
    let channels = installation::with(setting, Purpose::Look, async |session| find(session, &args).await);
    let channels = channels.await?;
    if args.follow {
        tokio::select! {
            ended = follow(&channels, &args, setting) => ended?,
            () = stop => {}
        }
        return Ok(Exit::Done);
    }
    let messages = read(&channels, &args).await?;
    let zone = TimeZone::system();
    match setting.screen.format() {
        Format::Table if args.csv => setting.screen.result(render::messages::csv(&messages)?)?,
        Format::Table => {
            setting.screen.result(render::messages::messages(&messages, are_several(&channels), &zone))?;
        }
        Format::Json | Format::Yaml => setting.screen.data(&messages)?,
    }
    Ok(Exit::Done)
}

/// Whether the channels are at more than one server, so that a person has to be told at which a message is.
fn are_several(channels: &[Channel]) -> bool {
    channels.iter().any(|channel| channel.server != channels[0].server)
}

/// Refuses a device that the slice does not have: that it has sent nothing would be no answer to a misspelt name.
fn check_device(status: &SliceStatus, name: &PartName) -> Result<()> {
    let devices = status.resources.iter().filter(|resource| resource.id.kind() == KindName::Device);
    let known: Vec<&str> = devices.map(|device| device.id.name()).collect();
    if known.contains(&name.as_str()) {
        return Ok(());
    }
    let slice = &status.slice;
    let meant = nearest(name.as_str(), known.iter().copied());
    let meant = meant.map(|near| format!("did you mean \"{near}\"? ")).unwrap_or_default();
    let why =
        format!("cannot read the messages of device \"{name}\": slice \"{slice}\" has none of that name");
    let help = format!("{meant}those of a device that is gone: iotorch messages {slice} --name '{name}:*'");
    Err(Error::new(ErrorKind::NotFound, why).with_help(help).into())
}

/// The channels that were asked for.
async fn find(session: &Session, args: &MessagesArgs) -> Result<Vec<Channel>> {
    let status = super::status_of(session.orchestrator(), &args.slice, "read").await?;
    args.device.as_ref().map_or(Ok(()), |device| check_device(&status, device))?;
    let is_wanted = |server: &PartName, gateway: &PartName| {
        args.server.as_ref().is_none_or(|wanted| server == wanted)
            && args.gateway.as_ref().is_none_or(|wanted| gateway == wanted)
    };
    let channels = Readers::new(session).channels(&status, is_wanted).await?;
    if channels.is_empty() {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("cannot read the messages of slice \"{}\": no gateway of that choice is attached to a server that can be read", args.slice),
        )
        .with_help(format!("iotorch describe {} shows gateways, servers and attachments", args.slice))
        .into());
    }
    Ok(channels)
}

impl MessagesArgs {
    /// The names that were asked for, as a server understands them.
    fn names(&self) -> Option<String> {
        self.device.as_ref().map(|device| format!("{device}:*")).or_else(|| self.name.clone())
    }

    fn query(&self) -> MessageQuery {
        MessageQuery {
            name: self.names(),
            from: self.from.map(|from| from.0),
            to: self.to.map(|to| to.0),
            order: (self.oldest_first || self.follow).then_some(Order::Asc),
            interval: self.interval,
            aggregate: self.aggregate.map(Into::into),
            ..MessageQuery::default()
        }
    }

    fn asks_for(&self, message: &Message) -> bool {
        let name = &message.record.name;
        self.names().is_none_or(|asked| match asked.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => *name == asked,
        })
    }
}

async fn read(channels: &[Channel], args: &MessagesArgs) -> Result<Vec<Message>> {
    let limit = match (args.all, args.limit) {
        (true, _) => usize::MAX,
        (false, limit) => limit.map_or(SHOWN, |limit| limit as usize),
    };
    let mut messages = Vec::new();
    for channel in channels {
        messages.extend(channel.messages(args.query(), limit).await?);
    }
    if args.interval.is_none() {
        messages.sort_by(|a, b| a.record.time.total_cmp(&b.record.time));
        if !args.oldest_first {
            messages.reverse();
        }
    }
    messages.truncate(limit);
    Ok(messages)
}

/// Shows what arrives. It ends after as many as were asked for.
async fn follow(channels: &[Channel], args: &MessagesArgs, setting: &Setting) -> Result<()> {
    let mut left = args.limit.unwrap_or(u32::MAX);
    let several = are_several(channels);
    let mut arriving = Vec::new();
    for channel in channels {
        // Begun before what there is already is read, so that nothing is missed between the two.
        let server = &channel.server;
        arriving.push(channel.follow().await?.map(move |arrival| (server, arrival)));
    }
    let mut told = HashSet::new();
    if args.from.is_some() {
        let mut messages = Vec::new();
        for channel in channels {
            messages.extend(channel.messages(args.query(), usize::MAX).await?);
        }
        messages.sort_by(|a, b| a.record.time.total_cmp(&b.record.time));
        for message in messages.iter().take(left as usize) {
            tell(message, several, setting)?;
            told.insert(identity(message));
            left -= 1;
        }
    }
    let mut arriving = stream::select_all(arriving);
    while left > 0
        && let Some((server, arrival)) = arriving.next().await
    {
        match arrival {
            Arrival::Message(message) if !args.asks_for(&message) || told.remove(&identity(&message)) => {}
            Arrival::Message(message) => {
                tell(&message, several, setting)?;
                left -= 1;
            }
            Arrival::Skipped(skipped) => {
                setting.screen.complain(format!("warning: {skipped} messages came too fast to be shown"));
            }
            Arrival::Away(error) => setting.screen.complain(format!(
                "warning: server \"{server}\" is away; what it stores meanwhile is not shown: {}",
                error.to_cause()
            )),
            Arrival::Back => {}
        }
    }
    Ok(())
}

/// What makes a message another than all others.
fn identity(message: &Message) -> (PartName, PartName, String, u64) {
    let Message { server, gateway, record, .. } = message;
    (server.clone(), gateway.clone(), record.name.clone(), record.time.to_bits())
}

fn tell(message: &Message, several: bool, setting: &Setting) -> Result<()> {
    match setting.screen.format() {
        Format::Table => setting.screen.result(render::messages::line(message, several, &TimeZone::system())),
        Format::Json | Format::Yaml => setting.screen.item(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_so_long_ago() {
        assert_eq!("2024-06-01T12:00:00Z".parse(), Ok(Moment(1_717_243_200.0)));
        #[allow(clippy::cast_precision_loss, reason = "a time in seconds is below 2^53")]
        let now = Timestamp::now().as_second() as f64;
        for (text, ago) in [("30s", 30.0), ("5min", 300.0), ("10m", 600.0), ("2h", 7200.0), ("1d", 86400.0)] {
            let Moment(moment) = text.parse().unwrap();
            assert!((now - ago - moment).abs() < 5.0, "{text}");
        }
        assert!("5".parse::<Moment>().is_err());
        assert!("yesterday".parse::<Moment>().is_err());
    }

    #[test]
    fn an_interval_is_spelt_as_the_times_are() {
        for (text, spelt) in [("5m", "5m"), ("5min", "5m"), ("60s", "1m"), ("2h", "2h"), ("1d", "1d")] {
            assert_eq!(interval(text).unwrap().to_string(), spelt, "{text}");
        }
        for wrong in ["5", "0s", "soon"] {
            assert!(interval(wrong).unwrap_err().contains("such as 60s"), "{wrong}");
        }
    }
}
