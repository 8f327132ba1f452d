//! CoAP (RFC 7252) over DTLS 1.2 with pre-shared keys (RFC 4279), for the devices of a gateway.
//!
//! ```text
//! datagram --Peers--> Peer --DTLS--> session --Conversation--> Resources --> Access
//! ```
//!
//! The path of a request is the topic. `POST` or `PUT` publishes to it, `GET devices/<name>/commands` gives the commands
//! that wait and can be observed (RFC 7641), and `DELETE devices/<name>/commands/<id>` acknowledges one. Large bodies
//! go in blocks in both directions (RFC 7959), and `GET .well-known/core` lists what there is (RFC 6690).
//!
//! DTLS ends a session at the first record that cannot be decrypted, which RFC 6347 section 4.1.2.7 asks to drop. So whoever
//! sends datagrams under the address and port of a device can end its session, and no more: the device makes a new handshake.
//! What is dropped before it comes so far is in [`record`].

mod block;
mod conversation;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod guesses;
mod handshake;
mod memory;
mod message;
mod observation;
mod peer;
mod peers;
mod receiving;
mod record;
mod resources;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use peers::Peers;

use crate::{
    Result,
    access::{Access, Protocol},
    gateway::commands::Commands,
    ports::Patience,
};
use conversation::Conversation;
use handshake::{Proved, Refused};
use peer::Peer;
use peers::{Delivered, Place};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::UdpSocket, runtime::Handle};
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
        patience: Patience,
    ) -> Result<Self> {
        let bind = async |address| {
            let socket = receiving::bind(address)?;
            let port = socket.local_addr()?.port();
            Ok((socket, port))
        };
        let (socket, port) = patience.bind(address, "coapPort", bind).await?;
        let stop = CancellationToken::new();
        let peers = Arc::new(Peers::new(limits.sessions, stop.clone()));
        let server = Server { socket: Arc::new(socket), access, packet_limit: limits.packet };
        let tasks = TaskTracker::new();
        let sessions = Sessions { server: Arc::new(server), tasks: tasks.clone(), here: Handle::current() };
        let listen = listen(sessions, Arc::clone(&peers), stop.clone());
        tasks.spawn_on(listen, &receiving::thread());
        Ok(Self { port, peers, tasks, stop: stop.drop_guard() })
    }

    /// A listener that nobody can come to.
    pub(crate) fn closed(limits: CoapLimits) -> Self {
        let stop = CancellationToken::new();
        let peers = Arc::new(Peers::new(limits.sessions, stop.clone()));
        Self { port: 0, peers, tasks: TaskTracker::new(), stop: stop.drop_guard() }
    }

    /// Its port, 0 if it is closed.
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

/// Where sessions are served.
struct Sessions {
    server: Arc<Server>,
    tasks: TaskTracker,
    here: Handle,
}

async fn listen(Sessions { server, tasks, here }: Sessions, peers: Arc<Peers>, stop: CancellationToken) {
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
            Delivered::New(place) => drop(tasks.spawn_on(serve(Arc::clone(&server), place), &here)),
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
    match shaken {
        Ok(proved) => converse(&server, &place, proved, peer.last_flight(), stop).await,
        Err(Some(Refused { user, reason })) => {
            let reason = match place.peers().refused(place.address) {
                Duration::ZERO => reason,
                wait => {
                    let from = place.address.ip();
                    format!("{reason}; {from} was refused too often and cannot try again for {wait:.1?}")
                }
            };
            server.access.refusals().login(Protocol::Coap, &user, &reason);
        }
        Err(None) => {
            tracing::debug!(address = %place.address, "a handshake failed before its client said who it is")
        }
    }
}

/// Converses with a client that has proved who it is, unless it cannot have a session.
async fn converse(
    server: &Server,
    place: &Place,
    Proved { connection, identity, key }: Proved,
    last_flight: Vec<u8>,
    stop: CancellationToken,
) {
    if let Err(reason) = place.establish(&*server.access, &identity, &key, last_flight) {
        server.access.refusals().login(Protocol::Coap, &key.user, &reason);
        return;
    }
    let conversation = Conversation::new(Arc::clone(&server.access), key.user, server.packet_limit);
    let changes = server.access.commands().map(Commands::changes);
    session::hold(connection, conversation, changes, stop).await;
}
