//! What every implementation of a trait of this crate has to do, as trials that anybody can run.
//!
//! A suite is a list of [`Trial`]s. Each makes what it tests anew, so that they can run in any order and at the same time. [`run`]
//! runs them one after the other and tells every one that fails by its name:
//!
//! ```
//! use std::sync::Arc;
//! use iotorch_core::{
//!     store::{MemoryStore, Store},
//!     testing::{self, Failures},
//! };
//!
//! // In a crate of your own this is a test: `#[tokio::test]`, and your store in the place of this one.
//! async fn the_store_behaves() -> Result<(), Failures> {
//!     let trials = testing::store::trials(|| Box::pin(async { Arc::new(MemoryStore::new()) as Arc<dyn Store> }));
//!     testing::run(trials).await
//! }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(the_store_behaves()).unwrap();
//! ```
//!
//! A test binary that shows each trial as a test of its own makes one of every [`Trial::name`] and [`Trial::run`].

pub mod domain;
pub mod network;
pub mod secret;
pub mod store;
mod trial;

pub use trial::{Failure, Failures, Outcome, Trial, run};

#[cfg(any(test, feature = "testing"))]
pub use crate::{domain::MockDomain, network::MockNetworkSlicer, orchestrator::MockOrchestrator};

/// Fails a trial unless something holds, with a message for whoever wrote what is tried.
macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err($crate::testing::Failure::new(format!($($message)+)));
        }
    };
}
pub(crate) use ensure;
