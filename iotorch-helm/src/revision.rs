//! What is known of releases.

use std::{convert::Infallible, fmt, str::FromStr};

use jiff::Timestamp;
use typed_builder::TypedBuilder;

use crate::{manifest::Manifests, values::Values};

/// How a revision of a release stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReleaseStatus {
    /// Its objects were accepted by the cluster.
    Deployed,
    /// A later revision took its place.
    Superseded,
    /// An operation failed; some of its objects may be there.
    Failed,
    /// Its objects were removed, and its history was kept.
    Uninstalled,
    /// Its objects are being removed, or that was broken off.
    Uninstalling,
    /// It is being installed, or that was broken off.
    PendingInstall,
    /// It is being upgraded, or that was broken off.
    PendingUpgrade,
    /// It is being rolled back, or that was broken off.
    PendingRollback,
    /// Anything that is not known here.
    Unknown,
}

impl ReleaseStatus {
    /// Whether an operation is at work, or was broken off. Helm refuses to upgrade such a release.
    #[must_use]
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::PendingInstall | Self::PendingUpgrade | Self::PendingRollback)
    }

    /// The word that Helm uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::Uninstalled => "uninstalled",
            Self::Uninstalling => "uninstalling",
            Self::PendingInstall => "pending-install",
            Self::PendingUpgrade => "pending-upgrade",
            Self::PendingRollback => "pending-rollback",
            Self::Unknown => "unknown",
        }
    }
}

impl FromStr for ReleaseStatus {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "deployed" => Self::Deployed,
            "superseded" => Self::Superseded,
            "failed" => Self::Failed,
            "uninstalled" => Self::Uninstalled,
            "uninstalling" => Self::Uninstalling,
            "pending-install" => Self::PendingInstall,
            "pending-upgrade" => Self::PendingUpgrade,
            "pending-rollback" => Self::PendingRollback,
            _ => Self::Unknown,
        })
    }
}

impl fmt::Display for ReleaseStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A chart by its name and version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChartVersion {
    /// The name in its `Chart.yaml`.
    pub name: String,
    /// The version in its `Chart.yaml`.
    pub version: String,
}

impl fmt::Display for ChartVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.name, self.version)
    }
}

/// A revision of a release.
#[derive(Clone, Debug, PartialEq, Eq, TypedBuilder)]
#[non_exhaustive]
pub struct Revision {
    /// Counts from 1.
    pub number: u32,
    /// How it stands.
    pub status: ReleaseStatus,
    /// Of which chart it is.
    pub chart: ChartVersion,
    /// The version of what the chart deploys, if it says so.
    #[builder(default)]
    pub app_version: Option<String>,
    /// When it was deployed or changed last.
    #[builder(default)]
    pub updated: Option<Timestamp>,
    /// What happened last, in words; empty in what [`HelmEngine::list`](crate::HelmEngine::list) gives.
    #[builder(default, setter(into))]
    pub description: String,
}

/// A release as it is now.
#[derive(Clone, Debug, PartialEq, TypedBuilder)]
#[non_exhaustive]
pub struct ReleaseState {
    /// Its last revision.
    pub revision: Revision,
    /// The values that were given for it, without those of the chart.
    #[builder(default)]
    pub values: Values,
    /// What was rendered for it, without hooks.
    pub manifests: Manifests,
    /// The chart's notes for people.
    #[builder(default, setter(into))]
    pub notes: String,
}

/// What became of a release that was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, TypedBuilder)]
#[non_exhaustive]
pub struct Uninstalled {
    /// The objects that stay because their chart wants it (`helm.sh/resource-policy: keep`), in the words of the engine.
    #[builder(default)]
    pub kept: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_it_is_written() {
        use ReleaseStatus::*;
        for status in [
            Deployed,
            Superseded,
            Failed,
            Uninstalled,
            Uninstalling,
            PendingInstall,
            PendingUpgrade,
            PendingRollback,
            Unknown,
        ] {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert_eq!(status.is_pending(), status.as_str().starts_with("pending-"));
        }
        assert_eq!("new-in-helm-5".parse(), Ok(Unknown));
    }
}
