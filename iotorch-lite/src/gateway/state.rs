//! What a gateway knows: its objects, and what it has heard from each device.

use super::{bus, commands, outbox, readings, repeats};
use crate::{
    Error, ErrorKind, Result, Secret,
    access::{Key, Protocol, Taken},
    api::{Device, DeviceProtocol, DeviceStatus, Export, ExportKind, Kind, Profile},
    managing::Ended,
    objects::{self, Kept, OBJECTS, Object, name_of},
    senml,
};
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

/// By device: readings accepted, rejected, and the last reason.
const COUNTS: TableDefinition<&str, (u64, u64, &str)> = TableDefinition::new("device-counts");
/// By device and resource: the last accepted reading.
const LAST: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("device-last");
/// By device: when it was heard last, in seconds since the Unix epoch.
const SEEN: TableDefinition<&str, f64> = TableDefinition::new("device-seen");

pub(crate) fn setup(txn: &WriteTransaction) -> Result<()> {
    txn.open_table(OBJECTS)?;
    txn.open_table(COUNTS)?;
    txn.open_table(LAST)?;
    txn.open_table(SEEN)?;
    bus::setup(txn)?;
    repeats::setup(txn)?;
    commands::setup(txn)?;
    outbox::setup(txn)
}

/// The generation of a device's credential that this password is.
pub(crate) fn login(
    txn: &ReadTransaction,
    protocol: Protocol,
    device: &str,
    password: &[u8],
) -> Result<Result<u64, String>> {
    let generations = match credentials(txn, protocol, device)? {
        Ok(generations) => generations,
        Err(reason) => return Ok(Err(reason)),
    };
    let valid = generations.into_iter().find(|(_, credential)| credential.recognises(password));
    Ok(valid.map(|(generation, _)| generation).ok_or_else(|| "the password is wrong".to_owned()))
}

/// The key of a device that speaks CoAP: of the oldest generation, or of the one that the identity names.
pub(crate) fn key(txn: &ReadTransaction, identity: &str) -> Result<Result<Key, String>> {
    let (device, wanted) = match identity.split_once(':') {
        Some((device, generation)) => (device, Some(generation)),
        None => (identity, None),
    };
    let generations = match credentials(txn, Protocol::Coap, device)? {
        Ok(generations) => generations,
        Err(reason) => return Ok(Err(reason)),
    };
    let named = |generation: &u64| wanted.is_none_or(|wanted| generation.to_string() == wanted);
    let found = generations.into_iter().find(|(generation, _)| named(generation));
    Ok(match found {
        Some((generation, Object { secret: Some(Kept::Clear(secret)), .. })) => {
            Ok(Key { user: device.to_owned(), generation, secret: Secret::new(secret) })
        }
        _ => Err("there is no such key".to_owned()),
    })
}

/// The credentials of a device that may speak this protocol, by generation.
fn credentials(
    txn: &ReadTransaction,
    protocol: Protocol,
    device: &str,
) -> Result<Result<Vec<(u64, Object)>, String>> {
    let objects = txn.open_table(OBJECTS)?;
    let path = format!("devices/{device}");
    let Some(object) = objects::check_name("device", device)
        .is_ok()
        .then(|| objects::find(&objects, &path))
        .transpose()?
        .flatten()
    else {
        return Ok(Err("there is no such device".to_owned()));
    };
    let spoken = object.settings::<Device>()?.protocol.to_string();
    if spoken != protocol.to_string() {
        return Ok(Err(format!("the device speaks {spoken}, not {protocol}")));
    }
    objects::generations(&objects, &path).map(Ok)
}

/// Judges a message of a device and keeps what is accepted, once. It also tells how many older readings were dropped.
pub(crate) fn ingest(
    txn: &WriteTransaction,
    device: &str,
    resource: Option<&str>,
    message: &[u8],
    now: f64,
    bounds: outbox::Bounds,
) -> Result<(Taken, u64)> {
    let profile = {
        let objects = txn.open_table(OBJECTS)?;
        // A device that has just been removed has no say any more.
        let Some(object) = objects::find(&objects, &format!("devices/{device}"))? else {
            return Ok((Taken::default(), 0));
        };
        let settings: Device = object.settings()?;
        objects::get(&objects, &format!("profiles/{}", settings.profile))?.settings::<Profile>()?
    };
    seen(txn, device, now)?;
    let judged = readings::judge(device, &profile, resource, message, now);
    let records = judged.iter().flatten().map(|reading| &reading.record);
    if repeats::is_known(txn, device, records.clone(), now)? {
        return Ok((taken(judged), 0));
    }
    let dropped = outbox::append(txn, records, bounds)?;
    let mut last = txn.open_table(LAST)?;
    for reading in judged.iter().flatten() {
        let record = senml::keep(&reading.record);
        last.insert((device, reading.resource.as_str()), record.as_slice())?;
    }

    let mut counts = txn.open_table(COUNTS)?;
    let before = counts.get(device)?.map(|row| {
        let (accepted, rejected, reason) = row.value();
        (accepted, rejected, reason.to_owned())
    });
    let (accepted, rejected, reason) = before.unwrap_or_default();
    let taken = taken(judged);
    let accepted = accepted + taken.accepted;
    let rejected = rejected + taken.rejected.len() as u64;
    counts.insert(
        device,
        (accepted, rejected, taken.rejected.last().map_or(reason.as_str(), String::as_str)),
    )?;
    Ok((taken, dropped))
}

fn taken(judged: Vec<Result<readings::Reading, String>>) -> Taken {
    let readings = judged.len() as u64;
    let rejected: Vec<_> = judged.into_iter().filter_map(Result::err).collect();
    Taken { accepted: readings - rejected.len() as u64, rejected }
}

pub(crate) fn put_profile(txn: &WriteTransaction, path: &str, object: Object, adopt: bool) -> Result<Object> {
    for (name, resource) in object.settings::<Profile>()?.resources {
        // A reading's name is the device's and the resource's with a colon between, so here a colon does no harm.
        objects::check_name("resource", &name.replace(':', "-"))?;
        if resource.min.zip(resource.max).is_some_and(|(min, max)| min > max) {
            return Err(Error::invalid(format!("resource \"{name}\" has a minimum above its maximum")));
        }
    }
    objects::put(txn, path, object.clone(), adopt)?;
    Ok(object)
}

pub(crate) fn put_device(txn: &WriteTransaction, path: &str, object: Object, adopt: bool) -> Result<Object> {
    let profile = object.settings::<Device>()?.profile;
    if objects::find(&txn.open_table(OBJECTS)?, &format!("profiles/{profile}"))?.is_none() {
        return Err(Error::invalid(format!("there is no profile \"{}\"", profile.escape_debug())));
    }
    objects::put(txn, path, object.clone(), adopt)?;
    Ok(object)
}

pub(crate) fn put_export(txn: &WriteTransaction, path: &str, object: Object, adopt: bool) -> Result<Object> {
    let export = object.settings::<Export>()?;
    let takes_token = export.kind == ExportKind::Influxdb;
    match (export.user_name, &object.secret) {
        (Some(_), None) => return Err(Error::invalid("the object needs a secret")),
        (None, Some(Kept::Clear(secret))) if !takes_token && !secret.contains(':') => {
            return Err(Error::invalid(
                "without a user name the secret must be one, a colon, and a password",
            ));
        }
        _ => {}
    }
    objects::put(txn, path, object.clone(), adopt)?;
    outbox::join(txn, name_of(path))?;
    Ok(object)
}

pub(crate) fn delete_profile(txn: &WriteTransaction, path: &str, mark: Option<&str>) -> Result<Ended> {
    let name = name_of(path);
    let mut users = Vec::new();
    for (path, object) in objects::below(&txn.open_table(OBJECTS)?, "devices")? {
        if object.kind == Kind::Device && object.settings::<Device>()?.profile == name {
            users.push(format!("\"{path}\""));
        }
    }
    if !users.is_empty() {
        let more = users.len().saturating_sub(3);
        users.truncate(3);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let message = format!("profile \"{name}\" is used by {}{more}", users.join(", "));
        return Err(Error::new(ErrorKind::InUse, message));
    }
    objects::delete(txn, path, mark)?;
    Ok(Ended::new())
}

pub(crate) fn delete_device(txn: &WriteTransaction, path: &str, mark: Option<&str>) -> Result<Ended> {
    let name = name_of(path);
    objects::delete(txn, path, mark)?;
    txn.open_table(COUNTS)?.remove(name)?;
    txn.open_table(SEEN)?.remove(name)?;
    txn.open_table(LAST)?.retain_in((name, "")..(format!("{name}\0").as_str(), ""), |_, _| false)?;
    commands::clear(txn, name)?;
    repeats::forget(txn, name)?;
    Ok(vec![(name.to_owned(), None)])
}

pub(crate) fn delete_export(txn: &WriteTransaction, path: &str, mark: Option<&str>) -> Result<Ended> {
    objects::delete(txn, path, mark)?;
    outbox::leave(txn, name_of(path))?;
    Ok(Ended::new())
}

/// Notes that a device was heard.
pub(crate) fn seen(txn: &WriteTransaction, device: &str, now: f64) -> Result<()> {
    txn.open_table(SEEN)?.insert(device, now)?;
    Ok(())
}

pub(crate) fn device_status(
    txn: &ReadTransaction,
    device: &str,
    protocol: DeviceProtocol,
) -> Result<DeviceStatus> {
    let mut status = DeviceStatus {
        protocol,
        last_seen: txn.open_table(SEEN)?.get(device)?.map(|row| row.value()),
        commands_waiting: commands::count(txn, device)?,
        ..DeviceStatus::default()
    };
    if let Some(row) = txn.open_table(COUNTS)?.get(device)? {
        let (accepted, rejected, reason) = row.value();
        (status.accepted, status.rejected) = (accepted, rejected);
        status.last_rejection = (rejected > 0).then(|| reason.to_owned());
    }
    for row in txn.open_table(LAST)?.range((device, "")..(format!("{device}\0").as_str(), ""))? {
        let (key, record) = row?;
        let record = senml::restore(record.value())?;
        status.last.insert(key.value().1.to_owned(), record);
    }
    Ok(status)
}
