//! The steps of the reap phase: what is not wanted any more goes, users before what they use.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Basis, Condition, Phase, Reason, Step, StepId, Warning,
    diff::{lost_data, unwanted},
    graph::Graph,
    observations::{Observations, Sight},
};
use crate::{
    domain::Observed,
    model::DriverName,
    resource::{Change, KindName, Location, Ownership, ResourceId, Spec},
    store::SliceState,
};

/// Something that is to go.
struct Doomed {
    driver: DriverName,
    before: Arc<Spec>,
    uses: Vec<ResourceId>,
    reason: Reason,
}

/// Appends the deletes to `steps`. `driver_of` finds the driver of a marked object that no record knows.
pub(crate) fn reap(
    graph: &Graph,
    state: &SliceState,
    seen: &Observations,
    driver_of: &dyn Fn(&ResourceId) -> Option<DriverName>,
    steps: &mut Vec<Step>,
) -> Vec<Warning> {
    let mut doomed: BTreeMap<ResourceId, Doomed> = unwanted(graph, state)
        .map(|record| {
            let before = match seen.sight(&record.id) {
                Sight::Present { spec, .. } => Arc::new(spec.clone()),
                _ => Arc::clone(&record.spec),
            };
            let (driver, uses) = (record.driver.clone(), record.uses.clone());
            (record.id.clone(), Doomed { driver, before, uses, reason: Reason::Unwanted })
        })
        .collect();
    for (_, contents) in seen.scopes() {
        for (id, observed) in contents.iter().flatten() {
            let known = graph.nodes.contains_key(id) || state.records.contains_key(id);
            if let (false, Observed::Present { spec, .. }, Some(driver)) = (known, observed, driver_of(id)) {
                let before = Arc::new(spec.clone());
                doomed.insert(
                    id.clone(),
                    Doomed { driver, before, uses: Vec::new(), reason: Reason::Orphaned },
                );
            }
        }
    }
    // What a replacement removes, or takes along, is gone by then.
    for step in steps.iter().filter(|step| step.change.is_delete()) {
        doomed.remove(&step.resource);
        doomed.retain(|id, _| !step.takes_along.contains(id));
    }
    let carriers: BTreeMap<&ResourceId, ResourceId> =
        doomed.keys().filter_map(|id| Some((id, carrier(id, &doomed)?))).collect();
    let mut warnings = Vec::new();
    let order = order(&doomed, &carriers);
    let mut numbers: BTreeMap<ResourceId, StepId> = BTreeMap::new();
    for (id, first) in &order {
        let Some(gone) = doomed.get(*id) else { continue };
        let takes_along: Vec<_> =
            carriers.iter().filter(|(_, carrier)| *carrier == *id).map(|(id, _)| (*id).clone()).collect();
        warnings.extend(lost_data(id, &takes_along));
        let number = StepId(u32::try_from(steps.len()).unwrap_or(u32::MAX));
        let mut after: Vec<StepId> = first.iter().filter_map(|id| numbers.get(*id)).copied().collect();
        after.sort_unstable();
        numbers.insert((*id).clone(), number);
        let basis = match seen.sight(id) {
            Sight::Unknown(_) => Basis::Assumed,
            _ => Basis::Observed,
        };
        steps.push(Step {
            resource: (*id).clone(),
            driver: gone.driver.clone(),
            phase: Phase::Reap,
            change: Change::Delete { before: Arc::clone(&gone.before) },
            condition: Condition::Always,
            ownership: Ownership::Ours,
            uses: gone.uses.clone(),
            after,
            reason: gone.reason.clone(),
            basis,
            takes_along,
        });
    }
    warnings
}

/// The outermost doomed host with which `id` goes without a call of its own.
///
/// A port is always unbound by itself, because its workload may not go while it is bound; and what is in an application outside of
/// iotorch stays when only the record of that application goes.
fn carrier(id: &ResourceId, doomed: &BTreeMap<ResourceId, Doomed>) -> Option<ResourceId> {
    if id.kind() == KindName::Port || id.location() == Location::External {
        return None;
    }
    id.hosts().filter(|host| doomed.contains_key(host)).last()
}

/// The deletes in an order in which users and contents go first, each with those that must be gone before it.
fn order<'a>(
    doomed: &'a BTreeMap<ResourceId, Doomed>,
    carriers: &'a BTreeMap<&ResourceId, ResourceId>,
) -> Vec<(&'a ResourceId, BTreeSet<&'a ResourceId>)> {
    let step_of = |id: &'a ResourceId| carriers.get(id).unwrap_or(id);
    let mut before: BTreeMap<&ResourceId, BTreeSet<&ResourceId>> = BTreeMap::new();
    let mut lifted = Vec::new();
    for (id, gone) in doomed {
        let user = step_of(id);
        before.entry(user).or_default();
        let needed = gone.uses.iter().filter_map(|used| doomed.get_key_value(used)).map(|(used, _)| used);
        let host = id.host().and_then(|host| doomed.get_key_value(&host)).map(|(host, _)| host);
        for used in needed.chain(host) {
            let used_step = step_of(used);
            if used_step == user {
                continue;
            }
            if user == id && used_step == used {
                before.entry(used_step).or_default().insert(user);
            } else {
                lifted.push((used_step, user));
            }
        }
    }
    // Two spaces can each hold users of the other's contents. Going together they need no order, so an edge that would close a
    // circle is left out.
    for (used, user) in lifted {
        if !reaches(&before, used, user) {
            before.entry(used).or_default().insert(user);
        }
    }
    let mut ordered = Vec::with_capacity(before.len());
    let mut placed = BTreeSet::new();
    for id in before.keys() {
        visit(id, &before, &mut placed, &mut ordered);
    }
    ordered.into_iter().map(|id| (id, before.remove(id).unwrap_or_default())).collect()
}

/// Whether `from` must be gone before `to`, through however many others.
fn reaches(
    before: &BTreeMap<&ResourceId, BTreeSet<&ResourceId>>,
    from: &ResourceId,
    to: &ResourceId,
) -> bool {
    let mut open = vec![to];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if id == from {
            return true;
        }
        if seen.insert(id) {
            open.extend(before.get(id).into_iter().flatten());
        }
    }
    false
}

fn visit<'a>(
    id: &'a ResourceId,
    before: &BTreeMap<&'a ResourceId, BTreeSet<&'a ResourceId>>,
    placed: &mut BTreeSet<&'a ResourceId>,
    ordered: &mut Vec<&'a ResourceId>,
) {
    if placed.insert(id) {
        for first in before.get(id).into_iter().flatten() {
            visit(first, before, placed, ordered);
        }
        ordered.push(id);
    }
}
