//! `iotorch plan`

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::Args;
use iotorch_core::{Error, ErrorKind, Intent, model::SliceName, plan::Plan};

use crate::{
    cli::Setting,
    exit::Exit,
    failure::{Result, cannot},
    input::{self, Files},
    installation::{self, Purpose},
    render,
    screen::{Format, Screen},
};

/// Show what would be done, and change nothing
///
/// Compares the documents with what is recorded and what is seen, and shows every change with its reason: + creates, ~ changes,
/// - deletes, ± removes and makes again, ? changes only if what it uses changes. Colour repeats what the sign says.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch plan -f greenhouse.yaml
  iotorch plan -f greenhouse.yaml --out greenhouse.plan    save it for iotorch apply --plan
  iotorch plan -f greenhouse.yaml --exit-code              end with 2 when changes are pending
  iotorch plan greenhouse                                  look for changes made outside of iotorch
  iotorch plan -f greenhouse.yaml --output json            every fact, for a program")]
pub(crate) struct PlanArgs {
    /// Slices to compare with the documents that were applied last
    #[arg(value_name = "SLICE")]
    slices: Vec<SliceName>,
    #[command(flatten)]
    files: Files,
    /// Save the plan for `iotorch apply --plan`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// End with code 2 when changes are pending
    #[arg(long)]
    exit_code: bool,
    /// Show the documents with every default written out
    #[arg(long)]
    show_defaults: bool,
    /// Plan to remove and make again what cannot be changed in place
    #[arg(long)]
    allow_replace: bool,
}

pub(crate) async fn exec(args: PlanArgs, setting: &Setting) -> Result<Exit> {
    if args.slices.is_empty() {
        args.files.require()?;
    }
    let documents = args.files.read()?;
    let plan = installation::with(setting, Purpose::Look, async |session| {
        session.check(&documents).await?;
        let wish = input::wish(documents);
        let intent = Intent { reconcile: args.slices.clone(), allow_replace: args.allow_replace, ..wish };
        Ok(session.orchestrator().plan(&intent).await?)
    })
    .await?;
    if args.show_defaults {
        show_defaults(&plan, &setting.screen)?;
    }
    if let Some(path) = &args.out {
        save(&plan, path)?;
    }
    match setting.screen.format() {
        Format::Json | Format::Yaml => setting.screen.data(&plan)?,
        Format::Table => {
            setting.screen.result(render::plan::plan(&plan, setting.screen.out))?;
            if !plan.is_empty() {
                setting.screen.note(format!("\nApply with: {}", apply_with(&args)));
            }
        }
    }
    Ok(if args.exit_code && !plan.is_empty() { Exit::Changes } else { Exit::Done })
}

fn apply_with(args: &PlanArgs) -> String {
    match &args.out {
        Some(path) => format!("iotorch apply --plan {}", path.display()),
        None => {
            let replace = if args.allow_replace { " --allow-replace" } else { "" };
            let slices: String = args.slices.iter().map(|slice| format!(" {slice}")).collect();
            format!("iotorch apply{slices}{}{replace}", args.files.typed())
        }
    }
}

fn show_defaults(plan: &Plan, screen: &Screen) -> Result<()> {
    let documents = plan.slices.iter().filter_map(|slice| slice.document.as_ref());
    for document in documents {
        let full = iotorch_core::model::Slice::clone(document).with_defaults();
        screen.note(format!("---\n{}", full.to_yaml()?));
    }
    Ok(())
}

/// Writes the plan for its owner alone: it tells where everything is.
fn save(plan: &Plan, path: &Path) -> Result<()> {
    let text = serde_json::to_vec(plan)
        .map_err(|error| Error::new(ErrorKind::Unexpected, "cannot write the plan").with_source(error))?;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(&text))
        .map_err(|error| cannot(format!("write \"{}\"", path.display()), error).into())
}
