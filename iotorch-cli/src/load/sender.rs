//! One device that sends what is due.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use iotorch_core::{Error, ErrorKind, Result, model::DeviceProtocol};
use iotorch_lite::device::{Answer, Message, Qos, Reading};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Pending, Random, Tally};
use crate::device::{Connector, Device, Link};

/// How many messages over MQTT may wait for their acknowledgement. A device that speaks HTTP or CoAP has one at a time.
const WINDOW: usize = 64;

/// The pause after a connection that failed, doubled with each further one up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// When which readings are due, counted from the start.
#[derive(Debug)]
pub(crate) enum Schedule {
    /// Random ones, evenly.
    Random {
        /// Where they come from.
        random: Box<Random>,
        /// The first.
        first: Duration,
        /// The time between two.
        every: Duration,
        /// How many there were.
        count: u32,
        /// When it is over.
        until: Duration,
    },
    /// Those of a file.
    Rows(VecDeque<(Duration, Vec<Reading>)>),
}

impl Schedule {
    fn due(&self) -> Option<Duration> {
        match self {
            Self::Random { first, every, count, until, .. } => {
                let due = *first + *every * *count;
                (due < *until).then_some(due)
            }
            Self::Rows(rows) => rows.front().map(|(due, _)| *due),
        }
    }

    fn take(&mut self) -> Vec<Reading> {
        match self {
            Self::Random { random, count, .. } => {
                *count += 1;
                random.readings()
            }
            Self::Rows(rows) => rows.pop_front().map(|(_, readings)| readings).unwrap_or_default(),
        }
    }
}

/// What messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// SenML packs with their times.
    Senml,
    /// JSON objects of values, to which somebody else gives a time.
    Plain,
}

/// A device that sends.
pub(crate) struct Sender {
    /// Which.
    pub(crate) device: Device,
    /// What connects as it.
    pub(crate) connector: Connector,
    /// What MQTT promises.
    pub(crate) qos: Qos,
    /// What its messages are.
    pub(crate) payload: Payload,
    /// What it sends, and when.
    pub(crate) schedule: Schedule,
    /// Where it is counted.
    pub(crate) tally: Arc<Mutex<Tally>>,
    /// What is on its way to servers.
    pub(crate) pending: Arc<Pending>,
}

/// The start of all schedules, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// By the clock that only goes forward.
    pub(crate) at: Instant,
    /// In microseconds since the Unix epoch.
    pub(crate) micros: i64,
}

/// A message on its way, and what it comes to.
type Sending = BoxFuture<'static, (Instant, Result<Answer>)>;

/// The connection, as far as there is one.
enum Connection {
    /// There is.
    Up(Link),
    /// There is none before this time.
    Down { until: Instant, pause: Duration, why: String },
}

impl Sender {
    /// Sends until all is sent or it is to stop, and waits for what is under way.
    pub(crate) async fn run(mut self, start: Start, stop: CancellationToken) {
        let window = if self.device.protocol == DeviceProtocol::Mqtt { WINDOW } else { 1 };
        let mut under_way: FuturesUnordered<Sending> = FuturesUnordered::new();
        let mut connection = Connection::Down { until: start.at, pause: SHORTEST_PAUSE, why: String::new() };
        let mut last = i64::MIN;
        while let Some(due) = self.schedule.due() {
            let at = start.at + due;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some((due, result)) = under_way.next() => self.came_of(due, result, &mut connection),
                () = sleep_until(at), if under_way.len() < window => {
                    let readings = self.schedule.take();
                    // Two messages of one device are told apart by their times.
                    last = (start.micros + i64::try_from(due.as_micros()).unwrap_or(i64::MAX)).max(last + 1);
                    if let Some(sending) = self.send(&readings, at, last, &mut connection).await {
                        under_way.push(sending);
                    }
                }
            }
        }
        while let Some((due, result)) = under_way.next().await {
            self.came_of(due, result, &mut connection);
        }
        if let Connection::Up(link) = connection {
            link.close().await;
        }
    }

    async fn send(
        &self,
        readings: &[Reading],
        due: Instant,
        micros: i64,
        connection: &mut Connection,
    ) -> Option<Sending> {
        if readings.is_empty() {
            return None;
        }
        self.count(|tally| tally.sent(readings.len() as u64));
        let link = match self.link(connection).await {
            Ok(link) => link,
            Err(why) => {
                self.count(|tally| tally.failed(why));
                return None;
            }
        };
        let message = match self.payload {
            Payload::Senml => {
                self.pending.add(&self.device, micros, due);
                #[allow(clippy::cast_precision_loss, reason = "a time in microseconds is below 2^53")]
                Message::of_pack(readings, micros as f64 / 1e6)
            }
            Payload::Plain => match Message::of_readings(readings) {
                Ok(message) => {
                    self.pending.add_values(&self.device, readings, due);
                    message
                }
                Err(error) => {
                    self.count(|tally| tally.failed(in_words(&error)));
                    return None;
                }
            },
        };
        Some(async move { (due, link.send(&message).await) }.boxed())
    }

    /// The link that there is, or a new one where it is time to try.
    async fn link(&self, connection: &mut Connection) -> Result<Link, String> {
        let pause = match connection {
            Connection::Up(link) => return Ok(link.clone()),
            Connection::Down { until, why, .. } if Instant::now() < *until => return Err(why.clone()),
            Connection::Down { pause, .. } => *pause,
        };
        match self.connector.connect(self.qos).await {
            Ok(link) => {
                *connection = Connection::Up(link.clone());
                Ok(link)
            }
            Err(error) => {
                let why = in_words(&error);
                let until = Instant::now() + pause;
                let pause = (2 * pause).min(LONGEST_PAUSE);
                *connection = Connection::Down { until, pause, why: why.clone() };
                Err(why)
            }
        }
    }

    fn came_of(&self, due: Instant, result: Result<Answer>, connection: &mut Connection) {
        match result {
            Ok(answer) => self.count(|tally| tally.answered(&answer, due.elapsed())),
            Err(error) => {
                let why = in_words(&error);
                let is_lost = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout);
                if is_lost && matches!(connection, Connection::Up(_)) {
                    *connection =
                        Connection::Down { until: Instant::now(), pause: SHORTEST_PAUSE, why: why.clone() };
                }
                self.count(|tally| tally.failed(why));
            }
        }
    }

    fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// An error as a kind of errors: what all of the kind have in common, and the cause that the other side gave.
fn in_words(error: &Error) -> String {
    let cause = error.to_cause();
    match cause.chain.first() {
        Some(why) => format!("{}: {why}", cause.message),
        None => cause.message,
    }
}
