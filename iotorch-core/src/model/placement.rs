//! Where a part of a slice goes: a named infrastructure, or what it needs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use typed_builder::TypedBuilder;

use super::{Capacity, Distance, InfrastructureName, Labels, Location, Tier};

/// Where a part goes. Either `infrastructure` names the place, or the other fields say what it must have and the placer chooses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, TypedBuilder)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Placement {
    /// The place itself; excludes every other field but `needs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub infrastructure: Option<InfrastructureName>,
    /// The tier it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub tier: Option<Tier>,
    /// Labels it must have.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    #[builder(default)]
    pub labels: Labels,
    /// How close to a point it must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[builder(default, setter(strip_option))]
    pub near: Option<Near>,
    /// What the part takes of the place's capacity.
    #[serde(default, skip_serializing_if = "Capacity::is_empty")]
    #[builder(default)]
    pub needs: Capacity,
}

impl Placement {
    /// Whether nothing is asked for: any place will do.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A circle on the ground.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "place to be near")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Near {
    /// Its middle.
    pub location: Location,
    /// The greatest distance from it; without it the nearest place wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Distance>,
}
