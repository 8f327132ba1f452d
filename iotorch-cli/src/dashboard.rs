//! What `iotorch run` shows while it hosts: slices, rates and last values.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use iotorch_core::{
    model::SliceName,
    observer::{Progress, RunEvent},
    status::SliceStatus,
};
use jiff::{Timestamp, tz::TimeZone};
use tokio::{sync::mpsc::UnboundedReceiver, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::Setting,
    failure::Result,
    follow::Follower,
    installation::Session,
    readings::{Message, Readers},
    render::{
        dashboard::{Row, table},
        messages::value,
    },
    screen::Screen,
    sensor::Sensors,
};

/// The time between two counts of messages.
const COUNTING: Duration = Duration::from_secs(1);

/// The time between two looks at the slices themselves; a run that ends brings one at once.
const LOOKING: Duration = Duration::from_secs(5);

/// How long the first table waits for readings on a screen that is not drawn again.
const FIRST_TABLE: Duration = Duration::from_secs(10);

/// Looks at everything again and again, and feeds this machine's readings to devices that ask for them.
pub(crate) struct Dashboard<'a> {
    session: &'a Session,
    screen: &'a Screen,
    follower: &'a Follower,
    readers: Readers<'a>,
    slices: Vec<SliceStatus>,
    counts: BTreeMap<SliceName, Count>,
    last: Vec<Message>,
    told: Told,
    since: Instant,
}

/// How many messages a slice's servers had stored, and how fast they come.
#[derive(Clone, Copy, Debug)]
struct Count {
    at: Instant,
    messages: u64,
    /// Messages a second since the count before.
    rate: Option<f64>,
}

/// What has been told on a screen that is not drawn again.
#[derive(Debug, Default)]
struct Told {
    conditions: BTreeMap<SliceName, String>,
    names: BTreeSet<(SliceName, String)>,
    table: bool,
}

impl<'a> Dashboard<'a> {
    /// A dashboard of what `session` hosts.
    pub(crate) fn new(session: &'a Session, setting: &'a Setting, follower: &'a Follower) -> Self {
        Self {
            session,
            screen: &setting.screen,
            follower,
            readers: Readers::new(session),
            slices: Vec::new(),
            counts: BTreeMap::new(),
            last: Vec::new(),
            told: Told::default(),
            since: Instant::now(),
        }
    }

    /// Shows until it is stopped.
    pub(crate) async fn show(mut self, stop: &CancellationToken) -> Result<()> {
        let mut events = self.session.events().listen();
        let mut sensors = Sensors::new(self.session, self.screen.clone());
        let watching = async {
            let mut looked: Option<Instant> = None;
            loop {
                if looked.is_none_or(|at| at.elapsed() >= LOOKING) {
                    self.look().await?;
                    sensors.follow(&self.slices).await;
                    looked = Some(Instant::now());
                }
                self.count().await;
                self.tell()?;
                let next = Instant::now() + COUNTING;
                if tokio::time::timeout_at(next, ended(&mut events)).await.is_ok() {
                    looked = None;
                }
            }
        };
        let result = tokio::select! {
            result = watching => result,
            () = stop.cancelled() => Ok(()),
        };
        sensors.stop().await;
        result
    }

    /// Looks at the slices themselves.
    async fn look(&mut self) -> Result<()> {
        let orchestrator = self.session.orchestrator();
        let names = orchestrator.slices().await?;
        let looks = futures::future::join_all(names.iter().map(|name| orchestrator.status(name))).await;
        // A slice that was deleted in the meantime is no fault.
        self.slices = looks.into_iter().filter_map(iotorch_core::Result::ok).collect();
        Ok(())
    }

    /// Counts what the servers have stored. A server that does not answer keeps its last count.
    async fn count(&mut self) {
        let mut last = Vec::new();
        for slice in &self.slices {
            let channels = match self.readers.channels(slice, |_, _| true).await {
                Ok(channels) => channels,
                Err(error) => {
                    tracing::warn!(slice = %slice.slice, cause = %error.to_cause(), "cannot read the servers");
                    continue;
                }
            };
            let mut messages = 0;
            let mut complete = true;
            for channel in channels {
                match channel.summary().await {
                    Ok(summary) => {
                        messages += summary.count;
                        last.extend(channel.last(summary));
                    }
                    Err(error) => {
                        tracing::warn!(slice = %slice.slice, cause = %error.to_cause(), "cannot count messages");
                        complete = false;
                    }
                }
            }
            if complete {
                let count = Count::after(self.counts.get(&slice.slice), messages);
                self.counts.insert(slice.slice.clone(), count);
            }
        }
        self.counts.retain(|name, _| self.slices.iter().any(|slice| slice.slice == *name));
        self.last = last;
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let counted = self.slices.iter().map(|slice| (slice, self.counts.get(&slice.slice)));
        counted
            .map(|(slice, count)| Row {
                slice,
                messages: count.map(|count| count.messages),
                rate: count.and_then(|count| count.rate),
            })
            .collect()
    }

    fn tell(&mut self) -> Result<()> {
        let now = Timestamp::now();
        let zone = TimeZone::system();
        if self.screen.is_live {
            let text = table(&self.rows(), &self.last, now, &zone);
            let ways = self.screen.err.dim("Ctrl-C stops; other commands work from other terminals");
            self.follower.show_table(text.lines().map(str::to_owned).chain([String::new(), ways]).collect());
            return Ok(());
        }
        let mut news = Vec::new();
        for slice in &self.slices {
            let condition = slice.condition.to_string();
            let before = self.told.conditions.insert(slice.slice.clone(), condition.clone());
            if before.is_some_and(|before| before != condition) {
                news.push(format!("{}: {condition}", slice.slice));
            }
        }
        for message in &self.last {
            let name = (message.slice.clone(), message.record.name.clone());
            if self.told.names.insert(name) {
                news.push(format!("{}: {} = {}", message.slice, message.record.name, value(&message.record)));
            }
        }
        // With rates and readings, or without them when they do not come.
        let is_full = !self.last.is_empty() && self.counts.values().all(|count| count.rate.is_some());
        let is_time = is_full || self.slices.is_empty() || self.since.elapsed() > FIRST_TABLE;
        if !self.told.table && is_time {
            self.told.table = true;
            return self.screen.result(table(&self.rows(), &self.last, now, &zone));
        }
        if self.told.table { news.into_iter().try_for_each(|line| self.screen.result(line)) } else { Ok(()) }
    }
}

impl Count {
    fn after(before: Option<&Self>, messages: u64) -> Self {
        let at = Instant::now();
        let rate = before.and_then(|before| {
            let seconds = at.duration_since(before.at).as_secs_f64();
            #[allow(clippy::cast_precision_loss, reason = "a rate is shown with two digits")]
            let new = messages.saturating_sub(before.messages) as f64;
            (seconds > 0.0).then(|| new / seconds)
        });
        Self { at, messages, rate }
    }
}

/// Waits until a run has ended.
async fn ended(events: &mut UnboundedReceiver<std::sync::Arc<RunEvent>>) {
    while let Some(event) = events.recv().await {
        if matches!(event.event, Progress::RunEnded { .. }) {
            return;
        }
    }
    std::future::pending().await
}
