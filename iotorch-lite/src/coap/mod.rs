//! CoAP (RFC 7252) over DTLS 1.2 with pre-shared keys (RFC 4279), for the devices of a gateway.
//!
//! ```text
//! datagram --Peers--> Peer --DTLS--> session --Conversation--> Resources --> Access
//! ```
//!
//! The path of a request is the topic. `POST` or `PUT` publishes to it, `GET devices/<name>/commands` gives the commands
//! that wait and can be observed (RFC 7641), and `DELETE devices/<name>/commands/<id>` acknowledges one. Large bodies
//! go in blocks in both directions (RFC 7959), and `GET .well-known/core` lists what there is (RFC 6690).

mod block;
mod conversation;
mod handshake;
mod memory;
mod message;
mod observation;
mod peer;
mod peers;
mod record;
mod resources;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use peers::Peers;

use crate::{
    Error, ErrorKind, Result,
    access::{Access, Protocol},
    gateway::commands::Commands,
};
use conversation::Conversation;
use handshake::{Proved, Refused};
use peer::Peer;
use peers::{Delivered, Place};
use std::{net::SocketAddr, sync::Arc};
use tokio::net::UdpSocket;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// What clients may take at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CoapLimits {
    /// Sessions of all clients.
    pub(crate) sessions: usize,
    /// The largest message in bytes, all its blocks together.
    pub(crate) packet: usize,
}

/// A running listener. Dropping it ends it soon after.
#[derive(Debug)]
pub(crate) struct CoapListener {
    port: u16,
    peers: Arc<Peers>,
    tasks: TaskTracker,
    stop: DropGuard,
}

/// What every session needs.
struct Server {
    socket: Arc<UdpSocket>,
    access: Arc<dyn Access>,
    packet_limit: usize,
}

impl CoapListener {
    /// Listens on an address, with port 0 on any free port.
    pub(crate) async fn start(
        address: SocketAddr,
        access: Arc<dyn Access>,
        limits: CoapLimits,
    ) -> Result<Self> {
        let taken =
            |error| Error::new(ErrorKind::Taken, format!("cannot listen on {address}")).caused_by(error);
        let socket = UdpSocket::bind(address).await.map_err(taken)?;
        let port = socket.local_addr().map_err(taken)?.port();
        let stop = CancellationToken::new();
        let peers = Arc::new(Peers::new(limits.sessions, stop.clone()));
        let server = Server { socket: Arc::new(socket), access, packet_limit: limits.packet };
        let tasks = TaskTracker::new();
        tasks.spawn(listen(Arc::new(server), Arc::clone(&peers), tasks.clone(), stop.clone()));
        Ok(Self { port, peers, tasks, stop: stop.drop_guard() })
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The clients with a session.
    pub(crate) fn peers(&self) -> Arc<Peers> {
        Arc::clone(&self.peers)
    }

    /// Ends every session and closes the port, and waits until that is done.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn listen(server: Arc<Server>, peers: Arc<Peers>, tasks: TaskTracker, stop: CancellationToken) {
    let mut buffer = [0; session::DATAGRAM];
    loop {
        let received = tokio::select! {
            () = stop.cancelled() => return,
            received = server.socket.recv_from(&mut buffer) => received,
        };
        let (length, address) = match received {
            Ok(received) => received,
            Err(error) => {
                // It is about one datagram, for instance one that found nobody at its address.
                tracing::debug!(%error, "cannot receive a datagram");
                continue;
            }
        };
        match peers.deliver(address, &buffer[..length]) {
            Delivered::Done => {}
            // A datagram that cannot be sent at once is a lost one.
            Delivered::Again(flight) => drop(server.socket.try_send_to(&flight, address)),
            Delivered::New(place) => drop(tasks.spawn(serve(Arc::clone(&server), place))),
        }
    }
}

/// Serves one client from its first datagram to the end of its session.
async fn serve(server: Arc<Server>, mut place: Place) {
    let stop = place.stop.clone();
    let Some(peer) = Peer::new(&server.socket, &mut place) else { return };
    let peer = Arc::new(peer);
    let shaken = tokio::select! {
        () = stop.cancelled() => return,
        shaken = handshake::shake(&peer, &server.access) => shaken,
    };
    let admitted = shaken.and_then(|proved| {
        let Proved { identity, key, .. } = &proved;
        place
            .establish(&*server.access, identity, key, peer.last_flight())
            .map_err(|reason| Some(handshake::refused(identity, &reason)))?;
        Ok(proved)
    });
    match admitted {
        Ok(Proved { connection, key, .. }) => {
            let conversation = Conversation::new(Arc::clone(&server.access), key.user, server.packet_limit);
            let changes = server.access.commands().map(Commands::changes);
            session::hold(connection, conversation, changes, stop).await;
        }
        Err(Some(Refused { user, reason })) => server.access.refusals().login(Protocol::Coap, &user, &reason),
        Err(None) => {
            tracing::debug!(address = %place.address, "a handshake failed before its client said who it is")
        }
    }
}
