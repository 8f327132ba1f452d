//! Gateways of EdgeX Foundry as a backend of iotorch: the driver `edgex`.
//!
//! [`EdgexDriver`] serves EdgeX 4 (core-keeper), 3 (Consul) and 1 (Delhi); which one it is, a gateway is asked. Of each it handles
//!
//! - the *application*: ready when every service that it has an endpoint for answers, and its device services have registered;
//! - *profiles* and *devices*, in core-metadata, many in one request, with the mark of iotorch in their labels;
//! - *credentials* of devices that speak MQTT, where the broker is mosquitto with its dynamic security plug-in and is left to iotorch;
//! - *exports*: by a bridge, which is a gateway of [`iotorch_lite`] that reads the bus of EdgeX, or by the
//!   application service of EdgeX itself, which promises less.
//!
//! # Endpoints
//! | name | what listens there |
//! |---|---|
//! | `metadata`, `command` | core-metadata, core-command |
//! | `keeper`, `consul` | the configuration: core-keeper (4.0), Consul (3.x) |
//! | `device-mqtt`, `device-rest`, `device-coap` | the device services |
//! | `mqtt` | the broker for devices |
//! | `bridge` | the management API of the bridge |
//! | `app-mqtt-export`, `export-client` | what EdgeX exports with: the application service (3.x and 4.0), export-client (1) |
//! | `gateway` | the API gateway of the secure mode, in place of the services |
//!
//! The secret that manages a gateway is `USER:PASSWORD`, or the password of the user `admin`: at the API gateway in the secure mode, and
//! at a broker whose users are managed. The bridge takes it as its token, as it is.
//!
//! [`Commands`] reads and sets the resources of devices through core-command.
//!
//! What documents can set is in [`EdgexSettings`] and [`DeviceSettings`]. Start reading with `driver.rs`; `client.rs` is the way to the services, and
//! `domain.rs` what is done by it.

mod client;
mod commands;
mod config;
mod convert;
mod dialect;
mod domain;
mod driver;
mod error;

pub use commands::{Commands, DeviceReading};
pub use config::{BrokerUsers, DeviceSettings, EdgexSettings, Exporter, HttpDevice};
pub use driver::EdgexDriver;
