//! The difference between what is wanted and what is there: the steps of the build phase.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::{
    Basis, Condition, Phase, Reason, Step, StepId, Warning,
    graph::{Graph, Node},
    observations::{Observations, Sight},
    replace::Replacements,
};
use crate::{
    driver::{Driver, Drivers, Verdict},
    error::{Error, ErrorKind, Result},
    resource::{Change, KindName, Ownership, ResourceId, Spec},
    store::{Record, SliceState},
};

/// What a person allows a plan to do.
pub(crate) struct Allowed<'a> {
    pub(crate) adopt: &'a BTreeSet<ResourceId>,
    pub(crate) rotate: &'a BTreeSet<ResourceId>,
    pub(crate) replace: bool,
}

/// The steps that build what is wanted.
pub(crate) struct Build<'a> {
    graph: &'a Graph,
    state: &'a SliceState,
    seen: &'a Observations,
    drivers: &'a Drivers,
    allowed: Allowed<'a>,
    pub(crate) steps: Vec<Step>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) unchanged: usize,
    /// The last step on each resource.
    last: BTreeMap<ResourceId, StepId>,
    replaced: BTreeMap<ResourceId, String>,
}

/// What the diff of one resource comes to.
enum Outcome {
    Nothing,
    Step(Change<Arc<Spec>>, Condition, Ownership, Reason),
}

impl<'a> Build<'a> {
    pub(crate) const fn new(
        graph: &'a Graph,
        state: &'a SliceState,
        seen: &'a Observations,
        drivers: &'a Drivers,
        allowed: Allowed<'a>,
    ) -> Self {
        Self {
            graph,
            state,
            seen,
            drivers,
            allowed,
            steps: Vec::new(),
            warnings: Vec::new(),
            unchanged: 0,
            last: BTreeMap::new(),
            replaced: BTreeMap::new(),
        }
    }

    /// Computes the steps.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] for a foreign object, [`ErrorKind::Infeasible`] for a replacement that was not allowed.
    pub(crate) fn run(&mut self) -> Result<()> {
        let order = self.graph.in_order();
        let replacements = Replacements::find(self.graph, &order, self.state, self.seen, self.drivers)?;
        replacements.check(self.allowed.replace)?;
        for step in replacements.deletes(self.state, self.seen) {
            self.warnings.extend(lost_data(&step.resource, &step.takes_along));
            self.push(step);
        }
        self.replaced = replacements.replaced;
        for id in order {
            let node = &self.graph.nodes[id];
            let basis = match self.seen.sight(id) {
                Sight::Unknown(_) => Basis::Assumed,
                _ => Basis::Observed,
            };
            match self.outcome(id, node)? {
                Outcome::Nothing => self.unchanged += 1,
                Outcome::Step(change, condition, ownership, reason) => {
                    let after = self.prerequisites(id, node);
                    self.push(Step {
                        resource: id.clone(),
                        driver: node.driver.clone(),
                        phase: Phase::Build,
                        change,
                        condition,
                        ownership,
                        uses: node.uses.clone(),
                        after,
                        reason,
                        basis,
                        takes_along: Vec::new(),
                    });
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, step: Step) {
        let id = StepId(u32::try_from(self.steps.len()).unwrap_or(u32::MAX));
        self.last.insert(step.resource.clone(), id);
        self.steps.push(step);
    }

    /// The steps on the host and on what is used, and an earlier step on the resource itself.
    fn prerequisites(&self, id: &ResourceId, node: &Node) -> Vec<StepId> {
        let mut after: Vec<StepId> = self.last.get(id).into_iter().copied().collect();
        // A host that has no step may live in one that has.
        after.extend(id.hosts().find_map(|host| self.last.get(&host)).copied());
        after.extend(node.uses.iter().filter_map(|used| self.last.get(used)).copied());
        after.sort_unstable();
        after.dedup();
        after
    }

    fn driver(&self, node: &Node) -> Result<&'a Arc<dyn Driver>> {
        self.drivers.find(&node.driver)
    }

    fn outcome(&self, id: &ResourceId, node: &Node) -> Result<Outcome> {
        let record = self.state.records.get(id);
        let create = |reason| {
            Outcome::Step(
                Change::Create { after: Arc::clone(&node.spec) },
                Condition::Always,
                Ownership::Ours,
                reason,
            )
        };
        if let Some(because) = self.replaced.get(id) {
            return Ok(create(Reason::Replaced { because: because.clone() }));
        }
        if let Some(host) = id.hosts().find(|host| self.replaced.contains_key(host)) {
            return Ok(create(Reason::HostReplaced { host }));
        }
        let (have, outputs) = match self.seen.sight(id) {
            Sight::Foreign { owner, spec } => return self.foreign(id, node, owner, spec),
            Sight::Absent if record.is_some() => return Ok(create(Reason::Vanished)),
            Sight::Absent => return Ok(create(self.fresh(id))),
            Sight::Present { .. } if record.is_none() && id.is_external_application() => {
                return Ok(create(self.fresh(id)));
            }
            Sight::Present { spec, outputs, .. } => (spec, Some(outputs)),
            Sight::Unknown(_) => match record {
                Some(record) => (&*record.spec, None),
                None => return Ok(create(self.fresh(id))),
            },
        };
        let driver = self.driver(node)?;
        let update = |condition, reason| {
            let change = Change::Update { before: Arc::new(have.clone()), after: Arc::clone(&node.spec) };
            Outcome::Step(change, condition, Ownership::Ours, reason)
        };
        let Some(record) = record else {
            return Ok(update(Condition::Always, Reason::Orphaned));
        };
        if let Some(cause) = &record.tainted {
            return Ok(update(Condition::Always, Reason::Tainted { cause: cause.root().to_owned() }));
        }
        let as_recorded = driver.compare(&record.spec, &node.spec) == Verdict::Same;
        if driver.compare(have, &node.spec) != Verdict::Same {
            let reason = if as_recorded {
                Reason::Drifted { fields: fields(&node.spec, have) }
            } else {
                Reason::Changed { fields: fields(have, &node.spec) }
            };
            return Ok(update(Condition::Always, reason));
        }
        if !as_recorded {
            return Ok(update(
                Condition::Always,
                Reason::Changed { fields: fields(&record.spec, &node.spec) },
            ));
        }
        if outputs.is_some_and(|outputs| *outputs != record.outputs) {
            return Ok(update(Condition::Always, Reason::OutputsChanged));
        }
        let mut by: Vec<_> = id.host().into_iter().chain(node.uses.iter().cloned()).collect();
        by.retain(|other| self.last.contains_key(other));
        if by.is_empty() && record.uses == node.uses {
            return Ok(Outcome::Nothing);
        }
        by.extend(record.uses.iter().filter(|used| !node.uses.contains(used)).cloned());
        Ok(update(Condition::IfInputsChanged, Reason::MayBeAffected { by }))
    }

    /// Why a resource is made that was never there.
    fn fresh(&self, id: &ResourceId) -> Reason {
        let rotated = id.kind() == KindName::Credential
            && id.host().is_some_and(|holder| self.allowed.rotate.contains(&holder));
        if rotated { Reason::Rotated } else { Reason::New }
    }

    fn foreign(&self, id: &ResourceId, node: &Node, owner: &str, found: Option<&Spec>) -> Result<Outcome> {
        let refused =
            |why: &str| Error::new(ErrorKind::Conflict, format!("cannot make {} \"{id}\": {why}", id.kind()));
        if !self.allowed.adopt.contains(id) {
            let help = match found {
                Some(_) => format!("rename one of the two, or take the object over: iotorch adopt {id}"),
                None => "rename one of the two, or remove what is there: it cannot be taken over".to_owned(),
            };
            return Err(
                refused(&format!("an object of that name is there and belongs to {owner}")).with_help(help)
            );
        }
        let before = found
            .ok_or_else(|| refused("what is there cannot be read, so taking it over could not be undone"))?;
        let change = Change::Update { before: Arc::new(before.clone()), after: Arc::clone(&node.spec) };
        let reason = Reason::Adopted { owner: owner.to_owned() };
        Ok(Outcome::Step(change, Condition::Always, Ownership::Adopt, reason))
    }
}

/// The data that are lost when a resource goes with all that lives in it.
pub(crate) fn lost_data(id: &ResourceId, contents: &[ResourceId]) -> Vec<Warning> {
    let lost = |id: &ResourceId| match id.kind() {
        KindName::Attachment => Some(Warning::DataLost {
            resource: id.clone(),
            what: "the messages stored in its channel".into(),
        }),
        _ => None,
    };
    std::iter::once(id).chain(contents).filter_map(lost).collect()
}

/// What is recorded of resources that are to go.
pub(crate) fn unwanted<'a>(graph: &Graph, state: &'a SliceState) -> impl Iterator<Item = &'a Arc<Record>> {
    state.records.values().filter(move |record| !graph.nodes.contains_key(&record.id))
}

/// Where two specifications differ, as JSON pointers without the kind.
fn fields(before: &Spec, after: &Spec) -> Vec<String> {
    let content = |spec: &Spec| match serde_json::to_value(spec) {
        Ok(Value::Object(mut kinds)) => kinds.values_mut().next().map(Value::take).unwrap_or_default(),
        _ => Value::Null,
    };
    let mut found = Vec::new();
    differences(&content(before), &content(after), &mut String::new(), &mut found);
    found
}

fn differences(before: &Value, after: &Value, at: &mut String, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let length = at.len();
                at.push('/');
                at.push_str(&key.replace('~', "~0").replace('/', "~1"));
                differences(
                    a.get(key).unwrap_or(&Value::Null),
                    b.get(key).unwrap_or(&Value::Null),
                    at,
                    found,
                );
                at.truncate(length);
            }
        }
        _ if before != after => found.push(at.clone()),
        _ => {}
    }
}
