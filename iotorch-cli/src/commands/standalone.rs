//! What `iotorch gateway` and `iotorch server` have in common: one gateway or server of its own in this process.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{ErrorKind as IoErrorKind, Write},
    net::{IpAddr, SocketAddr},
    num::{NonZeroU16, NonZeroU32},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use clap::Args;
use iotorch_core::{
    Error, ErrorKind,
    model::{ByteSize, Settings},
    resource::Role,
    secret,
};
use iotorch_lite::{LiteSettings, Secret, TlsFiles};
use serde::Serialize;

use crate::{
    cli::Setting,
    failure::{Result, cannot},
    render,
    screen::Format,
};

/// The variable of the environment that holds the token.
const TOKEN: &str = "IOTORCH_ADMIN_TOKEN";

/// The file of the token in the data directory, where nobody names another.
const TOKEN_FILE: &str = "admin-token";

/// How a gateway or server is started.
#[derive(Debug, Args)]
pub(crate) struct Standalone {
    /// Where it keeps everything; made where needed
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Its settings in YAML, as those of a gateway or server in a document; the options here go before them
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The file that holds the token of its management API, made if it is not there [default: admin-token in the data directory]
    /// [env: IOTORCH_ADMIN_TOKEN holds the token itself]
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// The address to listen on for messages; without TLS only this host [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<IpAddr>,
    /// The address of the management API [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    management_listen: Option<IpAddr>,
    /// The port for MQTT [default: the one used before, at first any]
    #[arg(long, value_name = "PORT")]
    mqtt_port: Option<NonZeroU16>,
    /// The port for messages over HTTP [default: the one used before, at first any]
    #[arg(long, value_name = "PORT")]
    http_port: Option<NonZeroU16>,
    /// The port of the management API [default: the one used before, at first any]
    #[arg(long, value_name = "PORT")]
    management_port: Option<NonZeroU16>,
    /// A PEM file with its certificate, followed by those it rests on: speak TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// A PEM file with the key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Listen beyond this host without TLS, so that passwords and messages can be read on the way
    #[arg(long)]
    insecure: bool,
    /// The largest message in bytes [default: 65536]
    #[arg(long, value_name = "BYTES")]
    packet_limit: Option<u32>,
    /// The most connections over each protocol [default: 1000]
    #[arg(long, value_name = "COUNT")]
    connection_limit: Option<NonZeroU32>,
    /// The most messages a second of one client [default: 100]
    #[arg(long, value_name = "COUNT")]
    rate_limit: Option<NonZeroU32>,
    /// The most that is stored [default: 1GiB]
    #[arg(long, value_name = "SIZE")]
    stored_limit: Option<ByteSize>,
}

impl Standalone {
    /// The settings of the file with the options over them, and `more` over these.
    pub(crate) fn settings(&self, role: Role, more: impl FnOnce(&mut LiteSettings)) -> Result<LiteSettings> {
        let mut settings = match &self.config {
            Some(path) => read(path)?,
            None => LiteSettings::default(),
        };
        set(&mut settings.listen, self.listen);
        set(&mut settings.management_listen, self.management_listen);
        set(&mut settings.mqtt_port, self.mqtt_port);
        set(&mut settings.http_port, self.http_port);
        set(&mut settings.management_port, self.management_port);
        set(&mut settings.packet_limit, self.packet_limit);
        set(&mut settings.connection_limit, self.connection_limit);
        set(&mut settings.rate_limit, self.rate_limit);
        set(&mut settings.stored_limit, self.stored_limit);
        if let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_key) {
            settings.tls = Some(TlsFiles { certificate: certificate.clone(), key: key.clone() });
        }
        settings.insecure |= self.insecure;
        more(&mut settings);
        check(settings, role)
    }

    /// The token of the management API and, unless it comes from the environment, the file it is in.
    pub(crate) fn token(&self, setting: &Setting) -> Result<(Secret, Option<PathBuf>)> {
        let variable = setting.variables.iter().find(|(name, value)| name == TOKEN && !value.is_empty());
        if let (Some((_, token)), None) = (variable, &self.admin_token_file) {
            return Ok((Secret::new(token.as_str()), None));
        }
        let path = self.admin_token_file.clone().unwrap_or_else(|| self.data_dir.join(TOKEN_FILE));
        let token = match std::fs::read_to_string(&path) {
            Ok(token) if token.trim().is_empty() => {
                let why = format!("cannot use \"{}\" as a token: the file is empty", path.display());
                return Err(Error::new(ErrorKind::Invalid, why).into());
            }
            Ok(token) => Secret::new(token.trim()),
            Err(error) if error.kind() == IoErrorKind::NotFound => make(&path)?,
            Err(error) => return Err(cannot(format!("read \"{}\"", path.display()), error).into()),
        };
        Ok((token, Some(path)))
    }
}

/// An option goes before what a file says.
fn set<T>(setting: &mut Option<T>, option: Option<T>) {
    if option.is_some() {
        *setting = option;
    }
}

fn read(path: &Path) -> Result<LiteSettings> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| cannot(format!("read \"{shown}\""), error))?;
    let read = serde_saphyr::from_str(&text);
    Ok(read.map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("cannot read \"{shown}\" as settings"))
            .with_source(error.to_string())
    })?)
}

/// Whether a gateway or server can have these settings.
fn check(settings: LiteSettings, role: Role) -> Result<LiteSettings> {
    let data = serde_json::to_value(&settings)
        .and_then(serde_json::from_value::<Settings>)
        .map_err(|error| Error::new(ErrorKind::Unexpected, "cannot check the settings").with_source(error))?;
    let checked = LiteSettings::read(&data, role).map_err(|issues| {
        let issues = issues
            .into_iter()
            .map(|issue| format!("{}: {}", issue.pointer.trim_start_matches("/settings/"), issue.message));
        Error::new(ErrorKind::Invalid, format!("cannot start a {role} with these settings"))
            .with_source(issues.collect::<Vec<_>>().join("; "))
    });
    Ok(checked?)
}

/// Makes a token in a file that only its owner can read.
fn make(path: &Path) -> Result<Secret> {
    let making = |error| cannot(format!("make \"{}\"", path.display()), error);
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(making)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(making)?;
    let token = secret::mint();
    writeln!(file, "{}", token.expose()).and_then(|()| file.sync_all()).map_err(making)?;
    Ok(Secret::new(token.expose()))
}

/// Where a gateway or server listens.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listening {
    /// Which of the two.
    pub(crate) role: Role,
    /// For messages over MQTT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mqtt: Option<SocketAddr>,
    /// For messages over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<SocketAddr>,
    /// For messages over CoAP, in UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) coap: Option<SocketAddr>,
    /// For its management API.
    pub(crate) management: SocketAddr,
    /// The file with the token of its management API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_token_file: Option<PathBuf>,
}

/// An address, unless its door is closed.
pub(crate) fn open(address: SocketAddr) -> Option<SocketAddr> {
    Some(address).filter(|address| address.port() != 0)
}

/// Says where it listens; with --output json in one line.
pub(crate) fn tell(listening: &Listening, setting: &Setting) -> Result<()> {
    match setting.screen.format() {
        Format::Table => setting.screen.result(render::standalone::listening(listening)),
        Format::Json | Format::Yaml => setting.screen.item(listening),
    }
}

/// Why it does not start.
pub(crate) fn not_started(role: Role, data_dir: &Path, error: iotorch_lite::Error) -> Error {
    let kind = match error.kind() {
        iotorch_lite::ErrorKind::Invalid => ErrorKind::Invalid,
        iotorch_lite::ErrorKind::Taken => ErrorKind::Conflict,
        _ => ErrorKind::Unexpected,
    };
    let failed =
        Error::new(kind, format!("cannot start a {role} in \"{}\"", data_dir.display())).with_source(error);
    match kind {
        ErrorKind::Conflict => {
            failed.with_help("another process has the directory or a port; end it, or choose others")
        }
        _ => failed,
    }
}
