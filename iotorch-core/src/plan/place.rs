//! Where the parts of a slice go.

use std::sync::Arc;

use super::{
    Candidate, Finding, PlacementChoice, Planner,
    ledger::capacity_claims,
    unusable::{self, Unusable},
};
use crate::{
    driver::Issue,
    error::{Error, ErrorKind, Result},
    model::{Capacity, Chart, DriverName, Infrastructure, PartName, Placement, Slice, SliceName},
    placement::{Demand, Offer},
    resource::{ResourceId, Role, Spec, WorkloadSpec},
    store::SliceState,
};

/// A part of a slice that is deployed somewhere.
struct Part<'a> {
    /// Where it stands in the document, as a JSON pointer.
    pointer: String,
    name: &'a PartName,
    role: Role,
    application: Option<&'a DriverName>,
    chart: Option<&'a Chart>,
    placement: &'a Placement,
}

impl Part<'_> {
    /// The workload it will be, as far as a place needs to know.
    fn workload(&self) -> Spec {
        Spec::Workload(WorkloadSpec {
            name: self.name.to_string(),
            role: self.role,
            application: self.application.cloned(),
            chart: self.chart.cloned(),
            physical: None,
            needs: self.placement.needs,
            settings: crate::model::Settings::new(),
            admin: None,
        })
    }
}

/// A part that fits nowhere.
struct Misfit {
    error: Error,
    /// The places that might take it and cannot be used.
    unusable: Unusable,
}

impl Misfit {
    const fn new(error: Error) -> Self {
        Self { error, unusable: Unusable::new() }
    }
}

/// The parts that are deployed: what is external or physical is not.
fn parts(slice: &Slice) -> Vec<Part<'_>> {
    let spec = &slice.spec;
    let mut parts = Vec::new();
    for (index, gateway) in spec.gateways.iter().enumerate().filter(|(_, gateway)| gateway.external.is_none())
    {
        parts.push(Part {
            pointer: format!("/spec/gateways/{index}"),
            name: &gateway.name,
            role: Role::Gateway,
            application: Some(&gateway.application),
            chart: gateway.chart.as_ref(),
            placement: &gateway.placement,
        });
    }
    for (index, server) in spec.servers.iter().enumerate().filter(|(_, server)| server.external.is_none()) {
        parts.push(Part {
            pointer: format!("/spec/servers/{index}"),
            name: &server.name,
            role: Role::Server,
            application: Some(&server.application),
            chart: server.chart.as_ref(),
            placement: &server.placement,
        });
    }
    let core = spec.network.as_ref().and_then(|network| network.core.as_ref());
    let functions = core.into_iter().flat_map(|core| core.functions.iter().enumerate());
    for (index, function) in functions.filter(|(_, function)| function.physical.is_none()) {
        parts.push(Part {
            pointer: format!("/spec/network/core/functions/{index}"),
            name: &function.name,
            role: Role::Function,
            application: None,
            chart: function.chart.as_ref(),
            placement: &function.placement,
        });
    }
    parts
}

impl Planner<'_> {
    /// Chooses a place for every part.
    ///
    /// # Errors
    /// [`ErrorKind::Infeasible`] for the first part that fits nowhere, with every place and why not. Where the only places for some
    /// parts cannot be used, all of these parts and places together, with the kind of their cause.
    pub(super) fn place(&mut self, slice: &Slice, state: &SliceState) -> Result<Vec<PlacementChoice>> {
        let mut choices = Vec::new();
        let mut stranded = Vec::new();
        for part in &parts(slice) {
            match self.choose(&slice.name, part, state) {
                Ok(choice) => choices.push(choice),
                Err(misfit) if misfit.unusable.is_empty() => return Err(misfit.error),
                Err(misfit) => stranded.push((format!("{} \"{}\"", part.role, part.name), misfit)),
            }
        }
        if stranded.is_empty() {
            return Ok(choices);
        }
        let (parts, misfits): (Vec<_>, Vec<_>) = stranded.into_iter().unzip();
        let what = format!("cannot place {} of slice \"{}\"", unusable::listed(&parts), slice.name);
        let places = misfits.into_iter().flat_map(|misfit| misfit.unusable).collect();
        Err(unusable::error(what, places))
    }

    /// The places among rejected ones whose survey failed.
    fn unusable(&self, rejected: &[Candidate]) -> Unusable {
        let failed = |candidate: &Candidate| {
            let cause = self.surveys.get(&candidate.infrastructure)?.as_ref().err()?;
            Some((candidate.infrastructure.clone(), cause.clone()))
        };
        rejected.iter().filter_map(failed).collect()
    }

    /// The parts that fit nowhere, each with its place in the document.
    pub(super) fn misfits(&mut self, slice: &Slice, state: &SliceState) -> Vec<Finding> {
        let mut misfits = Vec::new();
        for part in parts(slice) {
            if let Err(Misfit { error, .. }) = self.choose(&slice.name, &part, state) {
                let issue = Issue {
                    pointer: String::new(),
                    message: error.to_string(),
                    help: error.help().map(str::to_owned),
                };
                misfits.push(Finding { slice: slice.name.clone(), pointer: part.pointer, issue });
            }
        }
        misfits
    }

    fn choose(
        &mut self,
        slice: &SliceName,
        part: &Part<'_>,
        state: &SliceState,
    ) -> Result<PlacementChoice, Misfit> {
        let workload = part.workload();
        let Part { name: part, role, placement, .. } = part;
        let role = *role;
        let holder = |place: &Infrastructure| ResourceId::space(slice, &place.name).workload(part);
        let current = self.infrastructures.values().find(|place| state.records.contains_key(&holder(place)));
        let offers: Vec<Offer> = self
            .infrastructures
            .values()
            .map(|place| {
                let own = holder(place);
                Offer {
                    infrastructure: Arc::clone(place),
                    free: self.ledger.free(place, self.capacity(place), &own),
                    unsuitable: self.unsuitable(
                        place,
                        &workload,
                        current.is_some_and(|current| current.name == place.name),
                    ),
                }
            })
            .collect();
        let demand = Demand { slice, part, role, placement, current: current.map(|place| &place.name) };
        let choice = self.placer.place(&demand, &offers).map_err(|rejected| {
            let what = format!("cannot place {role} \"{part}\" of slice \"{slice}\"");
            if let Some(name) =
                placement.infrastructure.as_ref().filter(|name| !self.infrastructures.contains_key(*name))
            {
                let why = format!("{what}: there is no infrastructure \"{name}\"");
                return Misfit::new(Error::new(ErrorKind::Infeasible, why));
            }
            if rejected.is_empty() {
                let why = format!("{what}: there is no infrastructure");
                let error = Error::new(ErrorKind::Infeasible, why);
                return Misfit::new(
                    error.with_help("add a document of kind Infrastructure, such as one with driver: local"),
                );
            }
            let mut rejected = rejected;
            rejected.retain(|candidate| {
                placement.infrastructure.as_ref().is_none_or(|name| *name == candidate.infrastructure)
            });
            let unusable = self.unusable(&rejected);
            let why: Vec<_> = rejected
                .iter()
                .map(|candidate| format!("{}: {}", candidate.infrastructure, candidate.reason))
                .collect();
            let error = Error::new(ErrorKind::Infeasible, format!("{what}: {}", why.join("; ")));
            Misfit { error, unusable }
        })?;
        if let Some(place) = self.infrastructures.get(&choice.infrastructure) {
            let claims = capacity_claims(place, self.capacity(place), &workload);
            self.ledger.hold(&holder(place), &claims);
        }
        Ok(choice)
    }

    /// Why a place cannot take a workload whatever the document says.
    fn unsuitable(&self, place: &Infrastructure, workload: &Spec, is_there: bool) -> Option<String> {
        let driver = match self.drivers.find(&place.spec.driver) {
            Ok(driver) => driver,
            Err(_) => return Some(format!("there is no driver \"{}\"", place.spec.driver)),
        };
        if let Some(issue) = driver.check(workload).into_iter().next() {
            return Some(issue.message);
        }
        match self.surveys.get(&place.name) {
            Some(Err(cause)) if !is_there => Some(format!("it {}", unusable::why(cause))),
            _ => None,
        }
    }

    pub(super) fn capacity(&self, place: &Infrastructure) -> Capacity {
        let surveyed = || {
            self.surveys.get(&place.name).and_then(|survey| survey.as_ref().ok()).map(|facts| facts.capacity)
        };
        place.spec.capacity.or_else(surveyed).unwrap_or_default()
    }
}
