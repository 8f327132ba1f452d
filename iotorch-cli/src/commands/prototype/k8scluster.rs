//! `iotorch k8scluster`

use std::net::IpAddr;

use clap::{Args, Subcommand};
use iotorch_core::{
    Error, ErrorKind,
    model::{DriverName, Infrastructure, InfrastructureName, InfrastructureSpec},
};

use super::{ConfigFile, tell_unused};
use crate::{
    cli::Setting,
    commands::{
        delete::{self, DeleteArgs},
        get::{self, GetArgs},
        infra::{
            add::{self, Addition, KUBERNETES, TierName},
            list,
        },
    },
    exit::Exit,
    failure::{Failure, Result},
};

/// The driver of an infrastructure in the process of `iotorch run`.
pub(super) const LOCAL: &str = "local";

/// Create, delete, get and list clusters, which are infrastructures
///
/// A verb of the paper's prototype; iotorch infra does the same and more. With --driver local a cluster is the process of iotorch
/// run.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch k8scluster create --name pc --k8scontext pc
  iotorch k8scluster create --name edge --driver local
  iotorch k8scluster list
  iotorch get infrastructures edge > edge.yaml         the same as a document, for iotorch apply -f")]
pub(crate) struct K8sClusterArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(Creation),
    Delete(Deletion),
    Get(Lookup),
    List(Listing),
}

/// Create a cluster
///
/// It is checked and stored, and first used when a part of a slice goes there.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch k8scluster create --name edge --driver local --tier edge
  iotorch k8scluster create --name pc --k8scontext pc")]
struct Creation {
    /// Its name
    #[arg(long, value_name = "NAME")]
    name: InfrastructureName,
    /// What manages it; local is the process of iotorch run
    #[arg(long, value_name = "DRIVER", default_value = KUBERNETES)]
    driver: DriverName,
    /// Where in the network it stands
    #[arg(long, value_name = "TIER", default_value = "cloud")]
    tier: TierName,
    /// The context of the kubeconfig, as --context
    #[arg(long, value_name = "CONTEXT")]
    k8scontext: Option<String>,
    /// Its address; accepted and not used, the context has it
    #[arg(long, value_name = "IP")]
    ip: Option<IpAddr>,
    /// The port of Tiller; accepted and not used, Helm needs none any more
    #[arg(long, value_name = "PORT")]
    k8shelmport: Option<u16>,
    /// The address of Tiller; accepted and not used, Helm needs none any more
    #[arg(long, value_name = "IP", visible_alias = "k8shelmip")]
    helmip: Option<IpAddr>,
    /// Store it although it may not be usable yet
    #[arg(long)]
    no_check: bool,
    #[command(flatten)]
    configfile: ConfigFile,
}

/// Delete a cluster that no slice is on
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch k8scluster delete --name edge")]
struct Deletion {
    /// The cluster
    #[arg(long, value_name = "INFRASTRUCTURE")]
    name: InfrastructureName,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    configfile: ConfigFile,
}

/// Print the document of a cluster
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch k8scluster get --name edge
  iotorch k8scluster get --name edge --output json")]
struct Lookup {
    /// The cluster
    #[arg(long, value_name = "INFRASTRUCTURE")]
    name: InfrastructureName,
    #[command(flatten)]
    configfile: ConfigFile,
}

/// List all clusters, and how each is now
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch k8scluster list")]
struct Listing {
    #[command(flatten)]
    configfile: ConfigFile,
}

pub(crate) async fn exec(args: K8sClusterArgs, setting: &Setting) -> Result<Exit> {
    match args.verb {
        Verb::Create(args) => create(args, setting).await,
        Verb::Delete(args) => {
            let setting = args.configfile.apply(setting)?;
            delete::exec(DeleteArgs::of_infrastructure(args.name, args.yes), &setting).await
        }
        Verb::Get(args) => {
            let setting = args.configfile.apply(setting)?;
            get::exec(GetArgs::of_infrastructures(vec![args.name]), &setting).await
        }
        Verb::List(args) => {
            let setting = args.configfile.apply(setting)?;
            list::exec(&setting).await
        }
    }
}

async fn create(args: Creation, setting: &Setting) -> Result<Exit> {
    let setting = &args.configfile.apply(setting)?;
    tell_what_is_unused(&args, setting);
    let addition = Addition {
        doing: format!("create cluster \"{}\"", args.name),
        taken: format!("iotorch k8scluster get --name {} shows it", args.name),
        infrastructure: infrastructure(&args, setting),
        is_checked: !args.no_check,
        is_dry: false,
    };
    let added = add::add(addition, setting).await;
    added.map_err(|failure| with_a_driver_that_is_there(failure, &args.driver))
}

/// Adds to an error about a driver how a cluster is made without it.
fn with_a_driver_that_is_there(failure: Failure, driver: &DriverName) -> Failure {
    // What a check finds has its cause below it.
    let is_of_document =
        |error: &Error| error.kind() == ErrorKind::Invalid && std::error::Error::source(error).is_none();
    match failure {
        Failure::Error(error) if is_of_document(&error) && driver.as_str() != LOCAL => {
            let help = error.help().map(|help| format!("{help}\n")).unwrap_or_default();
            Error::new(ErrorKind::Unsupported, error.to_string())
                .with_help(format!("{help}with --driver local, the cluster is in the process of iotorch run"))
                .into()
        }
        other => other,
    }
}

fn infrastructure(args: &Creation, setting: &Setting) -> Infrastructure {
    let is_cluster = args.driver.as_str() == KUBERNETES;
    let context = args.k8scontext.as_ref().or(setting.clusters.context.as_ref()).filter(|_| is_cluster);
    let settings = add::settings(&args.driver, context.map(String::as_str), None, setting);
    let spec = InfrastructureSpec::builder()
        .driver(args.driver.clone())
        .tier(args.tier.into())
        .settings(settings)
        .build();
    Infrastructure { name: args.name.clone(), spec }
}

fn tell_what_is_unused(args: &Creation, setting: &Setting) {
    const PROCESS: &str = "it is in the process of iotorch run";
    const TILLER: &str = "Helm needs no Tiller any more";
    let is_local = args.driver.as_str() == LOCAL;
    let address = if is_local { PROCESS } else { "the context has the address" };
    tell_unused(
        &setting.screen,
        &[
            ("--ip", args.ip.is_some(), address),
            ("--k8scontext", args.k8scontext.is_some() && is_local, PROCESS),
            ("--k8shelmport", args.k8shelmport.is_some(), TILLER),
            ("--helmip", args.helmip.is_some(), TILLER),
        ],
    );
}
