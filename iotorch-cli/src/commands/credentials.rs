//! `iotorch credentials`

use clap::Args;
use iotorch_core::{
    Error, ErrorKind,
    model::{PartName, SliceName},
    resource::{KindName, Outputs},
    secret::SecretRef,
    status::SliceStatus,
};
use serde::Serialize;

use crate::{
    cli::Setting,
    exit::Exit,
    failure::Result,
    installation::{self, Purpose},
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
    /// The user name.
    pub(crate) user: String,
    /// What holds the password.
    pub(crate) secret: SecretRef,
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
                login.password = Some(secrets.fetch(&login.secret).await?.expose().to_owned());
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

/// The newest credential of each device.
fn logins(status: &SliceStatus) -> Vec<Login> {
    let mut logins: Vec<Login> = Vec::new();
    for resource in status.resources.iter().filter(|resource| resource.id.kind() == KindName::Credential) {
        let Some(Outputs::Credential(credential)) = &resource.outputs else { continue };
        let Some(holder) = resource.id.host() else { continue };
        let device = status.resources.iter().find(|other| other.id == holder);
        let Some(Outputs::Device(device)) = device.and_then(|device| device.outputs.as_ref()) else {
            continue;
        };
        let login = Login {
            device: holder.name().to_owned(),
            endpoint: device.endpoint.as_ref().map(ToString::to_string),
            path: device.path.clone(),
            user: credential.user_name.clone(),
            secret: credential.secret.clone(),
            password: None,
        };
        match logins.iter_mut().find(|known| known.device == login.device) {
            Some(known) if known.secret.version() < login.secret.version() => *known = login,
            Some(_) => {}
            None => logins.push(login),
        }
    }
    logins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tests::on_a_shared_gateway;

    #[test]
    fn a_device_has_the_name_of_its_document_also_where_its_gateway_is_shared() {
        let logins = logins(&on_a_shared_gateway());
        assert_eq!((logins[0].device.as_str(), logins[0].user.as_str()), ("tank-1", "field.tank-1"));
    }
}
