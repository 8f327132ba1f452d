//! `iotorch command`

pub(crate) mod edgex;

use std::time::Duration;

use clap::Args;
use iotorch_core::{
    Error, ErrorKind,
    model::{PartName, SliceName, TimeSpan},
    status::SliceStatus,
};
use iotorch_edgex::Commands;
use iotorch_lite::{
    api::{Command, CommandState, NewCommand},
    client::{self, GatewayClient},
    device::Reading,
};
use jiff::{Timestamp, tz::TimeZone};
use tokio::time::Instant;

use crate::{
    cli::Setting,
    device::{Device, Software, typed},
    exit::Exit,
    failure::Result,
    installation::{self, Purpose, Session},
    management::{self, Gateway},
    render,
    screen::Format,
};

/// The longest that a gateway is asked to wait in one request.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Tell a device to set one of its resources
///
/// The command waits at the device's gateway, on disk, until the device has acknowledged it, it expires, or it is withdrawn. A device
/// that sleeps gets it when it comes back. EdgeX does not wait: it asks the device at once, and answers.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch command greenhouse bench-1 vent true
  iotorch command greenhouse bench-1 vent true --no-wait --expires 8h
  iotorch command paper bench-1 temperature --get      what it is now, of a device of EdgeX
  iotorch command greenhouse bench-1 --list
  iotorch command greenhouse bench-1 --withdraw 3")]
pub(crate) struct CommandArgs {
    /// The slice
    #[arg(value_name = "SLICE")]
    slice: SliceName,
    /// The device
    #[arg(value_name = "DEVICE")]
    device: PartName,
    /// The resource, one that its profile lets be written
    #[arg(value_name = "RESOURCE", required_unless_present_any = ["list", "withdraw"])]
    resource: Option<String>,
    /// The value it shall take
    #[arg(value_name = "VALUE", required_unless_present_any = ["list", "withdraw", "get"], allow_hyphen_values = true)]
    value: Option<String>,
    /// Ask the device for the value that the resource has now; only EdgeX can do that
    #[arg(long, conflicts_with_all = ["value", "list", "withdraw", "no_wait"])]
    get: bool,
    /// How long to wait for the device
    #[arg(long, value_name = "TIME", default_value = "10s")]
    wait: TimeSpan,
    /// Only hand it to the gateway
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    /// How long the command may wait for the device
    #[arg(long, value_name = "TIME", default_value = "1h")]
    expires: TimeSpan,
    /// Show the commands that wait and the last ones that ended
    #[arg(long, conflicts_with_all = ["resource", "value", "withdraw", "no_wait"])]
    list: bool,
    /// Take back a command that waits
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["resource", "value", "no_wait"])]
    withdraw: Option<u64>,
}

impl CommandArgs {
    /// The resource, and the value it shall take.
    fn order(&self) -> (&str, &str) {
        (self.resource.as_deref().unwrap_or_default(), self.value.as_deref().unwrap_or_default())
    }
}

pub(crate) async fn exec(args: CommandArgs, setting: &Setting) -> Result<Exit> {
    let slices = [args.slice.clone()];
    super::or_host(hand_over(args, setting).await, &slices, setting).await
}

async fn hand_over(args: CommandArgs, setting: &Setting) -> Result<Exit> {
    let (device, way) =
        installation::with(setting, Purpose::Look, async |session| find(session, &args).await).await?;
    let gateway = match &way {
        Way::Lite(gateway) => &gateway.client,
        Way::Edgex(commands) => return edgex::exec(&args, &device, commands, setting).await,
    };
    if args.get {
        let why = format!("cannot read from device \"{}\": its gateway cannot ask it", device.name);
        return Err(Error::new(ErrorKind::Unsupported, why)
            .with_help(format!(
                "what it said last: iotorch messages {} --device {} -n 1",
                args.slice, device.name
            ))
            .into());
    }
    if args.list {
        let commands = gateway.commands(&device.user).await;
        let commands = commands.map_err(|error| told_otherwise(&device, "list the commands of", error))?;
        return match setting.screen.format() {
            Format::Table => {
                let table = render::commands::commands(&commands, Timestamp::now(), &TimeZone::system());
                setting.screen.result(table).map(|()| Exit::Done)
            }
            Format::Json | Format::Yaml => setting.screen.data(&commands).map(|()| Exit::Done),
        };
    }
    let (command, is_awaited) = match args.withdraw {
        Some(number) => {
            let withdrawn = gateway.withdraw_command(&device.user, number).await;
            (withdrawn.map_err(|error| told_otherwise(&device, "withdraw a command of", error))?, false)
        }
        None => (order(&args, &device, gateway, setting).await?, !args.no_wait),
    };
    tell(&command, &device, setting)?;
    Ok(match command.state {
        CommandState::Delivered => Exit::Done,
        CommandState::Withdrawn if args.withdraw.is_some() => Exit::Done,
        CommandState::Waiting if !is_awaited => Exit::Done,
        _ => Exit::Unavailable,
    })
}

/// What takes commands to a device.
enum Way {
    Lite(Gateway),
    Edgex(Commands),
}

async fn find(session: &Session, args: &CommandArgs) -> Result<(Device, Way)> {
    let status: SliceStatus = super::status_of(session.orchestrator(), &args.slice, "command").await?;
    let device = super::device_of(&status, &args.device, "command")?;
    if device.software == Software::Edgex {
        let commands = edgex::open(session, &status, &device).await?;
        return Ok((device, Way::Edgex(commands)));
    }
    let gateway = management::gateway(session, &status, &device.gateway).await?;
    let gateway = gateway.ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            format!(
                "cannot command device \"{}\": gateway \"{}\" is none that takes commands",
                device.name, device.gateway
            ),
        )
        .with_help("gateways with application: lite or edgex do")
    })?;
    Ok((device, Way::Lite(gateway)))
}

/// Hands a command to the gateway, and waits for what becomes of it.
async fn order(
    args: &CommandArgs,
    device: &Device,
    gateway: &GatewayClient,
    setting: &Setting,
) -> Result<Command> {
    let (resource, value) = args.order();
    let Reading { resource, value } = typed::value(resource, value, &device.resources);
    let new = NewCommand { resource, value, expires_in: args.expires.duration().as_secs_f64() };
    let handed_over = gateway.send_command(&device.user, &new).await;
    let mut command = handed_over.map_err(|error| told_otherwise(device, "command", error))?;
    let until = Instant::now() + args.wait.duration();
    while !args.no_wait && command.state == CommandState::Waiting {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match gateway.command(&device.user, command.id, left.min(LONGEST_WAIT)).await {
            Ok(now) => command = now,
            // To hand it over once more would be another command.
            Err(error) => {
                let why = told_otherwise(device, "see what becomes of a command to", error).to_cause();
                setting.screen.complain(format!(
                    "warning: command {} is with the gateway; what becomes of it cannot be seen: {why}",
                    command.id
                ));
                break;
            }
        }
    }
    Ok(command)
}

fn tell(command: &Command, device: &Device, setting: &Setting) -> Result<()> {
    match setting.screen.format() {
        Format::Table if setting.screen.quiet => Ok(()),
        Format::Table => setting.screen.result(render::commands::command(
            command,
            device,
            Timestamp::now(),
            &TimeZone::system(),
        )),
        Format::Json | Format::Yaml => setting.screen.data(command),
    }
}

/// What the gateway has against it, with what it would take.
fn told_otherwise(device: &Device, verb: &str, error: client::Error) -> Error {
    let is_invalid = matches!(error, client::Error::Invalid { .. });
    let failed = management::failed(
        format!("cannot {verb} device \"{}\" of slice \"{}\"", device.name, device.slice),
        error,
    );
    if is_invalid { failed.with_help(render::commands::writable(device)) } else { failed }
}
