//! A simulated world, to test slices, drivers and services against.
//!
//! A [`World`] holds the objects that domains would manage: spaces, workloads, applications and all that is in them. Its domains keep the
//! contract of [`crate::Domain`] and are strict about order: a device needs its profile, a profile in use cannot go, an object needs
//! its host. Faults come from a seed ([`Faults::seeded`]) or are placed by hand ([`World::inject`]); time is the runtime's, so in a
//! runtime with paused time hours pass in an instant.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! use std::sync::Arc;
//! use iotorch_core::{Engine, ErrorKind, Intent, Orchestrator, RunOptions};
//! use iotorch_core::{secret::MemorySecretStore, sim::{Fault, World, sim_infrastructure, sim_slice}, store::MemoryStore};
//!
//! let world = World::new();
//! world.inject("greenhouse/edge-1/space/gw/app/device/d1", Fault::Error(ErrorKind::Denied));
//! let engine = Engine::builder()
//!     .store(Arc::new(MemoryStore::new()))
//!     .secrets(Arc::new(MemorySecretStore::default()))
//!     .drivers(world.drivers())
//!     .build();
//! let intent = Intent {
//!     infrastructures: vec![sim_infrastructure("edge-1"), sim_infrastructure("cloud-1")],
//!     slices: vec![sim_slice("greenhouse")],
//!     ..Intent::default()
//! };
//! let plan = engine.plan(&intent).await?;
//! let failed = engine.apply(plan, RunOptions::default()).await.unwrap_err();
//! assert_eq!(failed.error.kind(), ErrorKind::Denied);
//! assert!(world.objects().is_empty(), "rolled back");
//! # Ok::<(), iotorch_core::Error>(()) }).unwrap();
//! ```

mod documents;
mod domain;
mod driver;
mod fault;
mod world;

pub use documents::{sim_infrastructure, sim_slice};
pub use driver::{SimDriver, SimPlace};
pub use fault::{Fault, Faults};
pub use world::{Object, World};
