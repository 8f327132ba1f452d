//! `iotorch gateway`

use std::num::NonZeroU16;

use clap::Args;
use iotorch_core::{
    Error, ErrorKind,
    resource::{NetAddress, Role},
};
use iotorch_lite::{BusSettings, Gateway, LiteSettings, Secret};

use super::standalone::{Listening, Standalone, not_started, open, tell};
use crate::{cli::Setting, exit::Exit, failure::Result, interrupt, open_files};

/// Run one gateway of its own in this process, for a host or a pod
///
/// It starts with nothing to do; devices, profiles and exports come over its management API, such as by a slice that names it as
/// external. Ctrl-C or SIGTERM ends it; started again in its directory it goes on where it was, on the same ports.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch gateway --data-dir /var/lib/gateway
  iotorch gateway --data-dir gw --mqtt-port 1883 --output json
  IOTORCH_BUS_CREDENTIALS=bridge:… iotorch gateway --data-dir bridge --bus edgex-broker:1883
  iotorch gateway --data-dir gw --listen 0.0.0.0 --tls-certificate gw.pem --tls-key gw.key
  IOTORCH_ADMIN_TOKEN=… iotorch gateway --data-dir /data --config gateway.yaml")]
pub(crate) struct GatewayArgs {
    #[command(flatten)]
    standalone: Standalone,
    /// The UDP port for CoAP [default: the one used before, at first any]
    #[arg(long, value_name = "PORT")]
    coap_port: Option<NonZeroU16>,
    /// The most readings that wait for servers; past it the oldest are dropped [default: 100000]
    #[arg(long, value_name = "COUNT")]
    outbox_limit: Option<u64>,
    /// The broker of a bus, such as that of EdgeX, whose events are its readings; doors for devices whose ports are not set stay
    /// closed [env: IOTORCH_BUS_CREDENTIALS holds what to log in with, USER:PASSWORD]
    #[arg(long, value_name = "HOST:PORT", value_parser = net_address)]
    bus: Option<NetAddress>,
    /// Speak TLS to the broker of the bus
    #[arg(long, requires = "bus")]
    bus_tls: bool,
    /// A topic of the bus to subscribe to; can be given several times [default: edgex/events/device/#]
    #[arg(long, value_name = "FILTER", requires = "bus")]
    bus_topic: Vec<String>,
}

/// The variable of the environment that holds a user name, a colon and a password for the broker of a bus.
const BUS_CREDENTIALS: &str = "IOTORCH_BUS_CREDENTIALS";

/// Reads a host and a port with a colon between.
fn net_address(text: &str) -> std::result::Result<NetAddress, String> {
    let wrong = || "use a host and a port, such as edgex-broker:1883".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: NonZeroU16 = port.parse().map_err(|_| wrong())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        Err(wrong())
    } else {
        Ok(NetAddress { host: host.to_owned(), port: port.get(), tls: false })
    }
}

impl GatewayArgs {
    /// The bus that the options name.
    fn bus(&self) -> Option<BusSettings> {
        let endpoint = NetAddress { tls: self.bus_tls, ..self.bus.clone()? };
        let bus = BusSettings::at(endpoint);
        Some(if self.bus_topic.is_empty() {
            bus
        } else {
            BusSettings { topics: self.bus_topic.clone(), ..bus }
        })
    }
}

/// What the broker of the bus is logged in at with. Stores of secrets are those of documents, so here it comes from the environment.
fn bus_login(settings: &LiteSettings, setting: &Setting) -> Result<Option<Secret>> {
    let Some(bus) = &settings.bus else { return Ok(None) };
    let variable =
        setting.variables.iter().find(|(name, value)| name == BUS_CREDENTIALS && !value.is_empty());
    match (variable, &bus.credentials) {
        (Some((_, login)), _) if login.contains(':') => Ok(Some(Secret::new(login.as_str()))),
        (None, None) => Ok(None),
        (variable, _) => {
            let why = if variable.is_some() { "it has no colon" } else { "it is not set" };
            Err(Error::new(ErrorKind::Invalid, format!("cannot use {BUS_CREDENTIALS} for the bus"))
                .with_source(why)
                .with_help(format!("set {BUS_CREDENTIALS} to a user name, a colon, and a password"))
                .into())
        }
    }
}

pub(crate) async fn exec(args: GatewayArgs, setting: &Setting) -> Result<Exit> {
    open_files::raise_limit();
    let stop = interrupt::asked_to_stop()?;
    let data_dir = &args.standalone.data_dir;
    let settings = args.standalone.settings(Role::Gateway, |settings| {
        settings.coap_port = args.coap_port.or(settings.coap_port);
        settings.outbox_limit = args.outbox_limit.or(settings.outbox_limit);
        settings.bus = args.bus().or_else(|| settings.bus.take());
    })?;
    let login = bus_login(&settings, setting)?;
    let (token, admin_token_file) = args.standalone.token(setting)?;
    let mut config = settings.gateway(data_dir, token);
    if let Some(bus) = &mut config.bus {
        bus.login = login;
    }
    let started = Gateway::start(config).await;
    let gateway = started.map_err(|error| not_started(Role::Gateway, data_dir, error))?;
    let listening = Listening {
        role: Role::Gateway,
        mqtt: open(gateway.mqtt_address()),
        http: open(gateway.http_address()),
        coap: open(gateway.coap_address()),
        management: gateway.management_address(),
        admin_token_file,
    };
    let told = tell(&listening, setting);
    if told.is_ok() {
        stop.await;
    }
    gateway.stop().await;
    told.map(|()| Exit::Done)
}
