//! `iotorch events`

use std::time::Duration;

use clap::Args;
use iotorch_core::{model::SliceName, observer::RunEvent};
use jiff::tz::TimeZone;

use crate::{
    cli::Setting, exit::Exit, failure::Result, interrupt, remote::Events, render, screen::Format,
    wire::SOCKET,
};

/// The pause between two looks for a process that holds the state.
const LOOKS: Duration = Duration::from_millis(25);

/// Follow runs while they happen
///
/// Shows what every run does, in whichever process works on the state directory: `iotorch run`, or any other command for as long as it
/// works. It holds up nobody, and goes on until Ctrl-C. With --output json each line is an event.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch events
  iotorch events greenhouse orchard
  iotorch events --output json | jq .event")]
pub(crate) struct EventsArgs {
    /// Only of these slices
    #[arg(value_name = "SLICE")]
    slices: Vec<SliceName>,
}

pub(crate) async fn exec(args: EventsArgs, setting: &Setting) -> Result<Exit> {
    let stop = interrupt::asked_to_stop()?;
    tokio::select! {
        failed = follow(&args, setting) => failed,
        () = stop => Ok(Exit::Done),
    }
}

/// Follows one process after the other. It only ends with an error.
async fn follow(args: &EventsArgs, setting: &Setting) -> Result<Exit> {
    let socket = setting.state()?.join(SOCKET);
    setting.screen.note("following the events of runs; Ctrl-C ends");
    loop {
        if let Some(mut events) = Events::follow(&socket).await? {
            while let Some(event) = events.next().await? {
                if args.slices.is_empty() || args.slices.contains(&event.slice) {
                    tell(&event, setting)?;
                }
            }
        }
        tokio::time::sleep(LOOKS).await;
    }
}

fn tell(event: &RunEvent, setting: &Setting) -> Result<()> {
    match setting.screen.format() {
        Format::Table => setting.screen.result(render::events::event(event, &TimeZone::system())),
        Format::Json | Format::Yaml => setting.screen.item(event),
    }
}
