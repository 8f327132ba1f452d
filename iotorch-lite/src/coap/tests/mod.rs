//! An access that remembers what it was asked, and a client.

mod conversation;
mod listener;
mod peers;

use super::{CoapLimits, CoapListener, message::uint_bytes};
use crate::{
    Limits, Result, Secret,
    access::{Access, Key, Protocol, Taken},
    api::{Kind, NewCommand},
    gateway::commands::{self, Commands},
    limits::Limiter,
    objects::{OBJECTS, Object, put},
    ports::Patience,
    refusals::Refusals,
    store::Store,
};
use async_trait::async_trait;
use coap_lite::{CoapOption, MessageClass, MessageType, Packet, RequestType};
use redb::{Database, WriteTransaction, backends::InMemoryBackend};
use serde_json::json;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::UdpSocket;
use webrtc_dtls::{cipher_suite::CipherSuiteId, config::Config, conn::DTLSConn};

/// The device `d1`, which may do everything that is its own.
pub(super) struct World {
    pub(super) keys: Mutex<BTreeMap<String, Key>>,
    pub(super) published: Mutex<Vec<(String, Vec<u8>)>>,
    /// What is said of the next messages.
    pub(super) taken: Mutex<Taken>,
    pub(super) commands: Commands,
    refusals: Refusals,
    limiter: Limiter,
}

impl World {
    pub(super) async fn new() -> Arc<Self> {
        Self::with(&Limits::default()).await
    }

    pub(super) async fn with(limits: &Limits) -> Arc<Self> {
        let database = || Ok(Database::builder().create_with_backend(InMemoryBackend::new())?);
        let store = Arc::new(Store::start(database, tables).unwrap());
        store.write(objects).await.unwrap();
        let world = Self {
            keys: Mutex::default(),
            published: Mutex::default(),
            taken: Mutex::new(Taken { accepted: 1, rejected: Vec::new() }),
            commands: Commands::new(store),
            refusals: Refusals::default(),
            limiter: Limiter::new(limits),
        };
        world.add_key("d1", 1, "secret");
        Arc::new(world)
    }

    pub(super) fn add_key(&self, identity: &str, generation: u64, secret: &str) {
        let key = Key { user: "d1".to_owned(), generation, secret: Secret::new(secret) };
        self.keys.lock().unwrap().insert(identity.to_owned(), key);
    }

    pub(super) async fn listen(self: &Arc<Self>, sessions: usize) -> CoapListener {
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let access = Arc::clone(self) as Arc<dyn Access>;
        let (limits, patience) = (CoapLimits { sessions, packet: 4096 }, Patience::new(Duration::ZERO));
        CoapListener::start(address, access, limits, patience).await.unwrap()
    }

    /// Orders `d1` to open its valve so far.
    pub(super) async fn order(&self, value: f64, expires_in: f64) -> u64 {
        let order = NewCommand { resource: "valve".to_owned(), value: json!(value), expires_in };
        self.commands.add("d1", order).await.unwrap().id
    }

    pub(super) fn last_refusal(&self, user: &str) -> Option<String> {
        self.refusals.all().remove(user).map(|refused| refused.last_reason)
    }
}

fn tables(txn: &WriteTransaction) -> Result<()> {
    txn.open_table(OBJECTS)?;
    commands::setup(txn)
}

fn objects(txn: &WriteTransaction) -> Result<()> {
    let object = |kind, settings| Object {
        kind,
        mark: "test".to_owned(),
        spec: json!({}),
        settings,
        secret: None,
        found: None,
    };
    let profile = json!({ "resources": { "valve": { "type": "float", "access": "write" } } });
    put(txn, "profiles/sensor", object(Kind::Profile, profile), false)?;
    let device = json!({ "profile": "sensor", "protocol": "coap" });
    put(txn, "devices/d1", object(Kind::Device, device), false)?;
    Ok(())
}

#[async_trait]
impl Access for World {
    fn login(&self, _protocol: Protocol, _user: &str, _password: &[u8]) -> Result<u64, String> {
        Err("there are no passwords".to_owned())
    }

    fn key(&self, identity: &str) -> Result<Key, String> {
        self.keys.lock().unwrap().get(identity).cloned().ok_or_else(|| "there is no such device".to_owned())
    }

    fn may_publish(&self, user: &str, topic: &str) -> bool {
        topic.strip_prefix("devices/").and_then(|rest| rest.strip_prefix(user)).is_some()
    }

    fn may_subscribe(&self, user: &str, filter: &str) -> bool {
        filter == format!("devices/{user}/commands/#")
    }

    async fn publish(&self, _user: &str, topic: &str, payload: &[u8]) -> Result<Taken> {
        self.published.lock().unwrap().push((topic.to_owned(), payload.to_vec()));
        Ok(self.taken.lock().unwrap().clone())
    }

    fn commands(&self) -> Option<&Commands> {
        Some(&self.commands)
    }

    fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    fn limits(&self) -> &Limiter {
        &self.limiter
    }
}

/// A client of the listener.
pub(super) struct Client {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) dtls: DTLSConn,
}

/// The deadline is for a broken program only.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

impl Client {
    pub(super) async fn connect(to: u16, identity: &str, key: &str) -> Result<Self, String> {
        Self::connect_from(socket(to).await, identity, key).await
    }

    pub(super) async fn connect_from(
        socket: Arc<UdpSocket>,
        identity: &str,
        key: &str,
    ) -> Result<Self, String> {
        let key = key.as_bytes().to_vec();
        let config = Config {
            psk: Some(Arc::new(move |_| Ok(key.clone()))),
            psk_identity_hint: Some(identity.as_bytes().to_vec()),
            cipher_suites: vec![CipherSuiteId::Tls_Psk_With_Aes_128_Ccm_8],
            ..Config::default()
        };
        let connecting = DTLSConn::new(Arc::clone(&socket) as _, config, true, None);
        let dtls = tokio::time::timeout(PATIENCE, connecting).await.unwrap();
        dtls.map(|dtls| Self { socket, dtls }).map_err(|error| error.to_string())
    }

    pub(super) async fn send(&self, datagram: &[u8]) {
        self.dtls.write(datagram, None).await.unwrap();
    }

    /// The next datagram, or `None` when the session has ended.
    pub(super) async fn receive(&self) -> Option<Packet> {
        let mut buffer = [0; 2048];
        let length = tokio::time::timeout(PATIENCE, self.dtls.read(&mut buffer, None)).await.unwrap().ok()?;
        Some(Packet::from_bytes(&buffer[..length]).unwrap())
    }

    pub(super) async fn ask(&self, datagram: &[u8]) -> Packet {
        self.send(datagram).await;
        self.receive().await.unwrap()
    }
}

/// A socket of its own that sends to a port.
pub(super) async fn socket(to: u16) -> Arc<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, to))).await.unwrap();
    Arc::new(socket)
}

/// A request that is written by hand.
pub(super) struct Draft(Packet);

pub(super) fn request(method: RequestType, path: &str, number: u16) -> Draft {
    let mut packet = Packet::new();
    packet.header.set_type(MessageType::Confirmable);
    packet.header.code = MessageClass::Request(method);
    packet.header.message_id = number;
    packet.set_token(vec![7]);
    for segment in path.split('/') {
        packet.add_option(CoapOption::UriPath, segment.as_bytes().to_vec());
    }
    Draft(packet)
}

pub(super) fn post(path: &str, number: u16, payload: &[u8]) -> Vec<u8> {
    request(RequestType::Post, path, number).payload(payload).bytes()
}

impl Draft {
    pub(super) fn not_confirmable(mut self) -> Self {
        self.0.header.set_type(MessageType::NonConfirmable);
        self
    }

    pub(super) fn option(mut self, option: CoapOption, value: u32) -> Self {
        self.0.add_option(option, uint_bytes(value));
        self
    }

    pub(super) fn token(mut self, token: u8) -> Self {
        self.0.set_token(vec![token]);
        self
    }

    pub(super) fn payload(mut self, payload: &[u8]) -> Self {
        self.0.payload = payload.to_vec();
        self
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.0.to_bytes_unlimited().unwrap()
    }
}

/// The code of an answer, as RFC 7252 writes it.
pub(super) fn code(packet: &Packet) -> String {
    packet.header.code.to_string()
}
