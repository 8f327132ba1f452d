//! `iotorch describe`

use clap::Args;
use iotorch_core::{model::SliceName, orchestrator::RunFilter};
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    bridge::bridges,
    cli::Setting,
    exit::Exit,
    failure::Result,
    installation::{self, Purpose, Session},
    management,
    readings::{Message, Readers},
    render::{
        self,
        describe::{Description, describe},
    },
    screen::Format,
};

/// How many runs are shown.
const RUNS: usize = 5;

/// Show all that is known of a slice
///
/// The tree of its resources with their conditions and endpoints, the last readings, how the bridges of EdgeX gateways are doing, what
/// its gateways and servers have refused, and the last runs.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch describe greenhouse
  iotorch describe greenhouse --output yaml")]
pub(crate) struct DescribeArgs {
    /// The slice
    #[arg(value_name = "SLICE")]
    slice: SliceName,
}

pub(crate) async fn exec(args: DescribeArgs, setting: &Setting) -> Result<Exit> {
    installation::with(setting, Purpose::Look, async |session| {
        let orchestrator = session.orchestrator();
        let known = orchestrator.slices().await?;
        if !known.contains(&args.slice) {
            return Err(super::no_such_slice("describe", &args.slice, &known).into());
        }
        let status = orchestrator.status(&args.slice).await?;
        let filter = RunFilter { slice: Some(args.slice), limit: Some(RUNS), ..RunFilter::default() };
        let runs = orchestrator.runs(&filter).await?;
        let last = last_readings(session, &status).await;
        let refused = management::refusals(session, &status).await;
        let bridges = bridges(session, &status).await;
        match setting.screen.format() {
            Format::Table => {
                let now = Timestamp::now();
                let readings = match &last {
                    Ok(last) => render::messages::last_readings(last, now),
                    Err(error) => error.to_cause().to_string(),
                };
                let shown = Description {
                    status: &status,
                    readings: &readings,
                    bridges: &bridges,
                    refused: &refused,
                    runs: &runs,
                };
                setting.screen.result(describe(&shown, now, &TimeZone::system(), setting.screen.out))
            }
            Format::Json | Format::Yaml => setting.screen.data(&serde_json::json!({
                "status": status,
                "readings": last.unwrap_or_default(),
                "bridges": bridges,
                "refused": refused,
                "runs": runs,
            })),
        }
    })
    .await?;
    Ok(Exit::Done)
}

/// The last reading of each name on all servers of the slice.
async fn last_readings(
    session: &Session,
    status: &iotorch_core::status::SliceStatus,
) -> iotorch_core::Result<Vec<Message>> {
    let mut last = Vec::new();
    for channel in Readers::new(session).channels(status).await? {
        last.extend(channel.last(channel.summary().await?));
    }
    Ok(last)
}
