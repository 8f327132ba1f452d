//! `iotorch server`

use clap::Args;
use iotorch_core::{model::TimeSpan, resource::Role};
use iotorch_lite::Server;

use super::standalone::{Listening, Standalone, not_started, open, tell};
use crate::{cli::Setting, exit::Exit, failure::Result, interrupt, open_files};

/// Run one server of its own in this process, for a host or a pod
///
/// It starts with nothing to do; tenants and things come over its management API, such as by a slice that names it as external.
/// Ctrl-C or SIGTERM ends it; started again in its directory it goes on where it was, on the same ports.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  iotorch server --data-dir /var/lib/server
  iotorch server --data-dir hub --retention 30d --output json
  iotorch server --data-dir hub --listen 0.0.0.0 --tls-certificate hub.pem --tls-key hub.key
  IOTORCH_ADMIN_TOKEN=… iotorch server --data-dir /data --config server.yaml")]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    standalone: Standalone,
    /// How long messages are kept, such as 30d [default: for ever]
    #[arg(long, value_name = "TIME")]
    retention: Option<TimeSpan>,
}

pub(crate) async fn exec(args: ServerArgs, setting: &Setting) -> Result<Exit> {
    open_files::raise_limit();
    let stop = interrupt::asked_to_stop()?;
    let data_dir = &args.standalone.data_dir;
    let settings = args.standalone.settings(Role::Server, |settings| {
        settings.retention = args.retention.or(settings.retention);
    })?;
    let (token, admin_token_file) = args.standalone.token(setting)?;
    let started = Server::start(settings.server(data_dir, token)).await;
    let server = started.map_err(|error| not_started(Role::Server, data_dir, error))?;
    let listening = Listening {
        role: Role::Server,
        mqtt: open(server.mqtt_address()),
        http: open(server.http_address()),
        coap: None,
        management: server.management_address(),
        admin_token_file,
    };
    let told = tell(&listening, setting);
    if told.is_ok() {
        stop.await;
    }
    server.stop().await;
    told.map(|()| Exit::Done)
}
