//! A small IoT gateway and a small IoT server that run inside a process, any number of them side by side.
//!
//! ```text
//! device --MQTT, HTTP, CoAP--> Gateway --SenML over MQTT--> Server --HTTP--> reader
//! ```
//!
//! A [`Gateway`] admits devices, each with its own credentials and topics, judges their readings by profiles, and
//! keeps what it accepted on disk until every export has acknowledged it. A [`Server`] admits things, each with its
//! own channel, and stores each message once. Both keep everything in one data directory, take up their work again
//! after a crash, and are configured over an HTTP management API ([`api`]) with typed clients ([`client`]). What a server
//! has stored is read there too, as it is or a record for each interval, and given up when it is too old or too much. Both
//! show how they are doing: metrics, a log, and a description of their API in OpenAPI.
//!
//! [`LiteDriver`] lets iotorch configure them wherever they run, and [`LocalDriver`] runs them on a [`LocalHost`] in
//! this process. [`device`] is the other side: it acts as a device of a gateway, over each of its protocols.
//!
//! # What a device does
//!
//! It speaks the protocol that its [`api::Device`] names, and what is a topic in one is the path in the others. It sends to
//! `devices/<name>/<resource>` the plain value of one resource, or to `devices/<name>` a message about any of them. An
//! acknowledged message is on disk, and a server has each of its readings once: the gateway numbers them, and the server
//! knows the numbers it has. A message that the device sends again because its acknowledgement was lost is recognised among
//! the last 64 of the device if all of its readings have absolute times; otherwise its readings are new ones.
//!
//! | | MQTT 3.1.1 or 5 | HTTP/1.1 | CoAP over DTLS |
//! |---|---|---|---|
//! | logs in with | its name as user name and one of its passwords; the client identifier is empty, the name, or the name, a colon and anything | name and password (Basic) | the name, or the name, a colon and a generation, as identity of the pre-shared key that is the password |
//! | sends | a publish | POST or PUT; the answer says what was rejected | POST or PUT, like HTTP |
//! | gets its commands | subscribed to `devices/<name>/commands/#`: one at a time, as the bare value, at `devices/<name>/commands/<resource>` | GET of `devices/<name>/commands?wait=<seconds>`: a JSON array of [`api::Command`] | GET of `devices/<name>/commands`, which it can observe |
//! | acknowledges one | by the PUBACK, whatever its reason code; subscribed at QoS 0 it cannot | DELETE of `devices/<name>/commands/<id>` | DELETE, like HTTP |
//!
//! Over MQTT QoS 2 does not tell a message that is sent again either, and a last will is not a reading. A device that is too
//! quick ([`Limits::rate`]) is read more slowly over MQTT, and told to wait over HTTP (429) and CoAP (4.29). Over CoAP a
//! device that is not answered any more makes a new handshake: a session ends at the first record that cannot be decrypted,
//! whoever sent it, and an address with many refused handshakes has to wait for its next one.
//!
//! # What a message says
//!
//! No header tells the format: the path and the first byte do.
//!
//! | path | starts with | is |
//! |---|---|---|
//! | `devices/<name>/<resource>` | anything | `21.5`, `3`, `true`, or a text with or without quotes, read as the type of the resource |
//! | `devices/<name>` | `{` | a JSON object of such values by resource: `{"temperature":21.5,"open":true}` |
//! | `devices/<name>` | `[` | a SenML pack in JSON, whose names are resources: `[{"n":"temperature","v":21.5,"t":-5}]` |
//! | `devices/<name>` | 0x80 to 0x9f | a SenML pack in CBOR |
//!
//! Each value of a message is judged by itself. It is rejected, with the reason, if the profile has no such resource or
//! does not let it be read, if its type is another, it is out of range, or its unit is not the profile's, and if it is an
//! integer that a double does not hold exactly. A message that cannot be read is rejected as a whole. Only SenML carries
//! times, units and sums; other values are of the time at which they arrive, in the unit of the profile.
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

mod access;
pub mod api;
mod broker;
pub mod client;
mod clock;
mod coap;
mod config;
mod convert;
mod data_dir;
pub mod device;
mod domain;
mod driver;
mod error;
mod following;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod http;
mod limits;
mod listening;
mod local;
mod log;
mod managing;
mod metrics;
mod mqtt;
mod objects;
mod openapi;
mod parameter;
mod ports;
mod refusals;
mod seats;
mod secret;
pub mod senml;
mod server;
mod settings;
mod store;
mod tls;
mod web;

pub use config::{Bus, BusFormat, Limits, Listen, Ports, Tls};
pub use driver::LiteDriver;
pub use error::{Error, ErrorKind, Result};
pub use gateway::{Gateway, GatewayConfig};
pub use local::{LocalDriver, LocalHost};
pub use secret::Secret;
pub use server::{Server, ServerConfig};
pub use settings::{BusSettings, LiteSettings, TlsFiles};
