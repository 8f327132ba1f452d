//! The two ports of a gateway or server, opened together and remembered for the next start.

use crate::{
    Error, ErrorKind, Result,
    broker::{Access, Broker},
    data_dir::{DataDir, Ports},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::net::TcpListener;

pub(crate) struct Listening {
    pub(crate) ports: Ports,
    pub(crate) management: TcpListener,
    pub(crate) broker: Broker,
}

impl Listening {
    pub(crate) async fn open(
        dir: &DataDir,
        configured: Ports,
        packet_limit: usize,
        access: Arc<dyn Access>,
    ) -> Result<Self> {
        let wanted = dir.ports(configured)?;
        let management = listen(wanted.management).await?;
        let broker = Broker::start(wanted.mqtt, packet_limit, access).await?;
        let management_port = management.local_addr().map_or(wanted.management, |address| address.port());
        let ports = Ports { mqtt: broker.port(), management: management_port };
        dir.record(ports)?;
        Ok(Self { ports, management, broker })
    }
}

/// Listens on a port of the loopback interface, 0 for any free one.
pub(crate) async fn listen(port: u16) -> Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address)
        .await
        .map_err(|error| Error::new(ErrorKind::Taken, format!("cannot listen on {address}")).caused_by(error))
}
