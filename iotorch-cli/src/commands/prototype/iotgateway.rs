//! `iotorch iotgateway`

use clap::{Args, Subcommand};
use iotorch_core::{
    Error, ErrorKind,
    model::{Connection, Gateway, PartName, Slice},
};

use super::{
    ConfigFile,
    deployment::Deployment,
    edit::Edit,
    part::{self, Part, Which},
};
use crate::{
    cli::Setting,
    commands::apply::Policy,
    exit::Exit,
    failure::Result,
    installation::{self, Purpose},
};

/// Create, delete, get and list gateways, and attach them to servers
///
/// A verb of the paper's prototype. Devices send to a gateway, which sends on to the servers it is attached to.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotgateway create --name gw --slice greenhouse --cluster edge
  iotorch iotgateway attach --name gw --server hub
  iotorch iotgateway list")]
pub(crate) struct IotGatewayArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(Creation),
    Attach(Joining),
    Delete(Deletion),
    Get(Lookup),
    List(Listing),
}

/// Create a gateway in a slice, and wait until it is ready
///
/// Where the slice has one server only, it is attached to that one at once.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotgateway create --name gw --slice greenhouse --cluster edge
  iotorch iotgateway create --name gw --slice greenhouse --server hub     of several servers")]
struct Creation {
    /// Its name, unique in the slice
    #[arg(long, value_name = "NAME")]
    name: PartName,
    #[command(flatten)]
    deployment: Deployment,
    /// The server it is attached to; needed where the slice has several
    #[arg(long, value_name = "SERVER")]
    server: Option<PartName>,
    #[command(flatten)]
    configfile: ConfigFile,
    #[command(flatten)]
    policy: Policy,
}

/// Attach a gateway to a server of its slice
///
/// It sends to this server too; what it is attached to already stays.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotgateway attach --name gw --server hub")]
struct Joining {
    /// The gateway
    #[arg(long, value_name = "GATEWAY")]
    name: PartName,
    /// The server
    #[arg(long, value_name = "SERVER")]
    server: PartName,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    policy: Policy,
}

/// Delete a gateway that has no devices
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotgateway delete --name gw
  iotorch iotgateway delete --name gw --slice greenhouse --yes")]
struct Deletion {
    /// The gateway
    #[arg(long, value_name = "GATEWAY")]
    name: PartName,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    policy: Policy,
}

/// Print a gateway as it stands in the document of its slice
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotgateway get --name gw
  iotorch iotgateway get --name gw --output json")]
struct Lookup {
    /// The gateway
    #[arg(long, value_name = "GATEWAY")]
    name: PartName,
    #[command(flatten)]
    which: Which,
}

/// List the gateways of all slices
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotgateway list
  iotorch iotgateway list --slice greenhouse")]
struct Listing {
    #[command(flatten)]
    which: Which,
}

impl Part for Gateway {
    const NOUN: &'static str = "gateway";
    const VERB: &'static str = "iotgateway";
    const HEADING: [&'static str; 5] = ["GATEWAY", "SLICE", "APPLICATION", "CLUSTER", "SERVERS"];

    fn of(slice: &Slice) -> &[Self] {
        &slice.spec.gateways
    }

    fn name(&self) -> &PartName {
        &self.name
    }

    fn row(&self, slice: &Slice) -> [String; 5] {
        let servers: Vec<&str> = self.servers.iter().map(|connection| connection.name.as_str()).collect();
        [
            self.name.to_string(),
            slice.name.to_string(),
            self.application.to_string(),
            part::cluster(&self.placement),
            if servers.is_empty() { "-".into() } else { servers.join(",") },
        ]
    }
}

pub(crate) async fn exec(args: IotGatewayArgs, setting: &Setting) -> Result<Exit> {
    match args.verb {
        Verb::Create(args) => create(args, setting).await,
        Verb::Attach(args) => attach(args, setting).await,
        Verb::Delete(args) => delete(args, setting).await,
        Verb::Get(args) => part::get::<Gateway>(&args.name, &args.which, setting).await,
        Verb::List(args) => part::list::<Gateway>(&args.which, setting).await,
    }
}

async fn create(args: Creation, setting: &Setting) -> Result<Exit> {
    let Creation { name, deployment, server, configfile, policy } = args;
    let setting = &configfile.apply(setting)?;
    installation::with(setting, Purpose::Work, async |session| {
        let doing = format!("create gateway \"{name}\"");
        let edit = Edit::begin(doing.clone(), session, setting, policy).await?;
        let stored = edit.document(&deployment.slice).await?;
        let chart = deployment.chart(session, setting, stored.spec.places.edge.as_ref()).await?;
        edit.slice(&deployment.slice, |slice| {
            if slice.spec.gateways.iter().any(|gateway| gateway.name == name) {
                return edit
                    .taken(format!("iotorch iotgateway get --name {name} --slice {} shows it", slice.name));
            }
            if server.is_none() && slice.spec.servers.len() > 1 {
                return Err(which_server(slice, &doing).into());
            }
            name_gateways(slice);
            let gateway = Gateway::builder().name(name.clone()).application(deployment.application.clone());
            let gateway =
                gateway.placement(deployment.placement()).servers(connections(server.as_ref())).build();
            slice.spec.gateways.push(Gateway { chart: chart.clone(), ..gateway });
            Ok(())
        })
        .await
    })
    .await
}

fn connections(server: Option<&PartName>) -> Vec<Connection> {
    server.map(|name| Connection::builder().name(name.clone()).build()).into_iter().collect()
}

fn which_server(slice: &Slice, doing: &str) -> Error {
    let servers: Vec<&str> = slice.spec.servers.iter().map(|server| server.name.as_str()).collect();
    let what = format!("cannot {doing}: slice \"{}\" has {} servers", slice.name, servers.len());
    Error::new(ErrorKind::Invalid, what)
        .with_help(format!("name the one it is attached to with --server: {}", servers.join(", ")))
}

/// Writes out to which gateway devices speak that have named none, since it was the only one until now.
fn name_gateways(slice: &mut Slice) {
    let [only] = slice.spec.gateways.as_slice() else { return };
    for device in slice.spec.devices.iter_mut().filter(|device| device.gateway.is_none()) {
        device.gateway = Some(only.name.clone());
    }
}

async fn attach(args: Joining, setting: &Setting) -> Result<Exit> {
    let Joining { name, server, which, policy } = args;
    let setting = &which.configfile.apply(setting)?;
    installation::with(setting, Purpose::Work, async |session| {
        let doing = format!("attach gateway \"{name}\" to server \"{server}\"");
        let edit = Edit::begin(doing, session, setting, policy).await?;
        let slice = edit.slice_of::<Gateway>(&name, which.slice.as_ref()).await?;
        edit.slice(&slice.name, |slice| {
            let gateways = slice.spec.gateways.iter_mut().filter(|gateway| gateway.name == name);
            for gateway in gateways {
                if gateway.servers.iter().all(|connection| connection.name != server) {
                    gateway.servers.extend(connections(Some(&server)));
                }
            }
            Ok(())
        })
        .await
    })
    .await
}

async fn delete(args: Deletion, setting: &Setting) -> Result<Exit> {
    let Deletion { name, yes, which, policy } = args;
    let setting = &which.configfile.apply(setting)?;
    installation::with(setting, Purpose::End, async |session| {
        let doing = format!("delete gateway \"{name}\"");
        let edit = Edit::begin(doing.clone(), session, setting, policy).await?;
        let slice = edit.slice_of::<Gateway>(&name, which.slice.as_ref()).await?;
        edit.take_out(&slice.name, yes, |slice| {
            refuse_with_devices(slice, &name, &doing)?;
            slice.spec.gateways.retain(|gateway| gateway.name != name);
            Ok(())
        })
        .await
    })
    .await
}

fn refuse_with_devices(slice: &Slice, gateway: &PartName, doing: &str) -> Result<()> {
    let is_on_it = |device: &&iotorch_core::model::Device| {
        device.gateway.as_ref().map_or(slice.spec.gateways.len() == 1, |named| named == gateway)
    };
    let devices = slice.spec.devices.iter().filter(is_on_it).count();
    if devices == 0 {
        return Ok(());
    }
    let counted = if devices == 1 { "1 device is".to_owned() } else { format!("{devices} devices are") };
    Err(Error::new(ErrorKind::Conflict, format!("cannot {doing}: {counted} on it"))
        .with_help(format!("iotorch iotdevice list --slice {} shows the devices of the slice", slice.name))
        .into())
}
