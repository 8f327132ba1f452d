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

use super::{Pending, Random, Tally, stored::Key};
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

/// A message on its way.
type Sending = BoxFuture<'static, Sent>;

/// What a message came to.
struct Sent {
    due: Instant,
    /// What it is found by at servers.
    key: Option<Key>,
    /// What it was sent over.
    link: Arc<Link>,
    result: Result<Answer>,
}

/// The connection, as far as there is one.
#[derive(Debug)]
enum Connection<L = Link> {
    /// There is.
    Up(Arc<L>),
    /// There is none before this time.
    Down { until: Instant, pause: Duration, why: String },
}

impl<L> Connection<L> {
    /// A link was lost. The one that there is now may have been made since.
    fn lost(&mut self, link: &Arc<L>, why: &str) {
        if matches!(self, Self::Up(now) if Arc::ptr_eq(now, link)) {
            *self = Self::Down { until: Instant::now(), pause: SHORTEST_PAUSE, why: why.to_owned() };
        }
    }
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
                Some(sent) = under_way.next() => self.came_of(sent, &mut connection),
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
        while let Some(sent) = under_way.next().await {
            self.came_of(sent, &mut connection);
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
        let (message, key) = match self.payload {
            Payload::Senml => {
                #[allow(clippy::cast_precision_loss, reason = "a time in microseconds is below 2^53")]
                let message = Message::of_pack(readings, micros as f64 / 1e6);
                (message, Some(self.pending.add(&self.device, micros, due)))
            }
            Payload::Plain => match Message::of_readings(readings) {
                Ok(message) => (message, self.pending.add_values(&self.device, readings, due)),
                Err(error) => {
                    self.count(|tally| tally.failed(in_words(&error)));
                    return None;
                }
            },
        };
        let sending = async move {
            let result = link.send(&message).await;
            Sent { due, key, link, result }
        };
        Some(sending.boxed())
    }

    /// The link that there is, or a new one where it is time to try.
    async fn link(&self, connection: &mut Connection) -> Result<Arc<Link>, String> {
        let pause = match connection {
            Connection::Up(link) => return Ok(Arc::clone(link)),
            Connection::Down { until, why, .. } if Instant::now() < *until => return Err(why.clone()),
            Connection::Down { pause, .. } => *pause,
        };
        match self.connector.connect(self.qos).await {
            Ok(link) => {
                let link = Arc::new(link);
                *connection = Connection::Up(Arc::clone(&link));
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

    fn came_of(&self, sent: Sent, connection: &mut Connection) {
        let Sent { due, key, link, result } = sent;
        if let (true, Some(key)) = (is_refused(&result), &key) {
            self.pending.forget(key, due);
        }
        match result {
            Ok(answer) => self.count(|tally| tally.answered(&answer, due.elapsed())),
            Err(error) => {
                let why = in_words(&error);
                if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) {
                    connection.lost(&link, &why);
                }
                self.count(|tally| tally.failed(why));
            }
        }
    }

    fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Whether nothing of a message will ever arrive. One whose connection broke may have arrived.
fn is_refused(result: &Result<Answer>) -> bool {
    match result {
        Ok(answer) => matches!(answer, Answer::Rejected { accepted: 0, .. }),
        Err(error) => {
            use ErrorKind::{Denied, Invalid, NotFound, RateLimited, Unsupported};
            matches!(error.kind(), Denied | Invalid | NotFound | RateLimited | Unsupported)
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_on_an_old_link_does_not_end_the_new_one() {
        let (old, new) = (Arc::new(()), Arc::new(()));
        let mut connection = Connection::Up(Arc::clone(&new));
        connection.lost(&old, "no answer");
        assert!(matches!(&connection, Connection::Up(now) if Arc::ptr_eq(now, &new)));
        connection.lost(&new, "no answer");
        assert!(matches!(&connection, Connection::Down { why, .. } if why == "no answer"));
    }

    #[test]
    fn a_message_is_waited_for_as_long_as_some_of_it_may_arrive() {
        let failed = |kind| Err(Error::new(kind, "no"));
        let rejected = |accepted| Ok(Answer::Rejected { accepted, rejected: vec!["too hot".into()] });
        assert!(is_refused(&failed(ErrorKind::Invalid)) && is_refused(&rejected(0)));
        let may_arrive = [
            failed(ErrorKind::Timeout),
            failed(ErrorKind::Unavailable),
            rejected(1),
            Ok(Answer::Acknowledged),
        ];
        assert!(!may_arrive.iter().any(is_refused));
    }
}
