//! Attacks over UDP: on CoAP, most of them on the handshake before it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use iotorch_lite::{
    Secret,
    api::DeviceProtocol,
    device::{Link, Login, Message, NetAddress, Qos},
};
use tokio::{
    net::UdpSocket,
    time::{interval, sleep, timeout},
};

use super::{Attack, CROWD, Count, Crowd, FEW, Known, Manner, words};
use crate::Result;

/// The time between two datagrams of a slow client, and of one that waits for an answer.
const SLOWLY: Duration = Duration::from_millis(500);
/// How long a client that gets no further stays as it is.
const STAY: Duration = Duration::from_secs(5);
/// How many sessions a known client has.
const SESSIONS: usize = 8;
/// How many datagrams a client sends before it takes another address.
const OF_ONE_ADDRESS: usize = 100;
/// How many datagrams a client sends at once, and the pause after them: 20,000 a second of all that flood. Nothing but the
/// sender holds up datagrams, and what finds the socket's buffer full is lost before any program sees it, so past what one
/// processor can receive only the network can help.
const AT_ONCE: usize = 5;
const PAUSE: Duration = Duration::from_millis(4);

/// One who attacks.
#[derive(Clone)]
struct Attacker {
    at: SocketAddr,
    count: Arc<Count>,
}

pub(super) fn attack(Attack { manner, at, known, .. }: &Attack, count: &Arc<Count>, crowd: &mut Crowd) {
    let attacker = Attacker { at: *at, count: Arc::clone(count) };
    let is = move |attacker: &Attacker| attacker.clone();
    match manner {
        Manner::Slow => crowd.add(CROWD, move || is(&attacker).slow()),
        Manner::Stalled => {
            if let Some(known) = known.clone() {
                let attacker = attacker.clone();
                crowd.add(SESSIONS, move || is(&attacker).say_no_more(known.clone()));
            }
            crowd.add(CROWD, move || is(&attacker).begin_only());
        }
        Manner::Flooding => {
            if let Some(known) = known.clone() {
                let attacker = attacker.clone();
                crowd.add(SESSIONS, move || is(&attacker).flood(known.clone()));
            }
            crowd.add(FEW, move || is(&attacker).send_all(|| words::hello(&[])));
        }
        Manner::Malformed => {
            let other = attacker.clone();
            crowd.add(FEW / 2, move || is(&attacker).send_all(words::noisy_record));
            crowd.add(FEW / 2, move || is(&other).send_all(words::noise));
        }
    }
}

impl Attacker {
    async fn socket(&self) -> Result<UdpSocket> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(self.at).await?;
        self.count.connected();
        Ok(socket)
    }

    async fn send(&self, socket: &UdpSocket, datagram: &[u8]) -> Result<()> {
        self.count.sent(socket.send(datagram).await?);
        Ok(())
    }

    async fn slow(self) -> Result<()> {
        let socket = self.socket().await?;
        for at in 0..OF_ONE_ADDRESS {
            self.send(&socket, &words::hello_byte(at)).await?;
            sleep(SLOWLY).await;
        }
        Ok(())
    }

    /// Shows that it receives at its address, so that its handshake counts, and does not go on with it.
    async fn begin_only(self) -> Result<()> {
        let socket = self.socket().await?;
        self.send(&socket, &words::hello(&[])).await?;
        let mut answer = [0; 1500];
        let Ok(length) = timeout(SLOWLY, socket.recv(&mut answer)).await else { return Ok(()) };
        let Some(cookie) = words::cookie(&answer[..length?]) else { return Ok(()) };
        self.send(&socket, &words::hello(cookie)).await?;
        sleep(STAY).await;
        Ok(())
    }

    async fn send_all(self, words: fn() -> Vec<u8>) -> Result<()> {
        let socket = self.socket().await?;
        let mut turns = interval(PAUSE);
        for _ in 0..OF_ONE_ADDRESS / AT_ONCE {
            turns.tick().await;
            for _ in 0..AT_ONCE {
                self.send(&socket, &words()).await?;
            }
        }
        Ok(())
    }

    fn login(&self, Known { user, password, path, .. }: Known) -> Login {
        Login::builder()
            .protocol(DeviceProtocol::Coap)
            .address(NetAddress { host: self.at.ip().to_string(), port: self.at.port(), tls: false })
            .path(path)
            .user(user)
            .password(Secret::new(password))
            .build()
    }

    async fn say_no_more(self, known: Known) -> Result<()> {
        let _link = Link::connect(&self.login(known), Qos::default()).await?;
        self.count.connected();
        sleep(STAY).await;
        Ok(())
    }

    async fn flood(self, known: Known) -> Result<()> {
        let message = Message::new(known.message.clone());
        let link = Link::connect(&self.login(known), Qos::default()).await?;
        self.count.connected();
        loop {
            // Most are refused as too many.
            let _ = link.send(&message).await;
            self.count.sent(message.payload().len());
        }
    }
}
