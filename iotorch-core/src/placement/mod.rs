//! Placement: which infrastructure a part of a slice goes to, and why.

mod first_fit;

use std::sync::Arc;

pub use first_fit::FirstFit;

use crate::{
    model::{Capacity, Infrastructure, InfrastructureName, PartName, Placement, SliceName},
    plan::{Candidate, PlacementChoice},
    resource::Role,
};

/// A part that needs a place.
#[derive(Clone, Debug)]
pub struct Demand<'a> {
    /// The slice.
    pub slice: &'a SliceName,
    /// The part.
    pub part: &'a PartName,
    /// What the part is.
    pub role: Role,
    /// What the document says.
    pub placement: &'a Placement,
    /// Where it is now.
    pub current: Option<&'a InfrastructureName>,
}

/// A place that may take it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The place.
    pub infrastructure: Arc<Infrastructure>,
    /// What is left of its capacity, without what the part itself holds now; a quantity that is not limited is absent.
    pub free: Capacity,
    /// Why it cannot take the part whatever the document says: its driver does not support it, or it cannot be reached.
    pub unsuitable: Option<String>,
}

/// Chooses places.
///
/// # Contract
/// [`place`](Self::place) is pure: the same arguments give the same choice, so that a plan can be computed again. A place that
/// the document names is taken or refused, never replaced by another. A part that has a suitable place stays there.
///
/// # Guarantees
/// Core calls it once for each part that is deployed, in the order of the document, and deducts what earlier parts take.
///
/// # Errors
/// When nothing fits: every place with the reason why not.
///
/// # Examples
/// [`FirstFit`] is the default.
pub trait Placer: Send + Sync {
    /// Chooses one of `offers`.
    fn place(&self, demand: &Demand<'_>, offers: &[Offer]) -> Result<PlacementChoice, Vec<Candidate>>;
}
