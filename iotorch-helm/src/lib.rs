//! Helm charts and releases for programs.
//!
//! ```text
//! ChartSource --Charts--> ResolvedChart --HelmEngine--> release in a cluster
//! ```
//!
//! [`chart::Charts`] resolves what a person writes (a directory, an archive, a chart of a repository or of a registry, a range of
//! versions) to one archive with a digest. A [`HelmEngine`] renders, installs, upgrades, rolls back and removes releases of such
//! charts in one cluster. [`HelmBinary`] is an engine that runs the `helm` of Helm 3 (from 3.17 on) or 4; it survives its own
//! process: a helm that is at work goes on when the program that started it is killed, and the next one is told so
//! ([`HelmEngine::is_idle`]). [`storage`] reads and writes what Helm keeps of releases in a cluster, which other tools read too.
//!
//! Nothing here speaks to Kubernetes itself, and nothing depends on the rest of iotorch.
//!
//! # A first release
//!
//! ```no_run
//! use std::time::Duration;
//! use iotorch_helm::{
//!     Call, ClusterAccess, ErrorKind, HelmBinary, HelmBinaryConfig, HelmEngine, Install, Release, Values,
//!     chart::{Charts, ChartsConfig},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let charts = Charts::new(ChartsConfig::builder().cache("/var/cache/example").build())?;
//! let chart = charts.resolve(&"https://charts.example.org/gateway".parse()?, &"^1.2".parse()?).await?;
//!
//! let config = HelmBinaryConfig::builder()
//!     .access(ClusterAccess::kubeconfig("/etc/example/edge-1.kubeconfig"))
//!     .locks("/var/lib/example/edge-1/helm")
//!     .cache("/var/cache/example")
//!     .build();
//! let helm = HelmBinary::open(config).await?;
//!
//! let release = Release { name: "gw-1".parse()?, namespace: "greenhouse".parse()? };
//! let values = Values::from(serde_json::json!({ "replicas": 2 }).as_object().cloned().unwrap_or_default());
//! let install = Install::builder().release(release.clone()).chart(chart).values(values).build();
//! match helm.install(&Call::within(Duration::from_secs(300)), &install).await {
//!     Ok(revision) => println!("revision {} is {}", revision.number, revision.status),
//!     // An earlier helm is still at work on this release: it is asked again later.
//!     Err(error) if error.kind() == ErrorKind::Busy => {}
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! That the objects of a release were accepted does not mean that they are ready; [`Manifests::objects`] of
//! [`ReleaseState::manifests`] names those to look at.
//!
//! # Secrets
//!
//! Values end up in clear in the cluster, in whatever Helm keeps of the release. [`values::secrets`] finds those that look
//! like secrets, for the caller to refuse. [`Values`] does not show them when it is printed, and [`HelmBinary`] never puts them into
//! a command line or an environment.
//!
//! Read on at [`HelmEngine`] for what every engine promises, and at [`chart`] for charts.

mod binary;
pub mod chart;
mod engine;
mod error;
mod manifest;
mod name;
mod request;
mod revision;
pub mod storage;
pub mod values;
mod yaml;

pub use binary::{ClusterAccess, HelmBinary, HelmBinaryConfig, Turns};
pub use engine::HelmEngine;
pub use error::{Error, ErrorKind, Result};
pub use manifest::{Manifests, ObjectRef, RESOURCE_POLICY, keeps};
pub use name::{Namespace, ReleaseName};
pub use request::{Call, Install, Release, Render, Rollback, Uninstall, Upgrade};
pub use revision::{ChartVersion, ReleaseState, ReleaseStatus, Revision, Uninstalled};
pub use values::Values;
