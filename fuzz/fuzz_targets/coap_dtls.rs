//! A device that connects over DTLS, and what is done to its datagrams on their way to the gateway: they are lost, come
//! twice, are changed, and others come between.

#![no_main]

use async_trait::async_trait;
use iotorch_fuzz::{World, steps};
use iotorch_lite::{
    api::DeviceProtocol,
    fuzzing::{Coap, DEVICE, PASSWORD},
};
use libfuzzer_sys::fuzz_target;
use std::{
    any::Any,
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    task::yield_now,
    time::{sleep, timeout},
};
use webrtc_dtls::{cipher_suite::CipherSuiteId, config::Config, conn::DTLSConn};
use webrtc_util::{Conn, Result};

/// How often all have had their turn when nothing more comes of itself.
const TURNS: usize = 40;

/// How long the device tries to connect, longer than the gateway waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A message that gets an answer, `POST devices/d1` without a body.
const MESSAGE: &[u8] = b"\x40\x02\x00\x01\xb7devices\x02d1";

static WORLD: LazyLock<World> = LazyLock::new(|| World::start(DeviceProtocol::Coap));

fuzz_target!(|input: &[u8]| {
    let (answered, _) = WORLD.run(converse(input));
    assert!(answered || !input.is_empty(), "a device connects if nobody disturbs it");
});

/// Whether the device has had an answer.
async fn converse(input: &[u8]) -> bool {
    let coap = Coap::start(WORLD.gateway()).await.expect("there is a port");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("there is a port");
    socket.connect((Ipv4Addr::LOCALHOST, coap.port())).await.expect("loopback is there");
    let steps = steps(input).map(|(what, with)| (what, with.to_vec())).collect();
    let line = Arc::new(Line { socket, steps: Mutex::new(steps), traffic: AtomicUsize::new(0) });
    let device = tokio::spawn(device(Arc::clone(&line)));
    let (mut turns, mut before) = (0, 0);
    while !device.is_finished() {
        let traffic = line.traffic.load(Ordering::Relaxed);
        turns = if traffic == before { turns + 1 } else { 0 };
        before = traffic;
        if turns < TURNS {
            yield_now().await;
        } else {
            sleep(Duration::from_millis(100)).await;
        }
    }
    coap.stop().await;
    // DTLS has tasks of its own, which end by themselves.
    for _ in 0..TURNS {
        yield_now().await;
    }
    device.await.expect("the device does not panic")
}

async fn device(line: Arc<Line>) -> bool {
    let config = Config {
        psk: Some(Arc::new(|_| Ok(PASSWORD.as_bytes().to_vec()))),
        psk_identity_hint: Some(DEVICE.as_bytes().to_vec()),
        cipher_suites: vec![CipherSuiteId::Tls_Psk_With_Aes_128_Ccm_8],
        ..Config::default()
    };
    let connecting = DTLSConn::new(Arc::clone(&line) as _, config, true, None);
    let Ok(Ok(dtls)) = timeout(PATIENCE, connecting).await else { return false };
    let mut buffer = [0; 2048];
    let _ = dtls.write(MESSAGE, None).await;
    let answered = matches!(timeout(PATIENCE, dtls.read(&mut buffer, None)).await, Ok(Ok(1..)));
    // What is left of the input goes through DTLS.
    while let Some((_, datagram)) = line.next() {
        let _ = dtls.write(&datagram, None).await;
    }
    let _ = dtls.close().await;
    answered
}

/// The way from the device to the gateway.
struct Line {
    socket: UdpSocket,
    /// What is done to the next datagrams.
    steps: Mutex<VecDeque<(u8, Vec<u8>)>>,
    /// Counts datagrams.
    traffic: AtomicUsize,
}

impl Line {
    fn next(&self) -> Option<(u8, Vec<u8>)> {
        self.steps.lock().expect("nobody panics").pop_front()
    }

    /// What comes of a datagram.
    fn disturbed(&self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let datagram = datagram.to_vec();
        let Some((what, with)) = self.next() else { return vec![datagram] };
        match what % 8 {
            0 | 1 => vec![datagram],
            2 => vec![],
            3 => vec![datagram.clone(), datagram],
            4 => vec![with, datagram],
            5 => vec![with],
            6 => vec![changed(datagram.clone(), &with), datagram],
            _ => vec![changed(datagram, &with)],
        }
    }
}

/// Changes bytes: two say where, and one what.
fn changed(mut datagram: Vec<u8>, with: &[u8]) -> Vec<u8> {
    let (changes, _) = with.as_chunks();
    for &[high, low, change] in changes {
        let place = usize::from(u16::from_be_bytes([high, low])) % datagram.len();
        datagram[place] ^= change;
    }
    datagram
}

#[async_trait]
impl Conn for Line {
    async fn connect(&self, _address: SocketAddr) -> Result<()> {
        Ok(())
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        let received = self.socket.recv(buffer).await?;
        self.traffic.fetch_add(1, Ordering::Relaxed);
        Ok(received)
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        Ok((self.recv(buffer).await?, self.socket.peer_addr()?))
    }

    async fn send(&self, datagram: &[u8]) -> Result<usize> {
        for datagram in self.disturbed(datagram) {
            self.socket.send(&datagram).await?;
            self.traffic.fetch_add(1, Ordering::Relaxed);
        }
        Ok(datagram.len())
    }

    async fn send_to(&self, datagram: &[u8], _target: SocketAddr) -> Result<usize> {
        self.send(datagram).await
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}
