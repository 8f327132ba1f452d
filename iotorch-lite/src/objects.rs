//! Managed objects: where they are kept, whose they are, and what is shown of them.
//!
//! An object's key is its path in the management API, so the contents of an object are the keys below its own.

use crate::{
    Error, Result, Secret,
    api::{Kind, Managed},
    secret::Hashed,
};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");

/// An object as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) mark: String,
    pub(crate) spec: serde_json::Value,
    pub(crate) settings: serde_json::Value,
    pub(crate) secret: Option<Kept>,
    /// What was there when the object was adopted, to be given back by a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<Box<Self>>,
}

/// What is stored of an object's secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kept {
    /// It only has to be recognised.
    Hash(Hashed),
    /// It is used to log in somewhere else.
    Clear(String),
}

impl Object {
    pub(crate) fn settings<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.settings.clone()).map_err(unreadable)
    }

    /// Whether `candidate` is this object's secret.
    pub(crate) fn recognises(&self, candidate: &[u8]) -> bool {
        match &self.secret {
            Some(Kept::Hash(hash)) => hash.matches(candidate),
            Some(Kept::Clear(secret)) => Secret::new(secret.clone()).matches(candidate),
            None => false,
        }
    }

    pub(crate) fn shown(self, path: &str) -> Managed<serde_json::Value> {
        let Self { kind, mark, spec, settings, .. } = self;
        Managed { kind, path: path.to_owned(), mark, spec, settings }
    }
}

impl Kept {
    pub(crate) fn hash(secret: &Secret) -> Self {
        Self::Hash(Hashed::of(secret))
    }

    pub(crate) fn clear(secret: &Secret) -> Self {
        Self::Clear(secret.expose().to_owned())
    }
}

/// Finds an object.
pub(crate) fn find(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    path: &str,
) -> Result<Option<Object>> {
    table.get(path)?.map(|bytes| serde_json::from_slice(bytes.value()).map_err(unreadable)).transpose()
}

/// Finds an object that must be there.
pub(crate) fn get(table: &impl ReadableTable<&'static str, &'static [u8]>, path: &str) -> Result<Object> {
    find(table, path)?.ok_or_else(|| Error::not_found(path))
}

/// Everything below a path, with the full paths; all objects for the empty one.
pub(crate) fn below(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    path: &str,
) -> Result<Vec<(String, Object)>> {
    let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
    let mut found = Vec::new();
    for row in table.range(prefix.as_str()..)? {
        let (key, bytes) = row?;
        if !key.value().starts_with(&prefix) {
            break;
        }
        found.push((key.value().to_owned(), serde_json::from_slice(bytes.value()).map_err(unreadable)?));
    }
    Ok(found)
}

/// The generations of the credentials of an object, in ascending order.
pub(crate) fn generations(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    path: &str,
) -> Result<Vec<(u64, Object)>> {
    let mut generations: Vec<_> = below(table, &format!("{path}/credentials"))?
        .into_iter()
        .filter_map(|(path, object)| Some((name_of(&path).parse().ok()?, object)))
        .collect();
    generations.sort_by_key(|(generation, _)| *generation);
    Ok(generations)
}

/// Puts an object in place and gives the one that was there, which it remembers if it had another mark.
pub(crate) fn put(
    txn: &WriteTransaction,
    path: &str,
    mut object: Object,
    adopt: bool,
) -> Result<Option<Object>> {
    let mut objects = txn.open_table(OBJECTS)?;
    let previous = find(&objects, path)?;
    check_owner(path, previous.as_ref(), (!adopt).then_some(object.mark.as_str()))?;
    object.found = match &previous {
        Some(previous) if previous.mark == object.mark => previous.found.clone(),
        Some(previous) => Some(Box::new(Object { found: None, ..previous.clone() })),
        None => None,
    };
    objects.insert(path, serde_json::to_vec(&object).map_err(unreadable)?.as_slice())?;
    Ok(previous)
}

/// Gives an object with this mark back as it was adopted; one that was not adopted stays and loses its mark. It tells
/// whether there was one.
pub(crate) fn release(txn: &WriteTransaction, path: &str, mark: &str) -> Result<bool> {
    let mut objects = txn.open_table(OBJECTS)?;
    let Some(mut object) = find(&objects, path)?.filter(|object| object.mark == mark) else {
        return Ok(false);
    };
    let found = match object.found.take() {
        Some(found) => *found,
        None => Object { mark: String::new(), ..object },
    };
    objects.insert(path, serde_json::to_vec(&found).map_err(unreadable)?.as_slice())?;
    Ok(true)
}

/// Removes an object and everything below it, and gives what was there. With a mark, only if it carries that mark.
pub(crate) fn delete(txn: &WriteTransaction, path: &str, mark: Option<&str>) -> Result<Option<Object>> {
    let mut objects = txn.open_table(OBJECTS)?;
    let previous = find(&objects, path)?;
    check_owner(path, previous.as_ref(), mark)?;
    for (below, _) in below(&objects, path)? {
        objects.remove(below.as_str())?;
    }
    objects.remove(path)?;
    Ok(previous)
}

/// Refuses an object that carries another mark than the one given.
pub(crate) fn check_mark(txn: &WriteTransaction, path: &str, mark: Option<&str>) -> Result<()> {
    check_owner(path, find(&txn.open_table(OBJECTS)?, path)?.as_ref(), mark)
}

fn check_owner(path: &str, existing: Option<&Object>, mark: Option<&str>) -> Result<()> {
    match (existing, mark) {
        (Some(existing), Some(mark)) if existing.mark != mark => Err(Error::conflict(path, &existing.mark)),
        _ => Ok(()),
    }
}

/// The last part of a path.
pub(crate) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// A name that can be part of a path, of a topic and of a SenML name: 1 to 128 letters, digits and `-._`, the first
/// a letter or digit.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if name.len() <= 128 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(allowed)
    {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "\"{}\" cannot be the name of a {what}: use 1 to 128 letters, digits and \"-._\", first a letter or digit",
        name.escape_debug()
    )))
}

pub(crate) fn unreadable(error: serde_json::Error) -> Error {
    Error::store("cannot read what is stored").caused_by(error)
}
