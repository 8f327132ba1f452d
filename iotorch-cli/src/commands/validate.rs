//! `iotorch validate`

use clap::Args;
use iotorch_core::model::Documents;

use crate::{
    check::check,
    cli::Setting,
    exit::Exit,
    failure::Result,
    input::Files,
    installation::{self, Purpose, STORE},
    screen::Format,
};

/// Check documents, and change nothing
///
/// All faults of all files are shown at once, each with its place and the way out. Infrastructures that the installation knows
/// need not be among the documents.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch validate -f greenhouse.yaml
  iotorch validate -f slices/ -f infrastructure.yaml
  cat greenhouse.yaml | iotorch validate -f -")]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    files: Files,
}

pub(crate) async fn exec(args: ValidateArgs, setting: &Setting) -> Result<Exit> {
    args.files.require()?;
    let documents = args.files.read()?;
    // Without a store nothing is known, and checking documents is no reason to make one.
    if setting.state().is_ok_and(|state| state.join(STORE).exists()) {
        installation::with(setting, Purpose::Look, async |session| session.check(&documents).await).await?;
    } else {
        check(&documents, Vec::new()).await?;
    }
    tell(&documents, setting)
}

fn tell(documents: &Documents, setting: &Setting) -> Result<Exit> {
    let slices: Vec<&str> = documents.slices().map(|slice| slice.name.as_str()).collect();
    let places: Vec<&str> = documents.infrastructures().map(|place| place.name.as_str()).collect();
    match setting.screen.format() {
        Format::Table => {
            let named = |one: &str, many: &str, names: &[&str]| match names {
                [] => None,
                [name] => Some(format!("{one} {name}")),
                names => Some(format!("{many} {}", names.join(", "))),
            };
            let parts: Vec<String> =
                [named("infrastructure", "infrastructures", &places), named("slice", "slices", &slices)]
                    .into_iter()
                    .flatten()
                    .collect();
            if !setting.screen.quiet {
                setting.screen.result(format!("right: {}", parts.join("; ")))?;
            }
        }
        Format::Json | Format::Yaml => {
            setting.screen.data(&serde_json::json!({ "infrastructures": places, "slices": slices }))?;
        }
    }
    Ok(Exit::Done)
}
