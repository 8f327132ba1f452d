//! The listeners of a gateway or server, opened together; their ports are remembered for the next start.

use crate::{
    Limits, Listen, Ports, Result,
    data_dir::DataDir,
    ports::Patience,
    seats::{Seat, Seats},
    tls,
};
use std::{
    fmt,
    future::{self, Future},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

/// The most connections to a management API: those who manage are few.
const MANAGERS: usize = 128;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The pause after the system could not accept a connection, for want of file handles for example.
const PAUSE: Duration = Duration::from_millis(50);

/// How long what is under way may take when serving ends.
const GRACE: Duration = Duration::from_secs(5);

/// What a gateway or server is configured to listen on.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) data: Listen,
    pub(crate) management: Option<Listen>,
    pub(crate) ports: Ports,
    pub(crate) limits: Limits,
    /// How long to wait for ports that others have.
    pub(crate) patience: Duration,
    /// Whether doors for messages stay closed unless their port is configured.
    pub(crate) closed: bool,
}

/// The doors of a gateway or server, open but with nobody at them yet.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) mqtt: Door,
    pub(crate) http: Door,
    pub(crate) management: Door,
}

impl Wanted {
    /// Refuses what cannot or must not be listened on.
    pub(crate) fn check(&self) -> Result<()> {
        self.limits.check()?;
        self.data.check()?;
        self.management.iter().try_for_each(Listen::check)
    }

    /// Opens the doors; ports that are not configured are those used before in the directory, or else any free ones.
    pub(crate) async fn open(&self, dir: &DataDir, patience: Patience) -> Result<(Doors, Ports)> {
        let mut ports = dir.ports(self.ports)?;
        if self.closed {
            ports = Ports { management: ports.management, ..self.ports };
        }
        let at = Listen::default();
        let at = self.management.as_ref().unwrap_or(&at);
        let seats = self.limits.connections;
        let managers = MANAGERS.min(seats);
        let management = Door::open(at, ports.management, Service::MANAGEMENT, managers, patience).await?;
        let door = async |port, service| match port {
            0 if self.closed => Ok(Door::closed(&self.data, seats)),
            port => Door::open(&self.data, port, service, seats, patience).await,
        };
        let mqtt = door(ports.mqtt, Service::MQTT).await?;
        let http = door(ports.http, Service::HTTP).await?;
        let ports =
            Ports { mqtt: mqtt.port(), http: http.port(), management: management.port(), coap: ports.coap };
        Ok((Doors { mqtt, http, management }, ports))
    }

    pub(crate) fn addresses(&self, ports: Ports) -> Addresses {
        let data = |port| reached_at(Some(&self.data), port);
        Addresses {
            mqtt: data(ports.mqtt),
            http: data(ports.http),
            coap: data(ports.coap),
            management: reached_at(self.management.as_ref(), ports.management),
        }
    }
}

/// Where a listener is reached from this host; one on every interface is on that of loopback too.
pub(crate) fn reached_at(at: Option<&Listen>, port: u16) -> SocketAddr {
    let address = match at.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |at| at.address) {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    (address, port).into()
}

/// Where a gateway or server is reached from this host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) mqtt: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) coap: SocketAddr,
    pub(crate) management: SocketAddr,
}

/// What a door is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    /// The name of its protocol in ALPN (RFC 7301).
    protocol: &'static str,
    /// The setting that names its port.
    port: &'static str,
}

impl Service {
    pub(crate) const MQTT: Self = Self { protocol: "mqtt", port: "mqttPort" };
    const HTTP: Self = Self { protocol: "http/1.1", port: "httpPort" };
    const MANAGEMENT: Self = Self { protocol: "http/1.1", port: "managementPort" };
}

/// A port that is listened on, or a door that is closed.
pub(crate) struct Door {
    listener: Option<TcpListener>,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    seats: Arc<Seats>,
}

impl fmt::Debug for Door {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Door").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A connection, in clear or behind TLS.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Who has come in, and where it sits.
pub(crate) struct Caller {
    pub(crate) stream: Stream,
    pub(crate) peer: SocketAddr,
    pub(crate) seat: Arc<Seat>,
}

impl Door {
    /// Listens on a port, 0 for any free one, with so many seats.
    pub(crate) async fn open(
        at: &Listen,
        port: u16,
        service: Service,
        seats: usize,
        patience: Patience,
    ) -> Result<Self> {
        let tls = at.tls.as_ref().map(|tls| tls::acceptor(tls, service.protocol)).transpose()?;
        let bind = async |address| {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = patience.bind((at.address, port).into(), service.port, bind).await?;
        Ok(Self { listener: Some(listener), address, tls, seats: Seats::new(seats) })
    }

    /// A door that nobody can come through; its port is 0.
    pub(crate) fn closed(at: &Listen, seats: usize) -> Self {
        Self { listener: None, address: (at.address, 0).into(), tls: None, seats: Seats::new(seats) }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn seats(&self) -> Arc<Seats> {
        Arc::clone(&self.seats)
    }

    /// Serves everybody who comes, side by side, until `stop`; then it lets those finish who are known.
    pub(crate) async fn serve<F: Future<Output = ()> + Send + 'static>(
        self,
        stop: CancellationToken,
        serve: impl Fn(Caller) -> F + Send + Sync + 'static,
    ) {
        let (serve, mut callers) = (Arc::new(serve), JoinSet::new());
        loop {
            let (stream, peer, seat) = tokio::select! {
                caller = self.next() => caller,
                Some(_) = callers.join_next() => continue,
                () = stop.cancelled() => break,
            };
            let (serve, tls, seat) = (Arc::clone(&serve), self.tls.clone(), Arc::new(seat));
            callers.spawn(async move {
                let served = async {
                    if let Some(stream) = secure(tls, stream).await {
                        serve(Caller { stream, peer, seat: Arc::clone(&seat) }).await;
                    }
                };
                tokio::select! {
                    () = served => {}
                    () = seat.lost() => {}
                }
            });
        }
        drop(self.listener);
        self.seats.clear();
        let all = async { while callers.join_next().await.is_some() {} };
        if timeout(GRACE, all).await.is_err() {
            tracing::warn!(address = %self.address, "connections were cut off at the end of serving");
            callers.shutdown().await;
        }
    }

    async fn next(&self) -> (TcpStream, SocketAddr, Seat) {
        let Some(listener) = &self.listener else { return future::pending().await };
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => match self.seats.take(peer) {
                    Some(seat) => return (stream, peer, seat),
                    None => tracing::info!(%peer, "refused: there are too many connections"),
                },
                Err(error) => {
                    tracing::warn!(address = %self.address, %error, "cannot accept a connection");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Goes through the TLS handshake, where there is TLS.
async fn secure(tls: Option<TlsAcceptor>, stream: TcpStream) -> Option<Stream> {
    // Answers are small and awaited.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return Some(Stream::Plain(stream)) };
    match timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::info!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => None,
    }
}
