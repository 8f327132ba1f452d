//! What the trials of a domain make.

use crate::resource::{ResourceId, Spec};

/// A resource that trials make, change and delete.
///
/// Its inputs are those that core would give it: the outputs of its host and of what it uses, which are made before it or
/// come with [`super::Subject::surroundings`].
#[derive(Clone, Debug)]
pub struct Sample {
    pub(super) id: ResourceId,
    pub(super) spec: Spec,
    pub(super) uses: Vec<ResourceId>,
    pub(super) updated: Option<Spec>,
    pub(super) wrong: Option<Spec>,
    pub(super) faulty: Vec<Spec>,
    pub(super) marked: bool,
    pub(super) stays_with_host: bool,
}

impl Sample {
    /// A resource that is to be like `spec`.
    pub fn new(id: ResourceId, spec: impl Into<Spec>) -> Self {
        Self {
            id,
            spec: spec.into(),
            uses: Vec::new(),
            updated: None,
            wrong: None,
            faulty: Vec::new(),
            marked: true,
            stays_with_host: false,
        }
    }

    /// Which resource it is.
    #[must_use]
    pub const fn id(&self) -> &ResourceId {
        &self.id
    }

    /// What it is to be like.
    #[must_use]
    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The same, using other resources, as a device uses its profile.
    #[must_use]
    pub fn using(mut self, uses: impl IntoIterator<Item = ResourceId>) -> Self {
        self.uses.extend(uses);
        self
    }

    /// The same, with another specification that it can be changed to in place.
    #[must_use]
    pub fn updated_to(mut self, spec: impl Into<Spec>) -> Self {
        self.updated = Some(spec.into());
        self
    }

    /// The same, with a specification that passes [`crate::Driver::check`] and that the other system refuses as invalid.
    #[must_use]
    pub fn refused_as(mut self, spec: impl Into<Spec>) -> Self {
        self.wrong = Some(spec.into());
        self
    }

    /// The same, with a specification in which [`crate::Driver::check`] finds a fault. There can be several.
    #[must_use]
    pub fn faulty_as(mut self, spec: impl Into<Spec>) -> Self {
        self.faulty.push(spec.into());
        self
    }

    /// The same, bearing no mark: nobody can tell whose it is, so it is never foreign and never found by its mark.
    #[must_use]
    pub fn unmarked(mut self) -> Self {
        self.marked = false;
        self
    }

    /// The same, staying for as long as its host does or whoever runs it wants: a delete of it succeeds without an effect, as for
    /// the software in a workload, and for software that runs outside of iotorch.
    #[must_use]
    pub fn stays_with_host(mut self) -> Self {
        self.stays_with_host = true;
        self
    }
}
