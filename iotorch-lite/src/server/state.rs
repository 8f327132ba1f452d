//! What a server knows besides messages: tenants, and the things and channels of their attachments.

use super::messages::{self, Bounds, Place, Stored};
use crate::{
    Error, ErrorKind, Result,
    api::{Attachment, Kind},
    managing::Ended,
    objects::{self, OBJECTS, Object, name_of, unreadable},
};
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

/// By thing: the path of its attachment.
const THINGS: TableDefinition<&str, &str> = TableDefinition::new("things");
/// By channel: the path of its attachment.
const CHANNELS: TableDefinition<&str, &str> = TableDefinition::new("channels");

pub(crate) fn setup(txn: &WriteTransaction) -> Result<()> {
    txn.open_table(OBJECTS)?;
    txn.open_table(THINGS)?;
    let channels = txn.open_table(CHANNELS)?;
    messages::setup(txn, |channel| {
        Ok(channels.get(channel)?.map_or_else(String::new, |path| tenant_of(path.value()).to_owned()))
    })
}

/// The tenant of an attachment, by its path.
fn tenant_of(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or_default()
}

/// The generation of a thing's key that this is.
pub(crate) fn login(txn: &ReadTransaction, thing: &str, key: &[u8]) -> Result<Result<u64, String>> {
    let Some(path) = txn.open_table(THINGS)?.get(thing)?.map(|path| path.value().to_owned()) else {
        return Ok(Err("there is no such thing".to_owned()));
    };
    let mut generations = objects::generations(&txn.open_table(OBJECTS)?, &path)?.into_iter();
    let valid = generations.find(|(_, credential)| credential.recognises(key));
    Ok(valid.map(|(generation, _)| generation).ok_or_else(|| "the key is wrong".to_owned()))
}

/// The channel of a thing.
pub(crate) fn channel(txn: &ReadTransaction, thing: &str) -> Result<Option<String>> {
    let Some(path) = txn.open_table(THINGS)?.get(thing)?.map(|path| path.value().to_owned()) else {
        return Ok(None);
    };
    let attachment = objects::get(&txn.open_table(OBJECTS)?, &path)?;
    Ok(Some(attachment.settings::<Attachment>()?.channel))
}

/// Stores a pack of a thing that is still there.
pub(crate) fn ingest(
    txn: &WriteTransaction,
    thing: &str,
    channel: &str,
    pack: &[u8],
    now: f64,
    bounds: Bounds,
) -> Result<Stored> {
    let tenant = match txn.open_table(THINGS)?.get(thing)? {
        Some(path) => tenant_of(path.value()).to_owned(),
        None => return Ok(Stored::default()),
    };
    let place = Place { tenant, thing: thing.to_owned(), channel: channel.to_owned() };
    messages::append(txn, &place, pack, now, bounds)
}

/// Refuses a channel that is not this tenant's, as if it were not there.
pub(crate) fn check_channel(txn: &ReadTransaction, tenant: &str, channel: &str) -> Result<()> {
    let attachments = format!("tenants/{tenant}/attachments/");
    match txn.open_table(CHANNELS)?.get(channel)? {
        Some(path) if path.value().starts_with(&attachments) => Ok(()),
        _ => Err(Error::not_found(&format!("tenants/{tenant}/channels/{channel}"))),
    }
}

/// Lets the holder of a tenant's token read the channels of this tenant.
pub(crate) fn check_token(txn: &ReadTransaction, token: &str, path: &str) -> Result<()> {
    let mut known = false;
    for (tenant, object) in objects::below(&txn.open_table(OBJECTS)?, "tenants")? {
        if object.kind == Kind::Tenant && object.recognises(token.as_bytes()) {
            known = true;
            if path.strip_prefix('/').is_some_and(|path| path.starts_with(&format!("{tenant}/channels/"))) {
                return Ok(());
            }
        }
    }
    Err(if known {
        Error::new(ErrorKind::Forbidden, "the token is for reading the channels of its tenant only")
    } else {
        Error::new(ErrorKind::Unauthorized, "the token is not valid")
    })
}

pub(crate) fn put_tenant(txn: &WriteTransaction, path: &str, object: Object, adopt: bool) -> Result<Object> {
    objects::put(txn, path, object.clone(), adopt)?;
    Ok(object)
}

/// Puts an attachment in place and gives it with its identifiers: the ones it had, or new ones.
pub(crate) fn put_attachment(
    txn: &WriteTransaction,
    path: &str,
    object: Object,
    adopt: bool,
) -> Result<Object> {
    let tenant = path.rsplit_once("/attachments/").map_or(path, |(tenant, _)| tenant);
    let existing = {
        let objects = txn.open_table(OBJECTS)?;
        objects::get(&objects, tenant)?;
        objects::find(&objects, path)?
    };
    let attachment = match &existing {
        Some(existing) => existing.settings()?,
        None => Attachment { thing: identifier(), channel: identifier() },
    };
    let object = Object { settings: serde_json::to_value(&attachment).map_err(unreadable)?, ..object };
    objects::put(txn, path, object.clone(), adopt)?;
    txn.open_table(THINGS)?.insert(attachment.thing.as_str(), path)?;
    txn.open_table(CHANNELS)?.insert(attachment.channel.as_str(), path)?;
    Ok(object)
}

/// Deletes an attachment with its messages.
pub(crate) fn delete_attachment(txn: &WriteTransaction, path: &str, mark: Option<&str>) -> Result<Ended> {
    let Some(object) = objects::delete(txn, path, mark)? else { return Ok(Ended::new()) };
    let Attachment { thing, channel } = object.settings()?;
    txn.open_table(THINGS)?.remove(thing.as_str())?;
    txn.open_table(CHANNELS)?.remove(channel.as_str())?;
    let place = Place { tenant: tenant_of(path).to_owned(), thing, channel };
    messages::clear(txn, &place)?;
    Ok(vec![(place.thing, None)])
}

/// Deletes a tenant with its attachments.
pub(crate) fn delete_tenant(txn: &WriteTransaction, path: &str, mark: Option<&str>) -> Result<Ended> {
    let below = objects::below(&txn.open_table(OBJECTS)?, path)?;
    objects::check_mark(txn, path, mark)?;
    let mut ended = Ended::new();
    for (attachment, _) in below.iter().filter(|(_, object)| object.kind == Kind::Attachment) {
        ended.extend(delete_attachment(txn, attachment, None)?);
    }
    objects::delete(txn, path, mark)?;
    messages::forget(txn, name_of(path))?;
    Ok(ended)
}

/// The thing of an attachment.
pub(crate) fn thing(txn: &WriteTransaction, path: &str) -> Result<Option<String>> {
    let attachment = objects::find(&txn.open_table(OBJECTS)?, path)?;
    attachment.map(|attachment| Ok(attachment.settings::<Attachment>()?.thing)).transpose()
}

fn identifier() -> String {
    format!("{:032x}", rand::random::<u128>())
}
