//! `iotorch adopt`

use clap::Args;
use iotorch_core::{Intent, resource::ResourceId};

use super::apply::{Policy, apply};
use crate::{
    cli::Setting,
    exit::Exit,
    failure::Result,
    input::{self, Files},
    installation::{self, Purpose},
};

/// Take over objects that somebody else made
///
/// An object that does not carry our mark is never touched, unless it is adopted: then it gets the mark and becomes as the document
/// says. Undoing that restores what was found and removes the mark; it never deletes.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch adopt greenhouse/edge-1/space/gw/app/device/bench-1
  iotorch adopt greenhouse/external/hub/app/tenant -f greenhouse.yaml    for a slice that is not applied yet")]
pub(crate) struct AdoptArgs {
    /// The resources, as a plan that fails with a conflict names them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<ResourceId>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    policy: Policy,
}

pub(crate) async fn exec(args: AdoptArgs, setting: &Setting) -> Result<Exit> {
    let documents = args.files.read()?;
    installation::with(setting, Purpose::Work, async |session| {
        session.check(&documents).await?;
        let wish = input::wish(documents);
        let reconcile = super::slices_of(&args.ids, &wish, session.orchestrator(), "adopt into").await?;
        let intent = Intent { reconcile, adopt: args.ids.into_iter().collect(), ..wish };
        let plan = session.orchestrator().plan(&intent).await?;
        apply(session, setting, plan, args.policy, None).await
    })
    .await
}
