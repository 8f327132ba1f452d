//! The format of the file, and how an older one is brought up to date.

use ::redb::{Database, ReadableDatabase as _, TableHandle as _, WriteTransaction};

use super::{
    fault,
    tables::{META, META_FORMAT, META_INSTALLATION, Reader, Tables},
};
use crate::{
    error::{Error, ErrorKind, Result},
    store::new_installation,
};

/// Brings a file from one format to the next, within the transaction it is given.
pub(super) type Upgrade = fn(&WriteTransaction) -> Result<(), ::redb::Error>;

/// The formats that can be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Formats {
    /// The one that is written.
    pub(super) current: u32,
    /// For each older one that can still be read, what makes the next of it.
    pub(super) upgrades: &'static [(u32, Upgrade)],
}

/// The formats that this version knows. An incompatible change of a table, or of anything that is kept in one, raises
/// `current` and adds an upgrade.
pub(super) const FORMATS: Formats = Formats { current: 1, upgrades: &[] };

/// Makes the tables of a new file, or brings those of an older one up to date, and returns the installation.
pub(super) fn prepare(database: &Database, name: &str, formats: Formats) -> Result<String> {
    let failed = |error: ::redb::Error| fault::open(name, error);
    let transaction = database.begin_read().map_err(|error| failed(error.into()))?;
    let mut tables = transaction.list_tables().map_err(|error| failed(error.into()))?;
    if tables.next().is_none() {
        let installation = new_installation();
        initialise(database, formats, &installation).map_err(failed)?;
        return Ok(installation);
    }
    let reader = Reader { transaction: &transaction, name };
    let format = read(&reader, formats)?;
    let installation = reader
        .meta(META_INSTALLATION)?
        .ok_or_else(|| fault::damaged(name, "the identity of the installation is not there"))?;
    if format < formats.current {
        upgrade(database, name, formats, format)?;
    }
    Ok(installation)
}

/// The format of a file, which is not newer than this version.
pub(super) fn read(reader: &Reader<'_>, formats: Formats) -> Result<u32> {
    let name = reader.name;
    let mut tables = reader.transaction.list_tables().map_err(|error| fault::open(name, error))?;
    let is_ours = tables.any(|table| table.name() == ::redb::TableHandle::name(&META));
    let format = if is_ours { reader.meta(META_FORMAT)? } else { None };
    let Some(format) = format.and_then(|text| text.parse::<u32>().ok()) else {
        return Err(Error::new(ErrorKind::Unexpected, format!("cannot open the store \"{name}\""))
            .with_source("it is a database, but not a store of iotorch"));
    };
    if format > formats.current {
        let newest = formats.current;
        return Err(Error::new(ErrorKind::Unsupported, format!("cannot open the store \"{name}\""))
            .with_help("use the version of iotorch that wrote it, or a newer one")
            .with_source(format!(
                "it was written by a newer iotorch (format {format}, this one reads up to {newest})"
            )));
    }
    Ok(format)
}

/// Makes the tables of a new file.
pub(super) fn initialise(
    database: &Database,
    formats: Formats,
    installation: &str,
) -> Result<(), ::redb::Error> {
    let transaction = database.begin_write()?;
    let mut tables = Tables::open(&transaction)?;
    tables.set_meta(META_FORMAT, &formats.current.to_string())?;
    tables.set_meta(META_INSTALLATION, installation)?;
    drop(tables);
    transaction.commit()?;
    Ok(())
}

/// Goes from format to format, all in one transaction: a process that dies in between leaves the file as it was.
fn upgrade(database: &Database, name: &str, formats: Formats, from: u32) -> Result<()> {
    let failed = |error: ::redb::Error| fault::open(name, error);
    let transaction = database.begin_write().map_err(|error| failed(error.into()))?;
    for format in from..formats.current {
        let (_, step) = formats.upgrades.iter().find(|(from, _)| *from == format).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("cannot open the store \"{name}\""))
                .with_source(format!("its format {format} is too old to be brought up to date"))
        })?;
        step(&transaction).map_err(failed)?;
    }
    let mut tables = Tables::open(&transaction).map_err(failed)?;
    tables.set_meta(META_FORMAT, &formats.current.to_string()).map_err(failed)?;
    drop(tables);
    transaction.commit().map_err(|error| failed(error.into()))
}
