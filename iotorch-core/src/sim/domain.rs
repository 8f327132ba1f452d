//! The domain of a simulated world.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use futures::future::join_all;

use super::{World, world::Ruling};
use crate::{
    domain::{Context, Domain, Observed, Scope},
    error::{Error, ErrorKind, Result},
    resource::{KindName, Outputs, Ownership, ResourceId, Spec, Work},
};

/// Manages a [`World`].
#[derive(Debug)]
pub(super) struct SimDomain {
    world: World,
    /// The applications whose specifications this process has heard of: real ones may be unreachable without these.
    heard_of: Mutex<BTreeSet<ResourceId>>,
}

impl SimDomain {
    pub(super) const fn new(world: World) -> Self {
        Self { world, heard_of: Mutex::new(BTreeSet::new()) }
    }

    fn hear_of(&self, id: &ResourceId) {
        if id.kind() == KindName::Application {
            self.heard_of.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        }
    }

    fn has_heard_of(&self, id: &ResourceId) -> bool {
        id.kind() != KindName::Application
            || self.heard_of.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    async fn step(&self, cx: &Context, work: Work) -> Result<Outputs> {
        self.hear_of(work.id());
        let root = work.id().scope();
        if !self.has_heard_of(&root) {
            return Err(Error::new(
                ErrorKind::Unexpected,
                format!("this process has not heard of \"{root}\""),
            ));
        }
        let mark = cx.mark(work.id()).to_string();
        // A real system is told the secret, so it has to be there before.
        if let Some(Spec::Credential(credential)) = work.change().after() {
            cx.secret(&credential.secret).await?;
        }
        match self.world.rule(&work, &mark) {
            Ruling::Fail(error) => Err(error),
            Ruling::DoAndFail => {
                self.world.perform(&work, &mark)?;
                Err(Error::new(ErrorKind::Unavailable, "the connection broke before the answer"))
            }
            Ruling::Do(delay) => {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                self.world.perform(&work, &mark)
            }
        }
    }
}

#[async_trait]
impl Domain for SimDomain {
    async fn observe(&self, cx: &Context, scope: &Scope) -> Result<Vec<(ResourceId, Observed)>> {
        self.recall(scope);
        self.world.reach(&scope.root)?;
        let mut ids = scope.known.clone();
        ids.extend(self.world.in_scope(&scope.root, &cx.installation));
        let look = |id: ResourceId| {
            let seen = self.world.observed(&id, &cx.mark(&id).to_string());
            (id, seen)
        };
        Ok(ids.into_iter().map(look).collect())
    }

    async fn apply(&self, cx: &Context, batch: Vec<Work>) -> Vec<Result<Outputs>> {
        join_all(batch.into_iter().map(|work| self.step(cx, work))).await
    }

    fn recall(&self, scope: &Scope) {
        self.hear_of(&scope.root);
    }

    /// Objects are put whole. One that is removed late may have been made again since.
    fn repeats_at_once(&self, call: &Work) -> bool {
        call.ownership() == Ownership::Ours && !call.change().is_delete()
    }
}
