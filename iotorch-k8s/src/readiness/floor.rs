//! What a view has to have seen before it says anything of a release: watches are behind the changes that were just made.

use std::collections::BTreeMap;

use kube::{
    Api,
    core::{DynamicObject, ObjectMeta},
};

use super::{Part, contents::Contents};

/// The objects of a release, as they were at some moment.
#[derive(Debug, Default)]
pub(super) struct Floor(BTreeMap<Part, Seen>);

/// An object at a moment.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    uid: Option<String>,
    generation: Option<i64>,
}

impl Seen {
    fn of(metadata: &ObjectMeta) -> Self {
        Self { uid: metadata.uid.clone(), generation: metadata.generation }
    }
}

impl Floor {
    /// The parts of a release as they are now, asked of where they are.
    pub(super) async fn now(parts: Vec<(Part, Api<DynamicObject>)>) -> kube::Result<Self> {
        let mut floor = BTreeMap::new();
        for (part, api) in parts {
            let found = api.get_metadata_opt(&part.name).await?;
            floor.extend(found.map(|found| (part, Seen::of(&found.metadata))));
        }
        Ok(Self(floor))
    }

    /// Whether a view has seen a part as it was then, or later.
    pub(super) fn is_reached(&self, part: &Part, contents: &Contents) -> bool {
        let Some(floor) = self.0.get(part) else { return true };
        let seen = contents.get(&part.kind, &part.name).map(|found| Seen::of(found.metadata()));
        seen.is_some_and(|seen| seen.uid == floor.uid && seen.generation >= floor.generation)
    }
}
