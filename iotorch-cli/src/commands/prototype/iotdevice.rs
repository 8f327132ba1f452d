//! `iotorch iotdevice`

use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use iotorch_core::{
    Error, ErrorKind,
    model::{Device, DeviceProtocol, Gateway, PartName, ProfileResource, Slice, ValueType},
};

use super::{
    edit::Edit,
    note,
    part::{self, Part, Which},
};
use crate::{
    cli::Setting,
    commands::apply::Policy,
    exit::Exit,
    failure::Result,
    installation::{self, Purpose},
};

/// Create, delete, get and list devices
///
/// A verb of the paper's prototype. A device has a credential of its own, with which it sends to its gateway.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotdevice create --name bench-1 --gateway gw --protocol MQTT --resource=temperature --resource=humidity
  iotorch iotdevice list
  iotorch credentials greenhouse bench-1               what it needs to send")]
pub(crate) struct IotDeviceArgs {
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

/// Create a device on a gateway
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotdevice create --name bench-1 --gateway gw --protocol MQTT --resource=temperature
  iotorch iotdevice create --name door --gateway gw --protocol COAP --resource=open=bool --resource=opened=integer")]
struct Creation {
    /// Its name, unique in the slice
    #[arg(long, value_name = "NAME")]
    name: PartName,
    /// The gateway it speaks to
    #[arg(long, value_name = "GATEWAY")]
    gateway: PartName,
    /// How it speaks
    #[arg(long, value_name = "PROTOCOL", default_value = "MQTT", ignore_case = true)]
    protocol: Protocol,
    /// A value it measures, of the type float, integer, bool or string; float where none is named; may be repeated
    #[arg(long = "resource", value_name = "NAME[=TYPE]", required = true)]
    resources: Vec<Resource>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    policy: Policy,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Protocol {
    /// MQTT 3.1.1 or 5
    Mqtt,
    /// HTTP/1.1
    Http,
    /// CoAP
    Coap,
}

impl From<Protocol> for DeviceProtocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Mqtt => Self::Mqtt,
            Protocol::Http => Self::Http,
            Protocol::Coap => Self::Coap,
        }
    }
}

/// A resource as it is typed: a name, perhaps with a type.
#[derive(Clone, Debug)]
struct Resource(ProfileResource);

impl FromStr for Resource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, kind) = text.split_once('=').unwrap_or((text, "float"));
        let value_type = match kind {
            "float" => ValueType::Float,
            "integer" => ValueType::Integer,
            "bool" => ValueType::Bool,
            "string" => ValueType::String,
            other => {
                let what = format!("cannot use {other:?} as the type of resource \"{name}\"");
                let help = "the types are: float, integer, bool, string";
                return Err(Error::new(ErrorKind::Invalid, format!("{what}; {help}")));
            }
        };
        Ok(Self(ProfileResource::builder().name(name.parse()?).value_type(value_type).build()))
    }
}

/// Delete a device
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotdevice delete --name bench-1
  iotorch iotdevice delete --name bench-1 --slice greenhouse --yes")]
struct Deletion {
    /// The device
    #[arg(long, value_name = "DEVICE")]
    name: PartName,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    policy: Policy,
}

/// Print a device as it stands in the document of its slice
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotdevice get --name bench-1
  iotorch iotdevice get --name bench-1 --output json")]
struct Lookup {
    /// The device
    #[arg(long, value_name = "DEVICE")]
    name: PartName,
    #[command(flatten)]
    which: Which,
}

/// List the devices of all slices
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch iotdevice list
  iotorch iotdevice list --slice greenhouse")]
struct Listing {
    #[command(flatten)]
    which: Which,
}

impl Part for Device {
    const NOUN: &'static str = "device";
    const VERB: &'static str = "iotdevice";
    const HEADING: [&'static str; 5] = ["DEVICE", "SLICE", "GATEWAY", "PROTOCOL", "RESOURCES"];

    fn of(slice: &Slice) -> &[Self] {
        &slice.spec.devices
    }

    fn name(&self) -> &PartName {
        &self.name
    }

    fn row(&self, slice: &Slice) -> [String; 5] {
        let profile = slice.spec.profiles.iter().find(|profile| Some(&profile.name) == self.profile.as_ref());
        let resources = profile.map_or(&self.resources, |profile| &profile.resources);
        let resources: Vec<&str> = resources.iter().map(|resource| resource.name.as_str()).collect();
        [
            self.name.to_string(),
            slice.name.to_string(),
            self.gateway.as_ref().map_or_else(|| "-".into(), ToString::to_string),
            self.protocol.to_string(),
            resources.join(","),
        ]
    }
}

pub(crate) async fn exec(args: IotDeviceArgs, setting: &Setting) -> Result<Exit> {
    match args.verb {
        Verb::Create(args) => create(args, setting).await,
        Verb::Delete(args) => delete(args, setting).await,
        Verb::Get(args) => part::get::<Device>(&args.name, &args.which, setting).await,
        Verb::List(args) => part::list::<Device>(&args.which, setting).await,
    }
}

async fn create(args: Creation, setting: &Setting) -> Result<Exit> {
    let Creation { name, gateway, protocol, resources, which, policy } = args;
    let setting = &which.configfile.apply(setting)?;
    let resources: Vec<ProfileResource> = resources.into_iter().map(|Resource(resource)| resource).collect();
    let slice = installation::with(setting, Purpose::Work, async |session| {
        let edit = Edit::begin(format!("create device \"{name}\""), session, setting, policy).await?;
        let slice = edit.slice_of::<Gateway>(&gateway, which.slice.as_ref()).await?;
        edit.slice(&slice.name, |slice| {
            if slice.spec.devices.iter().any(|device| device.name == name) {
                return edit
                    .taken(format!("iotorch iotdevice get --name {name} --slice {} shows it", slice.name));
            }
            let device =
                Device::builder().name(name.clone()).gateway(gateway.clone()).protocol(protocol.into());
            slice.spec.devices.push(device.resources(resources.clone()).build());
            Ok(())
        })
        .await?;
        Ok(slice.name)
    })
    .await?;
    note(&setting.screen, format!("iotorch credentials {slice} {name} tells what it needs to send"));
    Ok(Exit::Done)
}

async fn delete(args: Deletion, setting: &Setting) -> Result<Exit> {
    let Deletion { name, yes, which, policy } = args;
    let setting = &which.configfile.apply(setting)?;
    installation::with(setting, Purpose::End, async |session| {
        let edit = Edit::begin(format!("delete device \"{name}\""), session, setting, policy).await?;
        let slice = edit.slice_of::<Device>(&name, which.slice.as_ref()).await?;
        edit.take_out(&slice.name, yes, |slice| {
            slice.spec.devices.retain(|device| device.name != name);
            Ok(())
        })
        .await
    })
    .await
}
