//! Mainflux, SuperMQ and Magistrala as servers of IoT slices.
//!
//! [`MainfluxDriver`] lets iotorch configure such a server, wherever it runs, through the HTTP APIs of its services. The dialect is
//! found out by asking:
//!
//! | | Mainflux 0.12 | Mainflux 0.13 | SuperMQ 0.17–0.19 | Magistrala 0.20–0.30 |
//! |---|---|---|---|---|
//! | asked by | `/version` | `/health` | `/health` | `/health` |
//! | `Authorization` of a user | the token | `Bearer` | `Bearer` | `Bearer` |
//! | a tenant is | a user | a user | a user and a domain | a user and a domain |
//! | a key is that of | a thing | a thing | a client | a client |
//! | chosen here | keys | keys | ids and keys | ids and keys |
//! | stores | everything | everything | by a writer of Magistrala's | what a rule says, which is made here |
//! | topic | `channels/C/messages` | `channels/C/messages` | `m/D/c/C` | `m/D/c/C` |
//!
//! # What is made
//!
//! | resource | at the server |
//! |---|---|
//! | Tenant | a user with the e-mail address `SLICE.HASH@iotorch.invalid`, and its domain; both follow from installation and resource |
//! | Attachment | a channel in the tenant's account, and the rule that stores what is sent to it |
//! | Credential | a thing of its own for each generation of the key, connected to the channel |
//!
//! Whatever is made carries one key `iotorch` in its metadata, with the mark of its owner and what it was made from. It is found again by that, and
//! compared exactly: the filters of the services know of parts of names only. A match without our mark is a conflict that names its owner.
//!
//! # What has to be known
//!
//! - **Users and domains cannot be deleted.** They are named as what is left behind. A user that is left behind gets a password that follows
//!   from the administrator's; the next create takes both over.
//! - **Keys.** A key that was used stays valid after it is changed: for ever on Mainflux, for ten minutes over MQTT on SuperMQ. So a
//!   rotation makes a new thing, and the key of a thing is never changed, unless somebody else has done so before: then the removal
//!   names, on Mainflux, the other key as left behind. When a thing is deleted, new connections with its key are refused at once. A
//!   connection that is open goes on on Mainflux until it is closed; SuperMQ and Magistrala close it at the next message.
//! - **Secrets.** Which ones a server is sent follows from the resource. What its metadata name is not believed.
//! - **Calls that come late.** Keys and ids are chosen here, so that a request that is carried out after its process has died is refused. Mainflux
//!   chooses the ids of channels itself: a channel counts only once its own id is noted in it, and others with the same mark are deleted when
//!   the server is next looked at. The same goes for a second rule.
//! - **Lists** come in pages. One that changes while it is read is read anew; one that stays cut is an error, and never means that
//!   something is not there.
//! - **Outages.** Services say "401" or "403" also while others that they need are away. A token is replaced once for each request; what is refused
//!   with a new token is an outage. Mainflux 0.12 cannot tell a wrong password from a database that is away, and says so in the error.
//! - **Messages.** The servers acknowledge, and then drop, what is no SenML, packs with one bad record, names that are not ASCII, contain
//!   a space or begin with `-`; and all that comes while their writer is away. Times should be absolute.
//!
//! [`Messages`] reads back what a channel has.

mod client;
mod config;
mod convert;
mod domain;
mod driver;
mod error;
mod messages;

pub use config::MainfluxSettings;
pub use driver::MainfluxDriver;
pub use messages::{Messages, Page, Query, Record, Time, Value};
