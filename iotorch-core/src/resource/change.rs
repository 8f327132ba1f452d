//! What a step does to a resource, and how it is undone.

use serde::{Deserialize, Serialize};

/// What a step does to a resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change<S> {
    /// Makes it.
    Create {
        /// What is wanted.
        after: S,
    },
    /// Changes it in place.
    Update {
        /// What was there.
        before: S,
        /// What is wanted.
        after: S,
    },
    /// Removes it.
    Delete {
        /// What was there.
        before: S,
    },
}

impl<S> Change<S> {
    /// The change that takes this one back.
    #[must_use]
    pub fn inverse(self) -> Self {
        match self {
            Self::Create { after } => Self::Delete { before: after },
            Self::Update { before, after } => Self::Update { before: after, after: before },
            Self::Delete { before } => Self::Create { after: before },
        }
    }

    /// What is wanted, unless the resource is to go.
    #[must_use]
    pub const fn after(&self) -> Option<&S> {
        match self {
            Self::Create { after } | Self::Update { after, .. } => Some(after),
            Self::Delete { .. } => None,
        }
    }

    /// What was there, unless the resource is new.
    #[must_use]
    pub const fn before(&self) -> Option<&S> {
        match self {
            Self::Update { before, .. } | Self::Delete { before } => Some(before),
            Self::Create { .. } => None,
        }
    }

    /// Whether the resource is to go.
    #[must_use]
    pub const fn is_delete(&self) -> bool {
        matches!(self, Self::Delete { .. })
    }

    /// The same change of another type.
    pub fn map<T>(self, mut f: impl FnMut(S) -> T) -> Change<T> {
        match self {
            Self::Create { after } => Change::Create { after: f(after) },
            Self::Update { before, after } => Change::Update { before: f(before), after: f(after) },
            Self::Delete { before } => Change::Delete { before: f(before) },
        }
    }
}

/// What a step does to the ownership mark of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ownership {
    /// The object carries our mark, or is new and gets it. One with another mark or none is a conflict.
    #[default]
    Ours,
    /// The object was found without our mark and is taken over: set the mark.
    Adopt,
    /// The taking over is undone: restore what was found and remove the mark; never delete.
    Release,
}

impl Ownership {
    /// The ownership of the step that undoes one with this.
    #[must_use]
    pub const fn inverse(self) -> Self {
        match self {
            Self::Ours => Self::Ours,
            Self::Adopt => Self::Release,
            Self::Release => Self::Adopt,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn change() -> impl Strategy<Value = Change<u8>> {
        prop_oneof![
            any::<u8>().prop_map(|after| Change::Create { after }),
            any::<(u8, u8)>().prop_map(|(before, after)| Change::Update { before, after }),
            any::<u8>().prop_map(|before| Change::Delete { before }),
        ]
    }

    proptest! {
        #[test]
        fn the_inverse_of_the_inverse_is_the_change_itself(change in change()) {
            prop_assert_eq!(change.clone().inverse().inverse(), change);
        }

        #[test]
        fn a_change_and_its_inverse_lead_back_to_where_one_was(change in change()) {
            let inverse = change.clone().inverse();
            prop_assert_eq!(change.before(), inverse.after());
            prop_assert_eq!(change.after(), inverse.before());
        }
    }
}
