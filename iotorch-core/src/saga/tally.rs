//! How far a run is: the fold over its journal.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use crate::{
    error::Cause,
    plan::{SlicePlan, Step, StepId},
    resource::{Inputs, ResourceId, Work},
    store::{Entry, JournalEvent, Record},
};

/// How far one step is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StepState {
    /// Not begun.
    Pending,
    /// A domain was called, and may or may not have done it.
    Started { deadline: Timestamp },
    /// Done.
    Done,
    /// Not needed.
    Skipped,
    /// Failed for good; may or may not have had an effect.
    Failed(Cause),
    /// A domain was called to undo it.
    Undoing { deadline: Timestamp },
    /// Undone.
    Undone,
    /// Could not be undone.
    UndoFailed(Cause),
}

impl StepState {
    /// The call that was under way last, with its deadline.
    const fn under_way(&self) -> Option<(Way, Timestamp)> {
        match self {
            Self::Started { deadline } => Some((Way::There, *deadline)),
            Self::Undoing { deadline } => Some((Way::Back, *deadline)),
            _ => None,
        }
    }
}

/// Which way a call takes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// It does it.
    There,
    /// It undoes it.
    Back,
}

/// What a step was given, and what its records were before.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) prior: Vec<Arc<Record>>,
}

impl Given {
    /// The call that does a step or takes back what it made. None where an undo is more than one call.
    pub(crate) fn call(&self, step: &Step, way: Way) -> Option<Work> {
        let change = step.change.clone().map(|spec| (*spec).clone());
        let (change, ownership) = match way {
            Way::There => (change, step.ownership),
            Way::Back if self.prior.is_empty() => (change.inverse(), step.ownership.inverse()),
            Way::Back => return None,
        };
        Work::new(step.resource.clone(), change, (*self.inputs).clone(), ownership)
    }
}

/// How far a run is.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) steps: Vec<StepState>,
    pub(crate) given: Vec<Option<Given>>,
    /// Until when a call of the step, whose answer never came, may still act.
    uncertain: BTreeMap<(StepId, Way), Timestamp>,
    pub(crate) committed: bool,
    pub(crate) unwinding: bool,
    /// What other systems keep although it was deleted.
    pub(crate) residue: Vec<String>,
    /// The first step that failed since the run went forward, and when.
    pub(crate) failure: Option<(StepId, Cause, Timestamp)>,
}

impl Tally {
    /// The tally of a run before its first event.
    pub(crate) fn new(plan: &SlicePlan) -> Self {
        Self {
            steps: vec![StepState::Pending; plan.steps.len()],
            given: vec![None; plan.steps.len()],
            uncertain: BTreeMap::new(),
            committed: false,
            unwinding: false,
            residue: Vec::new(),
            failure: None,
        }
    }

    /// The tally after all of a journal.
    pub(crate) fn replay(plan: &SlicePlan, journal: &[Entry]) -> Self {
        let mut tally = Self::new(plan);
        for entry in journal {
            tally.note(entry);
        }
        tally
    }

    /// Takes in what happened next.
    pub(crate) fn note(&mut self, entry: &Entry) {
        match &entry.event {
            JournalEvent::Started { step, deadline, prior, inputs } => {
                // A step that is tried again keeps what its records were before the first try.
                let given = &mut self.given[step.index()];
                let prior = given.take().map_or_else(|| prior.clone(), |given| given.prior);
                *given = Some(Given { inputs: Arc::clone(inputs), prior });
                self.set(*step, StepState::Started { deadline: *deadline });
            }
            JournalEvent::Succeeded { step, residue, uncertain_until } => {
                self.doubt(*step, Way::There, *uncertain_until);
                self.residue.extend(residue.iter().cloned());
                self.set(*step, StepState::Done);
            }
            JournalEvent::Skipped { step } => self.set(*step, StepState::Skipped),
            JournalEvent::Failed { step, cause, uncertain_until } => {
                self.doubt(*step, Way::There, *uncertain_until);
                self.failure.get_or_insert_with(|| (*step, cause.clone(), entry.at));
                self.set(*step, StepState::Failed(cause.clone()));
            }
            JournalEvent::Stopped { step, uncertain_until } => self.stop(*step, Way::There, *uncertain_until),
            JournalEvent::Committed => self.committed = true,
            JournalEvent::Unwinding => self.unwinding = true,
            JournalEvent::UndoStarted { step, deadline } => {
                self.set(*step, StepState::Undoing { deadline: *deadline });
            }
            JournalEvent::UndoFinished { step, uncertain_until } => {
                self.doubt(*step, Way::Back, *uncertain_until);
                self.set(*step, StepState::Undone);
            }
            JournalEvent::UndoFailed { step, cause, uncertain_until } => {
                self.doubt(*step, Way::Back, *uncertain_until);
                self.set(*step, StepState::UndoFailed(cause.clone()));
            }
            JournalEvent::UndoStopped { step, uncertain_until } => {
                self.stop(*step, Way::Back, *uncertain_until);
            }
            JournalEvent::Resumed { .. } => {
                for (step, way, deadline) in self.cut_off().collect::<Vec<_>>() {
                    self.doubt(step, way, Some(deadline));
                }
                if !self.unwinding {
                    self.failure = None;
                }
            }
        }
    }

    fn doubt(&mut self, step: StepId, way: Way, until: Option<Timestamp>) {
        if let Some(until) = until {
            let known = self.uncertain.entry((step, way)).or_insert(until);
            *known = until.max(*known);
        }
    }

    /// A call has come back, and nobody has seen what became of it.
    fn stop(&mut self, step: StepId, way: Way, uncertain_until: Option<Timestamp>) {
        self.doubt(step, way, uncertain_until);
        self.come_back(step);
    }

    fn come_back(&mut self, step: StepId) {
        if let StepState::Started { deadline } | StepState::Undoing { deadline } =
            &mut self.steps[step.index()]
        {
            *deadline = Timestamp::MIN;
        }
    }

    fn set(&mut self, step: StepId, state: StepState) {
        self.steps[step.index()] = state;
    }

    pub(crate) fn state(&self, step: StepId) -> &StepState {
        &self.steps[step.index()]
    }

    /// The calls that were under way when the process of a run ended, with the time after which they cannot act.
    pub(crate) fn cut_off(&self) -> impl Iterator<Item = (StepId, Way, Timestamp)> + '_ {
        (0_u32..).map(StepId).zip(&self.steps).filter_map(|(step, state)| {
            let (way, deadline) = state.under_way()?;
            Some((step, way, deadline))
        })
    }

    /// Until when a call whose answer never came may still act.
    pub(crate) fn doubt_of(&self, call: (StepId, Way)) -> Option<Timestamp> {
        self.uncertain.get(&call).copied()
    }

    /// Until when a call of this run on `resource` or on what lives in it, whose answer never came, may still act; those that `except`
    /// names do not count.
    pub(crate) fn uncertain_until(
        &self,
        plan: &SlicePlan,
        resource: &ResourceId,
        except: Option<(StepId, Way)>,
    ) -> Option<Timestamp> {
        let concerns = |id: &ResourceId| id == resource || resource.contains(id);
        let doubts = self.uncertain.iter().filter(|(call, _)| except != Some(**call));
        doubts.filter(|((step, _), _)| concerns(&plan.step(*step).resource)).map(|(_, until)| *until).max()
    }

    /// No call of the step can act any more.
    pub(crate) fn calm(&mut self, step: StepId) {
        self.uncertain.retain(|(doubtful, _), _| *doubtful != step);
        self.come_back(step);
    }

    /// Whether the step has had, or may have had, an effect that is not undone.
    pub(crate) fn may_have_acted(&self, step: StepId) -> bool {
        !matches!(self.state(step), StepState::Pending | StepState::Skipped | StepState::Undone)
    }

    /// Whether later steps can build on it.
    pub(crate) fn is_settled(&self, step: StepId) -> bool {
        matches!(self.state(step), StepState::Done | StepState::Skipped)
    }
}
