//! `iotorch describe`

use clap::Args;
use iotorch_core::{model::SliceName, orchestrator::RunFilter, status::SliceStatus};
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    bridge::bridges,
    cli::Setting,
    exit::Exit,
    failure::Result,
    installation::{self, Purpose, Session},
    management,
    readings::{Channel, Message, Readers},
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
        let (last, unread) = last_readings(session, &status).await;
        let refused = management::refusals(session, &status).await;
        let bridges = bridges(session, &status).await;
        match setting.screen.format() {
            Format::Table => {
                let now = Timestamp::now();
                let mut readings = unread.clone();
                if !last.is_empty() || unread.is_empty() {
                    readings.insert(0, render::messages::last_readings(&last, now));
                }
                let readings = readings.join("\n");
                let shown = Description {
                    status: &status,
                    readings: &readings,
                    bridges: &bridges,
                    refused: &refused,
                    runs: &runs,
                };
                setting.screen.result(describe(&shown, now, &TimeZone::system(), setting.screen.out))
            }
            Format::Json | Format::Yaml => {
                let mut described = serde_json::json!({
                    "status": status,
                    "readings": last,
                    "bridges": bridges,
                    "refused": refused,
                    "runs": runs,
                });
                if !unread.is_empty() {
                    described["readingsError"] = unread.join("\n").into();
                }
                setting.screen.data(&described)
            }
        }
    })
    .await?;
    Ok(Exit::Done)
}

/// The last reading of each name on all servers of the slice, and why some of them could not be read.
async fn last_readings(session: &Session, status: &SliceStatus) -> (Vec<Message>, Vec<String>) {
    let channels = Readers::new(session).each(status, |_, _| true).await;
    let asked = channels.into_iter().map(
        async |channel: iotorch_core::Result<Channel>| -> iotorch_core::Result<Vec<Message>> {
            let channel = channel?;
            Ok(channel.last(channel.summary().await?))
        },
    );
    let (mut last, mut unread) = (Vec::new(), Vec::new());
    for read in futures::future::join_all(asked).await {
        match read {
            Ok(messages) => last.extend(messages),
            Err(error) => unread.push(error.to_cause().to_string()),
        }
    }
    // All channels at a server have the same to say.
    unread.dedup();
    (last, unread)
}
