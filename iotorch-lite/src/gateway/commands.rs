//! Commands on their way to devices: durable until a device has acknowledged them, they expire, or they are withdrawn.

use super::{readings, state};
use crate::{
    Error, Result,
    api::{Command, CommandState, Device, NewCommand, Profile},
    clock,
    objects::{self, OBJECTS, unreadable},
    store::Store,
};
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::watch;

/// By device and number.
const COMMANDS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("commands");
/// By device: the number of its last command.
const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("command-numbers");

/// How many commands of a device may wait, and how many that have ended are remembered when another one is taken.
const WAITING: usize = 100;
const REMEMBERED: usize = 100;

/// The longest that a command may wait for its device, in seconds: 30 days.
const LONGEST_WAIT: f64 = 30.0 * 24.0 * 3600.0;

/// Creates the tables, and finishes a [review](Commands::review) that an end of the process cut off.
pub(crate) fn setup(txn: &WriteTransaction) -> Result<()> {
    txn.open_table(NUMBERS)?;
    let now = clock::now();
    let refused = refused(&txn.open_table(OBJECTS)?, &txn.open_table(COMMANDS)?, None, now)?;
    for (device, id) in refused {
        end(txn, &device, id, CommandState::Withdrawn, now)?;
    }
    Ok(())
}

/// The commands of a gateway's devices.
#[derive(Debug)]
pub(crate) struct Commands {
    store: Arc<Store>,
    /// Told of each change, by no name: who waits looks again.
    changed: watch::Sender<()>,
}

impl Commands {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store, changed: watch::Sender::new(()) }
    }

    /// Told whenever commands were added, have ended otherwise than by expiring, or were forgotten.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The commands that wait for a device, the oldest first.
    pub(crate) fn waiting(&self, device: &str) -> Result<Vec<Command>> {
        let mut commands = self.store.read(|txn| read(&txn.open_table(COMMANDS)?, device, clock::now()))?;
        commands.retain(Command::is_waiting);
        Ok(commands)
    }

    /// All commands of a device that are remembered, the oldest first.
    pub(crate) fn all(&self, device: &str) -> Result<Vec<Command>> {
        self.store.read(|txn| {
            objects::get(&txn.open_table(OBJECTS)?, &path_of(device))?;
            read(&txn.open_table(COMMANDS)?, device, clock::now())
        })
    }

    /// One command of a device.
    pub(crate) fn one(&self, device: &str, id: u64) -> Result<Command> {
        let found = self.all(device)?.into_iter().find(|command| command.id == id);
        found.ok_or_else(|| Error::not_found(&format!("{}/commands/{id}", path_of(device))))
    }

    /// One command of a device as soon as it has ended, or as it is after `patience`.
    pub(crate) async fn ended(&self, device: &str, id: u64, patience: Duration) -> Result<Command> {
        let mut changes = self.changes();
        let until = tokio::time::Instant::now() + patience;
        loop {
            changes.mark_unchanged();
            let command = self.one(device, id)?;
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if !command.is_waiting() || left.is_zero() {
                return Ok(command);
            }
            let to_expiry = Duration::try_from_secs_f64(command.expires - clock::now()).unwrap_or_default();
            // Its sender lives as long as `self`, so a change or the time ends the wait.
            let _ = tokio::time::timeout(left.min(to_expiry), changes.changed()).await;
        }
    }

    /// Takes a command for a device, if its profile allows it.
    pub(crate) async fn add(&self, device: &str, new: NewCommand) -> Result<Command> {
        let device = device.to_owned();
        let command = self.store.write(move |txn| add(txn, &device, new, clock::now())).await?;
        self.tell();
        Ok(command)
    }

    /// Ends a command that waits; `false` if there is none of this number that waits.
    pub(crate) async fn end(&self, device: &str, id: u64, state: CommandState) -> Result<bool> {
        let device = device.to_owned();
        let ended = self.store.write(move |txn| end(txn, &device, id, state, clock::now())).await?;
        if ended {
            self.tell();
        }
        Ok(ended)
    }

    /// Withdraws what waits for a device, or for any, and is not allowed any more.
    pub(crate) async fn review(&self, device: Option<&str>) -> Result<()> {
        let refused = self.store.read(|txn| {
            let commands = txn.open_table(COMMANDS)?;
            refused(&txn.open_table(OBJECTS)?, &commands, device, clock::now())
        })?;
        for (device, id) in refused {
            self.end(&device, id, CommandState::Withdrawn).await?;
        }
        // Commands of a device that was removed are gone, and whoever waits for one shall see it.
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        self.changed.send_replace(());
    }
}

fn path_of(device: &str) -> String {
    format!("devices/{device}")
}

/// The profile of a device.
fn profile(objects: &impl ReadableTable<&'static str, &'static [u8]>, device: &str) -> Result<Profile> {
    let settings: Device = objects::get(objects, &path_of(device))?.settings()?;
    objects::get(objects, &format!("profiles/{}", settings.profile))?.settings()
}

pub(super) fn add(txn: &WriteTransaction, device: &str, new: NewCommand, now: f64) -> Result<Command> {
    let NewCommand { resource, value, expires_in } = new;
    let profile = profile(&txn.open_table(OBJECTS)?, device)?;
    readings::check_order(&profile, &resource, &value).map_err(Error::invalid)?;
    if !(expires_in > 0.0 && expires_in <= LONGEST_WAIT) {
        return Err(Error::invalid(format!("a command expires in more than 0 and at most {LONGEST_WAIT} s")));
    }
    let mut commands = txn.open_table(COMMANDS)?;
    let (waiting, ended): (Vec<_>, Vec<_>) =
        read(&commands, device, now)?.into_iter().partition(Command::is_waiting);
    if waiting.len() >= WAITING {
        return Err(Error::invalid(format!("{WAITING} commands wait for device \"{device}\" already")));
    }
    let mut numbers = txn.open_table(NUMBERS)?;
    let id = numbers.get(device)?.map_or(0, |last| last.value()) + 1;
    numbers.insert(device, id)?;
    let (expires, state) = (now + expires_in, CommandState::Waiting);
    let command = Command { id, resource, value, created: now, expires, ended: None, state };
    put(&mut commands, device, &command)?;
    for command in ended.iter().take(ended.len().saturating_sub(REMEMBERED)) {
        commands.remove((device, command.id))?;
    }
    Ok(command)
}

fn end(txn: &WriteTransaction, device: &str, id: u64, state: CommandState, now: f64) -> Result<bool> {
    let mut commands = txn.open_table(COMMANDS)?;
    let mut all = read(&commands, device, now)?.into_iter();
    let Some(command) = all.find(|command| command.id == id && command.is_waiting()) else {
        return Ok(false);
    };
    put(&mut commands, device, &Command { state, ended: Some(now), ..command })?;
    if state == CommandState::Delivered {
        state::seen(txn, device, now)?;
    }
    Ok(true)
}

/// The commands that wait for a device, or for any, and that its profile does not allow.
fn refused(
    objects: &impl ReadableTable<&'static str, &'static [u8]>,
    commands: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    device: Option<&str>,
    now: f64,
) -> Result<Vec<(String, u64)>> {
    let devices = match device {
        Some(device) => BTreeSet::from([device.to_owned()]),
        None => commands.iter()?.map(|row| Ok(row?.0.value().0.to_owned())).collect::<Result<_>>()?,
    };
    let mut refused = Vec::new();
    for device in devices {
        let mut waiting = read(commands, &device, now)?;
        waiting.retain(Command::is_waiting);
        if waiting.is_empty() {
            continue;
        }
        let profile = profile(objects, &device)?;
        waiting.retain(|command| readings::check_order(&profile, &command.resource, &command.value).is_err());
        refused.extend(waiting.into_iter().map(|command| (device.clone(), command.id)));
    }
    Ok(refused)
}

/// How many commands wait for a device.
pub(crate) fn count(txn: &ReadTransaction, device: &str) -> Result<u64> {
    let commands = read(&txn.open_table(COMMANDS)?, device, clock::now())?;
    Ok(commands.iter().filter(|command| command.is_waiting()).count() as u64)
}

/// Forgets the commands of a device.
pub(crate) fn clear(txn: &WriteTransaction, device: &str) -> Result<()> {
    let after = format!("{device}\0");
    txn.open_table(COMMANDS)?.retain_in((device, 0)..(after.as_str(), 0), |_, _| false)?;
    txn.open_table(NUMBERS)?.remove(device)?;
    Ok(())
}

fn put(commands: &mut redb::Table<'_, (&str, u64), &[u8]>, device: &str, command: &Command) -> Result<()> {
    let bytes = serde_json::to_vec(command).map_err(unreadable)?;
    commands.insert((device, command.id), bytes.as_slice())?;
    Ok(())
}

fn read(
    commands: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    device: &str,
    now: f64,
) -> Result<Vec<Command>> {
    let mut all = Vec::new();
    for row in commands.range((device, 0)..=(device, u64::MAX))? {
        let mut command: Command = serde_json::from_slice(row?.1.value()).map_err(unreadable)?;
        if command.is_waiting() && command.expires <= now {
            command.state = CommandState::Expired;
            command.ended = Some(command.expires);
        }
        all.push(command);
    }
    Ok(all)
}
