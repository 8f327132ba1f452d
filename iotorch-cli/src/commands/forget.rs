//! `iotorch forget`

use clap::Args;
use iotorch_core::{Error, ErrorKind, model::InfrastructureName};

use super::{ask, is_local};
use crate::{
    cli::Setting,
    exit::Exit,
    failure::Result,
    installation::{self, Purpose, Session},
    screen::Format,
};

/// Drop all records of an infrastructure that is gone for good
///
/// Nothing is deleted there. Every id that may be left behind is printed; slices that had parts there can be applied again elsewhere.
/// What `iotorch run` hosts is not gone, and not forgotten.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch forget edge-2
  iotorch forget edge-2 --yes > left-behind.txt")]
pub(crate) struct ForgetArgs {
    /// The infrastructure
    #[arg(value_name = "INFRASTRUCTURE")]
    infrastructure: InfrastructureName,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn exec(args: ForgetArgs, setting: &Setting) -> Result<Exit> {
    let name = &args.infrastructure;
    if setting.can_ask
        && !args.yes
        && !ask(&format!(
            "Forget all that is on {name}? Nothing is deleted there, and iotorch will not know of it any more."
        ))?
    {
        setting.screen.complain("nothing was forgotten");
        return Ok(Exit::Interrupted);
    }
    let left = installation::with(setting, Purpose::Look, async |session| {
        refuse_hosted(session, name).await?;
        Ok(session.orchestrator().forget(name).await?)
    })
    .await?;
    let screen = &setting.screen;
    match screen.format() {
        Format::Table => {
            screen.note(match left.len() {
                0 => format!("forgot {name}; nothing is left behind there"),
                n => format!("forgot {name}; {n} resources may be left behind there:"),
            });
            for id in &left {
                screen.result(id)?;
            }
        }
        Format::Json | Format::Yaml => screen.data(&left)?,
    }
    Ok(Exit::Done)
}

/// Refuses to forget what is not gone: it would run on, belong to nobody, and keep its ports.
async fn refuse_hosted(session: &Session, name: &InfrastructureName) -> Result<()> {
    let known = session.orchestrator().infrastructures().await?;
    if !session.is_hosted() || !known.iter().any(|place| place.name == *name && is_local(place)) {
        return Ok(());
    }
    let why = format!("cannot forget infrastructure \"{name}\": it is not gone, iotorch run hosts it");
    let help = format!(
        "take away what is on it: iotorch delete SLICE, then iotorch delete --infrastructure {name}\n\
         to forget it all the same, end iotorch run first"
    );
    Err(Error::new(ErrorKind::Conflict, why).with_help(help).into())
}
