//! Making a plan: surveys and observations around the pure planner.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::join_all;

use super::Engine;
use crate::{
    chart,
    error::{Error, ErrorKind, Result},
    model::{Infrastructure, InfrastructureName, Slice, SliceName},
    orchestrator::Intent,
    place::Facts,
    plan::{Finding, PLAN_FORMAT, PlaceSummary, Plan, Planner, SlicePlan, Surveys},
    resource::Location,
    store::{SliceState, Snapshot},
};

/// How many slices are observed at once.
const OBSERVED_AT_ONCE: usize = 64;

type Targets = Vec<(SliceName, Option<Arc<Slice>>)>;

impl Engine {
    pub(super) async fn make_plan(&self, intent: &Intent) -> Result<Plan> {
        let pinned = self.pinned(intent).await?;
        let intent = pinned.as_ref().unwrap_or(intent);
        let snapshot = self.shared.store.snapshot().await?;
        let targets = targets(intent, &snapshot)?;
        let infrastructures = merged(intent, &snapshot);
        self.shared.connections.update(&infrastructures);
        let surveys = self.survey(infrastructures.keys()).await;
        let mut planner = Planner::new(intent, &snapshot, &self.drivers, &*self.placer, &surveys);
        let mut slices = Vec::with_capacity(targets.len());
        for chunk in targets.chunks(OBSERVED_AT_ONCE) {
            let mut drafts = Vec::with_capacity(chunk.len());
            for (name, document) in chunk {
                let state = snapshot.slices.get(name).cloned().unwrap_or_default();
                drafts.push(planner.draft(name, document.clone(), state)?);
            }
            let looks = drafts.iter().map(|draft| self.observe(draft.scopes()));
            for (seen, draft) in join_all(looks).await.into_iter().zip(drafts) {
                slices.push(planner.plan(draft, &seen)?);
            }
        }
        check_removed(intent, &snapshot, &slices)?;
        let changed = |place: &&Infrastructure| {
            snapshot.infrastructures.get(&place.name).map(AsRef::as_ref) != Some(*place)
        };
        let changed: Vec<_> = intent.infrastructures.iter().filter(changed).cloned().map(Arc::new).collect();
        let unusable = changed.iter().filter_map(|place| {
            let cause = surveys.get(&place.name)?.as_ref().err()?;
            Some((place.name.clone(), cause.clone()))
        });
        Ok(Plan {
            format: PLAN_FORMAT,
            unusable: unusable.collect(),
            infrastructures: changed,
            removed_infrastructures: intent.delete_infrastructures.clone(),
            places: places(&infrastructures, &slices),
            slices,
        })
    }

    /// The intent with its charts pinned; none where there are none to pin.
    async fn pinned(&self, intent: &Intent) -> Result<Option<Intent>> {
        let Some(resolver) = self.charts.as_ref().filter(|_| intent.slices.iter().any(Slice::has_charts))
        else {
            return Ok(None);
        };
        let mut pinned = intent.clone();
        chart::pin(&**resolver, &mut pinned.slices).await?;
        Ok(Some(pinned))
    }

    /// What the drivers find wrong with slices, each with its place in the document; without looking at the world.
    ///
    /// # Errors
    /// What the store says.
    pub async fn findings(&self, intent: &Intent) -> Result<Vec<Finding>> {
        let snapshot = self.shared.store.snapshot().await?;
        let surveys = Surveys::new();
        let mut planner = Planner::new(intent, &snapshot, &self.drivers, &*self.placer, &surveys);
        let unknown = SliceState::default();
        let findings = intent.slices.iter().map(|slice| {
            let state = snapshot.slices.get(&slice.name).map_or(&unknown, AsRef::as_ref);
            planner.findings(slice, state)
        });
        Ok(findings.flatten().collect())
    }

    /// Surveys all of these infrastructures at once.
    pub(super) async fn survey(
        &self,
        infrastructures: impl IntoIterator<Item = &InfrastructureName>,
    ) -> Surveys {
        let looks = infrastructures.into_iter().map(|name| async move {
            let look = async { self.shared.connections.place(name)?.survey().await };
            let facts = tokio::time::timeout(self.shared.limits.observe_deadline, look).await;
            let late = || {
                Error::new(
                    ErrorKind::Unavailable,
                    format!("cannot survey infrastructure \"{name}\": no answer in time"),
                )
            };
            let facts: Result<Facts> = facts.unwrap_or_else(|_| Err(late()));
            (name.clone(), facts.map_err(|error| error.to_cause()))
        });
        join_all(looks).await.into_iter().collect()
    }
}

fn merged(intent: &Intent, snapshot: &Snapshot) -> BTreeMap<InfrastructureName, Arc<Infrastructure>> {
    let mut infrastructures = snapshot.infrastructures.clone();
    infrastructures
        .extend(intent.infrastructures.iter().map(|place| (place.name.clone(), Arc::new(place.clone()))));
    infrastructures
}

/// The slices that a plan is for, with what each is to become.
fn targets(intent: &Intent, snapshot: &Snapshot) -> Result<Targets> {
    let unknown = |name: &str| {
        Error::new(ErrorKind::NotFound, format!("cannot find slice \"{name}\""))
            .with_help("iotorch get slices lists those that are known")
    };
    let mut targets: BTreeMap<SliceName, Option<Arc<Slice>>> = BTreeMap::new();
    let named = intent.adopt.iter().chain(&intent.rotate).map(|id| SliceName::new(id.slice()));
    let named = named.chain(intent.reconcile.iter().cloned().map(Ok)).collect::<Result<Vec<_>>>()?;
    let given: BTreeMap<_, _> = intent.slices.iter().map(|slice| (&slice.name, slice)).collect();
    for name in named.into_iter().filter(|name| !given.contains_key(name)) {
        let state = snapshot.slices.get(&name).ok_or_else(|| unknown(name.as_str()))?;
        targets.insert(name, state.document.clone());
    }
    for (name, slice) in given {
        targets.insert(name.clone(), Some(Arc::new(slice.clone())));
    }
    for name in &intent.delete {
        if !snapshot.slices.contains_key(name) {
            return Err(unknown(name.as_str()));
        }
        targets.insert(name.clone(), None);
    }
    Ok(targets.into_iter().collect())
}

/// Refuses to remove an infrastructure that slices are still on.
fn check_removed(intent: &Intent, snapshot: &Snapshot, slices: &[SlicePlan]) -> Result<()> {
    for removed in &intent.delete_infrastructures {
        let leaves =
            |slice: &SliceName| slices.iter().any(|plan| plan.slice == *slice && plan.document.is_none());
        let still = snapshot.slices.iter().find(|(name, state)| {
            let there = |id| matches!(crate::resource::ResourceId::location(id), Location::Infrastructure(place) if place == *removed);
            !leaves(name) && state.records.keys().any(there)
        });
        if let Some((name, _)) = still {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("cannot remove infrastructure \"{removed}\": slice \"{name}\" is on it"),
            )
            .with_help(
                "move or delete the slice first; iotorch forget is for a place that is gone for good",
            ));
        }
        let names = |(name, state): &(&SliceName, &Arc<SliceState>)| {
            let planned = slices.iter().find(|plan| plan.slice == **name);
            let document = planned.map_or(&state.document, |plan| &plan.document);
            document.as_ref().is_some_and(|slice| slice.names(removed))
        };
        if let Some((name, _)) = snapshot.slices.iter().find(names) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("cannot remove infrastructure \"{removed}\": slice \"{name}\" names it"),
            )
            .with_help("change or delete the slice first"));
        }
    }
    Ok(())
}

fn places(
    infrastructures: &BTreeMap<InfrastructureName, Arc<Infrastructure>>,
    slices: &[SlicePlan],
) -> BTreeMap<InfrastructureName, PlaceSummary> {
    let chosen =
        slices.iter().flat_map(|slice| &slice.placements).map(|choice| choice.infrastructure.clone());
    let touched =
        slices.iter().flat_map(|slice| &slice.steps).filter_map(|step| match step.resource.location() {
            Location::Infrastructure(name) => Some(name),
            _ => None,
        });
    let mut places = BTreeMap::new();
    for name in chosen.chain(touched) {
        if let Some(place) = infrastructures.get(&name) {
            let (driver, tier) = (place.spec.driver.clone(), place.spec.tier);
            places.entry(name).or_insert(PlaceSummary { driver, tier });
        }
    }
    places
}
