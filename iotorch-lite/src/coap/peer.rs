//! The connection below DTLS: datagrams to and from one peer over the socket of all.

use super::{
    peers::{Peers, Place},
    record::{self, Received, Sent},
};
use async_trait::async_trait;
use std::{
    any::Any,
    future,
    io::{Error as IoError, ErrorKind},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{net::UdpSocket, sync::mpsc};
use webrtc_util::{Conn, Error, Result};

pub(super) struct Peer {
    /// Weak, because the tasks of DTLS outlive a session a little, and the port has to be free when the listener ends.
    socket: Weak<UdpSocket>,
    address: SocketAddr,
    number: u64,
    peers: Arc<Peers>,
    datagrams: tokio::sync::Mutex<mpsc::Receiver<Vec<u8>>>,
    last_flight: Mutex<Vec<u8>>,
    broken_off: AtomicBool,
}

impl Peer {
    /// The peer at a place, which gives its datagrams away.
    pub(super) fn new(socket: &Arc<UdpSocket>, place: &mut Place) -> Option<Self> {
        Some(Self {
            socket: Arc::downgrade(socket),
            address: place.address,
            number: place.number(),
            peers: place.peers(),
            datagrams: place.datagrams.take()?.into(),
            last_flight: Mutex::default(),
            broken_off: AtomicBool::new(false),
        })
    }

    /// What ended the handshake on this side. DTLS sends it once, so it is kept to be sent again.
    pub(super) fn last_flight(&self) -> Vec<u8> {
        self.last_flight.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the client has broken off its handshake.
    pub(super) fn broken_off(&self) -> bool {
        self.broken_off.load(Ordering::SeqCst)
    }

    fn note(&self, datagram: &[u8]) {
        match record::sent(datagram) {
            Sent::ServerHello => self.peers.verified(self.address, self.number),
            Sent::LastFlight => {
                let mut last = self.last_flight.lock().unwrap_or_else(PoisonError::into_inner);
                datagram.clone_into(&mut last);
            }
            Sent::Other => {}
        }
    }
}

#[async_trait]
impl Conn for Peer {
    async fn connect(&self, _address: SocketAddr) -> Result<()> {
        Err(unsupported())
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        let Some(datagram) = self.datagrams.lock().await.recv().await else {
            // DTLS would take an error for one of a datagram and try again at once, for ever. It ends when the
            // connection is dropped.
            return future::pending().await;
        };
        if record::received(&datagram) == Some(Received::Alert) {
            self.broken_off.store(true, Ordering::SeqCst);
        }
        let room = buffer.get_mut(..datagram.len()).ok_or(Error::ErrBufferShort)?;
        room.copy_from_slice(&datagram);
        Ok(datagram.len())
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        Ok((self.recv(buffer).await?, self.address))
    }

    async fn send(&self, datagram: &[u8]) -> Result<usize> {
        self.note(datagram);
        let socket = self.socket.upgrade().ok_or_else(|| IoError::from(ErrorKind::NotConnected))?;
        Ok(socket.send_to(datagram, self.address).await?)
    }

    async fn send_to(&self, _datagram: &[u8], _target: SocketAddr) -> Result<usize> {
        Err(unsupported())
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        let socket = self.socket.upgrade().ok_or_else(|| IoError::from(ErrorKind::NotConnected))?;
        Ok(socket.local_addr()?)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        Some(self.address)
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

fn unsupported() -> Error {
    IoError::from(ErrorKind::Unsupported).into()
}
