//! Forwarding: one task an export, which logs in at its target, sends what waits in the outbox one pack after the
//! other, and removes it when the target has acknowledged it. It comes back by itself after any failure.

use super::{Core, outbox};
use crate::{
    Result, Secret,
    api::{Export, Kind},
    objects::{self, Kept, OBJECTS, name_of},
    senml, tls,
};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Packet, PublishOptions, Transport,
};
use std::{
    collections::{BTreeMap, HashMap},
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

/// The packs that the client keeps room for: one is on its way at a time, and room for all that MQTT can number takes 16 MB.
const IN_FLIGHT: u16 = 8;

const KEEP_ALIVE_SECONDS: u16 = 20;

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
    let mut pause = SHORTEST_PAUSE;
    loop {
        let failure = tokio::select! {
            failure = connection(&core, &name, &target, &mut pause) => failure,
            () = stop.cancelled() => return,
        };
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

/// Forwards over one connection until it fails, and gives the reason. Each connection starts without MQTT state:
/// what was not acknowledged is still in the outbox.
async fn connection(core: &Core, name: &str, target: &Target, pause: &mut Duration) -> String {
    let Export { host, port, user_name, client_id, .. } = &target.export;
    // Others may log in to a plain broker as the same user, so there the identifier must be one of its own.
    let own = || {
        let random = format!("{:032x}", rand::random::<u128>());
        target.login().map_or_else(|| random.clone(), |(user, _)| format!("{user}:{random}"))
    };
    let client_id = client_id.as_ref().or(user_name.as_ref()).cloned().unwrap_or_else(own);
    let mut options = MqttOptions::new(client_id, (host.as_str(), *port));
    if let Some((user, password)) = target.login() {
        options.set_credentials(user, password.to_owned());
    }
    options.set_keep_alive(KEEP_ALIVE_SECONDS).set_outgoing_inflight_upper_limit(IN_FLIGHT);
    if target.export.tls {
        // Read for each connection, so that a renewed authority counts from then on.
        match tls::trusting(core.trust.as_deref()) {
            Ok(trust) => drop(options.set_transport(Transport::tls_with_config(trust.into()))),
            Err(error) => return error.to_string(),
        }
    }
    let (client, mut events) = match AsyncClient::builder(options).capacity(1).try_build() {
        Ok(built) => built,
        Err(error) => return error.to_string(),
    };
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => break,
            Ok(_) => {}
            Err(error) => return describe(&target.export, &error),
        }
    }
    core.links.update(name, |link| link.connected = true);
    core.log.info("export-connected", name, format!("export \"{name}\" is connected to {host}:{port}"));
    tokio::select! {
        error = drive(events) => describe(&target.export, &error),
        failure = send(core, name, &target.export.topic, &client, pause) => failure,
    }
}

async fn drive(mut events: EventLoop) -> ConnectionError {
    loop {
        if let Err(error) = events.poll().await {
            return error;
        }
    }
}

async fn send(core: &Core, name: &str, topic: &str, client: &AsyncClient, pause: &mut Duration) -> String {
    let mut appended = core.appended.subscribe();
    loop {
        appended.mark_unchanged();
        let batch = match core.store.read(|txn| outbox::next(txn, name)) {
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
        let pack = senml::write(&batch.records, senml::Format::Json);
        let notice = match client.publish_tracked(topic, pack, PublishOptions::at_least_once()).await {
            Ok(notice) => notice,
            Err(error) => return error.to_string(),
        };
        match tokio::time::timeout(ACKNOWLEDGED_WITHIN, notice.wait_completion_async()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return format!("the target refused readings: {error}"),
            Err(_) => {
                return format!("the target did not acknowledge within {} s", ACKNOWLEDGED_WITHIN.as_secs());
            }
        }
        let export = name.to_owned();
        if let Err(error) = core.store.write(move |txn| outbox::acknowledge(txn, &export, last, count)).await
        {
            return error.to_string();
        }
        *pause = SHORTEST_PAUSE;
        core.links.update(name, |link| link.last_error = None);
    }
}

fn describe(export: &Export, error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => format!("the target refused the login: {code:?}"),
        other => format!("no connection to {}:{}: {other}", export.host, export.port),
    }
}
