//! Commands to the devices of EdgeX gateways, by core-command: each is answered at once, and none waits for a device that sleeps.

use iotorch_core::{
    Error, ErrorKind,
    resource::{KindName, Outputs},
    status::SliceStatus,
};
use iotorch_edgex::{Commands, DeviceReading};
use iotorch_lite::device::Reading;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::CommandArgs;
use crate::{
    cli::Setting,
    device::{Device, typed},
    exit::Exit,
    failure::Result,
    installation::Session,
    render,
    screen::Format,
};

/// The way to the device's gateway.
pub(super) async fn open(session: &Session, status: &SliceStatus, device: &Device) -> Result<Commands> {
    let told = status.resources.iter().find_map(|resource| match &resource.outputs {
        Some(Outputs::Application(told))
            if resource.id.kind() == KindName::Application
                && resource.id.part() == Some(device.gateway.as_str()) =>
        {
            Some(told)
        }
        _ => None,
    });
    let told = told.ok_or_else(|| {
        let why = format!("cannot command device \"{}\": its gateway is not there", device.name);
        Error::new(ErrorKind::NotFound, why)
    })?;
    let cx = session.context(told.endpoints.values()).await?;
    Ok(Commands::open(&cx, told, device.trust.as_deref()).await?)
}

/// What became of a command.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Set {
    /// The resource.
    pub(crate) resource: String,
    /// The value that it was set to.
    pub(crate) value: Value,
    /// How long the answer took, in seconds.
    pub(crate) seconds: f64,
}

/// The value of a resource.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Got {
    /// The resource.
    pub(crate) resource: String,
    /// Its value.
    pub(crate) value: Value,
    /// The unit of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    /// When the device gave it, in seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<f64>,
}

impl From<DeviceReading> for Got {
    #[allow(clippy::cast_precision_loss, reason = "a person looks at it")]
    fn from(reading: DeviceReading) -> Self {
        let DeviceReading { resource, value, value_type, units, origin, .. } = reading;
        let value = value_of(&value, &value_type);
        let time = (origin != 0).then(|| origin as f64 / 1e9);
        Self { resource, value, unit: units, time }
    }
}

/// A value of EdgeX, which writes all of them as texts.
fn value_of(text: &str, value_type: &str) -> Value {
    match value_type {
        "String" => Value::from(text),
        _ => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
    }
}

/// Gets or sets a resource.
pub(super) async fn exec(
    args: &CommandArgs,
    device: &Device,
    commands: &Commands,
    setting: &Setting,
) -> Result<Exit> {
    if args.list || args.withdraw.is_some() || args.no_wait {
        let why = format!("cannot do that for device \"{}\": EdgeX keeps no commands", device.name);
        return Err(Error::new(ErrorKind::Unsupported, why)
            .with_help("it asks the device at once, and says what came of it")
            .into());
    }
    let (resource, value) = args.order();
    let began = Instant::now();
    if args.get {
        let got = commands.get(&device.user, resource).await;
        let got = got.map_err(|error| refused(device, "read", error))?;
        let got: Vec<Got> = got.into_iter().map(Got::from).collect();
        return match setting.screen.format() {
            Format::Table => setting.screen.result(render::commands::got(&got)).map(|()| Exit::Done),
            Format::Json | Format::Yaml => setting.screen.data(&got).map(|()| Exit::Done),
        };
    }
    let Reading { resource, value } = typed::value(resource, value, &device.resources);
    let set = commands.set(&device.user, &resource, &value).await;
    set.map_err(|error| refused(device, "command", error))?;
    let set = Set { resource, value, seconds: began.elapsed().as_secs_f64() };
    match setting.screen.format() {
        Format::Table if setting.screen.quiet => {}
        Format::Table => setting.screen.result(render::commands::set(&set, device))?,
        Format::Json | Format::Yaml => setting.screen.data(&set)?,
    }
    Ok(Exit::Done)
}

/// What EdgeX has against it, with what the device would take.
fn refused(device: &Device, verb: &str, error: Error) -> Error {
    let kind = error.kind();
    let what = format!("cannot {verb} device \"{}\" of slice \"{}\"", device.name, device.slice);
    let failed = Error::new(kind, what).with_source(error);
    match kind {
        ErrorKind::Invalid | ErrorKind::NotFound if verb == "command" => {
            failed.with_help(render::commands::writable(device))
        }
        ErrorKind::Unavailable => failed.with_help("a device has to listen where its gateway asks it"),
        _ => failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_the_type_that_edgex_gives_it() {
        assert_eq!(value_of("2.15e+01", "Float64"), Value::from(21.5));
        assert_eq!(value_of("true", "Bool"), Value::from(true));
        assert_eq!(value_of("7", "String"), Value::from("7"));
        assert_eq!(value_of("warm", "Float64"), Value::from("warm"));
    }
}
