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
    holders: BTreeMap<String, BTreeMap<ResourceId, u64>>,
}

impl Ledger {
    pub(crate) fn new(reservations: &BTreeMap<ResourceId, Vec<Claim>>) -> Self {
        let mut ledger = Self::default();
        for (holder, claims) in reservations {
            ledger.hold(holder, claims);
        }
        ledger
    }

    /// Adds what `holder` takes; more than before never becomes less.
    pub(crate) fn hold(&mut self, holder: &ResourceId, claims: &[Claim]) {
        for claim in claims {
            let held =
                self.holders.entry(claim.resource.clone()).or_default().entry(holder.clone()).or_default();
            *held = claim.amount.max(*held);
        }
    }

    fn held(&self, resource: &str, except: impl Fn(&ResourceId) -> bool) -> u64 {
        let holders = self.holders.get(resource);
        holders.into_iter().flatten().filter(|(holder, _)| !except(holder)).map(|(_, amount)| amount).sum()
    }

    /// What is left of a place's capacity when what `except` holds is given back.
    pub(crate) fn free(
        &self,
        place: &Infrastructure,
        capacity: Capacity,
        except: impl Fn(&ResourceId) -> bool,
    ) -> Capacity {
        let left = |what: &str, total: u64| {
            total.saturating_sub(self.held(&format!("{}/{what}", place.name), &except))
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

    /// Admits the claims of a slice, whose resources in `leaving` will be gone once its run is over.
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
                let others = self.held(&claim.resource, |other| other == holder);
                if others.saturating_add(claim.amount) <= claim.capacity {
                    continue;
                }
                let staying = self.held(&claim.resource, |other| other == holder || leaving.contains(other));
                if staying.saturating_add(claim.amount) <= claim.capacity {
                    return Err(Error::new(
                        ErrorKind::Infeasible,
                        format!("cannot hand \"{}\" over to \"{holder}\" in one plan: what holds it is deleted last", claim.resource),
                    )
                    .with_help("apply in two steps: first without the old resource, then with the new one"));
                }
                let holders = self
                    .holders
                    .get(&claim.resource)
                    .into_iter()
                    .flatten()
                    .filter(|(other, _)| *other != holder);
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
