//! What slices hold of shared things, and what is left.

use std::collections::BTreeMap;

use crate::{
    driver::Claim,
    error::{Error, ErrorKind, Result},
    model::{Capacity, Infrastructure},
    resource::{ResourceId, Spec},
};

/// The holders of each shared thing.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    things: BTreeMap<String, Holders>,
}

/// Who holds how much of a shared thing. The total is kept beside, since thousands of slices can share one.
#[derive(Debug, Default)]
struct Holders {
    total: u64,
    amounts: BTreeMap<ResourceId, u64>,
    /// What of it is reserved in the store already.
    reserved: BTreeMap<ResourceId, u64>,
}

impl Holders {
    fn of(&self, holder: &ResourceId) -> u64 {
        self.amounts.get(holder).copied().unwrap_or_default()
    }

    fn reserved_by(&self, holder: &ResourceId) -> u64 {
        self.reserved.get(holder).copied().unwrap_or_default()
    }
}

impl Ledger {
    pub(crate) fn new(reservations: &BTreeMap<ResourceId, Vec<Claim>>) -> Self {
        let mut ledger = Self::default();
        for (holder, claims) in reservations {
            ledger.hold(holder, claims);
        }
        for holders in ledger.things.values_mut() {
            holders.reserved.clone_from(&holders.amounts);
        }
        ledger
    }

    /// Adds what `holder` takes; more than before never becomes less.
    pub(crate) fn hold(&mut self, holder: &ResourceId, claims: &[Claim]) {
        for claim in claims {
            let holders = self.things.entry(claim.resource.clone()).or_default();
            let more = claim.amount.saturating_sub(holders.of(holder));
            holders.total = holders.total.saturating_add(more);
            *holders.amounts.entry(holder.clone()).or_default() += more;
        }
    }

    /// What everybody but `except` holds.
    fn held(&self, resource: &str, except: &ResourceId) -> u64 {
        self.things.get(resource).map_or(0, |holders| holders.total - holders.of(except))
    }

    /// What is left of a place's capacity when what `except` holds is given back: at least that, also where the capacity has shrunk.
    pub(crate) fn free(&self, place: &Infrastructure, capacity: Capacity, except: &ResourceId) -> Capacity {
        let left = |what: &str, total: u64| {
            let thing = format!("{}/{what}", place.name);
            let own = self.things.get(&thing).map_or(0, |holders| holders.reserved_by(except));
            total.saturating_sub(self.held(&thing, except)).max(own)
        };
        Capacity {
            cpu: capacity.cpu.map(|cpu| crate::model::Cpu::from_millis(left("cpu", cpu.millis()))),
            memory: capacity
                .memory
                .map(|size| crate::model::ByteSize::from_bytes(left("memory", size.bytes()))),
            storage: capacity
                .storage
                .map(|size| crate::model::ByteSize::from_bytes(left("storage", size.bytes()))),
        }
    }

    /// Admits the claims of a slice, whose resources in `leaving` will be gone once its run is over. What asks for no more than it has
    /// is admitted also where the capacity has shrunk, as by the store.
    ///
    /// # Errors
    /// [`ErrorKind::Infeasible`], naming the holders, or saying that it takes two steps.
    pub(crate) fn admit(
        &mut self,
        claims: &BTreeMap<ResourceId, Vec<Claim>>,
        leaving: &[ResourceId],
    ) -> Result<()> {
        for (holder, wanted) in claims {
            for claim in wanted {
                let others = self.held(&claim.resource, holder);
                let holders = self.things.get(&claim.resource);
                let has = holders.map_or(0, |holders| holders.reserved_by(holder));
                if claim.amount <= has || others.saturating_add(claim.amount) <= claim.capacity {
                    continue;
                }
                let going = leaving.iter().filter(|other| *other != holder);
                let going: u64 = going.map(|other| holders.map_or(0, |holders| holders.of(other))).sum();
                let staying = others.saturating_sub(going);
                if staying.saturating_add(claim.amount) <= claim.capacity {
                    return Err(Error::new(
                        ErrorKind::Infeasible,
                        format!("cannot hand \"{}\" over to \"{holder}\" in one plan: what holds it is deleted last", claim.resource),
                    )
                    .with_help("apply in two steps: first without the old resource, then with the new one"));
                }
                let holders = holders.into_iter().flat_map(|holders| &holders.amounts);
                let holders = holders.filter(|(other, _)| *other != holder);
                let holders: Vec<_> = holders.map(|(other, amount)| format!("{other} ({amount})")).collect();
                return Err(Error::new(
                    ErrorKind::Infeasible,
                    format!(
                        "cannot reserve {} of \"{}\" for \"{holder}\": {} of {} are taken by {}",
                        claim.amount,
                        claim.resource,
                        others,
                        claim.capacity,
                        holders.join(", ")
                    ),
                ));
            }
            self.hold(holder, wanted);
        }
        Ok(())
    }
}

/// What a workload takes of its place's capacity.
pub(crate) fn capacity_claims(place: &Infrastructure, capacity: Capacity, spec: &Spec) -> Vec<Claim> {
    let Spec::Workload(workload) = spec else { return Vec::new() };
    let claim = |what: &str, need: Option<u64>, total: Option<u64>| {
        Some(Claim { resource: format!("{}/{what}", place.name), amount: need?, capacity: total? })
    };
    let needs = workload.needs;
    [
        claim("cpu", needs.cpu.map(|cpu| cpu.millis()), capacity.cpu.map(|cpu| cpu.millis())),
        claim("memory", needs.memory.map(|size| size.bytes()), capacity.memory.map(|size| size.bytes())),
        claim("storage", needs.storage.map(|size| size.bytes()), capacity.storage.map(|size| size.bytes())),
    ]
    .into_iter()
    .flatten()
    .collect()
}
