//! `iotorch status`

use clap::Args;
use iotorch_core::model::SliceName;
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    bridge::bridges,
    cli::Setting,
    exit::Exit,
    failure::Result,
    installation::{self, Purpose, Session},
    management, render,
    screen::Format,
};

/// Look at slices and say how they are
///
/// Ready, Degraded, Failed, Pending and Unknown are different things: an edge that cannot be reached makes its parts Unknown, not
/// Failed. The reason is the one that the lower system gave; `iotorch describe` has all of it.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch status
  iotorch status greenhouse orchard
  iotorch status --output json")]
pub(crate) struct StatusArgs {
    /// Only these slices
    #[arg(value_name = "SLICE")]
    slices: Vec<SliceName>,
}

pub(crate) async fn exec(args: StatusArgs, setting: &Setting) -> Result<Exit> {
    let is_table = setting.screen.format() == Format::Table;
    let looked = installation::with(setting, Purpose::Look, async |session| {
        let all = look_at(session, args.slices).await?;
        let notes = if is_table { notes(session, &all).await } else { Vec::new() };
        Ok((all, notes))
    });
    let (all, notes) = looked.await?;
    match setting.screen.format() {
        Format::Table => {
            let table = render::status::statuses(&all, Timestamp::now(), &TimeZone::system());
            setting.screen.result(table)?;
            for line in notes {
                setting.screen.note(line);
            }
        }
        Format::Json | Format::Yaml => setting.screen.data(&all)?,
    }
    Ok(Exit::Done)
}

/// Looks at these slices, or at all of them, side by side: one that is slow to answer does not hold up the others.
async fn look_at(session: &Session, names: Vec<SliceName>) -> Result<Vec<iotorch_core::status::SliceStatus>> {
    let orchestrator = session.orchestrator();
    let known = orchestrator.slices().await?;
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        return Err(super::no_such_slice("look at", unknown, &known).into());
    }
    let names = if names.is_empty() { known } else { names };
    let looks = names.iter().map(|name| orchestrator.status(name));
    let all = futures::future::join_all(looks).await;
    Ok(all.into_iter().collect::<iotorch_core::Result<_>>()?)
}

/// A line for each slice whose gateways or servers have refused somebody, and for all that is wrong with bridges.
async fn notes(session: &Session, all: &[iotorch_core::status::SliceStatus]) -> Vec<String> {
    let asked = all.iter().map(async |status| {
        let slice = status.slice.as_str();
        let refused = management::refusals(session, status).await;
        let mut notes: Vec<String> = render::refusals::summary(slice, &refused).into_iter().collect();
        notes.extend(render::bridges::complaints(slice, &bridges(session, status).await));
        notes
    });
    futures::future::join_all(asked).await.concat()
}
