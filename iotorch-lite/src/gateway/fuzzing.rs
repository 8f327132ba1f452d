//! A gateway without ports that keeps everything in memory, with one device.

use super::{Core, GatewayConfig, commands, outbox, own_topic, readings, repeats, state};
use crate::{
    Limits, Result, Secret,
    access::{Access, Taken},
    api::{DeviceProtocol, DeviceStatus, Kind, NewCommand, Profile},
    clock,
    log::Log,
    objects::{self, Kept, Object, unreadable},
    senml::{self, Format, Record},
    store::Store,
};
use redb::{Database, ReadableDatabase, WriteTransaction, backends::InMemoryBackend};
use serde_json::json;
use std::{path::Path, sync::Arc};

/// The name of the device.
pub const DEVICE: &str = "d1";

/// Its password, and its key over CoAP.
pub const PASSWORD: &str = "secret of d1";

/// The largest message in bytes.
pub const PACKET: usize = 4096;

const EXPORT: &str = "sink";

/// A gateway with the device [`DEVICE`], which may send as fast as it can.
#[derive(Debug)]
pub struct Gateway {
    core: Arc<Core>,
    protocol: DeviceProtocol,
}

impl Gateway {
    /// A gateway whose device speaks this protocol, with its log in a directory.
    ///
    /// # Errors
    ///
    /// If the log cannot be written.
    pub async fn start(log: &Path, protocol: DeviceProtocol) -> Result<Self> {
        let limits = Limits::builder().rate(f64::INFINITY).packet(PACKET).build();
        let config = GatewayConfig::builder().data_dir(log).admin_token(Secret::new("unused")).limits(limits);
        let store = Store::start(in_memory, state::setup)?;
        let core = Arc::new(Core::new(&config.build(), store, Log::open(log)?));
        let gateway = Self { core, protocol };
        gateway.reset().await?;
        Ok(gateway)
    }

    /// Makes the device anew: nothing has come from it, and two commands wait for it.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn reset(&self) -> Result<()> {
        let protocol = self.protocol;
        self.core.store.write(move |txn| equip(txn, protocol)).await
    }

    /// Sends the device a command, if there are not too many.
    ///
    /// # Errors
    ///
    /// If the store fails, and if the profile does not allow the command.
    pub async fn order(&self, resource: &str, value: serde_json::Value) -> Result<()> {
        match self.core.commands.add(DEVICE, command(resource, value)).await {
            Err(error) if self.status()?.commands_waiting < 100 => Err(error),
            _ => Ok(()),
        }
    }

    /// What has come from the device.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn status(&self) -> Result<DeviceStatus> {
        self.core.store.read(|txn| state::device_status(txn, DEVICE, self.protocol))
    }

    pub(crate) fn access(&self) -> Arc<dyn Access> {
        Arc::clone(&self.core) as Arc<dyn Access>
    }
}

fn in_memory() -> Result<Database> {
    Ok(Database::builder().create_with_backend(InMemoryBackend::new())?)
}

fn equip(txn: &WriteTransaction, protocol: DeviceProtocol) -> Result<()> {
    let device = format!("devices/{DEVICE}");
    state::delete_device(txn, &device, None)?;
    let object = |kind, settings, secret| {
        let (mark, spec) = ("fuzz".to_owned(), json!({}));
        Object { kind, mark, spec, settings, secret, found: None }
    };
    let profile = serde_json::to_value(profile()?).map_err(unreadable)?;
    state::put_profile(txn, "profiles/all", object(Kind::Profile, profile, None), false)?;
    let settings = json!({ "profile": "all", "protocol": protocol });
    state::put_device(txn, &device, object(Kind::Device, settings, None), false)?;
    let keep = if protocol == DeviceProtocol::Coap { Kept::clear } else { Kept::hash };
    let credential = object(Kind::Credential, json!({}), Some(keep(&Secret::new(PASSWORD))));
    objects::put(txn, &format!("{device}/credentials/1"), credential, false)?;
    commands::add(txn, DEVICE, command("open", json!(true)), clock::now())?;
    commands::add(txn, DEVICE, command("setpoint", json!(21.5)), clock::now())?;
    Ok(())
}

fn command(resource: &str, value: serde_json::Value) -> NewCommand {
    NewCommand { resource: resource.to_owned(), value, expires_in: 60.0 }
}

/// The profile of the device: resources of all types, with and without bounds.
///
/// # Errors
///
/// None, if it is written as profiles are.
pub fn profile() -> Result<Profile> {
    let profile = json!({ "resources": {
        "temperature": { "type": "float", "unit": "Cel", "min": -40, "max": 85 },
        "current": { "type": "float" },
        "level": { "type": "float", "max": 1, "unit": "/" },
        "count": { "type": "integer", "min": 0 },
        "offset": { "type": "integer" },
        "open": { "type": "bool", "access": "readwrite" },
        "label": { "type": "string" },
        "a:b": { "type": "string", "unit": "x" },
        "setpoint": { "type": "float", "access": "write" },
    }});
    serde_json::from_value(profile).map_err(unreadable)
}

/// A reading that was accepted.
#[derive(Debug, PartialEq)]
pub struct Reading {
    /// The resource of the profile.
    pub resource: String,
    /// The record that goes to exports.
    pub record: Record,
}

/// What becomes of a message at a topic: each of its readings, or why it is rejected. `None` if the topic is not one of
/// the device.
///
/// # Errors
///
/// None, if the profile can be read.
pub fn judge(topic: &str, message: &[u8], now: f64) -> Result<Option<Vec<Result<Reading, String>>>> {
    let profile = profile()?;
    let Some(resource) = own_topic(DEVICE, topic) else { return Ok(None) };
    let judged = readings::judge(DEVICE, &profile, resource, message, now).into_iter();
    let reading = |readings::Reading { resource, record }| Reading { resource, record };
    Ok(Some(judged.map(|judged| judged.map(reading)).collect()))
}

/// The outbox of a gateway, with one export.
#[derive(Debug)]
pub struct Outbox(Database);

impl Outbox {
    /// An empty outbox.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn start() -> Result<Self> {
        let database = in_memory()?;
        let txn = database.begin_write()?;
        state::setup(&txn)?;
        equip(&txn, DeviceProtocol::Mqtt)?;
        outbox::join(&txn, EXPORT)?;
        txn.commit()?;
        Ok(Self(database))
    }

    /// Takes a message. It tells how many readings were accepted, why others were not, and the packs that the export gets.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn take(&self, topic: &str, message: &[u8], now: f64) -> Result<(u64, Vec<String>, Vec<Vec<u8>>)> {
        let txn = self.0.begin_write()?;
        let resource = own_topic(DEVICE, topic).flatten();
        // Each message is the first of its device, or one that came before would not be forwarded again.
        repeats::forget(&txn, DEVICE)?;
        let unbounded = outbox::Bounds { readings: u64::MAX, bytes: u64::MAX };
        let (Taken { accepted, rejected }, _) =
            state::ingest(&txn, DEVICE, resource, message, now, unbounded)?;
        txn.commit()?;
        let mut packs = Vec::new();
        while let Some(batch) = outbox::next(&self.0.begin_read()?, EXPORT, usize::MAX)? {
            packs.push(senml::write(&batch.records, Format::Json));
            let txn = self.0.begin_write()?;
            let acknowledged = batch.records.len() as u64;
            let passed = outbox::Passed { last: batch.last, acknowledged, unsendable: 0, why: None };
            outbox::acknowledge(&txn, EXPORT, &passed)?;
            txn.commit()?;
        }
        Ok((accepted, rejected, packs))
    }
}
