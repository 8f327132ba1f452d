//! Complete Kubernetes clusters on one machine, for tests of iotorch and for trying it.
//!
//! [`Testbed::up`] gives two clusters, `edge-1` and `cloud-1`, each with etcd, API server, controller manager, scheduler,
//! containerd, kubelet, proxy and name server, in a network namespace of its own; or one control plane with simulated nodes
//! ([`Kind::Sim`]). All programs are built from pinned Go modules, or are packages of Debian; there is no Docker, no
//! registry and no virtual machine. It takes root.
//!
//! ```no_run
//! use iotorch_testbed::{Component, Image, Kind, Link, Testbed};
//!
//! let testbed = Testbed::up(Kind::K8s, &|line| eprintln!("{line}"))?;
//! let edge = testbed.cluster("edge-1")?;
//! edge.load(&Image::builder("example.test/echo:1").file("/echo", "target/echo", 0o755).build()?)?;
//! edge.kill(Component::ApiServer)?;
//! edge.start(Component::ApiServer)?;
//! edge.wait_until_ready()?;
//! edge.cut(Link::Direct)?;
//! edge.mend(Link::Direct)?;
//! # Ok::<(), iotorch_testbed::Error>(())
//! ```
//!
//! People use it by `cargo xtask testbed`; `docs/testbed.md` tells how, and what is where. Read [`Cluster`] next.

mod addresses;
mod clean;
mod cluster;
mod command;
mod component;
mod config;
mod elf;
mod environment;
mod error;
mod groups;
mod image;
mod kind;
mod layout;
mod modules;
mod mounts;
mod network;
mod pieces;
mod process;
mod progress;
mod requirements;
mod testbed;

pub use self::addresses::{ADDRESSES, Addresses};
pub use self::cluster::{Cluster, Node};
pub use self::command::quoted;
pub use self::component::Component;
pub use self::elf::is_static;
pub use self::environment::find_program;
pub use self::error::{Error, Result};
pub use self::image::{Image, ImageBuilder};
pub use self::kind::Kind;
pub use self::modules::Module;
pub use self::network::Link;
pub use self::process::Process;
pub use self::progress::{Progress, SILENT};
pub use self::requirements::{REQUIREMENTS, Requirement};
pub use self::testbed::{DEFAULT_NODES, Testbed};
