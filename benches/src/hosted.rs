//! A gateway or a server in a process of its own: what it takes is not mixed with what the benchmark takes.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use iotorch_lite::{
    Gateway, GatewayConfig, Limits, Secret, Server, ServerConfig,
    client::{GatewayClient, ServerClient},
};
use serde::{Deserialize, Serialize};

use crate::{
    Result,
    resident::{self, Resident},
};

/// The token of the management APIs.
const ADMIN: &str = "the administrator of a benchmark";

/// What is hosted, as the command line of its process says it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Task {
    role: Role,
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Gateway,
    Server,
}

/// Where it listens, as its process prints it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Addresses {
    /// MQTT.
    pub mqtt: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
    /// The management API.
    pub management: SocketAddr,
}

/// A process that hosts a gateway or a server; it is ended when dropped.
#[derive(Debug)]
pub struct Hosted {
    process: Child,
    /// Where it listens.
    pub at: Addresses,
}

impl Hosted {
    /// Starts a gateway with its data in `folder`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn gateway(folder: &Path) -> Result<Self> {
        Self::start(&Task { role: Role::Gateway, folder: folder.to_owned() })
    }

    /// Starts a server with its data in `folder`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn server(folder: &Path) -> Result<Self> {
        Self::start(&Task { role: Role::Server, folder: folder.to_owned() })
    }

    fn start(task: &Task) -> Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .arg(serde_json::to_string(task)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let mut line = String::new();
        let output = process.stdout.take().ok_or("cannot read what a process prints")?;
        BufReader::new(output).read_line(&mut line)?;
        Ok(Self { process, at: serde_json::from_str(&line)? })
    }

    /// A client of the gateway's management API.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn gateway_client(&self) -> Result<GatewayClient> {
        Ok(GatewayClient::new(format!("http://{}", self.at.management), Secret::new(ADMIN))?)
    }

    /// A client of the server's management API.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn server_client(&self) -> Result<ServerClient> {
        Ok(ServerClient::new(format!("http://{}", self.at.management), Secret::new(ADMIN))?)
    }

    /// The memory that its process takes.
    ///
    /// # Errors
    /// As [`resident::read_of`].
    pub fn resident(&self) -> Result<Resident> {
        resident::read_of(self.process.id())
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        // Closing its input asks it to stop, and it is waited for so that its folder can be removed.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Hosts what the command line of a process says, until its standard input is closed.
///
/// # Errors
/// When it cannot start.
pub fn host(task: &str) -> Result<()> {
    let Task { role, folder } = serde_json::from_str(task)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match role {
            Role::Gateway => {
                let config =
                    GatewayConfig::builder().data_dir(folder).admin_token(Secret::new(ADMIN)).build();
                let gateway = Gateway::start(config).await?;
                tell(Addresses {
                    mqtt: gateway.mqtt_address(),
                    http: gateway.http_address(),
                    management: gateway.management_address(),
                })?;
                until_closed().await?;
                gateway.stop().await;
            }
            Role::Server => {
                let config = ServerConfig::builder().data_dir(folder).admin_token(Secret::new(ADMIN));
                let config = config.limits(limits()).build();
                let server = Server::start(config).await?;
                tell(Addresses {
                    mqtt: server.mqtt_address(),
                    http: server.http_address(),
                    management: server.management_address(),
                })?;
                until_closed().await?;
                server.stop().await;
            }
        }
        Ok(())
    })
}

/// What is measured is how much can be taken, not how much is allowed.
fn limits() -> Limits {
    Limits::builder().connections(2_000).rate(f64::INFINITY).build()
}

fn tell(addresses: Addresses) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(&addresses)?)?;
    Ok(stdout.flush()?)
}

async fn until_closed() -> Result<()> {
    tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
