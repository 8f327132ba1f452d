//! What engines are asked for.

use std::{fmt, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use typed_builder::TypedBuilder;

use crate::{
    chart::ResolvedChart,
    name::{Namespace, ReleaseName},
    values::Values,
};

/// Which release is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// Its name, which is its own in its namespace.
    pub name: ReleaseName,
    /// Where it is kept, and where its objects go that name no other place.
    pub namespace: Namespace,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" in namespace \"{}\"", self.name, self.namespace)
    }
}

/// What every call carries: until when it matters, and whether it still does.
#[derive(Clone, Debug)]
pub struct Call {
    /// Once it is cancelled, waits return at once, and no change is begun; one that was begun is finished.
    pub cancelled: CancellationToken,
    /// What only reads ends here. Hooks of a chart get as long as is left.
    pub deadline: Instant,
}

impl Call {
    /// A call that nobody cancels.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self { cancelled: CancellationToken::new(), deadline: Instant::now() + time }
    }

    /// The same call, cancelled by `token`.
    #[must_use]
    pub fn with_cancelled(mut self, token: CancellationToken) -> Self {
        self.cancelled = token;
        self
    }

    /// How long is left, whole seconds and at least one.
    pub(crate) fn seconds_left(&self) -> u64 {
        self.deadline.saturating_duration_since(Instant::now()).as_secs().max(1)
    }
}

/// Asks what a chart would deploy; no cluster is asked, so `lookup` finds nothing in its templates.
#[derive(Clone, Debug, TypedBuilder)]
#[non_exhaustive]
pub struct Render {
    /// For which release; it need not be there.
    pub release: Release,
    /// The chart.
    pub chart: ResolvedChart,
    /// The values beside those of the chart.
    #[builder(default)]
    pub values: Values,
    /// Whether the templates are told of an upgrade, not an installation.
    #[builder(default)]
    pub is_upgrade: bool,
    /// The version of Kubernetes that the templates are told; by default that which the engine was made for.
    #[builder(default, setter(strip_option, into))]
    pub kube_version: Option<String>,
    /// Further groups and versions (`monitoring.coreos.com/v1`) that the templates are told to be there.
    #[builder(default)]
    pub api_versions: Vec<String>,
}

/// Asks for a new release.
#[derive(Clone, Debug, TypedBuilder)]
#[non_exhaustive]
pub struct Install {
    /// Which one.
    pub release: Release,
    /// Of which chart.
    pub chart: ResolvedChart,
    /// The values beside those of the chart.
    #[builder(default)]
    pub values: Values,
}

/// Asks for a new revision of a release.
#[derive(Clone, Debug, TypedBuilder)]
#[non_exhaustive]
pub struct Upgrade {
    /// Of which one.
    pub release: Release,
    /// Of which chart.
    pub chart: ResolvedChart,
    /// The values beside those of the chart; none of earlier revisions are taken over.
    #[builder(default)]
    pub values: Values,
    /// How many revisions are kept; 0 for all.
    #[builder(default = HISTORY_LIMIT)]
    pub history_limit: u32,
    /// Whether fields are taken back that others have set since: otherwise that is a
    /// [`Conflict`](crate::ErrorKind::Conflict). It is for releases that are applied by the server
    /// ([`StoredRelease::is_applied_by_server`](crate::storage::StoredRelease::is_applied_by_server)); all others take them back anyway.
    #[builder(default)]
    pub takes_back: bool,
}

/// Asks for a new revision that is like an earlier one.
#[derive(Clone, Debug, TypedBuilder)]
#[non_exhaustive]
pub struct Rollback {
    /// Of which release.
    pub release: Release,
    /// Like which revision.
    pub to: u32,
    /// How many revisions are kept; 0 for all.
    #[builder(default = HISTORY_LIMIT)]
    pub history_limit: u32,
}

/// Asks for a release to be removed.
#[derive(Clone, Debug, TypedBuilder)]
#[non_exhaustive]
pub struct Uninstall {
    /// Which one.
    pub release: Release,
    /// Whether its history stays, and with it its name taken.
    #[builder(default)]
    pub keep_history: bool,
}

/// How many revisions Helm keeps unless told otherwise.
const HISTORY_LIMIT: u32 = 10;
