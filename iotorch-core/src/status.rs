//! How a slice is, and why.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    error::Cause,
    model::SliceName,
    resource::{Outputs, ResourceId, Spec},
    store::RunId,
};

/// How a slice or one of its resources is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
#[non_exhaustive]
pub enum Condition {
    /// It works.
    Ready,
    /// It works in part.
    Degraded {
        /// Why.
        reason: String,
    },
    /// It does not work.
    Failed {
        /// Why.
        reason: String,
    },
    /// A run is making it, or has not got to it.
    Pending {
        /// Why.
        reason: String,
    },
    /// It cannot be asked.
    Unknown {
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: String,
    },
}

impl Condition {
    /// The order in which conditions matter to a person: the worst of a slice's resources is the slice's.
    const fn severity(&self) -> u8 {
        match self {
            Self::Ready => 0,
            Self::Degraded { .. } => 1,
            Self::Pending { .. } => 2,
            Self::Unknown { .. } => 3,
            Self::Failed { .. } => 4,
        }
    }

    /// The one of the two that matters more.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if other.severity() > self.severity() { other } else { self }
    }

    /// Whether it works.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("Ready"),
            Self::Degraded { reason } => write!(f, "Degraded: {reason}"),
            Self::Failed { reason } => write!(f, "Failed: {reason}"),
            Self::Pending { reason } => write!(f, "Pending: {reason}"),
            Self::Unknown { since, reason } => {
                write!(f, "Unknown since {} ({reason})", since.strftime("%H:%M"))
            }
        }
    }
}

/// How a slice is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SliceStatus {
    /// The slice.
    pub slice: SliceName,
    /// How it is as a whole: the worst of its resources, or what its open run says.
    pub condition: Condition,
    /// Gateways that are ready, of all.
    pub gateways: (usize, usize),
    /// Servers that are ready, of all.
    pub servers: (usize, usize),
    /// Devices that are ready, of all.
    pub devices: (usize, usize),
    /// When it was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change: Option<Timestamp>,
    /// The run that is open on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_run: Option<RunId>,
    /// Its resources, in order of their ids.
    pub resources: Vec<ResourceStatus>,
}

/// How a resource is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceStatus {
    /// Which.
    pub id: ResourceId,
    /// How it is.
    pub condition: Condition,
    /// What it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Outputs>,
    /// What is recorded of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Spec>,
    /// When it was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
    /// The run that changed it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// What went wrong with it, if something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}
