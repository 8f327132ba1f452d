//! `iotorch credentials`

use clap::Args;
use iotorch_core::{
    Error, ErrorKind,
    model::{PartName, SliceName},
    resource::{DeviceOutputs, Outputs, ResourceId},
    secret::SecretRef,
    status::SliceStatus,
};
use serde::Serialize;

use crate::{
    cli::Setting,
    device::{Software, application},
    exit::Exit,
    failure::Result,
    installation::{self, Purpose},
    management::newest_credential,
    render,
    screen::Format,
};

/// Show what a device needs to send: where, as whom, and on demand the password
///
/// Passwords are printed only with --show-passwords, or alone with --password for use in a script.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch credentials greenhouse
  iotorch credentials greenhouse bench-1 --show-passwords
  mosquitto_pub -p 36605 -u bench-1 -P \"$(iotorch credentials greenhouse bench-1 --password)\" \\
    -t devices/bench-1/temperature -m 21.5 -q 1")]
pub(crate) struct CredentialsArgs {
    /// The slice
    #[arg(value_name = "SLICE")]
    slice: SliceName,
    /// Only this device
    #[arg(value_name = "DEVICE")]
    device: Option<PartName>,
    /// Print the passwords too
    #[arg(long)]
    show_passwords: bool,
    /// Print nothing but the password of the device
    #[arg(long, requires = "device", conflicts_with = "show_passwords")]
    password: bool,
}

/// How to be a device.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Login {
    /// The device, by its name in the document.
    pub(crate) device: String,
    /// Where its gateway listens.
    pub(crate) endpoint: Option<String>,
    /// What it sends under, before the resource.
    pub(crate) path: Option<String>,
    /// The user name; none where nobody has to log in.
    pub(crate) user: Option<String>,
    /// What holds the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<SecretRef>,
    /// The password, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
}

pub(crate) async fn exec(args: CredentialsArgs, setting: &Setting) -> Result<Exit> {
    let logins = installation::with(setting, Purpose::Look, async |session| {
        let known = session.orchestrator().slices().await?;
        if !known.contains(&args.slice) {
            return Err(super::no_such_slice("show the credentials of", &args.slice, &known).into());
        }
        let status = session.orchestrator().status(&args.slice).await?;
        let mut logins = logins(&status);
        if let Some(device) = &args.device {
            logins.retain(|login| login.device == device.as_str());
            if logins.is_empty() {
                let why =
                    format!("cannot find a credential of device \"{device}\" in slice \"{}\"", args.slice);
                return Err(Error::new(ErrorKind::NotFound, why)
                    .with_help(format!("iotorch credentials {} lists those there are", args.slice))
                    .into());
            }
        }
        if args.password || args.show_passwords {
            let secrets = session.secrets();
            for login in &mut logins {
                if let Some(secret) = &login.secret {
                    login.password = Some(secrets.fetch(secret).await?.expose().to_owned());
                }
            }
            if args.password && logins.iter().all(|login| login.password.is_none()) {
                return Err(needs_none(&args).into());
            }
        }
        Ok(logins)
    })
    .await?;
    match (args.password, setting.screen.format()) {
        (true, _) => setting
            .screen
            .result(logins.first().and_then(|login| login.password.as_deref()).unwrap_or_default())?,
        (false, Format::Table) => setting.screen.result(render::credentials::credentials(&logins))?,
        (false, Format::Json | Format::Yaml) => setting.screen.data(&logins)?,
    }
    Ok(Exit::Done)
}

/// A device of a gateway that asks nobody for a password.
fn needs_none(args: &CredentialsArgs) -> Error {
    let device = args.device.as_ref().map(ToString::to_string).unwrap_or_default();
    let why = format!("cannot show the password of device \"{device}\": its gateway asks for none");
    Error::new(ErrorKind::NotFound, why)
        .with_help(format!("iotorch credentials {} {device} says where it sends to", args.slice))
}

/// How to be each device: with its newest credential, where it has one.
fn logins(status: &SliceStatus) -> Vec<Login> {
    let devices = status.resources.iter().filter_map(|resource| match &resource.outputs {
        Some(Outputs::Device(device)) => Some((&resource.id, device)),
        _ => None,
    });
    let login = |(id, device): (&ResourceId, &DeviceOutputs)| {
        let credential = newest_credential(status, id).map(|(_, credential)| credential);
        let software = application(status, id).map_or(Software::Lite, Software::of);
        if software == Software::Lite && credential.is_none() {
            return None;
        }
        let (user, secret) = credential.map(|known| (known.user_name, known.secret)).unzip();
        Some(Login {
            device: id.name().to_owned(),
            endpoint: device.endpoint.as_ref().map(ToString::to_string),
            path: device.path.clone(),
            user,
            secret,
            password: None,
        })
    };
    devices.filter_map(login).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tests::on_a_shared_gateway;

    #[test]
    fn a_device_has_the_name_of_its_document_also_where_its_gateway_is_shared() {
        let logins = logins(&on_a_shared_gateway());
        assert_eq!((logins[0].device.as_str(), logins[0].user.as_deref()), ("tank-1", Some("field.tank-1")));
    }
}
