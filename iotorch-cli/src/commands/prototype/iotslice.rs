//! `iotorch iotslice`

use clap::{Args, Subcommand};
use iotorch_core::{
    Intent,
    model::{InfrastructureName, Places, Slice, SliceName, SliceSpec},
};

use super::{ConfigFile, edit::Edit};
use crate::{
    cli::Setting,
    commands::{
        apply::Policy,
        delete::{self, DeleteArgs},
        get::{self, GetArgs},
    },
    exit::Exit,
    failure::Result,
    installation::{self, Purpose},
};

/// Create, delete, get and list slices
///
/// A verb of the paper's prototype. What goes into a slice is made by iotserver, iotgateway and iotdevice, or all at once by
/// iotorch apply -f.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotslice create --name greenhouse --edge edge --cloud cloud
  iotorch iotslice list
  iotorch get slices greenhouse > greenhouse.yaml      the same as a document, for iotorch apply -f")]
pub(crate) struct IotSliceArgs {
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

/// Create a slice without parts
///
/// Gateways whose --cluster is not given go to its edge, servers to its cloud.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotslice create --name greenhouse --edge edge --cloud cloud
  iotorch iotslice create --name carpark --edge pc --cloud pc")]
struct Creation {
    /// Its name
    #[arg(long, value_name = "NAME")]
    name: SliceName,
    /// The cluster of its gateways
    #[arg(long, value_name = "INFRASTRUCTURE")]
    edge: Option<InfrastructureName>,
    /// The cluster of its servers
    #[arg(long, value_name = "INFRASTRUCTURE")]
    cloud: Option<InfrastructureName>,
    #[command(flatten)]
    configfile: ConfigFile,
}

/// Delete a slice with everything in it
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotslice delete --name greenhouse")]
struct Deletion {
    /// The slice
    #[arg(long, value_name = "SLICE")]
    name: SliceName,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    configfile: ConfigFile,
    #[command(flatten)]
    policy: Policy,
}

/// Print the document of a slice
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotslice get --name greenhouse
  iotorch iotslice get --name greenhouse --output json")]
struct Lookup {
    /// The slice
    #[arg(long, value_name = "SLICE")]
    name: SliceName,
    #[command(flatten)]
    configfile: ConfigFile,
}

/// List all slices
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotslice list")]
struct Listing {
    #[command(flatten)]
    configfile: ConfigFile,
}

pub(crate) async fn exec(args: IotSliceArgs, setting: &Setting) -> Result<Exit> {
    match args.verb {
        Verb::Create(args) => create(args, setting).await,
        Verb::Delete(args) => {
            let setting = args.configfile.apply(setting)?;
            delete::exec(DeleteArgs::of_slice(args.name, args.yes, args.policy), &setting).await
        }
        Verb::Get(args) => {
            let setting = args.configfile.apply(setting)?;
            get::exec(GetArgs::of_slices(vec![args.name]), &setting).await
        }
        Verb::List(args) => {
            let setting = args.configfile.apply(setting)?;
            get::exec(GetArgs::of_slices(Vec::new()), &setting).await
        }
    }
}

async fn create(args: Creation, setting: &Setting) -> Result<Exit> {
    let setting = &args.configfile.apply(setting)?;
    installation::with(setting, Purpose::Work, async |session| {
        let doing = format!("create slice \"{}\"", args.name);
        let edit = Edit::begin(doing, session, setting, Policy::default()).await?;
        if session.orchestrator().slices().await?.contains(&args.name) {
            return edit.taken(format!("iotorch iotslice get --name {} shows it", args.name));
        }
        let places = Places { edge: args.edge, cloud: args.cloud };
        let slice = Slice { name: args.name, spec: SliceSpec { places, ..SliceSpec::default() } };
        edit.add(&Intent { slices: vec![slice], ..Intent::default() }).await
    })
    .await
}
