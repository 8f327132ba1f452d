//! What was seen of the world when a plan is made.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::Base;
use crate::{
    domain::{Health, Observed},
    error::{Cause, Error, ErrorKind},
    resource::{Outputs, ResourceId, Spec},
    store::SliceState,
};

/// What was seen of a scope, by id; an id that is not here is absent.
pub type ScopeContents = BTreeMap<ResourceId, Observed>;

/// What was seen of the scopes of a slice, by root. A scope that was not looked at has no host to be in, or lies in one that is Unknown.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    by_root: BTreeMap<ResourceId, Result<ScopeContents, Cause>>,
}

/// What is known of one resource.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sight<'a> {
    Present { spec: &'a Spec, outputs: &'a Outputs, health: &'a Health },
    Absent,
    Foreign { owner: &'a str, spec: Option<&'a Spec> },
    Unknown(&'a Cause),
}

impl Observations {
    /// Notes what was seen of the scope of `root`.
    pub fn note(&mut self, root: ResourceId, seen: Result<ScopeContents, Error>) {
        self.by_root.insert(root, seen.map_err(|error| error.to_cause()));
    }

    /// The scopes that were looked at.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = (&ResourceId, &Result<ScopeContents, Cause>)> {
        self.by_root.iter()
    }

    /// What is known of `id`.
    pub(crate) fn sight(&self, id: &ResourceId) -> Sight<'_> {
        let root = id.scope();
        match self.by_root.get(&root) {
            Some(Ok(contents)) => match contents.get(id) {
                None | Some(Observed::Absent) => Sight::Absent,
                Some(Observed::Present { spec, outputs, health }) => Sight::Present { spec, outputs, health },
                Some(Observed::Foreign { owner, spec }) => Sight::Foreign { owner, spec: spec.as_ref() },
            },
            Some(Err(cause)) => Sight::Unknown(cause),
            // In an absent host it is absent, in an unreachable one Unknown.
            None => match root.host().map(|host| self.sight(&host)) {
                Some(Sight::Unknown(cause)) => Sight::Unknown(cause),
                _ => Sight::Absent,
            },
        }
    }

    /// What a plan that touches the scope of `root` rests on.
    pub(crate) fn base(&self, root: &ResourceId, state: &SliceState) -> Base {
        if let Sight::Unknown(cause) = self.sight(root) {
            return Base::Unknown { cause: cause.clone() };
        }
        let recorded = state.records.range(root.clone()..).map(|(id, _)| id);
        let recorded =
            recorded.take_while(|id| id.as_str().starts_with(root.as_str())).filter(|id| id.scope() == *root);
        let seen = match self.by_root.get(root) {
            Some(Ok(contents)) => Some(contents.keys()),
            _ => None,
        };
        let mut digests = BTreeMap::new();
        for id in recorded.chain(seen.into_iter().flatten()) {
            if let Some(digest) = self.digest(id, state) {
                digests.insert(id.clone(), digest);
            }
        }
        Base::Digests(digests)
    }

    /// SHA-256 over the record and the observation of a resource, without its health; `None` when there is neither.
    fn digest(&self, id: &ResourceId, state: &SliceState) -> Option<String> {
        let record = state.records.get(id);
        let recorded = record.map(|record| (&record.spec, &record.outputs, &record.uses, &record.tainted));
        let seen = match self.sight(id) {
            // It runs anyway; iotorch has not made it its own yet.
            Sight::Present { .. } if recorded.is_none() && id.is_external_application() => None,
            Sight::Present { spec, outputs, .. } => Some((Some(spec), Some(outputs), None)),
            Sight::Foreign { owner, spec } => Some((spec, None, Some(owner))),
            Sight::Absent | Sight::Unknown(_) => None,
        };
        if recorded.is_none() && seen.is_none() {
            return None;
        }
        let bytes = serde_json::to_vec(&(recorded, seen)).unwrap_or_default();
        Some(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// What moved since a plan was made: the resources whose digest is not what the plan was computed from.
pub(crate) fn moved(
    base: &BTreeMap<ResourceId, Base>,
    state: &SliceState,
    now: &Observations,
) -> Result<(), Error> {
    let mut moved = Vec::new();
    for (root, then) in base {
        let (Base::Digests(then), Base::Digests(now)) = (then, now.base(root, state)) else { continue };
        let ids: std::collections::BTreeSet<_> = then.keys().chain(now.keys()).collect();
        for id in ids {
            match (then.get(id), now.get(id)) {
                (Some(_), None) => moved.push(format!("{id} is gone")),
                (None, Some(_)) => moved.push(format!("{id} has appeared")),
                (then, now) if then != now => moved.push(format!("{id} has changed")),
                _ => {}
            }
        }
    }
    if moved.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Moved,
        format!("cannot apply the plan: what it was computed from has moved: {}", moved.join("; ")),
    )
    .with_help("plan again and apply the new plan"))
}
