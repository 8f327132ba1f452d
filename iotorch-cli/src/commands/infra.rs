//! `iotorch infra`

pub(crate) mod add;
pub(crate) mod check;
pub(crate) mod list;

use clap::{Args, Subcommand};

use crate::{cli::Setting, exit::Exit, failure::Result};

/// Add, check and list infrastructures
///
/// An infrastructure is a place that slices run on: a Kubernetes cluster, or the process of iotorch run. Its document can as well
/// be applied with others (iotorch apply -f), printed (iotorch get infrastructures) and removed (iotorch delete
/// --infrastructure).
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch infra add edge-1 --tier edge --context edge-1
  iotorch infra check
  iotorch infra check --context edge-1                  a cluster that is not added yet
  iotorch infra list")]
pub(crate) struct InfraArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Add(add::AddArgs),
    Check(check::CheckArgs),
    List(list::ListArgs),
}

pub(crate) async fn exec(args: InfraArgs, setting: &Setting) -> Result<Exit> {
    match args.verb {
        Verb::Add(args) => add::exec(args, setting).await,
        Verb::Check(args) => check::exec(args, setting).await,
        Verb::List(list::ListArgs {}) => list::exec(setting).await,
    }
}
