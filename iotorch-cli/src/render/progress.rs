//! Runs as they happen: finished steps one line each, and what is under way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use iotorch_core::{
    model::SliceName,
    observer::{Progress, RunEvent},
    plan::{SlicePlan, Step, label},
    resource::{Change, KindName, ResourceId},
    store::{RunId, RunState},
};
use jiff::Timestamp;

use super::time;
use crate::screen::Ink;

/// How many steps that wait for others are shown at once.
const SHOWN_WAITING: usize = 3;

/// How many steps under way are shown at once.
const SHOWN_ACTIVE: usize = 12;

/// The widest that the column of names gets.
const WIDEST_NAME: usize = 40;

const CREATED: &str = "created";

const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// The runs under way and what is known of their steps.
#[derive(Debug, Default)]
pub(crate) struct Board {
    runs: BTreeMap<RunId, Run>,
    /// The slices seen; with more than one, lines have to name theirs.
    slices: BTreeSet<SliceName>,
    /// How wide the columns of places and of names have to be.
    widths: (usize, usize),
}

#[derive(Debug)]
struct Run {
    slice: SliceName,
    plan: Arc<SlicePlan>,
    steps: BTreeMap<ResourceId, State>,
    /// How often a step on the resource has succeeded: a replacement is two.
    succeeded: BTreeMap<ResourceId, usize>,
}

#[derive(Clone, Debug)]
enum State {
    Active { since: Timestamp, reason: String, undo: bool },
    Over,
}

/// Something that a person wants to know of once: it stays on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    sign: char,
    slice: SliceName,
    step: Option<ResourceId>,
    text: String,
    took: Option<Duration>,
}

impl Told {
    /// Whether it is over soon, so that a screen that is drawn again and again shows it only for as long.
    pub(crate) const fn is_passing(&self) -> bool {
        self.sign == '…'
    }
}

impl Board {
    /// Takes in an event; what it gives is worth a line.
    pub(crate) fn take(&mut self, event: &RunEvent) -> Option<Told> {
        self.slices.insert(event.slice.clone());
        let told = |sign, step: Option<&ResourceId>, text: String, took| {
            Some(Told { sign, slice: event.slice.clone(), step: step.cloned(), text, took })
        };
        if let Progress::RunStarted { plan } = &event.event {
            self.runs.insert(event.run, Run::new(event.slice.clone(), Arc::clone(plan)));
            self.widen();
            return None;
        }
        if let Progress::RunEnded { state } = &event.event {
            self.runs.remove(&event.run);
            let sign = if *state == RunState::Succeeded { '✔' } else { '✘' };
            return told(sign, None, format!("run {} {state}", event.run), None);
        }
        let run = self.runs.get_mut(&event.run)?;
        match &event.event {
            Progress::StepStarted { resource, undo } => {
                let active = State::Active { since: event.at, reason: String::new(), undo: *undo };
                run.steps.insert(resource.clone(), active);
                None
            }
            Progress::StepRetried { resource, reason, .. } => {
                let reason = reason.lines().next().unwrap_or_default();
                let waits = run.waits(resource, reason, event.at)?;
                told('…', Some(resource), waits, None)
            }
            Progress::StepHeld { resource, until } => {
                let left = time::short(until.duration_since(event.at).try_into().unwrap_or_default());
                let reason = format!("an earlier call may still act for {left}");
                let waits = run.waits(resource, &reason, event.at)?;
                told('…', Some(resource), waits, None)
            }
            Progress::StepSucceeded { resource, undo, took } => {
                run.steps.insert(resource.clone(), State::Over);
                let done = if *undo { "undone" } else { run.done(resource) };
                told(if *undo { '↶' } else { '✔' }, Some(resource), done.into(), Some(*took))
            }
            Progress::StepSkipped { resource } => {
                run.steps.insert(resource.clone(), State::Over);
                told('=', Some(resource), "unchanged".into(), None)
            }
            Progress::StepFailed { resource, undo, cause } => {
                run.steps.insert(resource.clone(), State::Over);
                let what = if *undo { "cannot be undone" } else { "failed" };
                told('✘', Some(resource), format!("{what}: {cause}"), None)
            }
            Progress::Unwinding => {
                // What still waited was stopped.
                run.steps.values_mut().for_each(|state| *state = State::Over);
                told('↶', None, "rolling back".into(), None)
            }
            _ => None,
        }
    }

    /// A line for a screen that is drawn again and again.
    pub(crate) fn live_line(&self, told: &Told, ink: Ink) -> String {
        let sign = match told.sign {
            '✔' => ink.green(told.sign),
            '✘' => ink.red(told.sign),
            sign => ink.yellow(sign),
        };
        // The sign says already that something is there.
        let text = if told.text == CREATED { "" } else { &*told.text };
        let took = told.took.map(time::short).unwrap_or_default();
        let place = self.place(&told.slice, told.step.as_ref());
        let name = told.step.as_ref().map(full_label).unwrap_or_default();
        format!("{sign} {}", self.row(&place, &name, text, &took))
    }

    /// A line for a file or a pipe.
    pub(crate) fn plain_line(told: &Told) -> String {
        let id = told.step.as_ref().map_or_else(|| told.slice.to_string(), ToString::to_string);
        let took = told.took.map(|took| format!(" in {}", time::short(took))).unwrap_or_default();
        format!("{id}: {}{took}", told.text)
    }

    /// What is under way and what comes next, to be drawn again and again; empty when there is nothing.
    pub(crate) fn foot(&self, now: Timestamp, tick: usize, ink: Ink) -> Vec<String> {
        let mut lines = Vec::new();
        let active =
            self.runs.values().flat_map(|run| run.steps.iter().map(move |(id, state)| (run, id, state)));
        let active: Vec<_> = active
            .filter_map(|(run, id, state)| match state {
                State::Active { since, reason, undo } => Some((run, id, *since, reason, *undo)),
                State::Over => None,
            })
            .collect();
        let spinner = SPINNER[tick % SPINNER.len()];
        for (run, id, since, reason, undo) in active.iter().take(SHOWN_ACTIVE) {
            let elapsed = time::short(now.duration_since(*since).try_into().unwrap_or_default());
            let text = if *undo && reason.is_empty() { "undoing" } else { reason };
            let place = self.place(&run.slice, Some(id));
            lines.push(format!(
                "{} {}",
                ink.cyan(spinner),
                self.row(&place, &full_label(id), text, &elapsed)
            ));
        }
        if active.len() > SHOWN_ACTIVE {
            lines.push(format!("{} and {} more steps", ink.cyan(spinner), active.len() - SHOWN_ACTIVE));
        }
        let waiting: Vec<(&Run, &Step)> = self
            .runs
            .values()
            .flat_map(|run| run.plan.steps.iter().map(move |step| (run, step)))
            .filter(|(run, step)| !run.steps.contains_key(&step.resource))
            .collect();
        for (run, step) in waiting.iter().take(SHOWN_WAITING) {
            let place = self.place(&run.slice, Some(&step.resource));
            let line = self.row(&place, &full_label(&step.resource), &run.waits_for(step), "");
            lines.push(ink.dim(format!("· {line}")));
        }
        if waiting.len() > SHOWN_WAITING {
            lines.push(ink.dim(format!("· and {} more steps to come", waiting.len() - SHOWN_WAITING)));
        }
        lines
    }

    /// Makes the columns wide enough for the runs there are; lines that are on the screen already stay as they are.
    fn widen(&mut self) {
        let width = |text: &str| text.chars().count();
        for run in self.runs.values() {
            for step in &run.plan.steps {
                let place = width(&self.place(&run.slice, Some(&step.resource)));
                let name = width(&full_label(&step.resource));
                self.widths = (self.widths.0.max(place), self.widths.1.max(name).min(WIDEST_NAME));
            }
        }
    }

    fn row(&self, place: &str, name: &str, text: &str, took: &str) -> String {
        let (places, names) = self.widths;
        format!("{place:<places$}  {name:<names$}  {text:<44} {took:>7}").trim_end().to_owned()
    }

    /// The place of a step, with the slice where several are under way.
    fn place(&self, slice: &SliceName, step: Option<&ResourceId>) -> String {
        match (self.slices.len() > 1, step) {
            (true, Some(step)) => format!("{slice}/{}", step.place()),
            (false, Some(step)) => step.place().to_owned(),
            (_, None) => slice.to_string(),
        }
    }
}

impl Run {
    const fn new(slice: SliceName, plan: Arc<SlicePlan>) -> Self {
        Self { slice, plan, steps: BTreeMap::new(), succeeded: BTreeMap::new() }
    }

    /// What has just been done to a resource.
    fn done(&mut self, resource: &ResourceId) -> &'static str {
        let before = self.succeeded.entry(resource.clone()).or_default();
        let step = self.plan.steps.iter().filter(|step| step.resource == *resource).nth(*before);
        *before += 1;
        match step.map(|step| &step.change) {
            Some(Change::Create { .. }) => CREATED,
            Some(Change::Update { .. }) => "changed",
            Some(Change::Delete { .. }) => "deleted",
            None => "done",
        }
    }

    /// Notes what a step waits for; what it gives is news.
    fn waits(&mut self, resource: &ResourceId, reason: &str, at: Timestamp) -> Option<String> {
        let (since, undo, known) = match self.steps.get(resource) {
            Some(State::Active { since, undo, reason }) => (*since, *undo, Some(reason)),
            _ => (at, false, None),
        };
        let is_news = known.is_none_or(|known| known != reason);
        self.steps.insert(resource.clone(), State::Active { since, reason: reason.to_owned(), undo });
        is_news.then(|| format!("waits: {reason}"))
    }

    fn waits_for(&self, step: &Step) -> String {
        let is_over = |id: &ResourceId| matches!(self.steps.get(id), Some(State::Over));
        let open: Vec<String> = step
            .after
            .iter()
            .map(|before| &self.plan.step(*before).resource)
            .filter(|id| !is_over(id))
            .take(2)
            .map(full_label)
            .collect();
        if open.is_empty() { String::new() } else { format!("waits for {}", open.join(", ")) }
    }
}

/// The label with what it belongs to, where it needs that to be told apart.
fn full_label(id: &ResourceId) -> String {
    let within = match id.kind() {
        KindName::Credential | KindName::Port => id.host().map(|host| full_label(&host)),
        _ => id.part().map(str::to_owned),
    };
    match within {
        Some(within) if within != label(id) => format!("{within} {}", label(id)),
        _ => label(id),
    }
}

#[cfg(test)]
mod tests;
