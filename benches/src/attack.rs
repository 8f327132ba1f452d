//! Clients that behave badly, in a process apart: by mistake or to harm, with and without a credential.

mod datagrams;
mod streams;
mod words;

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use iotorch_lite::{
    api::DeviceProtocol,
    device::{Login, Message},
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::{
    Result,
    apart::{Apart, Task, tell, until_ended},
};

/// How many clients a crowd has: more than a listener has room for ([`iotorch_lite::Limits::connections`]).
const CROWD: usize = 1_200;
/// How many clients flood, and how many send what nobody understands.
const FEW: usize = 16;

/// How clients behave badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manner {
    /// A crowd sends a login that never ends, a byte every half second.
    Slow,
    /// A crowd connects and says nothing; and a known client asks for more and more, and never reads the answers.
    Stalled,
    /// A known client sends as fast as it can, and strangers try passwords as fast as they can.
    Flooding,
    /// Random bytes, after a beginning that is right or not.
    Malformed,
}

impl Manner {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Slow, Self::Stalled, Self::Flooding, Self::Malformed];
}

impl fmt::Display for Manner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slow => "slow",
            Self::Stalled => "stalled",
            Self::Flooding => "flooding",
            Self::Malformed => "malformed",
        })
    }
}

/// Whom an attack is on, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attack {
    /// How the attackers behave.
    pub manner: Manner,
    /// What is spoken there.
    pub protocol: DeviceProtocol,
    /// Where it listens.
    pub at: SocketAddr,
    /// Whose credential the attackers have, if any.
    pub known: Option<Known>,
}

/// A client with a valid credential that is used badly.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Known {
    user: String,
    password: String,
    /// The topic or path that it may send to, and what it may send there.
    path: String,
    message: String,
}

impl Known {
    /// Who has this login, and what it sends.
    #[must_use]
    pub fn new(login: &Login, message: &Message) -> Self {
        Self {
            user: login.user.clone(),
            password: login.password.expose().to_owned(),
            path: login.path.clone(),
            message: String::from_utf8_lossy(message.payload()).into_owned(),
        }
    }
}

/// What attackers have done: an attack that did nothing would show nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Connections made; with CoAP handshakes begun.
    pub connections: u64,
    /// Bytes sent.
    pub bytes: u64,
}

/// Attackers at work; they stop when this is dropped.
#[derive(Debug)]
pub struct Attackers(Apart);

impl Attackers {
    /// Sends them off.
    ///
    /// # Errors
    /// When no process can be started.
    pub fn start(attack: Attack) -> Result<Self> {
        Apart::start(&Task::Attack(attack)).map(Self)
    }

    /// Stops them, and tells what they did.
    ///
    /// # Errors
    /// When their process failed.
    pub fn stop(mut self) -> Result<Done> {
        self.0.end();
        self.0.told()
    }
}

/// Attacks until this process is asked to end.
pub(crate) async fn carry_out(attack: Attack) -> Result<()> {
    let count = Arc::new(Count::default());
    let mut attackers = Crowd::default();
    if attack.protocol == DeviceProtocol::Coap {
        datagrams::attack(&attack, &count, &mut attackers);
    } else {
        streams::attack(&attack, &count, &mut attackers);
    }
    until_ended().await?;
    attackers.0.shutdown().await;
    tell(&count.done())
}

/// Those who attack, each a task.
#[derive(Default)]
struct Crowd(JoinSet<()>);

impl Crowd {
    /// Adds attackers that do the same again and again, whatever comes of it.
    fn add<F: Future<Output = Result<()>> + Send>(
        &mut self,
        number: usize,
        attack: impl Fn() -> F + Clone + Send + 'static,
    ) {
        for _ in 0..number {
            let attack = attack.clone();
            self.0.spawn(async move {
                loop {
                    // What refuses an attacker has done what it is for.
                    let _ = attack().await;
                    tokio::task::yield_now().await;
                }
            });
        }
    }
}

#[derive(Debug, Default)]
struct Count {
    connections: AtomicU64,
    bytes: AtomicU64,
}

impl Count {
    fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    fn sent(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn done(&self) -> Done {
        Done {
            connections: self.connections.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}
