//! Clients that behave well, each at a rate of its own, on every listener of a gateway and a server.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use iotorch_lite::device::{Link, Qos};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    Result,
    pair::{Client, Listener, Pair},
};

/// How many there are on each listener.
const CLIENTS: usize = 4;
/// The time between two requests of a client.
const PACE: Duration = Duration::from_millis(50);
/// How long an answer may take before the client connects anew.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before that.
const PAUSE: Duration = Duration::from_millis(100);

/// Clients at work; they stop when this is dropped.
#[derive(Debug)]
pub struct Good {
    answered: Arc<Answered>,
    _clients: JoinSet<()>,
}

/// How long each answered request took, by listener, since it was last asked for.
#[derive(Debug, Default)]
struct Answered(Mutex<BTreeMap<Listener, Vec<Duration>>>);

/// A connection: each call is one request, from its beginning to its answer.
type Connection = Box<dyn Fn() -> BoxFuture<'static, Result<()>> + Send>;

impl Good {
    /// Has them connect and begin.
    ///
    /// # Errors
    /// When one of them is refused.
    pub async fn start(pair: &Pair) -> Result<Self> {
        let (answered, mut clients) = (Arc::new(Answered::default()), JoinSet::new());
        for listener in Listener::ALL {
            for number in 0..CLIENTS {
                let client = pair.add_client(&format!("good{number}"), listener).await?;
                let connection = connect(&client).await?;
                let answered = Arc::clone(&answered);
                clients.spawn(
                    async move { send(&client, connection, |time| answered.add(listener, time)).await },
                );
            }
        }
        Ok(Self { answered, _clients: clients })
    }

    /// What they did in this time.
    pub async fn during(&self, window: Duration) -> Kept {
        self.answered.take();
        let begun = Instant::now();
        sleep(window).await;
        let times = self.answered.take();
        Kept { times, seconds: begun.elapsed().as_secs_f64() }
    }
}

impl Answered {
    fn add(&self, listener: Listener, time: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(listener).or_default().push(time);
    }

    fn take(&self) -> BTreeMap<Listener, Vec<Duration>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn connect(client: &Client) -> Result<Connection> {
    match client {
        Client::Sender { login, message } => {
            let (link, message) = (Link::connect(login, Qos::AtLeastOnce).await?, message.clone());
            Ok(Box::new(move || {
                let (link, message) = (link.clone(), message.clone());
                Box::pin(async move {
                    link.send(&message).await?;
                    Ok(())
                })
            }))
        }
        Client::GatewayManager(manager) => {
            let manager = manager.clone();
            Ok(Box::new(move || {
                let manager = manager.clone();
                Box::pin(async move {
                    manager.objects().await?;
                    Ok(())
                })
            }))
        }
        Client::ServerManager(manager) => {
            let manager = manager.clone();
            Ok(Box::new(move || {
                let manager = manager.clone();
                Box::pin(async move {
                    manager.objects().await?;
                    Ok(())
                })
            }))
        }
    }
}

/// Sends at its pace; an answer that is late costs the turns that passed meanwhile.
async fn send(client: &Client, mut connection: Connection, answered: impl Fn(Duration)) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        pace.tick().await;
        let begun = Instant::now();
        if matches!(timeout(PATIENCE, connection()).await, Ok(Ok(()))) {
            answered(begun.elapsed());
            continue;
        }
        loop {
            if let Ok(Ok(anew)) = timeout(PATIENCE, connect(client)).await {
                connection = anew;
                break;
            }
            sleep(PAUSE).await;
        }
    }
}

/// What good clients did in some time.
#[derive(Clone, Debug)]
pub struct Kept {
    times: BTreeMap<Listener, Vec<Duration>>,
    seconds: f64,
}

impl Kept {
    #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 requests")]
    fn rate(&self, listener: Listener) -> f64 {
        self.times.get(&listener).map_or(0, Vec::len) as f64 / self.seconds
    }

    /// The lowest part of `alone` that the clients of any listener have kept; at most 1.
    #[must_use]
    pub fn part_of(&self, alone: &Self) -> f64 {
        let parts = Listener::ALL.iter().map(|listener| self.rate(*listener) / alone.rate(*listener));
        parts.fold(1.0, f64::min)
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, listener) in Listener::ALL.iter().enumerate() {
            let mut times = self.times.get(listener).cloned().unwrap_or_default();
            times.sort_unstable();
            let late = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
            let comma = if number > 0 { ", " } else { "" };
            write!(
                f,
                "{comma}{listener} {:.1}/s (p99 {:.0} ms)",
                self.rate(*listener),
                1e3 * late.as_secs_f64()
            )?;
        }
        Ok(())
    }
}
