//! Looking at the world: all scopes of a slice at once.

use std::sync::Arc;

use futures::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Engine;
use crate::{
    domain::{Context, Scope},
    error::{Error, ErrorKind, Result},
    model::DriverName,
    plan::{Observations, ScopeContents, Sight},
    resource::KindName,
};

impl Engine {
    /// Looks at `scopes`. Applications come after the workloads they live in: one whose workload is absent or unknown is not asked.
    pub(super) async fn observe(&self, scopes: Vec<(DriverName, Scope)>) -> Observations {
        let mut seen = Observations::default();
        let inside =
            |scope: &Scope| scope.root.kind() == KindName::Application && scope.root.host().is_some();
        let (later, first): (Vec<_>, Vec<_>) = scopes.into_iter().partition(|(_, scope)| inside(scope));
        self.observe_all(first, &mut seen).await;
        let askable = |scope: &Scope| {
            let host = scope.root.host().map(|workload| seen.sight(&workload));
            matches!(host, Some(Sight::Present { .. }))
        };
        let later: Vec<_> = later.into_iter().filter(|(_, scope)| askable(scope)).collect();
        self.observe_all(later, &mut seen).await;
        seen
    }

    async fn observe_all(&self, scopes: Vec<(DriverName, Scope)>, seen: &mut Observations) {
        let looks = scopes.into_iter().map(|(driver, scope)| async move {
            let contents = self.observe_one(&driver, &scope).await;
            (scope.root, contents)
        });
        for (root, contents) in join_all(looks).await {
            if let Err(error) = &contents {
                tracing::debug!(%root, %error, "the scope cannot be observed");
            }
            seen.note(root, contents);
        }
    }

    async fn observe_one(&self, driver: &DriverName, scope: &Scope) -> Result<ScopeContents> {
        let connection = self.shared.connections.domain(driver, &scope.root)?;
        let cx = self.context();
        let look = async {
            let _any = self.shared.calls.acquire().await;
            let _here = connection.admit().await;
            connection.observe(&cx, scope).await
        };
        match tokio::time::timeout_at(cx.deadline, look).await {
            Ok(contents) => Ok(contents?.into_iter().collect()),
            Err(_) => Err(Error::new(
                ErrorKind::Unavailable,
                format!("cannot observe \"{}\": no answer in time", scope.root),
            )),
        }
    }

    /// The context of a call that only looks.
    pub(super) fn context(&self) -> Context {
        Context {
            installation: self.shared.store.installation(),
            deadline: Instant::now() + self.shared.limits.observe_deadline,
            cancelled: CancellationToken::new(),
            secrets: Arc::clone(&self.shared.secrets),
            places: self.shared.connections.places(),
        }
    }
}
