//! What could not start is tried again as long as it is there, so that nobody has to come for a port that was taken for a while.

use super::{
    host::{Instances, LocalHost},
    instance::Instance,
};
use futures::{FutureExt, future::BoxFuture};
use iotorch_core::{Error, Result};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::sync::OwnedMutexGuard;
use tokio_util::task::AbortOnDropHandle;

/// The pause before the next try, doubled with each one up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl LocalHost {
    /// Takes what was started into its space, and gives the reason if it does not run. Then it is tried again after a pause.
    pub(super) fn hold(
        self: &Arc<Self>,
        instances: &mut Instances,
        space: &str,
        name: &str,
        instance: Instance,
    ) -> Option<Error> {
        self.hold_after(FIRST_PAUSE, instances, space, name, instance)
    }

    fn hold_after(
        self: &Arc<Self>,
        pause: Duration,
        instances: &mut Instances,
        space: &str,
        name: &str,
        mut instance: Instance,
    ) -> Option<Error> {
        let failure = instance.failure();
        if failure.is_some() {
            instance.keep(self.later(pause, space, name));
        }
        instances.insert(name.to_owned(), instance);
        failure
    }

    fn later(self: &Arc<Self>, pause: Duration, space: &str, name: &str) -> AbortOnDropHandle<()> {
        let again = again(Arc::downgrade(self), pause, space.to_owned(), name.to_owned());
        AbortOnDropHandle::new(tokio::spawn(again))
    }

    /// Starts what did not run a pause ago, unless somebody else has come before.
    async fn try_again(
        self: &Arc<Self>,
        mut instances: OwnedMutexGuard<Instances>,
        pause: Duration,
        space: &str,
        name: &str,
    ) -> Result<()> {
        if !instances.get(name).is_some_and(Instance::has_failed) {
            return Ok(());
        }
        // The pauses are patience enough, and others wait for their turn at the space.
        let started = self.start_again(&self.dir().join(space).join(name), Duration::ZERO).await;
        let pause = (2 * pause).min(LONGEST_PAUSE);
        match started {
            Ok(instance) => match self.hold_after(pause, &mut instances, space, name, instance) {
                None => tracing::info!(space, name, "it runs now"),
                Some(error) => tracing::debug!(space, name, %error, "it still cannot start"),
            },
            Err(error) => {
                tracing::warn!(space, name, %error, "it cannot be started");
                if let Some(instance) = instances.get_mut(name) {
                    instance.keep(self.later(pause, space, name));
                }
            }
        }
        Ok(())
    }
}

/// Tries once more after a pause. It does not keep the host alive meanwhile.
fn again(host: Weak<LocalHost>, pause: Duration, space: String, name: String) -> BoxFuture<'static, ()> {
    async move {
        tokio::time::sleep(pause).await;
        let Some(host) = host.upgrade() else { return };
        let (turn, at) = (Arc::clone(&host), space.clone());
        let again = async move |instances| turn.try_again(instances, pause, &at, &name).await;
        // A host that has stopped gives nobody a turn any more.
        let _ = host.turn(space, again).await;
    }
    .boxed()
}
