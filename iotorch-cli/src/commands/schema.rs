//! `iotorch schema`

use std::{fs, path::PathBuf};

use clap::{Args, ValueEnum};
use iotorch_core::{Error, ErrorKind, model::schema};
use serde_json::Value;

use crate::{
    cli::Setting,
    exit::Exit,
    failure::{Result, cannot},
};

/// Print the JSON Schema of documents
///
/// Editors complete and check documents with it.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch schema slice > slice.json
  iotorch schema --output-dir docs/schema      writes slice.json and infrastructure.json")]
pub(crate) struct SchemaArgs {
    /// The kind of document; both without it
    #[arg(value_name = "KIND")]
    kind: Option<Kind>,
    /// Write a file for each kind into this directory
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// One IoT slice and all its parts
    Slice,
    /// A place workloads can run
    Infrastructure,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Slice => "slice",
            Self::Infrastructure => "infrastructure",
        }
    }

    fn schema(self) -> Value {
        match self {
            Self::Slice => schema::slice(),
            Self::Infrastructure => schema::infrastructure(),
        }
    }
}

pub(crate) fn exec(args: SchemaArgs, setting: &Setting) -> Result<Exit> {
    let kinds = args.kind.map_or_else(|| vec![Kind::Slice, Kind::Infrastructure], |kind| vec![kind]);
    let Some(directory) = &args.output_dir else {
        return match kinds.as_slice() {
            [kind] => setting.screen.result(pretty(&kind.schema())?),
            kinds => {
                let both: serde_json::Map<String, Value> =
                    kinds.iter().map(|kind| (kind.name().to_owned(), kind.schema())).collect();
                setting.screen.result(pretty(&Value::Object(both))?)
            }
        }
        .map(|()| Exit::Done);
    };
    fs::create_dir_all(directory)
        .map_err(|error| cannot(format!("make directory \"{}\"", directory.display()), error))?;
    for kind in kinds {
        let path = directory.join(format!("{}.json", kind.name()));
        fs::write(&path, format!("{}\n", pretty(&kind.schema())?))
            .map_err(|error| cannot(format!("write \"{}\"", path.display()), error))?;
        setting.screen.note(path.display());
    }
    Ok(Exit::Done)
}

/// A schema is JSON whatever the form of other results.
fn pretty(schema: &Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(schema)
        .map_err(|error| Error::new(ErrorKind::Unexpected, "cannot write the schema").with_source(error))?)
}
