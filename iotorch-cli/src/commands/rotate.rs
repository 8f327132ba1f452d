//! `iotorch rotate`

use clap::Args;
use iotorch_core::{Intent, resource::ResourceId};

use super::apply::{Policy, apply};
use crate::{
    cli::Setting,
    exit::Exit,
    failure::Result,
    installation::{self, Purpose},
};

/// Give attachments and devices the next generation of their credential, and accounts a new password
///
/// The new credential is made, its users are switched to it, and the old one is deleted: nothing is cut off in between, except a device
/// that has to be told its new password. The account of a slice on a server (its tenant) changes its password in place.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch rotate greenhouse/edge-1/space/gw/app/device/bench-1
  iotorch rotate greenhouse/cloud-1/space/hub/app/tenant/attachment/gw
  iotorch rotate greenhouse/cloud-1/space/hub/app/tenant")]
pub(crate) struct RotateArgs {
    /// The attachments, devices and tenants, as iotorch status --output json names them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<ResourceId>,
    #[command(flatten)]
    policy: Policy,
}

pub(crate) async fn exec(args: RotateArgs, setting: &Setting) -> Result<Exit> {
    installation::with(setting, Purpose::Work, async |session| {
        let reconcile =
            super::slices_of(&args.ids, &Intent::default(), session.orchestrator(), "rotate a credential of")
                .await?;
        let intent = Intent { reconcile, rotate: args.ids.into_iter().collect(), ..Intent::default() };
        let plan = session.orchestrator().plan(&intent).await?;
        apply(session, setting, plan, args.policy, None).await
    })
    .await
}
