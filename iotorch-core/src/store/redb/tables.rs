//! The tables of the file: what a commit changes in them, and reading them back.

use std::collections::HashMap;

use ::redb::{ReadTransaction, ReadableTable as _, Table, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};

use super::fault;
use crate::{
    error::{Error, ErrorKind, Result},
    model::SliceName,
    store::{
        Entry, Run, RunId, Write,
        state::{KnownRun, State, first_status},
    },
};

/// Text by name: the format, the installation, the last run and the number of batches ever written.
pub(super) const META: TableDefinition<'static, &str, &str> = TableDefinition::new("meta");
/// Runs as they were opened, JSON.
pub(super) const RUNS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("runs");
/// The slice of each run, so that the plan of a run that is over need not be read to know it.
pub(super) const RUN_SLICES: TableDefinition<'static, u64, &str> = TableDefinition::new("run-slices");
/// How each run stands, JSON.
pub(super) const RUN_STATUSES: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("run-statuses");
/// Journal entries by run and position, JSON.
pub(super) const JOURNAL: TableDefinition<'static, (u64, u64), &[u8]> = TableDefinition::new("journal");

/// In [`META`]: the number of the format of the file.
pub(super) const META_FORMAT: &str = "format";
/// In [`META`]: the identity of the installation.
pub(super) const META_INSTALLATION: &str = "installation";
/// In [`META`]: the greatest number that a run ever had.
pub(super) const META_LAST_RUN: &str = "last-run";
/// In [`META`]: how many batches were ever written. After a failure it tells whether the batch is in the file after all.
pub(super) const META_BATCH: &str = "batch";

/// The tables with a name for a key and JSON for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Infrastructures,
    Slices,
    Records,
    Reservations,
    Sightings,
}

impl Named {
    pub(super) const fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(match self {
            Self::Infrastructures => "infrastructures",
            Self::Slices => "slices",
            Self::Records => "records",
            Self::Reservations => "reservations",
            Self::Sightings => "sightings",
        })
    }
}

/// One change of the file, with values that are JSON already.
#[derive(Debug)]
pub(super) enum Change {
    Put(Named, String, Vec<u8>),
    Remove(Named, String),
    OpenRun {
        id: RunId,
        slice: SliceName,
        run: Vec<u8>,
        status: Vec<u8>,
    },
    SetStatus(RunId, Vec<u8>),
    Append(RunId, Vec<u8>),
    DropRun(RunId),
    /// Nothing is left of the slice: forget how its scopes looked.
    Vanish(SliceName),
}

pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::new(ErrorKind::Unexpected, "cannot write a value as JSON").with_source(error))
}

/// What `writes` change in the file.
pub(super) fn encode(writes: &[Write]) -> Result<Vec<Change>> {
    let mut changes = Vec::with_capacity(writes.len());
    for write in writes {
        let change = match write {
            Write::PutInfrastructure(infrastructure) => {
                Change::Put(Named::Infrastructures, infrastructure.name.to_string(), json(infrastructure)?)
            }
            Write::DropInfrastructure(name) => Change::Remove(Named::Infrastructures, name.to_string()),
            Write::PutSlice(slice) => Change::Put(Named::Slices, slice.name.to_string(), json(slice)?),
            Write::DropSlice(name) => Change::Remove(Named::Slices, name.to_string()),
            Write::PutRecord(record) => Change::Put(Named::Records, record.id.to_string(), json(record)?),
            Write::DropRecord(id) => {
                changes.push(Change::Remove(Named::Reservations, id.to_string()));
                Change::Remove(Named::Records, id.to_string())
            }
            Write::OpenRun(run) => Change::OpenRun {
                id: run.id,
                slice: run.plan.slice.clone(),
                run: json(run)?,
                status: json(&first_status(run))?,
            },
            Write::SetRunStatus(id, status) => Change::SetStatus(*id, json(status)?),
            Write::Append(id, entry) => Change::Append(*id, json(entry)?),
            Write::DropRun(id) => Change::DropRun(*id),
            Write::Reserve(holder, claims) if !claims.is_empty() => {
                Change::Put(Named::Reservations, holder.to_string(), json(claims)?)
            }
            Write::Reserve(holder, _) | Write::Release(holder) => {
                Change::Remove(Named::Reservations, holder.to_string())
            }
            Write::PutSighting(sighting) => {
                Change::Put(Named::Sightings, sighting.root.to_string(), json(sighting)?)
            }
            Write::DropSighting(root) => Change::Remove(Named::Sightings, root.to_string()),
        };
        changes.push(change);
    }
    Ok(changes)
}

/// All tables, open for writing.
pub(super) struct Tables<'txn> {
    meta: Table<'txn, &'static str, &'static str>,
    named: [Table<'txn, &'static str, &'static [u8]>; 5],
    runs: Table<'txn, u64, &'static [u8]>,
    run_slices: Table<'txn, u64, &'static str>,
    run_statuses: Table<'txn, u64, &'static [u8]>,
    journal: Table<'txn, (u64, u64), &'static [u8]>,
}

impl<'txn> Tables<'txn> {
    /// Opens the tables, and makes those that are not there.
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, ::redb::Error> {
        let named = |table: Named| transaction.open_table(table.definition());
        Ok(Self {
            meta: transaction.open_table(META)?,
            named: [
                named(Named::Infrastructures)?,
                named(Named::Slices)?,
                named(Named::Records)?,
                named(Named::Reservations)?,
                named(Named::Sightings)?,
            ],
            runs: transaction.open_table(RUNS)?,
            run_slices: transaction.open_table(RUN_SLICES)?,
            run_statuses: transaction.open_table(RUN_STATUSES)?,
            journal: transaction.open_table(JOURNAL)?,
        })
    }

    pub(super) fn set_meta(&mut self, name: &str, value: &str) -> Result<(), ::redb::Error> {
        self.meta.insert(name, value)?;
        Ok(())
    }

    /// Makes a change. `positions` remembers where the journals of open runs end.
    pub(super) fn make(
        &mut self,
        change: &Change,
        positions: &mut HashMap<RunId, u64>,
    ) -> Result<(), ::redb::Error> {
        match change {
            Change::Put(table, key, value) => {
                self.named[*table as usize].insert(key.as_str(), value.as_slice())?;
            }
            Change::Remove(table, key) => {
                self.named[*table as usize].remove(key.as_str())?;
            }
            Change::OpenRun { id, slice, run, status } => {
                self.runs.insert(id.0, run.as_slice())?;
                self.run_slices.insert(id.0, slice.as_str())?;
                self.run_statuses.insert(id.0, status.as_slice())?;
            }
            Change::SetStatus(id, status) => {
                self.run_statuses.insert(id.0, status.as_slice())?;
            }
            Change::Append(id, entry) => {
                let position = match positions.get(id) {
                    Some(position) => *position,
                    None => self.journal_end(*id)?,
                };
                self.journal.insert((id.0, position), entry.as_slice())?;
                positions.insert(*id, position + 1);
            }
            Change::DropRun(id) => {
                self.runs.remove(id.0)?;
                self.run_slices.remove(id.0)?;
                self.run_statuses.remove(id.0)?;
                self.journal.retain_in((id.0, 0)..=(id.0, u64::MAX), |_, _| false)?;
                positions.remove(id);
            }
            Change::Vanish(slice) => {
                // "0" is the character after "/", with which the ids of the slice go on.
                let (first, end) = (format!("{slice}/"), format!("{slice}0"));
                self.named[Named::Sightings as usize]
                    .retain_in(first.as_str()..end.as_str(), |_, _| false)?;
            }
        }
        Ok(())
    }

    fn journal_end(&self, id: RunId) -> Result<u64, ::redb::Error> {
        let last = self.journal.range((id.0, 0)..=(id.0, u64::MAX))?.next_back().transpose()?;
        Ok(last.map_or(0, |(key, _)| key.value().1 + 1))
    }
}

/// Reads the tables of the store called `name`.
pub(super) struct Reader<'a> {
    pub(super) transaction: &'a ReadTransaction,
    pub(super) name: &'a str,
}

impl Reader<'_> {
    fn failed(&self, error: impl Into<::redb::Error>) -> Error {
        fault::read(self.name, error)
    }

    fn parse<T: DeserializeOwned>(&self, what: std::fmt::Arguments<'_>, value: &[u8]) -> Result<T> {
        serde_json::from_slice(value)
            .map_err(|error| fault::damaged(self.name, format!("{what} cannot be understood: {error}")))
    }

    pub(super) fn meta(&self, name: &str) -> Result<Option<String>> {
        let table = self.transaction.open_table(META).map_err(|error| self.failed(error))?;
        let value = table.get(name).map_err(|error| self.failed(error))?;
        Ok(value.map(|value| value.value().to_owned()))
    }

    /// A number in [`META`]; 0 when it was never set.
    pub(super) fn meta_number(&self, name: &str) -> Result<u64> {
        let Some(text) = self.meta(name)? else { return Ok(0) };
        text.parse().map_err(|_| fault::damaged(self.name, format!("{name} is no number: {text:?}")))
    }

    fn each_named<T: DeserializeOwned>(
        &self,
        table: Named,
        mut take: impl FnMut(&str, T) -> Result<()>,
    ) -> Result<()> {
        let rows = self.transaction.open_table(table.definition()).map_err(|error| self.failed(error))?;
        for row in rows.iter().map_err(|error| self.failed(error))? {
            let (key, value) = row.map_err(|error| self.failed(error))?;
            let key = key.value();
            take(key, self.parse(format_args!("\"{key}\" in {table:?}"), value.value())?)?;
        }
        Ok(())
    }

    /// Everything but journals and the plans of runs that are over.
    pub(super) fn state(&self) -> Result<State> {
        let mut state = State::default();
        self.each_named(Named::Infrastructures, |_, row| {
            state.restore(Write::PutInfrastructure(row));
            Ok(())
        })?;
        self.each_named(Named::Slices, |_, row| {
            state.restore(Write::PutSlice(row));
            Ok(())
        })?;
        self.each_named(Named::Records, |_, row| {
            state.restore(Write::PutRecord(row));
            Ok(())
        })?;
        self.each_named(Named::Sightings, |_, row| {
            state.restore(Write::PutSighting(row));
            Ok(())
        })?;
        self.each_named(Named::Reservations, |key, claims| {
            let holder = key.parse().map_err(|error: Error| fault::damaged(self.name, error.to_string()))?;
            state.restore(Write::Reserve(holder, claims));
            Ok(())
        })?;
        self.runs(&mut state)?;
        state.settle();
        match self.meta_number(META_LAST_RUN)? {
            0 => {}
            last => state.restore_last_run(RunId(last)),
        }
        Ok(state)
    }

    fn runs(&self, state: &mut State) -> Result<()> {
        let slices = self.transaction.open_table(RUN_SLICES).map_err(|error| self.failed(error))?;
        let statuses = self.transaction.open_table(RUN_STATUSES).map_err(|error| self.failed(error))?;
        for row in statuses.iter().map_err(|error| self.failed(error))? {
            let (id, status) = row.map_err(|error| self.failed(error))?;
            let id = RunId(id.value());
            let status: crate::store::RunStatus =
                self.parse(format_args!("the status of run {id}"), status.value())?;
            let slice = slices.get(id.0).map_err(|error| self.failed(error))?;
            let slice = slice
                .and_then(|name| SliceName::new(name.value()).ok())
                .ok_or_else(|| fault::damaged(self.name, format!("run {id} has no slice")))?;
            let run = match status.state.is_open() {
                true => Some(self.run(id)?.ok_or_else(|| {
                    fault::damaged(self.name, format!("run {id} is open and its plan is not there"))
                })?),
                false => None,
            };
            state.restore_run(id, KnownRun { slice, status, run: run.map(std::sync::Arc::new) }).map_err(
                |other| fault::damaged(self.name, format!("runs {other} and {id} are open on one slice")),
            )?;
        }
        Ok(())
    }

    /// A run as it was opened.
    pub(super) fn run(&self, id: RunId) -> Result<Option<Run>> {
        let runs = self.transaction.open_table(RUNS).map_err(|error| self.failed(error))?;
        let row = runs.get(id.0).map_err(|error| self.failed(error))?;
        row.map(|row| self.parse(format_args!("run {id}"), row.value())).transpose()
    }

    /// The journal of a run.
    pub(super) fn journal(&self, id: RunId) -> Result<Vec<Entry>> {
        let journal = self.transaction.open_table(JOURNAL).map_err(|error| self.failed(error))?;
        let rows = journal.range((id.0, 0)..=(id.0, u64::MAX)).map_err(|error| self.failed(error))?;
        rows.map(|row| {
            let (key, value) = row.map_err(|error| self.failed(error))?;
            self.parse(format_args!("entry {} of the journal of run {id}", key.value().1), value.value())
        })
        .collect()
    }
}
