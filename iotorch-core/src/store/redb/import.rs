//! A new file from an export.

use std::collections::HashMap;

use ::redb::Database;

use super::{
    fault,
    format::{FORMATS, initialise},
    tables::{Change, META_LAST_RUN, Named, Tables, encode, json},
};
use crate::{
    error::{Error, ErrorKind, Result},
    store::{Export, RunId, Write},
};

/// Writes everything that is in `export`. What it holds was checked when it was committed, so it is not checked again here: a
/// capacity that has shrunk since then is no reason to refuse it.
pub(super) fn fill(database: &Database, name: &str, export: &Export) -> Result<()> {
    let changes = changes(export)?;
    let failed = |error: ::redb::Error| fault::open(name, error);
    initialise(database, FORMATS, &export.installation).map_err(failed)?;
    write(database, &changes, export.next_run).map_err(failed)
}

fn changes(export: &Export) -> Result<Vec<Change>> {
    let mut writes = Vec::new();
    writes.extend(export.infrastructures.iter().cloned().map(Write::PutInfrastructure));
    writes.extend(export.slices.iter().cloned().map(Write::PutSlice));
    writes.extend(export.records.iter().cloned().map(Write::PutRecord));
    writes.extend(export.sightings.iter().cloned().map(Write::PutSighting));
    let mut changes = encode(&writes)?;
    for (holder, claims) in &export.reservations {
        changes.push(Change::Put(Named::Reservations, holder.to_string(), json(claims)?));
    }
    for exported in &export.runs {
        let run = &exported.run;
        if run.id >= export.next_run {
            return Err(Error::new(ErrorKind::Unexpected, "cannot read the export").with_source(format!(
                "run {} is in it although the next one is to be {}",
                run.id, export.next_run
            )));
        }
        changes.push(Change::OpenRun {
            id: run.id,
            slice: run.plan.slice.clone(),
            run: json(run)?,
            status: json(&exported.status)?,
        });
        for entry in &exported.journal {
            changes.push(Change::Append(run.id, json(entry)?));
        }
    }
    Ok(changes)
}

fn write(database: &Database, changes: &[Change], next_run: RunId) -> Result<(), ::redb::Error> {
    let transaction = database.begin_write()?;
    let mut tables = Tables::open(&transaction)?;
    let mut positions = HashMap::new();
    for change in changes {
        tables.make(change, &mut positions)?;
    }
    tables.set_meta(META_LAST_RUN, &next_run.0.saturating_sub(1).to_string())?;
    drop(tables);
    transaction.commit()?;
    Ok(())
}
