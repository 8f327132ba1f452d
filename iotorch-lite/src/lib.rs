//! A small IoT gateway and a small IoT server that run inside a process, any number of them side by side.
//!
//! ```text
//! device --MQTT--> Gateway --SenML over MQTT--> Server --HTTP--> reader
//! ```
//!
//! A [`Gateway`] admits devices, each with its own credentials and topics, judges their readings by profiles, and
//! keeps what it accepted on disk until every export has acknowledged it. A [`Server`] admits things, each with its
//! own channel, and stores each message once. Both keep everything in one data directory, take up their work again
//! after a crash, and are configured over an HTTP management API ([`api`]) with typed clients ([`client`]).
//!
//! [`LiteDriver`] lets iotorch configure them wherever they run, and [`LocalDriver`] runs them on a [`LocalHost`] in
//! this process.
//!
//! # What a device does
//!
//! It logs in with its name as user name and one of its passwords, over MQTT 3.1.1 or 5. Its client identifier is
//! empty, its name, or its name, a colon and anything. It publishes to `devices/<name>/<resource>` a plain value, or
//! to `devices/<name>` a JSON object of values by resource or a SenML pack whose names are resources. It may
//! subscribe to `devices/<name>/commands/#`. An acknowledged message is on disk. A message sent again because its
//! acknowledgement was lost is a new reading, at QoS 2 too, unless the device gave it a time; a last will is not a
//! reading.
//!
//! # Example
//!
//! ```
//! use iotorch_lite::{Gateway, GatewayConfig, Secret, client::{self, GatewayClient}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let admin = Secret::new("a long random string");
//! let config = GatewayConfig::builder().data_dir(dir.path()).admin_token(admin.clone()).build();
//! let gateway = Gateway::start(config).await?;
//!
//! let client = GatewayClient::new(format!("http://{}", gateway.management_address()), admin)?;
//! assert_eq!(client.health().await?.role, "gateway");
//!
//! let stranger = GatewayClient::new(client.base_url(), Secret::new("a guess"))?;
//! assert!(matches!(stranger.objects().await, Err(client::Error::Refused)));
//! gateway.stop().await;
//! # Ok(())
//! # }
//! ```

pub mod api;
mod broker;
pub mod client;
mod clock;
mod config;
mod convert;
mod data_dir;
mod domain;
mod driver;
mod error;
mod gateway;
mod listening;
mod local;
mod managing;
mod objects;
mod refusals;
mod secret;
pub mod senml;
mod server;
mod store;
mod web;

pub use config::LiteSettings;
pub use driver::LiteDriver;
pub use error::{Error, ErrorKind, Result};
pub use gateway::{Gateway, GatewayConfig};
pub use local::{LocalDriver, LocalHost};
pub use secret::Secret;
pub use server::{Server, ServerConfig};
