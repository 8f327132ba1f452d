//! The infrastructure `local`: gateways and servers in this process.
//!
//! ```text
//! DIR/<infrastructure>.<slice>/space.json                 whose the space is
//! DIR/<infrastructure>.<slice>/<workload>/instance.json   what runs there and whose it is
//!                                        /ports.json, …   what the gateway or server keeps
//! ```
//!
//! A directory is made under another name and renamed when it is whole, and renamed before it is removed. What a process
//! leaves behind that dies in between begins with a dot and is swept by the next one.

mod directory;
mod domain;
mod driver;
mod host;
mod instance;
mod place;
mod retry;

pub(crate) use driver::LOCAL;
pub use driver::LocalDriver;
pub use host::LocalHost;
