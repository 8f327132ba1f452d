//! A whole store as one document.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Entry, Record, Run, RunId, RunStatus, Sighting, SliceState, Snapshot, Store};
use crate::{
    driver::Claim,
    error::{Error, ErrorKind, Result},
    model::{Infrastructure, Slice},
    resource::ResourceId,
};

/// The number of the format of exports that this version writes.
pub const EXPORT_FORMAT: u32 = 1;

/// So often an export begins anew when the store is changed meanwhile.
const ATTEMPTS: usize = 5;

/// Everything that is in a store, to be written as JSON: for moving an installation, for a backup that can be read, for a report of a
/// fault. Secrets are not in it, only their names; they are moved by other means.
///
/// [`super::RedbStore::create_from_export`] makes a store of it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Export {
    /// The number of the format.
    pub format: u32,
    /// The identity of the installation, which is in the mark of every object.
    pub installation: String,
    /// The number that the next run gets.
    pub next_run: RunId,
    /// The infrastructures, by name.
    pub infrastructures: Vec<Arc<Infrastructure>>,
    /// The documents that were applied last, by name.
    pub slices: Vec<Arc<Slice>>,
    /// The records, by id.
    pub records: Vec<Arc<Record>>,
    /// How scopes looked, by root.
    pub sightings: Vec<Arc<Sighting>>,
    /// The claims on what is shared, by holder.
    pub reservations: BTreeMap<ResourceId, Vec<Claim>>,
    /// The runs with their journals, oldest first.
    pub runs: Vec<ExportedRun>,
}

/// A run with its journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportedRun {
    /// The run.
    pub run: Arc<Run>,
    /// How it stands.
    pub status: RunStatus,
    /// Its journal, oldest entry first.
    pub journal: Vec<Entry>,
}

impl Export {
    /// Whether this version can read it.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a newer format.
    pub fn check(&self) -> Result<()> {
        if self.format > EXPORT_FORMAT {
            return Err(Error::new(ErrorKind::Unsupported, "cannot read the export")
                .with_help("use the version of iotorch that wrote it, or a newer one")
                .with_source(format!(
                    "it was written by a newer iotorch (format {}, this one reads up to {EXPORT_FORMAT})",
                    self.format
                )));
        }
        Ok(())
    }
}

/// Writes out everything that is in `store`.
///
/// # Errors
/// [`ErrorKind::Conflict`] when the store is changed all the time meanwhile, so that no consistent picture can be had; what the
/// store says when it cannot be read.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use iotorch_core::store::{Export, MemoryStore, Store, export};
///
/// let store = MemoryStore::with_installation("plant-7");
/// let text = serde_json::to_string(&export(&store).await?).unwrap();
/// let read: Export = serde_json::from_str(&text).unwrap();
/// assert_eq!(read.installation, "plant-7");
/// # Ok::<(), iotorch_core::Error>(()) }).unwrap();
/// ```
pub async fn export(store: &dyn Store) -> Result<Export> {
    for _ in 0..ATTEMPTS {
        let before = store.snapshot().await?;
        let mut runs = Vec::new();
        for row in store.runs().await?.into_iter().rev() {
            let journal = store.journal(row.run.id).await?;
            runs.push(ExportedRun { run: row.run, status: row.status, journal });
        }
        // A record changes in one commit with the entry that says so: with the same records before and after, the journals are
        // at most ahead by entries that change none, as if the process had died there.
        let statuses = store.runs().await?;
        let settled = statuses.iter().rev().map(|row| (row.run.id, &row.status));
        if settled.eq(runs.iter().map(|run| (run.run.id, &run.status)))
            && is_same(&before, &store.snapshot().await?)
        {
            return Ok(gather(store, &before, runs));
        }
    }
    Err(Error::new(ErrorKind::Conflict, "cannot export the store")
        .with_help("export it while no run is working")
        .with_source("it is being changed all the time"))
}

fn gather(store: &dyn Store, snapshot: &Snapshot, runs: Vec<ExportedRun>) -> Export {
    let slices = || snapshot.slices.values();
    Export {
        format: EXPORT_FORMAT,
        installation: store.installation().to_string(),
        // Taking a number is the one way to learn it; at worst there is a gap.
        next_run: store.allocate_run(),
        infrastructures: snapshot.infrastructures.values().cloned().collect(),
        slices: slices().filter_map(|slice| slice.document.clone()).collect(),
        records: slices().flat_map(|slice| slice.records.values().cloned()).collect(),
        sightings: slices().flat_map(|slice| slice.sightings.values().cloned()).collect(),
        reservations: (*snapshot.reservations).clone(),
        runs,
    }
}

fn is_same(a: &Snapshot, b: &Snapshot) -> bool {
    let same = |a: &Arc<SliceState>, b: &Arc<SliceState>| {
        Arc::ptr_eq(a, b) || (a.document == b.document && a.records == b.records && a.open_run == b.open_run)
    };
    a.infrastructures == b.infrastructures
        && a.slices.len() == b.slices.len()
        && a.slices.iter().zip(&b.slices).all(|((a_name, a), (b_name, b))| a_name == b_name && same(a, b))
        && a.reservations == b.reservations
}
