//! `iotorch delete`

use clap::Args;
use iotorch_core::{
    Error, ErrorKind, Intent,
    model::{InfrastructureName, SliceName},
    plan::Plan,
};

use super::{
    apply::{Policy, apply},
    ask,
};
use crate::{
    cli::Setting,
    exit::Exit,
    failure::Result,
    input::Files,
    installation::{self, Purpose, Session},
    render,
};

/// Delete slices, and infrastructures that no slice is on
///
/// On a terminal it shows what would go and asks. Deleting only goes forward: what cannot be deleted is named, and
/// `iotorch resume` tries again.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch delete greenhouse
  iotorch delete greenhouse orchard --yes
  iotorch delete -f slices/                     every slice and infrastructure of these documents
  iotorch delete --infrastructure edge-1")]
pub(crate) struct DeleteArgs {
    /// The slices
    #[arg(value_name = "SLICE", required_unless_present_any = ["file", "infrastructures"])]
    slices: Vec<SliceName>,
    #[command(flatten)]
    files: Files,
    /// An infrastructure to remove from the installation; may be repeated
    #[arg(long = "infrastructure", value_name = "INFRASTRUCTURE")]
    infrastructures: Vec<InfrastructureName>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    policy: Policy,
}

impl DeleteArgs {
    /// One slice.
    pub(crate) fn of_slice(slice: SliceName, yes: bool, policy: Policy) -> Self {
        Self { slices: vec![slice], files: Files::default(), infrastructures: Vec::new(), yes, policy }
    }

    /// One infrastructure.
    pub(crate) fn of_infrastructure(infrastructure: InfrastructureName, yes: bool) -> Self {
        let infrastructures = vec![infrastructure];
        Self { slices: Vec::new(), files: Files::default(), infrastructures, yes, policy: Policy::default() }
    }
}

pub(crate) async fn exec(args: DeleteArgs, setting: &Setting) -> Result<Exit> {
    let documents = args.files.read()?;
    let named: Vec<SliceName> = documents.slices().map(|slice| slice.name.clone()).collect();
    let named_places: Vec<InfrastructureName> =
        documents.infrastructures().map(|infrastructure| infrastructure.name.clone()).collect();
    installation::with(setting, Purpose::End, async |session| {
        let orchestrator = session.orchestrator();
        let known = orchestrator.slices().await?;
        if let Some(unknown) = args.slices.iter().find(|slice| !known.contains(slice)) {
            return Err(super::no_such_slice("delete", unknown, &known).into());
        }
        let places = orchestrator.infrastructures().await?;
        // What documents name and is not there is deleted already.
        let is_there = |name: &InfrastructureName| places.iter().any(|place| place.name == *name);
        let mut intent = Intent {
            delete: args
                .slices
                .iter()
                .cloned()
                .chain(named.into_iter().filter(|name| known.contains(name)))
                .collect(),
            delete_infrastructures: named_places.into_iter().filter(is_there).collect(),
            ..Intent::default()
        };
        if let Some(unknown) = args.infrastructures.iter().find(|name| !is_there(name)) {
            let help = "iotorch get infrastructures lists them";
            let message = format!("cannot delete infrastructure \"{unknown}\": there is none of that name");
            return Err(Error::new(ErrorKind::NotFound, message).with_help(help).into());
        }
        intent.delete_infrastructures.extend(args.infrastructures.iter().cloned());
        intent.delete.sort();
        intent.delete.dedup();
        let plan = orchestrator.plan(&intent).await?;
        confirm(session, setting, plan, args.yes, args.policy).await
    })
    .await
}

/// Applies a plan that deletes something, once a person who can be asked has said yes.
pub(crate) async fn confirm(
    session: &Session,
    setting: &Setting,
    plan: Plan,
    yes: bool,
    policy: Policy,
) -> Result<Exit> {
    if setting.can_ask && !yes && !plan.is_empty() {
        setting.screen.complain(render::plan::plan(&plan, setting.screen.err));
        if !ask("Delete all this?")? {
            setting.screen.complain("nothing was deleted");
            return Ok(Exit::Interrupted);
        }
    }
    apply(session, setting, plan, policy, None).await
}
