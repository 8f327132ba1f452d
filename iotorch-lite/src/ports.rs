//! Ports to listen on: one that was kept is waited for a little, and a new one is such that it stays free while nobody
//! listens on it.

use crate::{Error, ErrorKind, Result};
use std::{
    io::{self, ErrorKind as IoErrorKind},
    net::SocketAddr,
    ops::Range,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Where new ports come from: below those that Linux (from 32768) and macOS (from 49152) give to outgoing connections, which
/// would else take a port that is kept over a restart, and keep it for a minute past their end.
const NEW: Range<u16> = 20_000..30_000;

/// How many of them are tried before the system chooses any.
const DRAWS: usize = 20;

/// How long a start waits for ports that other programs have, as a rule: enough for one that is about to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// The pause before a port is tried again, doubled each time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How long those who listen wait for ports that others have, all together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    until: Instant,
    whole: Duration,
}

impl Patience {
    pub(crate) fn new(whole: Duration) -> Self {
        Self { until: Instant::now() + whole, whole }
    }

    /// Binds an address, with port 0 on any free port. `setting` is the setting that names the port.
    pub(crate) async fn bind<T>(
        self,
        address: SocketAddr,
        setting: &str,
        bind: impl AsyncFn(SocketAddr) -> io::Result<T>,
    ) -> Result<T> {
        let bound = match address.port() {
            0 => any(address, &bind).await,
            _ => self.wait(address, &bind).await,
        };
        bound.map_err(|error| self.taken(address, setting, error))
    }

    /// Binds a port, as soon as nobody else has it.
    async fn wait<T>(
        self,
        address: SocketAddr,
        bind: &impl AsyncFn(SocketAddr) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut pause = FIRST_PAUSE;
        loop {
            match bind(address).await {
                Err(error) if error.kind() == IoErrorKind::AddrInUse && Instant::now() < self.until => {
                    tracing::debug!(%address, "another program has the port");
                    sleep(pause).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
                bound => return bound,
            }
        }
    }

    fn taken(self, address: SocketAddr, setting: &str, error: io::Error) -> Error {
        let failed = Error::new(ErrorKind::Taken, format!("cannot listen on {address}"));
        if error.kind() != IoErrorKind::AddrInUse {
            return failed.caused_by(error);
        }
        let waited = match self.whole {
            Duration::ZERO => String::new(),
            whole => format!(", and still had it after {} s", whole.as_secs_f64()),
        };
        let help =
            format!("another program has the port{waited}: end it, or set another port with {setting}");
        failed.caused_by(error).with_help(help)
    }
}

/// Binds a port that nobody has and that no outgoing connection gets.
async fn any<T>(address: SocketAddr, bind: &impl AsyncFn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    for _ in 0..DRAWS {
        let port = rand::random_range(NEW);
        if let Ok(bound) = bind(SocketAddr::new(address.ip(), port)).await {
            return Ok(bound);
        }
    }
    bind(address).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(address)
    }

    #[tokio::test]
    async fn a_new_port_is_none_that_outgoing_connections_get() {
        let patience = Patience::new(Duration::ZERO);
        let first = patience.bind(LOOPBACK, "mqttPort", bind).await.unwrap();
        let second = patience.bind(LOOPBACK, "httpPort", bind).await.unwrap();
        for listener in [first, second] {
            assert!(NEW.contains(&listener.local_addr().unwrap().port()));
        }
    }

    #[tokio::test]
    async fn a_port_that_becomes_free_in_time_is_taken() {
        let other = bind(LOOPBACK).await.unwrap();
        let address = other.local_addr().unwrap();
        let waiting = tokio::spawn(Patience::new(Duration::from_secs(60)).bind(address, "mqttPort", bind));
        tokio::task::yield_now().await;
        drop(other);
        assert_eq!(waiting.await.unwrap().unwrap().local_addr().unwrap(), address);
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_stays_taken_is_named_with_what_to_do() {
        let other = bind(LOOPBACK).await.unwrap();
        let address = other.local_addr().unwrap();
        let begun = Instant::now();
        let patience = Patience::new(Duration::from_secs(3));
        let error = patience.bind(address, "mqttPort", bind).await.unwrap_err();
        assert!((3.0..3.3).contains(&begun.elapsed().as_secs_f64()));
        assert_eq!(
            (error.kind(), error.to_string()),
            (ErrorKind::Taken, format!("cannot listen on {address}"))
        );
        let help = "another program has the port, and still had it after 3 s: end it, or set another port with mqttPort";
        assert_eq!(error.help(), Some(help));
    }
}
