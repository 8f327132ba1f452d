//! iotorch: IoT slices as one durable transaction.
//!
//! Start with [`model`] (what a user writes), then [`plan`] (what has to be done) and [`Engine`] (which does it). A backend
//! implements [`Driver`] and [`Domain`]; see [`domain`].

pub mod chart;
pub mod declared;
pub mod domain;
pub mod driver;
pub mod engine;
pub mod error;
pub mod inspection;
pub mod model;
pub mod network;
pub mod observer;
pub mod orchestrator;
pub mod place;
pub mod placement;
pub mod plan;
pub mod resource;
mod saga;
pub mod secret;
pub mod sim;
pub mod status;
pub mod store;
pub mod testing;

pub use chart::ChartResolver;
pub use domain::{Context, Domain, Health, Mark, Observed, Scope};
pub use driver::{Claim, Driver, DriverInfo, Drivers, Issue, Serves, Target, Verdict};
pub use engine::{Clock, Engine, EngineBuilder, Limits};
pub use error::{Cause, Error, ErrorKind, Result};
pub use inspection::{Inspection, Missing, NodeState};
pub use orchestrator::{ApplyError, Direction, Intent, Orchestrator, Report, RunOptions};
pub use place::{Facts, Place, Places, Route};
