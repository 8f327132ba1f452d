//! The planner: puts placement, expansion, difference and admission together. It is pure; whoever hosts it brings the surveys and
//! observations.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::{
    Base, Finding, PlacementChoice, SlicePlan, Warning,
    diff::{Allowed, Build, unwanted},
    expand::{Surroundings, expand},
    graph::Graph,
    ledger::{Ledger, capacity_claims},
    observations::Observations,
    reap::reap,
};
use crate::{
    domain::Scope,
    driver::{Claim, Drivers},
    error::{Cause, Error, ErrorKind, Result},
    model::{DriverName, Infrastructure, InfrastructureName, Slice, SliceName},
    orchestrator::Intent,
    place::Facts,
    placement::Placer,
    resource::{
        ApplicationOutputs, ApplicationSpec, Endpoint, KindName, Layer, NetAddress, Outputs, ResourceId, Spec,
    },
    secret::SecretRef,
    store::{Record, SliceState, Snapshot},
};

/// What was found when the places were surveyed.
pub type Surveys = BTreeMap<InfrastructureName, Result<Facts, Cause>>;

/// Plans slice after slice; what one takes of a place is not there for the next.
pub struct Planner<'a> {
    pub(super) intent: &'a Intent,
    pub(super) drivers: &'a Drivers,
    pub(super) placer: &'a dyn Placer,
    pub(super) surveys: &'a Surveys,
    pub(super) infrastructures: BTreeMap<InfrastructureName, Arc<Infrastructure>>,
    reservations: Arc<BTreeMap<ResourceId, Vec<Claim>>>,
    pub(super) ledger: Ledger,
}

impl std::fmt::Debug for Planner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planner")
            .field("infrastructures", &self.infrastructures.keys())
            .finish_non_exhaustive()
    }
}

/// A slice that is placed and expanded, and waits for observations.
#[derive(Debug)]
pub struct Draft {
    slice: SliceName,
    document: Option<Arc<Slice>>,
    state: Arc<SliceState>,
    graph: Graph,
    placements: Vec<PlacementChoice>,
}

impl<'a> Planner<'a> {
    /// A planner for `intent` on what is stored.
    pub fn new(
        intent: &'a Intent,
        snapshot: &Snapshot,
        drivers: &'a Drivers,
        placer: &'a dyn Placer,
        surveys: &'a Surveys,
    ) -> Self {
        let mut infrastructures = snapshot.infrastructures.clone();
        infrastructures
            .extend(intent.infrastructures.iter().map(|place| (place.name.clone(), Arc::new(place.clone()))));
        infrastructures.retain(|name, _| !intent.delete_infrastructures.contains(name));
        let reservations = Arc::clone(&snapshot.reservations);
        let ledger = Ledger::new(&reservations);
        Self { intent, drivers, placer, surveys, infrastructures, reservations, ledger }
    }

    /// The infrastructures as they will be.
    #[must_use]
    pub const fn infrastructures(&self) -> &BTreeMap<InfrastructureName, Arc<Infrastructure>> {
        &self.infrastructures
    }

    /// Places and expands a slice; `document` is what it is to become, none when it is to go.
    ///
    /// # Errors
    /// [`ErrorKind::Infeasible`] for a part that fits nowhere, with every place and why not; [`ErrorKind::Unsupported`] or
    /// [`ErrorKind::Invalid`] with what the drivers find wrong.
    pub fn draft(
        &mut self,
        slice: &SliceName,
        document: Option<Arc<Slice>>,
        state: Arc<SliceState>,
    ) -> Result<Draft> {
        let Some(document) = document else {
            let (graph, placements) = (Graph::default(), Vec::new());
            return Ok(Draft { slice: slice.clone(), document: None, state, graph, placements });
        };
        let full = Slice::clone(&document).with_defaults();
        let placements = self.place(&full, &state)?;
        let graph = self.expand(&full, &placements, &state)?;
        self.check_named(slice, &graph)?;
        let findings = graph.findings(slice, self.drivers);
        if let Some(first) = findings.first() {
            let faults: Vec<_> =
                findings.iter().map(|found| format!("{}: {}", found.pointer, found.issue.message)).collect();
            let error = Error::new(
                ErrorKind::Invalid,
                format!("cannot plan slice \"{slice}\": {}", faults.join("; ")),
            );
            return Err(match &first.issue.help {
                Some(help) => error.with_help(help.clone()),
                None => error,
            });
        }
        Ok(Draft { slice: slice.clone(), document: Some(document), state, graph, placements })
    }

    /// Refuses to rotate or adopt what a slice is not made of: a misspelt id would change nothing, unseen.
    fn check_named(&self, slice: &SliceName, graph: &Graph) -> Result<()> {
        let of_slice = |id: &&ResourceId| id.slice() == slice.as_str();
        let refused = |verb: &str, id: &ResourceId, what: &str| {
            Error::new(ErrorKind::NotFound, format!("cannot {verb} \"{id}\": slice \"{slice}\" {what}"))
                .with_help(format!("iotorch status {slice} --output json names what it is made of"))
        };
        if let Some(id) = self.intent.rotate.iter().filter(of_slice).find(|id| !graph.holds_secret(id)) {
            return Err(refused("rotate", id, "has no device, attachment or tenant of that name"));
        }
        if let Some(id) = self.intent.adopt.iter().filter(of_slice).find(|id| !graph.nodes.contains_key(id)) {
            return Err(refused("adopt", id, "is not to have it"));
        }
        Ok(())
    }

    /// What is wrong with a slice although its document is right, each with its place in the document: parts that fit nowhere; else
    /// what the drivers cannot do.
    #[must_use]
    pub fn findings(&mut self, slice: &Slice, state: &SliceState) -> Vec<Finding> {
        let full = slice.clone().with_defaults();
        let misfits = self.misfits(&full, state);
        let Ok(placements) = self.place(&full, state) else { return misfits };
        self.expand(&full, &placements, state)
            .map_or_else(|_| Vec::new(), |graph| graph.findings(&slice.name, self.drivers))
    }

    fn expand(&self, slice: &Slice, placements: &[PlacementChoice], state: &SliceState) -> Result<Graph> {
        let nodes = self.nodes(state);
        let generation = |holder: &ResourceId| {
            let next = u32::from(self.intent.rotate.contains(holder));
            latest_generation(holder, state).map_or(1, |latest| latest + next)
        };
        let places =
            placements.iter().map(|choice| (choice.part.clone(), choice.infrastructure.clone())).collect();
        let (drivers, infrastructures) = (self.drivers, &self.infrastructures);
        expand(
            slice,
            &Surroundings { drivers, infrastructures, places, nodes: &nodes, generation: &generation },
        )
    }

    /// The node addresses of each place: surveyed, or as recorded while the place cannot be reached.
    fn nodes(&self, state: &SliceState) -> BTreeMap<InfrastructureName, Vec<IpAddr>> {
        let mut nodes = BTreeMap::new();
        for (name, survey) in self.surveys {
            if let Ok(facts) = survey {
                nodes.insert(name.clone(), facts.nodes.clone());
            }
        }
        let segments = state.records.values().filter_map(|record| match &*record.spec {
            Spec::Segment(segment) => Some(segment),
            _ => None,
        });
        for endpoint in segments.flat_map(|segment| &segment.endpoints) {
            if let Some(place) = &endpoint.infrastructure {
                nodes.entry(place.clone()).or_insert_with(|| endpoint.nodes.clone());
            }
        }
        nodes
    }

    /// Computes the plan of a drafted slice from what was seen.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] for foreign objects; [`ErrorKind::Infeasible`] for replacements that were not allowed and for shared
    /// things that are used up.
    pub fn plan(&mut self, draft: Draft, seen: &Observations) -> Result<SlicePlan> {
        let Draft { slice, document, state, graph, placements } = draft;
        let allowed = Allowed {
            adopt: &self.intent.adopt,
            rotate: &self.intent.rotate,
            replace: self.intent.allow_replace,
        };
        let mut build = Build::new(&graph, &state, seen, self.drivers, allowed);
        build.run()?;
        let Build { mut steps, mut warnings, unchanged, .. } = build;
        let driver_of = |id: &ResourceId| self.driver_of(id, &state, &graph);
        warnings.extend(reap(&graph, &state, seen, &driver_of, &mut steps));
        let document_changed = state.document != document;
        let mut plan = SlicePlan {
            on_failure: document
                .as_ref()
                .or(state.document.as_ref())
                .map(|slice| slice.spec.on_failure)
                .unwrap_or_default(),
            offline: document
                .as_ref()
                .or(state.document.as_ref())
                .map(|slice| slice.spec.offline)
                .unwrap_or_default(),
            slice,
            document,
            document_changed,
            placements,
            base: BTreeMap::new(),
            claims: BTreeMap::new(),
            held: BTreeMap::new(),
            secrets: Vec::new(),
            warnings,
            unchanged,
            steps,
        };
        let touched: BTreeSet<_> = plan.steps.iter().map(|step| step.resource.scope()).collect();
        plan.base = touched.into_iter().map(|root| (root.clone(), seen.base(&root, &state))).collect();
        plan.warnings.extend(assumed(&plan.base, seen));
        if plan.steps.is_empty() {
            return Ok(plan);
        }
        plan.claims = self.claims(&graph);
        plan.held = plan
            .claims
            .keys()
            .filter_map(|id| Some((id.clone(), self.reservations.get(id)?.clone())))
            .collect();
        let leaving: Vec<_> = unwanted(&graph, &state).map(|record| record.id.clone()).collect();
        self.ledger.admit(&plan.claims, &leaving)?;
        plan.secrets = secrets(&plan);
        plan.warnings.extend(unenforced(&plan, self.drivers));
        Ok(plan)
    }

    fn claims(&self, graph: &Graph) -> BTreeMap<ResourceId, Vec<Claim>> {
        let mut claims = BTreeMap::new();
        for (id, node) in &graph.nodes {
            let mut wanted = self
                .drivers
                .find(&node.driver)
                .map_or_else(|_| Vec::new(), |driver| driver.claims(&node.spec));
            if let Some(place) =
                InfrastructureName::new(id.place()).ok().and_then(|name| self.infrastructures.get(&name))
            {
                wanted.extend(capacity_claims(place, self.capacity(place), &node.spec));
            }
            if !wanted.is_empty() {
                claims.insert(id.clone(), wanted);
            }
        }
        claims
    }

    /// The driver of a marked object that no record knows: the one of its nearest known host, or of its place.
    fn driver_of(&self, id: &ResourceId, state: &SliceState, graph: &Graph) -> Option<DriverName> {
        let known = |id: &ResourceId| {
            let wanted = graph.nodes.get(id).map(|node| &node.driver);
            wanted.or_else(|| state.records.get(id).map(|record| &record.driver)).cloned()
        };
        match id.kind() {
            KindName::Space | KindName::Workload => {
                let name = InfrastructureName::new(id.place()).ok()?;
                self.infrastructures.get(&name).map(|place| place.spec.driver.clone())
            }
            _ => known(&id.scope()),
        }
    }
}

impl Draft {
    /// The slice.
    #[must_use]
    pub const fn slice(&self) -> &SliceName {
        &self.slice
    }

    /// What has to be observed, with the driver whose domain does it. Spaces, segments and what is external come first: what they
    /// show decides whether the applications in them can be looked at.
    #[must_use]
    pub fn scopes(&self) -> Vec<(DriverName, Scope)> {
        scopes(&self.graph, &self.state)
    }
}

/// The scopes of everything that is wanted or recorded and can be looked at.
fn scopes(graph: &Graph, state: &SliceState) -> Vec<(DriverName, Scope)> {
    let mut scopes: BTreeMap<ResourceId, (Option<DriverName>, Scope)> = BTreeMap::new();
    let wanted = graph.nodes.iter().map(|(id, node)| (id, &node.driver, None));
    let recorded =
        state.records.values().map(|record: &Arc<Record>| (&record.id, &record.driver, Some(record)));
    // What is there is looked at by the driver that made it.
    for (id, driver, record) in recorded.chain(wanted) {
        let root = id.scope();
        let (root_driver, scope) = scopes.entry(root.clone()).or_insert_with(|| {
            let application =
                state.records.get(&root).and_then(|record| application_outputs(&record.outputs));
            let (known, recorded) = (BTreeSet::from([root.clone()]), BTreeMap::new());
            (None, Scope { root: root.clone(), known, recorded, application })
        });
        root_driver.get_or_insert_with(|| driver.clone());
        scope.known.insert(id.clone());
        if let Some(record) = record {
            scope.recorded.insert(id.clone(), Arc::clone(&record.spec));
        }
    }
    for (root, (_, scope)) in &mut scopes {
        if let Some(node) = graph.nodes.get(root).filter(|_| scope.application.is_none()) {
            introduce(scope, &node.spec);
        }
    }
    // An application that does not run yet cannot be asked: what should be in it is absent.
    let mut askable: Vec<_> = scopes
        .into_values()
        .filter(|(_, scope)| scope.root.kind() != KindName::Application || scope.application.is_some())
        .filter_map(|(driver, scope)| Some((driver?, scope)))
        .collect();
    askable.sort_by_key(|(_, scope)| scope.root.kind() == KindName::Application);
    askable
}

pub(crate) fn recorded_scopes(state: &SliceState) -> Vec<(DriverName, Scope)> {
    scopes(&Graph::default(), state)
}

/// The scope of a root that was never made and is to be as `spec` says.
pub(crate) fn fresh_scope(
    driver: &DriverName,
    root: &ResourceId,
    spec: Option<&Arc<Spec>>,
) -> Option<(DriverName, Scope)> {
    let known = BTreeSet::from([root.clone()]);
    let mut scope = Scope { root: root.clone(), known, recorded: BTreeMap::new(), application: None };
    spec.into_iter().for_each(|spec| introduce(&mut scope, spec));
    let askable = root.kind() != KindName::Application || scope.application.is_some();
    askable.then(|| (driver.clone(), scope))
}

/// Has an application that runs outside of iotorch, and that no run has worked on yet, be reached as its document says: what
/// others have put into it is there already.
fn introduce(scope: &mut Scope, spec: &Arc<Spec>) {
    if let Spec::Application(ApplicationSpec { external: Some(external), admin, .. }) = &**spec {
        let net = |(name, address): (&String, &NetAddress)| (name.clone(), Endpoint::Net(address.clone()));
        let endpoints = external.endpoints.iter().map(net).collect();
        let outputs = ApplicationOutputs { version: String::new(), endpoints, admin: admin.clone() };
        scope.application = Some(outputs);
        scope.recorded.insert(scope.root.clone(), Arc::clone(spec));
    }
}

fn application_outputs(outputs: &Outputs) -> Option<ApplicationOutputs> {
    match outputs {
        Outputs::Application(outputs) => Some(outputs.clone()),
        _ => None,
    }
}

fn latest_generation(holder: &ResourceId, state: &SliceState) -> Option<u32> {
    if let Some(Spec::Tenant(tenant)) = state.records.get(holder).map(|record| &*record.spec) {
        return Some(tenant.secret.version());
    }
    let from = holder.credential(0);
    let same_holder = |id: &&ResourceId| id.host().as_ref() == Some(holder);
    let after = state
        .records
        .range(holder.clone()..)
        .map(|(id, _)| id)
        .take_while(|id| id.as_str().starts_with(holder.as_str()));
    let credentials = after.filter(|id| id.kind() == from.kind()).filter(same_holder);
    credentials.filter_map(|id| id.name().parse().ok()).max()
}

/// The secrets that the steps of a plan need and iotorch chooses.
fn secrets(plan: &SlicePlan) -> Vec<SecretRef> {
    let made = plan.steps.iter().filter_map(|step| step.change.after());
    let secrets = made.filter_map(|spec| minted(spec)).cloned();
    secrets.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The secret of a specification that iotorch chooses itself.
pub(crate) fn minted(spec: &Spec) -> Option<&SecretRef> {
    match spec {
        Spec::Application(application) if application.external.is_some() => None,
        Spec::Export(_) => None,
        other => other.secret(),
    }
}

/// The scopes that could not be looked at: those that steps touch, and those where no change is seen because nothing is.
fn assumed(base: &BTreeMap<ResourceId, Base>, seen: &Observations) -> Vec<Warning> {
    let touched = base.iter().filter_map(|(root, base)| match base {
        Base::Unknown { cause } => Some((root, cause)),
        Base::Digests(_) => None,
    });
    let asked = seen.scopes().filter_map(|(root, contents)| Some((root, contents.as_ref().err()?)));
    let unknown: BTreeMap<&ResourceId, &Cause> = touched.chain(asked).collect();
    let warning = |(root, cause): (&ResourceId, &Cause)| Warning::Assumed {
        root: root.clone(),
        cause: cause.root().to_owned(),
    };
    unknown.into_iter().map(warning).collect()
}

fn unenforced(plan: &SlicePlan, drivers: &Drivers) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for step in &plan.steps {
        let (Some(Spec::Segment(segment)), Ok(driver)) =
            (step.change.after().map(AsRef::as_ref), drivers.find(&step.driver))
        else {
            continue;
        };
        let enforced = driver.enforces();
        let only_declared =
            segment.wanted().into_iter().filter(|(objective, _)| !enforced.contains(objective));
        warnings.extend(only_declared.map(|(objective, value)| Warning::Unenforced {
            segment: step.resource.clone(),
            objective: format!("{objective} {value}"),
        }));
        if let Layer::Access(_) = segment.layer
            && enforced.is_empty()
        {
            warnings.push(Warning::Unenforced {
                segment: step.resource.clone(),
                objective: "the access technology".into(),
            });
        }
    }
    warnings
}
