//! Replacements: what cannot be changed in place is removed and made again, with everything that would be in the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Basis, Condition, Phase, Reason, Step, StepId,
    graph::Graph,
    observations::{Observations, Sight},
};
use crate::{
    driver::{Drivers, Verdict},
    error::{Error, ErrorKind, Result},
    resource::{Change, KindName, Ownership, ResourceId, Spec},
    store::{Record, SliceState},
};

/// What has to be removed before anything is made.
#[derive(Debug, Default)]
pub(super) struct Replacements {
    /// What is made again, each with why.
    pub(super) replaced: BTreeMap<ResourceId, String>,
    /// What is not wanted any more and uses something that is replaced, so that it cannot wait for the reap phase.
    unwanted: BTreeSet<ResourceId>,
}

impl Replacements {
    /// Finds them: first what the drivers cannot change, then what uses that in the same scope.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a driver that is not there.
    pub(super) fn find(
        graph: &Graph,
        order: &[&ResourceId],
        state: &SliceState,
        seen: &Observations,
        drivers: &Drivers,
    ) -> Result<Self> {
        let mut found = Self::default();
        for id in order {
            let node = &graph.nodes[*id];
            let Some(have) = present(id, state, seen) else { continue };
            if found.goes_with_host(id) {
                continue;
            }
            let recorded = state.records.get(*id).map(|record| &record.driver);
            if let Some(other) = recorded.filter(|driver| **driver != node.driver) {
                let because = format!("its driver changes from \"{other}\" to \"{}\"", node.driver);
                found.replaced.insert((*id).clone(), because);
            } else if let Verdict::Replace { because } = drivers.find(&node.driver)?.compare(have, &node.spec)
            {
                found.replaced.insert((*id).clone(), because);
            }
        }
        while !found.replaced.is_empty() && found.add_users(graph, state) {}
        Ok(found)
    }

    /// Whether `id` is gone together with a host that is replaced. A port is unbound by itself.
    fn goes_with_host(&self, id: &ResourceId) -> bool {
        // Nothing is replaced by most plans.
        !self.replaced.is_empty() && id.kind() != KindName::Port && id.hosts().any(|host| self.goes(&host))
    }

    fn goes(&self, id: &ResourceId) -> bool {
        self.replaced.contains_key(id) || self.unwanted.contains(id)
    }

    /// Adds what uses something that goes; whether there was any.
    fn add_users(&mut self, graph: &Graph, state: &SliceState) -> bool {
        let mut added = false;
        for record in state.records.values() {
            let id = &record.id;
            if self.goes(id) || self.goes_with_host(id) {
                continue;
            }
            let in_the_way = |used: &&ResourceId| used.scope() == id.scope() && self.goes(used);
            let host = id.host().filter(|host| id.kind() == KindName::Port && self.goes(host));
            let Some(used) = record.uses.iter().find(in_the_way).or(host.as_ref()) else { continue };
            added = true;
            if graph.nodes.contains_key(id) {
                let because = format!("\"{used}\" is replaced");
                self.replaced.insert(id.clone(), because);
            } else {
                self.unwanted.insert(id.clone());
            }
        }
        added
    }

    /// Refuses replacements that were not allowed.
    pub(super) fn check(&self, allowed: bool) -> Result<()> {
        match self.replaced.iter().next() {
            Some((id, because)) if !allowed => Err(Error::new(
                ErrorKind::Infeasible,
                format!("cannot change {} \"{id}\" in place: {because}", id.kind()),
            )
            .with_help("allow it to be removed and made again (--allow-replace); the plan then says which data are lost")),
            _ => Ok(()),
        }
    }

    /// The deletes, users and contents before what they rest on.
    pub(super) fn deletes(&self, state: &SliceState, seen: &Observations) -> Vec<Step> {
        let mut open: Vec<&Arc<Record>> =
            state.records.values().filter(|record| self.goes(&record.id)).collect();
        let mut numbers: BTreeMap<&ResourceId, StepId> = BTreeMap::new();
        let mut steps = Vec::with_capacity(open.len());
        while !open.is_empty() {
            let rests_on =
                |other: &Record, id: &ResourceId| other.uses.contains(id) || id.contains(&other.id);
            let is_free = |record: &&Arc<Record>| !open.iter().any(|other| rests_on(other, &record.id));
            let (free, rest): (Vec<_>, Vec<_>) = open.iter().copied().partition(is_free);
            // Uses have no circles; should one appear, the rest goes in the order of ids.
            let (free, rest) = if free.is_empty() { (rest, free) } else { (free, rest) };
            for record in free {
                let first = state.records.values().filter(|other| rests_on(other, &record.id));
                let after = first.filter_map(|other| numbers.get(&other.id)).copied().collect();
                numbers.insert(&record.id, StepId(u32::try_from(steps.len()).unwrap_or(u32::MAX)));
                steps.push(self.delete(record, after, state, seen));
            }
            open = rest;
        }
        steps
    }

    fn delete(&self, record: &Record, after: Vec<StepId>, state: &SliceState, seen: &Observations) -> Step {
        let before = present(&record.id, state, seen).unwrap_or(&record.spec);
        let along = state.records.keys().filter(|other| record.id.contains(other) && !self.goes(other));
        Step {
            resource: record.id.clone(),
            driver: record.driver.clone(),
            phase: Phase::Build,
            change: Change::Delete { before: Arc::new(before.clone()) },
            condition: Condition::Always,
            ownership: Ownership::Ours,
            uses: record.uses.clone(),
            after,
            reason: match self.replaced.get(&record.id) {
                Some(because) => Reason::Replaced { because: because.clone() },
                None => Reason::Unwanted,
            },
            basis: Basis::Observed,
            takes_along: along.cloned().collect(),
        }
    }
}

/// What is there now, seen or, where it cannot be seen, recorded.
fn present<'a>(id: &ResourceId, state: &'a SliceState, seen: &'a Observations) -> Option<&'a Spec> {
    match seen.sight(id) {
        Sight::Present { spec, .. } => Some(spec),
        Sight::Unknown(_) => state.records.get(id).map(|record| &*record.spec),
        Sight::Absent | Sight::Foreign { .. } => None,
    }
}
