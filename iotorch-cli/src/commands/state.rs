//! `iotorch state`

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use iotorch_core::{
    Error, ErrorKind,
    store::{Export, RedbStore},
};

use crate::{
    cli::Setting,
    exit::Exit,
    failure::{Result, cannot},
    installation::{self, Purpose, STORE},
};

/// Move or back up what iotorch knows
///
/// An export holds documents, records, runs and journals as JSON. Secrets are not in it, only their names: copy the state
/// directory's secrets.json by safe means. What the `local` infrastructure stores is not in it either. While no command runs, copying
/// the whole state directory is a backup too.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch state export > backup.json
  iotorch --state /var/lib/iotorch state import backup.json")]
pub(crate) struct StateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print all of it as JSON; works while other commands run
    #[command(after_long_help = "Examples:
  iotorch state export > backup.json")]
    Export,
    /// Make a state directory from an export; there must be no store in it yet
    #[command(after_long_help = "Examples:
  iotorch --state /var/lib/iotorch state import backup.json")]
    Import {
        /// The export
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(crate) async fn exec(args: StateArgs, setting: &Setting) -> Result<Exit> {
    match args.what {
        What::Export => {
            let state =
                installation::with(setting, Purpose::Look, async |session| session.export().await).await?;
            let text = serde_json::to_string_pretty(&state).map_err(|error| {
                Error::new(ErrorKind::Unexpected, "cannot write the state").with_source(error)
            })?;
            setting.screen.result(text)?;
        }
        What::Import { file } => import(&file, setting).await?,
    }
    Ok(Exit::Done)
}

async fn import(file: &std::path::Path, setting: &Setting) -> Result<()> {
    let reading = format!("read \"{}\"", file.display());
    let text = fs::read(file).map_err(|error| cannot(reading, error))?;
    let export: Export = serde_json::from_slice(&text).map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("cannot read \"{}\" as an export", file.display()))
            .with_help("an export is written with iotorch state export")
            .with_source(error)
    })?;
    let directory = setting.state()?;
    installation::make(directory)?;
    let path = directory.join(STORE);
    let (slices, runs) = (export.slices.len(), export.runs.len());
    let store = tokio::task::spawn_blocking(move || RedbStore::create_from_export(path, &export))
        .await
        .map_err(|error| Error::new(ErrorKind::Unexpected, "cannot make the store").with_source(error))??;
    drop(store);
    setting.screen.note(format!(
        "imported {slices} slices and {runs} runs into \"{}\"; copy secrets.json there as well",
        directory.display()
    ));
    Ok(())
}
