//! `iotorch runs`

use clap::Args;
use iotorch_core::{model::SliceName, orchestrator::RunFilter};
use jiff::Timestamp;

use crate::{
    cli::Setting,
    exit::Exit,
    failure::Result,
    installation::{self, Purpose},
    render,
    screen::Format,
};

/// List runs, the newest first
///
/// A run is one plan for one slice, tried. One that is open keeps others from its slice until `iotorch resume` ends it.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch runs
  iotorch runs greenhouse --limit 3
  iotorch runs --open")]
pub(crate) struct RunsArgs {
    /// Only those of this slice
    #[arg(value_name = "SLICE")]
    slice: Option<SliceName>,
    /// Only those that are open
    #[arg(long)]
    open: bool,
    /// At most so many
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20)]
    limit: usize,
}

pub(crate) async fn exec(args: RunsArgs, setting: &Setting) -> Result<Exit> {
    let filter = RunFilter { slice: args.slice, open: args.open, limit: Some(args.limit) };
    let runs = installation::with(setting, Purpose::Look, async |session| {
        Ok(session.orchestrator().runs(&filter).await?)
    })
    .await?;
    match setting.screen.format() {
        Format::Table => setting.screen.result(render::runs::runs(&runs, Timestamp::now()))?,
        Format::Json | Format::Yaml => setting.screen.data(&runs)?,
    }
    Ok(Exit::Done)
}
