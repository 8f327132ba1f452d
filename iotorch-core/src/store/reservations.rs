//! What is held of shared things, and whether there is room for more.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    sync::Arc,
};

use crate::{
    driver::Claim,
    error::{Error, ErrorKind, Result},
    resource::ResourceId,
};

/// So many holders are named in a refusal; with more of them the text would hide the point.
const NAMED_HOLDERS: usize = 5;

/// All claims by holder and, so that admission does not have to look at every holder, how much of each shared thing is taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Reservations {
    by_holder: Arc<BTreeMap<ResourceId, Vec<Claim>>>,
    taken: HashMap<String, u128>,
}

/// What a commit changes about one shared thing.
#[derive(Default)]
struct Demand<'a> {
    freed: u128,
    added: u128,
    wanted: Option<(&'a ResourceId, &'a Claim)>,
}

impl Reservations {
    pub(super) fn by_holder(&self) -> &Arc<BTreeMap<ResourceId, Vec<Claim>>> {
        &self.by_holder
    }

    fn held_by(&self, holder: &ResourceId) -> &[Claim] {
        self.by_holder.get(holder).map_or(&[], Vec::as_slice)
    }

    /// Whether `changes`, what each holder will hold when the commit is done, fit into what there is. The order of the writes of a
    /// commit does not matter. A commit that does not take more of a thing than before is let through even where the
    /// capacity has shrunk below what is taken, for it makes nothing worse.
    pub(super) fn admit(&self, changes: &BTreeMap<&ResourceId, &[Claim]>) -> Result<()> {
        if changes.values().all(|claims| claims.is_empty()) {
            return Ok(());
        }
        let mut demands: BTreeMap<&str, Demand<'_>> = BTreeMap::new();
        for (holder, claims) in changes {
            for claim in self.held_by(holder) {
                demands.entry(&claim.resource).or_default().freed += u128::from(claim.amount);
            }
            for claim in *claims {
                let demand = demands.entry(&claim.resource).or_default();
                demand.added += u128::from(claim.amount);
                if demand.wanted.is_none_or(|(_, least)| claim.capacity < least.capacity) {
                    demand.wanted = Some((*holder, claim));
                }
            }
        }
        for (shared, demand) in demands {
            let Some((holder, claim)) = demand.wanted else { continue };
            let taken = self.taken.get(shared).copied().unwrap_or_default();
            let after = taken - demand.freed + demand.added;
            if demand.added > demand.freed && after > u128::from(claim.capacity) {
                return Err(self.refusal(holder, claim, changes));
            }
        }
        Ok(())
    }

    fn refusal(
        &self,
        holder: &ResourceId,
        claim: &Claim,
        changes: &BTreeMap<&ResourceId, &[Claim]>,
    ) -> Error {
        let amount_in = |claims: &[Claim]| -> u128 {
            let same = claims.iter().filter(|other| other.resource == claim.resource);
            same.map(|other| u128::from(other.amount)).sum()
        };
        let untouched = self.by_holder.iter().filter(|(other, _)| !changes.contains_key(other));
        let mut others: Vec<(&ResourceId, u128)> = untouched
            .map(|(other, claims)| (other, amount_in(claims)))
            .chain(changes.iter().map(|(other, claims)| (*other, amount_in(claims))))
            .filter(|(other, amount)| *other != holder && *amount > 0)
            .collect();
        others.sort_by(|(a, most), (b, more)| more.cmp(most).then_with(|| a.cmp(b)));

        let wanted = amount_in(changes.get(holder).copied().unwrap_or_default());
        let held: u128 = others.iter().map(|(_, amount)| amount).sum();
        let mut cause = format!("{} is all there is", claim.capacity);
        for (index, (other, amount)) in others.iter().take(NAMED_HOLDERS).enumerate() {
            let before = if index == 0 { format!(", and {held} is held: ") } else { ", ".to_owned() };
            // Writing to a string cannot fail.
            let _ = write!(cause, "{before}{amount} by \"{other}\"");
        }
        if others.len() > NAMED_HOLDERS {
            let _ = write!(cause, " and the rest by {} more", others.len() - NAMED_HOLDERS);
        }
        Error::new(
            ErrorKind::Infeasible,
            format!("cannot reserve {wanted} of \"{}\" for \"{holder}\"", claim.resource),
        )
        .with_source(cause)
    }

    /// Replaces what `holder` holds.
    pub(super) fn set(&mut self, holder: ResourceId, claims: Vec<Claim>) {
        if self.held_by(&holder) == claims.as_slice() {
            return;
        }
        for claim in &claims {
            let taken = match self.taken.get_mut(&claim.resource) {
                Some(taken) => taken,
                None => self.taken.entry(claim.resource.clone()).or_default(),
            };
            *taken += u128::from(claim.amount);
        }
        let by_holder = Arc::make_mut(&mut self.by_holder);
        let before =
            if claims.is_empty() { by_holder.remove(&holder) } else { by_holder.insert(holder, claims) };
        for claim in before.unwrap_or_default() {
            if let Some(taken) = self.taken.get_mut(&claim.resource) {
                *taken -= u128::from(claim.amount);
                if *taken == 0 {
                    self.taken.remove(&claim.resource);
                }
            }
        }
    }
}
