//! How a slice is: what is recorded, what is seen, and what its runs say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Engine;
use crate::{
    domain::Health,
    driver::Verdict,
    error::{Error, ErrorKind, Result},
    model::SliceName,
    plan::{Observations, Sight, recorded_scopes},
    resource::{KindName, ResourceId, Role, Spec},
    status::{Condition, ResourceStatus, SliceStatus},
    store::{Record, RunRow, RunState, Seen, Sighting, SliceState, Write},
};

impl Engine {
    pub(super) async fn look_at(&self, name: &SliceName) -> Result<SliceStatus> {
        self.connect().await?;
        let state = self.shared.store.slice(name).await?;
        if state.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, format!("cannot find slice \"{name}\""))
                .with_help("iotorch get slices lists those that are known"));
        }
        let run = match state.open_run {
            Some(id) => self.shared.store.run(id).await?,
            None => None,
        };
        let seen = self.observe(recorded_scopes(&state)).await;
        let sightings = self.remember(&state, &seen).await?;
        let resources: Vec<_> = self.resources(&state, &seen, &sightings, run.as_ref());
        let condition = self.condition(name, &resources, run.as_ref());
        let ready = |wanted: &dyn Fn(&ResourceStatus) -> bool| {
            let all: Vec<_> = resources.iter().filter(|resource| wanted(resource)).collect();
            (all.iter().filter(|resource| resource.condition.is_ready()).count(), all.len())
        };
        let in_role = |resource: &ResourceStatus, wanted: Role| matches!(&resource.spec, Some(Spec::Application(application)) if application.role == wanted);
        Ok(SliceStatus {
            slice: name.clone(),
            condition,
            gateways: ready(&|resource| in_role(resource, Role::Gateway)),
            servers: ready(&|resource| in_role(resource, Role::Server)),
            devices: ready(&|resource| resource.id.kind() == KindName::Device),
            last_change: state.records.values().map(|record| record.changed_at).max(),
            open_run: state.open_run,
            resources,
        })
    }

    /// Keeps how each scope looks, where that has changed; so "since" is the first time it looked so.
    async fn remember(
        &self,
        state: &SliceState,
        seen: &Observations,
    ) -> Result<BTreeMap<ResourceId, Arc<Sighting>>> {
        let mut sightings = state.sightings.clone();
        let mut writes = Vec::new();
        let roots: BTreeSet<_> = state.records.keys().map(ResourceId::scope).collect();
        for gone in state.sightings.keys().filter(|root| !roots.contains(*root)) {
            writes.push(Write::DropSighting(gone.clone()));
            sightings.remove(gone);
        }
        for root in roots {
            let now = self.seen(state, seen, &root);
            if sightings.get(&root).is_none_or(|before| !same_sight(&before.seen, &now)) {
                let sighting =
                    Arc::new(Sighting { root: root.clone(), since: self.shared.clock.now(), seen: now });
                writes.push(Write::PutSighting(Arc::clone(&sighting)));
                sightings.insert(root, sighting);
            }
        }
        if !writes.is_empty() {
            self.shared.store.commit(writes).await?;
        }
        Ok(sightings)
    }

    fn seen(&self, state: &SliceState, seen: &Observations, root: &ResourceId) -> Seen {
        if let Sight::Unknown(cause) = seen.sight(root) {
            return Seen::Unknown { cause: cause.clone() };
        }
        let (mut unwell, mut drifted) = (BTreeMap::new(), BTreeMap::new());
        for record in state.records.values().filter(|record| record.id.scope() == *root) {
            match self.drift(record, seen) {
                Some(how) => {
                    drifted.insert(record.id.clone(), how);
                }
                None => {
                    if let Sight::Present { health, .. } = seen.sight(&record.id)
                        && *health != Health::Ready
                    {
                        unwell.insert(record.id.clone(), health.clone());
                    }
                }
            }
        }
        Seen::Known { unwell, drifted }
    }

    /// How a resource differs from its record, if it does.
    fn drift(&self, record: &Record, seen: &Observations) -> Option<String> {
        match seen.sight(&record.id) {
            Sight::Absent => Some("removed outside".into()),
            Sight::Foreign { owner, .. } => Some(format!("belongs to {owner} now")),
            Sight::Present { spec, .. } => {
                let driver = self.drivers.find(&record.driver).ok()?;
                (driver.compare(spec, &record.spec) != Verdict::Same).then(|| "changed outside".into())
            }
            Sight::Unknown(_) => None,
        }
    }

    fn resources(
        &self,
        state: &SliceState,
        seen: &Observations,
        sightings: &BTreeMap<ResourceId, Arc<Sighting>>,
        run: Option<&RunRow>,
    ) -> Vec<ResourceStatus> {
        let steps = run.into_iter().flat_map(|row| &row.run.plan.steps);
        let deletes = steps.filter(|step| step.change.after().is_none());
        let going: BTreeSet<&ResourceId> =
            deletes.flat_map(|step| step.takes_along.iter().chain([&step.resource])).collect();
        let mut resources: BTreeMap<ResourceId, ResourceStatus> = BTreeMap::new();
        for record in state.records.values() {
            let condition = match seen.sight(&record.id) {
                Sight::Absent if going.contains(&record.id) => {
                    Condition::Pending { reason: "being removed".into() }
                }
                _ => self.resource_condition(record, seen, sightings),
            };
            let status = ResourceStatus {
                id: record.id.clone(),
                condition,
                outputs: Some(record.outputs.clone()),
                spec: Some((*record.spec).clone()),
                changed_at: Some(record.changed_at),
                run: Some(record.run),
                cause: record.tainted.clone(),
            };
            resources.insert(record.id.clone(), status);
        }
        // What an open run has still to make is part of the slice too.
        for step in run.into_iter().flat_map(|row| &row.run.plan.steps) {
            let Some(after) = step.change.after().filter(|_| !resources.contains_key(&step.resource)) else {
                continue;
            };
            let row = run.map(|row| (row.run.id, row.status.failed.as_ref(), row.status.cause.clone()));
            let failed = row.as_ref().is_some_and(|(_, failed, _)| *failed == Some(&step.resource));
            let cause = row.and_then(|(_, _, cause)| cause).filter(|_| failed);
            let condition = match &cause {
                Some(cause) => Condition::Failed { reason: cause.root().to_owned() },
                None => Condition::Pending { reason: "not made yet".into() },
            };
            let status = ResourceStatus {
                id: step.resource.clone(),
                condition,
                outputs: None,
                spec: Some((**after).clone()),
                changed_at: None,
                run: run.map(|row| row.run.id),
                cause,
            };
            resources.insert(step.resource.clone(), status);
        }
        resources.into_values().collect()
    }

    fn resource_condition(
        &self,
        record: &Record,
        seen: &Observations,
        sightings: &BTreeMap<ResourceId, Arc<Sighting>>,
    ) -> Condition {
        if let Some(cause) = &record.tainted {
            return Condition::Failed { reason: cause.root().to_owned() };
        }
        match seen.sight(&record.id) {
            Sight::Unknown(cause) => {
                let since = sightings
                    .get(&record.id.scope())
                    .map_or_else(|| self.shared.clock.now(), |sighting| sighting.since);
                Condition::Unknown { since, reason: cause.root().to_owned() }
            }
            // What is wrong with it tells a person more than that somebody has changed it.
            Sight::Present { health, .. } => match health {
                Health::Ready => match self.drift(record, seen) {
                    Some(how) => Condition::Degraded { reason: how },
                    None => Condition::Ready,
                },
                Health::Degraded { reason } => Condition::Degraded { reason: reason.clone() },
                Health::Failed { reason } => Condition::Failed { reason: reason.clone() },
            },
            Sight::Absent => Condition::Failed { reason: "removed outside".into() },
            Sight::Foreign { owner, .. } => Condition::Failed { reason: format!("belongs to {owner} now") },
        }
    }

    /// The condition of the slice: what its open run says, else the worst of its resources.
    fn condition(&self, slice: &SliceName, resources: &[ResourceStatus], run: Option<&RunRow>) -> Condition {
        let worst = resources.iter().fold(Condition::Ready, |worst, resource| {
            let named = match resource.condition.clone() {
                Condition::Degraded { reason } => {
                    Condition::Degraded { reason: format!("{} {reason}", short(&resource.id)) }
                }
                Condition::Failed { reason } => {
                    Condition::Failed { reason: format!("{} {reason}", short(&resource.id)) }
                }
                Condition::Pending { reason } => {
                    Condition::Pending { reason: format!("{} {reason}", short(&resource.id)) }
                }
                Condition::Unknown { since, .. } => {
                    Condition::Unknown { since, reason: resource.id.place().to_owned() }
                }
                Condition::Ready => Condition::Ready,
            };
            worst.worse(named)
        });
        let Some(row) = run else { return worst };
        let (id, state) = (row.run.id, row.status.state);
        let cause =
            || row.status.cause.as_ref().map_or_else(String::new, |cause| format!(": {}", cause.root()));
        let says = match state {
            RunState::Running if self.is_at_work(slice) => {
                Condition::Pending { reason: format!("run {id} is under way") }
            }
            RunState::Running => {
                Condition::Pending { reason: format!("run {id} was cut off; iotorch resume {id}") }
            }
            RunState::Interrupted | RunState::Waiting => {
                Condition::Pending { reason: format!("run {id} is {state}{}", cause()) }
            }
            RunState::Paused | RunState::Stuck => {
                Condition::Failed { reason: format!("run {id} is {state}{}", cause()) }
            }
            RunState::Succeeded | RunState::RolledBack | RunState::Kept => Condition::Ready,
        };
        worst.worse(says)
    }
}

/// A resource in a few words: its kind and name.
fn short(id: &ResourceId) -> String {
    match id.kind() {
        KindName::Space | KindName::Application | KindName::Tenant => {
            format!("{} {}", id.kind(), id.part().unwrap_or_else(|| id.place()))
        }
        kind => format!("{kind} {}", id.name()),
    }
}

/// Whether two sights mean the same to a person: of an unknown place only that it is unknown counts.
fn same_sight(before: &Seen, now: &Seen) -> bool {
    matches!((before, now), (Seen::Unknown { .. }, Seen::Unknown { .. })) || before == now
}
