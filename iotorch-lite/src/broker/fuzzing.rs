//! The broker without a port.

use super::{Clients, Floor};
use crate::{
    fuzzing::{Gateway, PACKET},
    listening::{Caller, Stream},
    seats::Seats,
};
use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::net::TcpStream;

/// The MQTT of a gateway.
pub struct Mqtt {
    floor: Floor,
    clients: Arc<Clients>,
    seats: Arc<Seats>,
}

impl fmt::Debug for Mqtt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Mqtt")
    }
}

impl Mqtt {
    /// The MQTT of this gateway.
    #[must_use]
    pub fn new(gateway: &Gateway) -> Self {
        let seats = Seats::new(1);
        let clients = Arc::new(Clients::new(gateway.access(), Arc::clone(&seats)));
        Self { floor: Floor::new(PACKET, &clients), clients, seats }
    }

    /// Serves one connection to its end.
    pub async fn serve(&self, stream: TcpStream) {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let Some(seat) = self.seats.take(peer).map(Arc::new) else { return };
        let caller = Caller { stream: Stream::Plain(stream), peer, seat: Arc::clone(&seat) };
        let client = self.floor.welcome(caller);
        tokio::select! {
            // How a connection ends is told by what was sent over it.
            _ = client.run() => {}
            () = self.clients.bring() => {}
        }
        drop(seat);
        self.floor.router.sweep_sessions().await;
    }
}
