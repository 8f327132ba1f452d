//! `iotorch gateway`

use std::num::NonZeroU16;

use clap::Args;
use iotorch_core::resource::Role;
use iotorch_lite::Gateway;

use super::standalone::{Listening, Standalone, not_started, tell};
use crate::{cli::Setting, exit::Exit, failure::Result, interrupt, open_files};

/// Run one gateway of its own in this process, for a host or a pod
///
/// It starts with nothing to do; devices, profiles and exports come over its management API, such as by a slice that names it as
/// external. Ctrl-C or SIGTERM ends it; started again in its directory it goes on where it was, on the same ports.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch gateway --data-dir /var/lib/gateway
  iotorch gateway --data-dir gw --mqtt-port 1883 --output json
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
}

pub(crate) async fn exec(args: GatewayArgs, setting: &Setting) -> Result<Exit> {
    open_files::raise_limit();
    let stop = interrupt::asked_to_stop()?;
    let data_dir = &args.standalone.data_dir;
    let settings = args.standalone.settings(Role::Gateway, |settings| {
        settings.coap_port = args.coap_port.or(settings.coap_port);
        settings.outbox_limit = args.outbox_limit.or(settings.outbox_limit);
    })?;
    let (token, admin_token_file) = args.standalone.token(setting)?;
    let started = Gateway::start(settings.gateway(data_dir, token)).await;
    let gateway = started.map_err(|error| not_started(Role::Gateway, data_dir, error))?;
    let listening = Listening {
        role: Role::Gateway,
        mqtt: gateway.mqtt_address(),
        http: gateway.http_address(),
        coap: Some(gateway.coap_address()),
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
