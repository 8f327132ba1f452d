//! `iotorch logs`

use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use iotorch_core::{
    Error, ErrorKind,
    model::{PartName, SliceName},
};
use iotorch_lite::api::{Followed, LogEntry, LogPage, LogQuery};
use jiff::tz::TimeZone;

use crate::{
    cli::Setting,
    exit::Exit,
    failure::Result,
    installation::{self, Purpose, Session},
    interrupt,
    management::{self, Coming, Part},
    render,
    screen::Format,
};

/// The most entries that are read at once.
const MOST: u32 = 1000;

/// The pause before a gateway or server that went is asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// Read the log of a gateway or server
///
/// What an operator wants to know of it: starts, connections to servers, logins and messages that were refused, and why. It holds
/// no secret. Of an EdgeX gateway it is the log of its bridge, which carries its readings to servers.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch logs greenhouse gw
  iotorch logs greenhouse gw --follow
  iotorch logs greenhouse hub --previous          of the start before this one
  iotorch logs greenhouse hub --tail 5 --output json")]
pub(crate) struct LogsArgs {
    /// The slice
    #[arg(value_name = "SLICE")]
    slice: SliceName,
    /// The gateway or server
    #[arg(value_name = "NAME")]
    part: PartName,
    /// Go on with what happens, until Ctrl-C
    #[arg(long, short, conflicts_with = "previous")]
    follow: bool,
    /// Of the start before this one
    #[arg(long)]
    previous: bool,
    /// At most so many entries, the newest
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST)))]
    tail: u32,
}

pub(crate) async fn exec(args: LogsArgs, setting: &Setting) -> Result<Exit> {
    let slices = [args.slice.clone()];
    super::or_host(show(args, setting).await, &slices, setting).await
}

async fn show(args: LogsArgs, setting: &Setting) -> Result<Exit> {
    let stop = interrupt::asked_to_stop()?;
    let part = installation::with(setting, Purpose::Look, async |session| find(session, &args).await).await?;
    if args.follow {
        tokio::select! {
            ended = follow(&part, args.tail, |entry| tell(entry, setting)) => ended?,
            () = stop => {}
        }
        return Ok(Exit::Done);
    }
    let entries = read(&part, &args).await?;
    match setting.screen.format() {
        Format::Table => setting.screen.result(render::log::entries(&entries, &TimeZone::system()))?,
        Format::Json | Format::Yaml => setting.screen.data(&entries)?,
    }
    Ok(Exit::Done)
}

async fn find(session: &Session, args: &LogsArgs) -> Result<Part> {
    let status = super::status_of(session.orchestrator(), &args.slice, "read the logs of").await?;
    let mut parts = management::listed(&status);
    parts.retain(|part| !part.is_shared);
    if let Some(found) = parts.iter().find(|part| part.name == args.part) {
        return Ok(found.open(session).await?);
    }
    let names: Vec<String> = parts.iter().map(|part| part.name.to_string()).collect();
    let help = match names.is_empty() {
        true => {
            "gateways and servers with application: lite, and the bridges of EdgeX gateways, have one, unless they run outside of iotorch".into()
        }
        false => format!("those that have one are: {}", names.join(", ")),
    };
    let why = format!(
        "cannot read the log of \"{}\": slice \"{}\" has no such gateway or server with a log",
        args.part, args.slice
    );
    Err(Error::new(ErrorKind::NotFound, why).with_help(help).into())
}

async fn page(part: &Part, query: LogQuery) -> Result<LogPage> {
    Ok(part.log(&query).await?)
}

async fn read(part: &Part, args: &LogsArgs) -> Result<Vec<LogEntry>> {
    let limit = Some(args.tail as usize);
    let now = page(part, LogQuery { limit, ..LogQuery::default() }).await?;
    if !args.previous {
        return Ok(now.entries);
    }
    let start = now.start.checked_sub(1).filter(|start| *start > 0).ok_or_else(|| {
        let why = format!("cannot read the log of {part} before this start: it is the first");
        Error::new(ErrorKind::NotFound, why)
    })?;
    Ok(page(part, LogQuery { limit, start: Some(start), ..LogQuery::default() }).await?.entries)
}

/// Shows entries as they come, each once, also after the gateway or server was away. It only ends with an error.
async fn follow(part: &Part, tail: u32, mut show: impl FnMut(&LogEntry) -> Result<()>) -> Result<()> {
    let mut last = 0;
    let mut tell = |entry: &LogEntry, last: u64| match entry.seq {
        seq if seq <= last => Ok(last),
        seq => show(entry).map(|()| seq),
    };
    loop {
        match begun(part, tail, last).await {
            Ok((there, mut coming)) => {
                for entry in there {
                    last = tell(&entry, last)?;
                }
                while let Some(Ok(next)) = coming.next().await {
                    match next {
                        Followed::Item(entry) => last = tell(&entry, last)?,
                        Followed::Skipped { .. } => break,
                    }
                }
            }
            Err(error) if last == 0 => return Err(error),
            Err(_) => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The entries after the last one that was shown, and what comes after them.
async fn begun(part: &Part, tail: u32, last: u64) -> Result<(Vec<LogEntry>, Coming)> {
    let coming = part.follow_log().await?;
    // Read after the stream has begun, so that nothing is missed between the two.
    let query = match last {
        0 => LogQuery { limit: Some(tail as usize), ..LogQuery::default() },
        last => LogQuery { after: Some(last), limit: Some(MOST as usize), ..LogQuery::default() },
    };
    Ok((page(part, query).await?.entries, coming))
}

fn tell(entry: &LogEntry, setting: &Setting) -> Result<()> {
    match setting.screen.format() {
        Format::Table => setting.screen.result(render::log::entry(entry, &TimeZone::system())),
        Format::Json | Format::Yaml => setting.screen.item(entry),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use axum::{Json, Router, http::StatusCode, routing::get};
    use iotorch_lite::api::Level;

    use super::*;

    /// The log at its third reading; at the second the gateway is only about to be back.
    fn log(reading: u64) -> Result<Json<LogPage>, StatusCode> {
        let entry = |seq| LogEntry {
            seq,
            start: 1,
            time: 5.0,
            level: Level::Info,
            event: "started".into(),
            subject: String::new(),
            message: "started".into(),
            more: 0,
        };
        match reading {
            0 => Ok(Json(LogPage { start: 1, entries: vec![entry(1)] })),
            1 => Err(StatusCode::SERVICE_UNAVAILABLE),
            _ => Ok(Json(LogPage { start: 2, entries: vec![entry(1), entry(2)] })),
        }
    }

    #[tokio::test]
    async fn who_follows_a_log_goes_on_when_it_cannot_be_read_for_a_while() {
        let readings = Arc::new(AtomicU64::new(0));
        let read = move || std::future::ready(log(readings.fetch_add(1, Ordering::Relaxed)));
        // Streams that end at once.
        let routes = Router::new().route("/log", get(read)).route("/log/stream", get(async || ""));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
        let mut shown = Vec::new();
        let show = |entry: &LogEntry| {
            shown.push(entry.seq);
            match entry.seq {
                1 => Ok(()),
                _ => Err(Error::new(ErrorKind::Cancelled, "enough").into()),
            }
        };
        assert!(follow(&management::tests::gateway(&url), 10, show).await.is_err());
        assert_eq!(shown, [1, 2]);
        serving.abort();
    }
}
