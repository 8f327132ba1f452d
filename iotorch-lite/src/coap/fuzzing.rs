//! CoAP above DTLS and the admission below it, without a port, and all of it at one.

use super::{
    CoapLimits, CoapListener,
    conversation::Conversation,
    peers::{Delivered, Peers, Place},
    record,
};
use crate::{
    access::Access,
    fuzzing::{DEVICE, Gateway, PACKET},
    ports::Patience,
};
use std::{fmt, iter, net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The CoAP of a gateway, at a port of the loopback interface.
#[derive(Debug)]
pub struct Coap(CoapListener);

impl Coap {
    /// Listens on any free port, for a few sessions.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn start(gateway: &Gateway) -> crate::Result<Self> {
        let limits = CoapLimits { sessions: 4, packet: PACKET };
        let (any, patience) = ((Ipv4Addr::LOCALHOST, 0).into(), Patience::new(Duration::ZERO));
        let listener = CoapListener::start(any, gateway.access(), limits, patience);
        listener.await.map(Self)
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.0.port()
    }

    /// Ends every session and closes the port.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

/// What is said in a session of the device.
pub struct Talk(Conversation);

impl fmt::Debug for Talk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Talk")
    }
}

impl Talk {
    /// A session with this gateway in which nothing was said yet.
    #[must_use]
    pub fn new(gateway: &Gateway) -> Self {
        Self(Conversation::new(gateway.access(), DEVICE.to_owned(), PACKET))
    }

    /// Takes a datagram of the device and gives the one to send for it, if any.
    pub async fn receive(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        self.0.receive(datagram).await
    }

    /// Tells the device of its commands if they have changed.
    pub fn changed(&mut self) -> Option<Vec<u8>> {
        self.0.changed()
    }

    /// Asks a device that has been silent whether it is still there.
    pub fn ask(&mut self) -> Option<Vec<u8>> {
        if self.0.is_asking() { None } else { self.0.ask() }
    }

    /// When [`Talk::tick`] is to be called.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.0.due()
    }

    /// Does what is due.
    pub fn tick(&mut self) -> Option<Vec<u8>> {
        self.0.tick()
    }

    /// The bytes that are kept of what was said.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.held()
    }
}

/// Clients at loopback addresses, told apart by their ports, and what becomes of their datagrams before DTLS.
pub struct Crowd {
    access: Arc<dyn Access>,
    peers: Arc<Peers>,
    /// The oldest first. A client that begins anew has two until its session ends.
    places: Vec<Place>,
}

impl fmt::Debug for Crowd {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Crowd")
    }
}

impl Crowd {
    /// Nobody, with room for so many sessions.
    #[must_use]
    pub fn new(gateway: &Gateway, sessions: usize) -> Self {
        let peers = Arc::new(Peers::new(sessions, CancellationToken::new()));
        Self { access: gateway.access(), peers, places: Vec::new() }
    }

    /// Hands in a datagram and gives what is to be sent again, if anything.
    pub fn deliver(&mut self, port: u16, datagram: &[u8]) -> Option<Vec<u8>> {
        match self.peers.deliver((Ipv4Addr::LOCALHOST, port).into(), datagram) {
            Delivered::Done => None,
            Delivered::Again(flight) => Some(flight),
            Delivered::New(place) => {
                self.places.push(place);
                None
            }
        }
    }

    /// Does what follows from a datagram that DTLS sends.
    pub fn sent(&mut self, port: u16, datagram: &[u8]) {
        if let (record::Sent::ServerHello, Some(place)) = (record::sent(datagram), self.newest(port)) {
            let (address, number) = (place.address, place.number());
            self.peers.verified(address, number);
        }
    }

    /// Ends a handshake, in which DTLS has sent what it sends, with the key of the device.
    ///
    /// # Errors
    ///
    /// If it makes no session.
    pub fn establish(&mut self, port: u16, last_flight: &[u8]) -> Result<(), String> {
        let key = self.access.key(DEVICE)?;
        let access = Arc::clone(&self.access);
        let place = self.newest(port).ok_or("there is nobody")?;
        place.peers().verified(place.address, place.number());
        place.establish(&*access, DEVICE, &key, last_flight.to_vec())
    }

    /// Takes the datagrams that wait for a client.
    pub fn take(&mut self, port: u16) -> Vec<Vec<u8>> {
        let waiting = self.newest(port).and_then(|place| place.datagrams.as_mut());
        waiting.into_iter().flat_map(|waiting| iter::from_fn(|| waiting.try_recv().ok())).collect()
    }

    /// Lets those go who have to, and the oldest at a port in any case.
    pub fn leave(&mut self, port: u16) {
        self.places.retain(|place| !place.stop.is_cancelled());
        if let Some(oldest) = self.places.iter().position(|place| place.address.port() == port) {
            self.places.remove(oldest);
        }
    }

    /// Ends the sessions of the device that rest on one credential, or all of them.
    pub fn disconnect(&self, generation: Option<u64>) {
        self.peers.disconnect(DEVICE, generation);
    }

    /// How many handshakes and sessions there are, and how many places for them.
    #[must_use]
    pub fn here(&self) -> (usize, usize, usize) {
        (self.peers.handshakes(), self.peers.sessions(), self.places.len())
    }

    fn newest(&mut self, port: u16) -> Option<&mut Place> {
        self.places.iter_mut().rfind(|place| place.address.port() == port)
    }
}
