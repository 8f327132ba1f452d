//! Forwarding: one task an export, which logs in at its target, sends what waits in the outbox one pack after the
//! other, and removes it when the target has acknowledged it. It comes back by itself after any failure. What a target can
//! never take is counted and told, and the rest goes on.

mod influx;
mod line;
mod pack;

use super::{Core, outbox};
use crate::{
    Result, Secret,
    api::{Export, ExportKind, Kind},
    mqtt::{self, Broker, Publisher, Unpublished, Version},
    objects::{self, Kept, OBJECTS, name_of},
};
use influx::Database;
use pack::Unsendable;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The pause after a failure, doubled with each further one up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a target may take to acknowledge a pack before the connection is given up.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(30);

/// The names of readings that were told to be unsendable. Devices choose them, so only so many are told apart.
const TOLD: usize = 1000;

/// The state of the connection of each export.
#[derive(Debug, Default)]
pub(crate) struct Links(Mutex<BTreeMap<String, Link>>);

#[derive(Debug, Clone, Default)]
pub(crate) struct Link {
    pub(crate) connected: bool,
    pub(crate) last_error: Option<String>,
}

impl Links {
    pub(crate) fn get(&self, export: &str) -> Link {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(export).cloned().unwrap_or_default()
    }

    fn update(&self, export: &str, update: impl FnOnce(&mut Link)) {
        update(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(export.to_owned()).or_default());
    }

    fn remove(&self, export: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(export);
    }
}

/// The running exports.
#[derive(Debug, Default)]
pub(crate) struct Forwarders(tokio::sync::Mutex<HashMap<String, Forwarder>>);

#[derive(Debug)]
struct Forwarder {
    target: Target,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Target {
    export: Export,
    secret: Option<Secret>,
}

impl Target {
    fn same(&self, other: &Self) -> bool {
        let secret = match (&self.secret, &other.secret) {
            (Some(one), Some(other)) => one.matches(other.expose().as_bytes()),
            (one, other) => one.is_none() && other.is_none(),
        };
        self.export == other.export && secret
    }

    /// The user name and password to log in with, if any.
    fn login(&self) -> Option<(&str, &str)> {
        let secret = self.secret.as_ref()?.expose();
        match &self.export.user_name {
            Some(user) => Some((user, secret)),
            None => secret.split_once(':'),
        }
    }
}

impl Forwarders {
    /// Runs the exports that are stored, as they are stored, and no other.
    pub(crate) async fn follow(&self, core: &Arc<Core>, stop: &CancellationToken) -> Result<()> {
        let wanted = core.store.read(|txn| {
            let exports = objects::below(&txn.open_table(OBJECTS)?, "exports")?;
            let mut wanted = HashMap::new();
            for (path, object) in exports {
                if object.kind == Kind::Export {
                    let secret = match &object.secret {
                        Some(Kept::Clear(secret)) => Some(Secret::new(secret.clone())),
                        _ => None,
                    };
                    let target = Target { export: object.settings()?, secret };
                    wanted.insert(name_of(&path).to_owned(), target);
                }
            }
            Ok(wanted)
        })?;
        let mut running = self.0.lock().await;
        let outdated: Vec<_> = running
            .extract_if(|name, forwarder| {
                !wanted.get(name).is_some_and(|target| target.same(&forwarder.target))
            })
            .collect();
        for (name, forwarder) in outdated {
            forwarder.end().await;
            core.links.remove(&name);
        }
        for (name, target) in wanted {
            running.entry(name).or_insert_with_key(|name| {
                let stop = stop.child_token();
                let forward = forward(Arc::clone(core), name.clone(), target.clone(), stop.clone());
                Forwarder { target, stop, task: tokio::spawn(forward) }
            });
        }
        Ok(())
    }

    /// Ends all exports.
    pub(crate) async fn finish(&self) {
        for (_, forwarder) in self.0.lock().await.drain() {
            forwarder.end().await;
        }
    }
}

impl Forwarder {
    async fn end(self) {
        self.stop.cancel();
        // A panic of the task has been reported by the panic hook.
        let _ = self.task.await;
    }
}

async fn forward(core: Arc<Core>, name: String, target: Target, stop: CancellationToken) {
    let mut forwarder = Forwarding::new(&core, &name, &target);
    let mut pause = SHORTEST_PAUSE;
    let mut version = if target.export.kind == ExportKind::Mqtt3 { Version::V3 } else { Version::V5 };
    loop {
        let failure = tokio::select! {
            failure = forwarder.connection(&mut version, &mut pause) => failure,
            () = stop.cancelled() => return,
        };
        forwarder.lower();
        tracing::warn!(export = name, failure, "forwarding was interrupted");
        let message = format!("export \"{name}\" was interrupted: {failure}");
        core.log.warning("export-interrupted", &name, message);
        core.links.update(&name, |link| *link = Link { connected: false, last_error: Some(failure) });
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (2 * pause).min(LONGEST_PAUSE),
            () = stop.cancelled() => return,
        }
    }
}

/// A target that is logged in at.
enum Connected<'a> {
    Broker(Box<dyn Publisher>),
    Database(Database<'a>),
}

/// What one task works on.
struct Forwarding<'a> {
    core: &'a Core,
    name: &'a str,
    target: &'a Target,
    /// The names that were told to be unsendable.
    told: HashSet<String>,
    /// The most readings of a pack.
    most: usize,
    /// How many are in the pack that is on its way, if one is.
    under_way: Option<usize>,
}

impl<'a> Forwarding<'a> {
    fn new(core: &'a Core, name: &'a str, target: &'a Target) -> Self {
        Self { core, name, target, told: HashSet::new(), most: outbox::PACK_READINGS, under_way: None }
    }

    /// After a pack that was too large, or a connection that broke with one on its way, the next is half as large: a broker of MQTT 3.1.1
    /// ends the connection of one that sends more at once than it takes, and says no more of it. With each pack that it took since they
    /// grow again.
    fn lower(&mut self) {
        if let Some(count) = self.under_way.take() {
            self.most = (count / 2).max(1);
        }
    }

    /// Forwards over one connection until it fails, and gives the reason. Each connection starts without state at the target:
    /// what was not acknowledged is still in the outbox.
    async fn connection(&mut self, version: &mut Version, pause: &mut Duration) -> String {
        if self.target.export.kind == ExportKind::Influxdb {
            let database = match Database::connect(self.target, self.core.trust.as_deref()).await {
                Ok(database) => database,
                Err(failure) => return failure,
            };
            self.connected();
            return self.send(&Connected::Database(database), pause).await;
        }
        let broker = match self.broker() {
            Ok(broker) => broker,
            Err(failure) => return failure.to_string(),
        };
        let (publisher, driving) = match mqtt::connect(*version, broker).await {
            Ok(link) => link,
            Err(failure) => {
                // A broker that speaks only one version is tried with both in turn, unless it was told which.
                if failure.version && self.target.export.kind == ExportKind::Mqtt {
                    *version = version.other();
                }
                return failure.reason;
            }
        };
        self.connected();
        let broker = Connected::Broker(publisher);
        tokio::select! {
            failure = driving => failure,
            failure = self.send(&broker, pause) => failure,
        }
    }

    fn connected(&self) {
        let (Export { host, port, .. }, name) = (&self.target.export, self.name);
        self.core.links.update(name, |link| link.connected = true);
        let message = format!("export \"{name}\" is connected to {host}:{port}");
        self.core.log.info("export-connected", name, message);
    }

    fn broker(&self) -> Result<Broker<'a>> {
        let Export { host, port, user_name, client_id, tls, kind, .. } = &self.target.export;
        let login = self.target.login();
        let client_id = match client_id.as_ref().or(user_name.as_ref()) {
            Some(client_id) => client_id.clone(),
            // Servers keep a client by its identifier, and some refuse an empty one.
            None if *kind == ExportKind::Mqtt3 => {
                let origin = self.core.store.read(outbox::origin)?;
                format!("iotorch-{}-{origin}", self.name)
            }
            // Others may log in to a plain broker as the same user, so there the identifier must be one of its own.
            None => {
                let random = format!("{:032x}", rand::random::<u128>());
                login.map_or_else(|| random.clone(), |(user, _)| format!("{user}:{random}"))
            }
        };
        let tls = mqtt::trusting(*tls, self.core.trust.as_deref())?;
        Ok(Broker { host, port: *port, tls, login, client_id })
    }

    async fn send(&mut self, to: &Connected<'_>, pause: &mut Duration) -> String {
        let (core, name) = (self.core, self.name);
        let mut appended = core.appended.subscribe();
        loop {
            appended.mark_unchanged();
            let batch = match core.store.read(|txn| outbox::next(txn, name, self.most)) {
                Ok(Some(batch)) => batch,
                Ok(None) => {
                    // What failed before has done no harm.
                    core.links.update(name, |link| link.last_error = None);
                    match appended.changed().await {
                        Ok(()) => continue,
                        Err(_) => return "the gateway is stopping".to_owned(),
                    }
                }
                Err(error) => return error.to_string(),
            };
            let (last, count) = (batch.last, batch.records.len() as u64);
            self.under_way = Some(batch.records.len());
            let unsendable = match self.deliver(to, batch).await {
                Ok(unsendable) => unsendable,
                Err(Unpublished::TooLarge) => {
                    self.lower();
                    continue;
                }
                Err(Unpublished::Failed(failure)) => return failure,
            };
            self.under_way = None;
            self.most = (self.most + 1).min(outbox::PACK_READINGS);
            self.tell(&unsendable);
            let passed = outbox::Passed {
                last,
                acknowledged: count.saturating_sub(unsendable.len() as u64),
                unsendable: unsendable.len() as u64,
                why: unsendable.last().map(ToString::to_string),
            };
            let export = name.to_owned();
            let noted = core.store.write(move |txn| outbox::acknowledge(txn, &export, &passed)).await;
            if let Err(error) = noted {
                return error.to_string();
            }
            *pause = SHORTEST_PAUSE;
            core.links.update(name, |link| link.last_error = None);
        }
    }

    /// Sends readings and gives those that the target can never take.
    async fn deliver(
        &self,
        to: &Connected<'_>,
        batch: outbox::Batch,
    ) -> Result<Vec<Unsendable>, Unpublished> {
        let publisher = match to {
            Connected::Database(database) => {
                return database.write(&batch.records).await.map_err(Unpublished::Failed);
            }
            Connected::Broker(publisher) => publisher,
        };
        let Export { kind, topic, .. } = &self.target.export;
        let only = match batch.records.as_slice() {
            [only] => Some(only.name.clone()),
            _ => None,
        };
        let (pack, unsendable) = pack::senml(*kind, batch.records);
        let Some(pack) = pack else { return Ok(unsendable) };
        let length = pack.len();
        let published = tokio::time::timeout(ACKNOWLEDGED_WITHIN, publisher.publish(topic, pack)).await;
        match (published, only) {
            (Ok(Ok(())), _) => Ok(unsendable),
            (Ok(Err(Unpublished::TooLarge)), Some(name)) => {
                let why = format!("has {length} bytes, and the target does not take so many in one packet");
                Ok(vec![Unsendable::new(&name, why)])
            }
            (Ok(Err(unpublished)), _) => Err(unpublished),
            (Err(_), _) => {
                let seconds = ACKNOWLEDGED_WITHIN.as_secs();
                Err(Unpublished::Failed(format!("the target did not acknowledge within {seconds} s")))
            }
        }
    }

    /// Logs what cannot be sent, once for each name.
    fn tell(&mut self, unsendable: &[Unsendable]) {
        for reading in unsendable {
            if self.told.len() < TOLD && self.told.insert(reading.name.clone()) {
                let message = format!("export \"{}\" cannot send {reading}", self.name);
                self.core.log.warning("unsendable", &reading.name, message);
            }
        }
    }
}
