//! The state that every embedded store keeps in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    Entry, Run, RunId, RunRow, RunState, RunStatus, SliceState, Snapshot, Write, reservations::Reservations,
};
use crate::{
    driver::Claim,
    error::{Error, ErrorKind, Result},
    model::{Infrastructure, InfrastructureName, SliceName},
    resource::ResourceId,
};

/// Everything but journals. Commits are atomic; what is shared with a snapshot is copied when it is written to.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    infrastructures: BTreeMap<InfrastructureName, Arc<Infrastructure>>,
    slices: BTreeMap<SliceName, Arc<SliceState>>,
    reservations: Reservations,
    runs: BTreeMap<RunId, KnownRun>,
    /// The runs of each slice that are over.
    finished: BTreeMap<SliceName, BTreeSet<RunId>>,
    last_run: Option<RunId>,
}

/// What is kept in memory of a run.
#[derive(Clone, Debug)]
pub(super) struct KnownRun {
    pub(super) slice: SliceName,
    pub(super) status: RunStatus,
    /// None when it has to be read from the file.
    pub(super) run: Option<Arc<Run>>,
}

impl KnownRun {
    /// The run and its status, if the run is in memory.
    pub(super) fn row(&self) -> Option<RunRow> {
        let run = self.run.as_ref()?;
        Some(RunRow { run: Arc::clone(run), status: self.status.clone() })
    }
}

/// What a commit leaves to the store that owns the state.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// What becomes of journals, in order.
    pub(super) journals: Vec<JournalChange>,
    /// Runs that ended.
    pub(super) closed: Vec<RunId>,
    /// Slices of which nothing is left; sightings of them went along.
    pub(super) vanished: Vec<SliceName>,
}

#[derive(Debug)]
pub(super) enum JournalChange {
    Append(RunId, Entry),
    Drop(RunId),
}

/// How things will be after the writes of a commit that were looked at so far.
#[derive(Default)]
struct Pending<'a> {
    /// The slices whose open run changes.
    open: BTreeMap<SliceName, Option<RunId>>,
    /// The runs that change: the slice and whether it is open, or none for one that goes.
    runs: BTreeMap<RunId, Option<(SliceName, RunState)>>,
    held: BTreeMap<&'a ResourceId, &'a [Claim]>,
}

impl State {
    /// Does all `writes` or none.
    pub(super) fn apply(&mut self, writes: Vec<Write>) -> Result<Applied> {
        self.check(&writes)?;
        let mut applied = Applied::default();
        // A slice can be empty between two writes of a commit, so this is looked at when all are done.
        let mut reduced = Vec::new();
        for write in writes {
            self.perform(write, &mut applied, &mut reduced);
        }
        for name in reduced {
            if self.slices.get(&name).is_some_and(|slice| slice.is_empty()) {
                self.slices.remove(&name);
                applied.vanished.push(name);
            }
        }
        Ok(applied)
    }

    /// Takes over what a file holds, which was checked when it was written. [`Self::settle`] ends a sequence of these.
    pub(super) fn restore(&mut self, write: Write) {
        self.perform(write, &mut Applied::default(), &mut Vec::new());
    }

    /// Takes over a run that a file holds.
    ///
    /// # Errors
    /// Gives the open run back that is on the same slice already.
    pub(super) fn restore_run(&mut self, id: RunId, known: KnownRun) -> Result<(), RunId> {
        self.last_run = self.last_run.max(Some(id));
        if known.status.state.is_open() {
            if let Some(other) = self.slice_mut(known.slice.clone()).open_run.replace(id) {
                return Err(other);
            }
        } else {
            self.finished.entry(known.slice.clone()).or_default().insert(id);
        }
        self.runs.insert(id, known);
        Ok(())
    }

    /// Drops slices of which nothing is left.
    pub(super) fn settle(&mut self) {
        self.slices.retain(|_, slice| !slice.is_empty());
    }

    /// Sets the number that the next run is counted from.
    pub(super) fn restore_last_run(&mut self, last: RunId) {
        self.last_run = self.last_run.max(Some(last));
    }

    /// Leaves the plan of a run to the file.
    pub(super) fn leave_to_file(&mut self, id: RunId) {
        if let Some(known) = self.runs.get_mut(&id) {
            known.run = None;
        }
    }

    fn check(&self, writes: &[Write]) -> Result<()> {
        let mut pending = Pending::default();
        for write in writes {
            match write {
                Write::OpenRun(run) => {
                    if self.run_after(&pending, run.id).is_some() {
                        return Err(begun_before(run.id));
                    }
                    self.check_free(&pending, &run.plan.slice, run.id, "open")?;
                    pending.open.insert(run.plan.slice.clone(), Some(run.id));
                    pending.runs.insert(run.id, Some((run.plan.slice.clone(), RunState::Running)));
                }
                Write::SetRunStatus(id, status) => {
                    let (slice, before) =
                        self.run_after(&pending, *id).ok_or_else(|| unknown_run("change", *id))?;
                    let slice = slice.clone();
                    match (before.is_open(), status.state.is_open()) {
                        (false, true) => {
                            self.check_free(&pending, &slice, *id, "reopen")?;
                            pending.open.insert(slice.clone(), Some(*id));
                        }
                        (true, false) => {
                            pending.open.insert(slice.clone(), None);
                        }
                        _ => {}
                    }
                    pending.runs.insert(*id, Some((slice, status.state)));
                }
                Write::Append(id, _) => {
                    self.run_after(&pending, *id)
                        .ok_or_else(|| unknown_run("write to the journal of", *id))?;
                }
                Write::DropRun(id) => {
                    if let Some((slice, state)) =
                        self.run_after(&pending, *id).filter(|(_, state)| state.is_open())
                    {
                        return Err(Error::new(ErrorKind::Conflict, format!("cannot drop run {id}"))
                            .with_context("slice", slice)
                            .with_help(format!("end it first: iotorch resume {id}"))
                            .with_source(format!("it is not over, it is {state}")));
                    }
                    pending.runs.insert(*id, None);
                }
                Write::Reserve(holder, claims) => {
                    pending.held.insert(holder, claims);
                }
                Write::Release(holder) | Write::DropRecord(holder) => {
                    pending.held.insert(holder, &[]);
                }
                Write::PutInfrastructure(_)
                | Write::DropInfrastructure(_)
                | Write::PutSlice(_)
                | Write::DropSlice(_)
                | Write::PutRecord(_)
                | Write::PutSighting(_)
                | Write::DropSighting(_) => {}
            }
        }
        self.reservations.admit(&pending.held)
    }

    /// The slice and state of a run as the writes so far leave it.
    fn run_after<'a>(&'a self, pending: &'a Pending<'_>, id: RunId) -> Option<(&'a SliceName, RunState)> {
        match pending.runs.get(&id) {
            Some(changed) => changed.as_ref().map(|(slice, state)| (slice, *state)),
            None => self.runs.get(&id).map(|known| (&known.slice, known.status.state)),
        }
    }

    fn check_free(&self, pending: &Pending<'_>, slice: &SliceName, id: RunId, verb: &str) -> Result<()> {
        let open = match pending.open.get(slice) {
            Some(changed) => *changed,
            None => self.slices.get(slice).and_then(|known| known.open_run),
        };
        match open {
            Some(other) if other != id => {
                let state = self.run_after(pending, other).map_or(RunState::Running, |(_, state)| state);
                Err(Error::new(ErrorKind::Conflict, format!("cannot {verb} run {id} on slice \"{slice}\""))
                    .with_help(format!("bring that run to its end first: iotorch resume {other}"))
                    .with_source(format!("run {other} is open on the slice ({state})")))
            }
            _ => Ok(()),
        }
    }

    fn perform(&mut self, write: Write, applied: &mut Applied, reduced: &mut Vec<SliceName>) {
        match write {
            Write::PutInfrastructure(infrastructure) => {
                self.infrastructures.insert(infrastructure.name.clone(), infrastructure);
            }
            Write::DropInfrastructure(name) => {
                self.infrastructures.remove(&name);
            }
            Write::PutSlice(document) => {
                let name = document.name.clone();
                self.slice_mut(name).document = Some(document);
            }
            Write::DropSlice(name) => {
                if let Some(slice) = self.slices.get_mut(&name) {
                    Arc::make_mut(slice).document = None;
                    reduced.push(name);
                }
            }
            Write::PutRecord(record) => {
                let id = record.id.clone();
                self.slice_mut(slice_of(&id)).records.insert(id, record);
            }
            Write::DropRecord(id) => {
                let name = slice_of(&id);
                if let Some(slice) =
                    self.slices.get_mut(&name).filter(|slice| slice.records.contains_key(&id))
                {
                    Arc::make_mut(slice).records.remove(&id);
                    reduced.push(name);
                }
                self.reservations.set(id, Vec::new());
            }
            Write::OpenRun(run) => {
                self.last_run = self.last_run.max(Some(run.id));
                let slice = run.plan.slice.clone();
                self.slice_mut(slice.clone()).open_run = Some(run.id);
                let status = first_status(&run);
                self.runs.insert(run.id, KnownRun { slice, status, run: Some(run) });
            }
            Write::SetRunStatus(id, status) => {
                let Some(known) = self.runs.get_mut(&id) else { return };
                let is_open = status.state.is_open();
                known.status = status;
                let name = known.slice.clone();
                if is_open {
                    self.unfinish(&name, id);
                    self.slice_mut(name).open_run = Some(id);
                } else {
                    if let Some(slice) = self.slices.get_mut(&name).filter(|slice| slice.open_run == Some(id))
                    {
                        Arc::make_mut(slice).open_run = None;
                    }
                    applied.closed.push(id);
                    self.finished.entry(name.clone()).or_default().insert(id);
                    reduced.push(name);
                }
            }
            Write::Append(id, entry) => applied.journals.push(JournalChange::Append(id, entry)),
            Write::DropRun(id) => {
                if let Some(known) = self.runs.remove(&id) {
                    self.unfinish(&known.slice, id);
                }
                applied.journals.push(JournalChange::Drop(id));
            }
            Write::Reserve(holder, claims) => self.reservations.set(holder, claims),
            Write::Release(holder) => self.reservations.set(holder, Vec::new()),
            Write::PutSighting(sighting) => {
                let name = slice_of(&sighting.root);
                let root = sighting.root.clone();
                self.slice_mut(name.clone()).sightings.insert(root, sighting);
                reduced.push(name);
            }
            Write::DropSighting(root) => {
                let slice = self.slices.get_mut(&slice_of(&root));
                if let Some(slice) = slice.filter(|slice| slice.sightings.contains_key(&root)) {
                    Arc::make_mut(slice).sightings.remove(&root);
                }
            }
        }
    }

    /// Takes a run out of those of its slice that are over.
    fn unfinish(&mut self, slice: &SliceName, id: RunId) {
        if let Some(finished) = self.finished.get_mut(slice) {
            finished.remove(&id);
            if finished.is_empty() {
                self.finished.remove(slice);
            }
        }
    }

    /// The runs of a slice that are over, oldest first, each with when it ended.
    pub(super) fn finished(&self, slice: &SliceName) -> Vec<(RunId, Timestamp)> {
        let ended = |id: &RunId| self.runs.get(id).map(|known| (*id, known.status.since));
        self.finished.get(slice).into_iter().flatten().filter_map(ended).collect()
    }

    fn slice_mut(&mut self, name: SliceName) -> &mut SliceState {
        Arc::make_mut(self.slices.entry(name).or_default())
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            infrastructures: self.infrastructures.clone(),
            slices: self.slices.clone(),
            reservations: Arc::clone(self.reservations.by_holder()),
        }
    }

    pub(super) fn slice(&self, name: &SliceName) -> Arc<SliceState> {
        self.slices.get(name).cloned().unwrap_or_default()
    }

    /// The greatest number that a run ever had, dropped ones among them.
    pub(super) const fn last_run(&self) -> Option<RunId> {
        self.last_run
    }

    pub(super) fn run(&self, id: RunId) -> Option<&KnownRun> {
        self.runs.get(&id)
    }

    /// Every run, oldest first.
    pub(super) fn runs(&self) -> impl DoubleEndedIterator<Item = (RunId, &KnownRun)> {
        self.runs.iter().map(|(id, known)| (*id, known))
    }
}

/// How a run stands when it was just opened.
pub(super) fn first_status(run: &Run) -> RunStatus {
    RunStatus {
        state: RunState::Running,
        since: run.started_at,
        cause: None,
        failed: None,
        residue: Vec::new(),
    }
}

fn slice_of(id: &ResourceId) -> SliceName {
    SliceName::new(id.slice()).expect("an id begins with the name of its slice")
}

fn unknown_run(verb: &str, id: RunId) -> Error {
    Error::new(ErrorKind::NotFound, format!("cannot {verb} run {id}"))
        .with_help("iotorch runs lists the runs there are")
        .with_source("there is no such run")
}

fn begun_before(id: RunId) -> Error {
    Error::new(ErrorKind::Conflict, format!("cannot open run {id}"))
        .with_source("a run of this number was opened before")
}
