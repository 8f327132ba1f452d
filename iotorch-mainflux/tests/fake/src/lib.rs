//! Answers as the services of Mainflux, SuperMQ and Magistrala do.
//!
//! [`Fake::start`] plays all services of a [`Release`]; what they answer is held against recordings of the real ones by the test
//! `replay`. Between two calls a test may take something away ([`Fake::lose`]), let time pass ([`Fake::pass`]), or have
//! a request arrive late ([`Fake::hold_next`]); afterwards it can look at what was asked ([`Fake::asked`]).
//!
//! Nobody has recorded Mainflux 0.13 and SuperMQ 0.17: they are played as their neighbours, but for what [`Release`] says, which is
//! from their sources. Nor has anybody recorded `PATCH /users/secret` of SuperMQ, by which a password is changed, and what is switched on and
//! off again there.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use iotorch_mainflux_fake::{Config, Fake, Release, Service};
//!
//! let fake = Fake::start(Config::new(Release::Mainflux012)).await?;
//! assert!(fake.url(Service::Things).starts_with("http://127.0.0.1:"));
//! assert!(fake.address(Service::Clients).is_none(), "Mainflux has things, not clients");
//! # Ok(())
//! # }
//! ```

mod ask;
mod bus;
mod config;
mod dialect;
mod fake;
mod faults;
mod mainflux;
mod matching;
mod mqtt;
mod number;
mod senml;
mod service;
mod serving;
mod state;
mod stored;
mod supermq;
mod world;

pub use config::{Config, Release};
pub use fake::Fake;
pub use faults::Held;
pub use service::{Dependency, Service};
pub use serving::Asked;
