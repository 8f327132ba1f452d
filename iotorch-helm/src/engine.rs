//! The seam between those who want releases and what makes them.

use async_trait::async_trait;

use crate::{
    error::Result,
    manifest::Manifests,
    name::Namespace,
    request::{Call, Install, Release, Render, Rollback, Uninstall, Upgrade},
    revision::{ReleaseState, Revision, Uninstalled},
};

/// Makes and removes releases in one cluster.
///
/// # Contract
/// - An operation ends when the cluster has accepted the objects and the hooks of the chart are through. It does not wait until
///   the objects are ready.
/// - What is kept of releases in the cluster is what Helm keeps ([`crate::storage`]), so that engines and `helm` itself can take turns.
/// - Objects that carry no mark, or that of another release, are left alone: [`Conflict`](crate::ErrorKind::Conflict).
/// - Operations on different releases run side by side. For one release there is one at a time; whoever comes second gets
///   [`Busy`](crate::ErrorKind::Busy) and asks again later. Nothing is retried inside.
///
/// # Guarantees
/// - A change that was begun is finished: neither cancelling [`Call::cancelled`] nor dropping the future breaks it off. Should
///   the process die, [`is_idle`](Self::is_idle) tells the next one whether the change is still at work. What only reads ends at once.
/// - A failed [`install`](Self::install) or [`upgrade`](Self::upgrade) leaves a revision that is
///   [`Failed`](crate::ReleaseStatus::Failed) if it got as far as the cluster, which the next upgrade or removal takes up.
/// - One that was broken off leaves a pending revision, which [`upgrade`](Self::upgrade) refuses with
///   [`Pending`](crate::ErrorKind::Pending), and [`uninstall`](Self::uninstall) removes. When nothing is at work any more, it can be
///   marked as failed ([`StoredRelease::with_status`](crate::storage::StoredRelease::with_status)), which [`upgrade`](Self::upgrade) takes up.
///
/// # Errors
/// Each operation can fail with every [`ErrorKind`](crate::ErrorKind) that its documentation says nothing else about. The first
/// source of an error is what the engine itself said.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use iotorch_helm::{Call, ErrorKind, HelmEngine, Install, Result, Revision, Upgrade};
///
/// /// Installs, or upgrades what is there.
/// async fn apply(helm: &dyn HelmEngine, wanted: Install) -> Result<Revision> {
///     let call = Call::within(Duration::from_secs(120));
///     match helm.status(&call, &wanted.release).await {
///         Ok(_) => {
///             let Install { release, chart, values, .. } = wanted;
///             let upgrade = Upgrade::builder().release(release).chart(chart).values(values).build();
///             helm.upgrade(&call, &upgrade).await
///         }
///         Err(error) if error.kind() == ErrorKind::NotFound => helm.install(&call, &wanted).await,
///         Err(error) => Err(error),
///     }
/// }
/// ```
#[async_trait]
pub trait HelmEngine: Send + Sync {
    /// What a chart would deploy, custom resource definitions and hooks included.
    async fn render(&self, call: &Call, request: &Render) -> Result<Manifests>;

    /// Makes a new release. Its namespace has to be there.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) when there is a release of this name, however it stands.
    async fn install(&self, call: &Call, request: &Install) -> Result<Revision>;

    /// Makes a new revision of a release, and removes the objects that it no longer has.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when there is no such release, or no revision of it was ever deployed.
    async fn upgrade(&self, call: &Call, request: &Upgrade) -> Result<Revision>;

    /// Makes a new revision like an earlier one.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when there is no such release or revision.
    async fn rollback(&self, call: &Call, request: &Rollback) -> Result<Revision>;

    /// Removes a release and its objects, without waiting until they are gone.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when there is no such release.
    async fn uninstall(&self, call: &Call, request: &Uninstall) -> Result<Uninstalled>;

    /// A release as it is now.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when there is no such release.
    async fn status(&self, call: &Call, release: &Release) -> Result<ReleaseState>;

    /// The revisions of a release that are kept, oldest first.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when there is no such release.
    async fn history(&self, call: &Call, release: &Release) -> Result<Vec<Revision>>;

    /// The releases in one namespace or in all of them, however they stand, each with its last revision.
    async fn list(&self, call: &Call, namespace: Option<&Namespace>) -> Result<Vec<(Release, Revision)>>;

    /// Whether it is certain that no operation of an earlier process, or of an earlier call, is still at work on a release.
    async fn is_idle(&self, release: &Release) -> Result<bool>;
}
