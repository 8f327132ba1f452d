//! Kubernetes clusters as infrastructures of IoT slices.
//!
//! A slice's part of a cluster is a namespace, and each workload in it is a release of a Helm chart. [`KubernetesDriver`] is the
//! driver; it finds charts with [`HelmCharts`], which an engine also pins them with before it plans, and makes releases with
//! what [`Engines`] open, such as the `helm` program ([`HelmPrograms`]). [`KubernetesConfig`] is what a document says of a cluster. How
//! slices live on clusters, and what is made there, is told in `docs/kubernetes.md`.
//!
//! # Examples
//! ```no_run
//! use std::sync::Arc;
//! use iotorch_core::{Drivers, Engine, secret::MemorySecretStore, store::MemoryStore};
//! use iotorch_k8s::{HelmCharts, HelmPrograms, KubernetesDriver};
//!
//! # fn main() -> iotorch_core::Result<()> {
//! let charts = HelmCharts::new("/var/lib/example/charts")?;
//! let helm = HelmPrograms::new("helm", "/var/lib/example/helm");
//! let kubernetes = KubernetesDriver::new(charts.clone(), helm).with_kubeconfig("/etc/example/kubeconfig");
//! let engine = Engine::builder()
//!     .store(Arc::new(MemoryStore::new()))
//!     .secrets(Arc::new(MemorySecretStore::default()))
//!     .charts(Arc::new(charts))
//!     .drivers(Drivers::default().with(kubernetes))
//!     .build();
//! # Ok(())
//! # }
//! ```

mod charts;
mod cluster;
mod config;
mod domain;
mod drift;
mod driver;
mod endpoints;
mod error;
mod forward;
mod mark;
mod objects;
mod outside;
mod own_charts;
mod permissions;
mod place;
mod policy;
mod quantity;
mod readiness;
mod record;
mod releases;
mod requests;
mod secrets;
mod space;
mod survey;
mod workload;

pub use charts::HelmCharts;
pub use config::{AddressRange, Impersonation, KubernetesConfig, PodSecurity};
pub use driver::{Engines, HelmPrograms, KubernetesDriver};
pub use permissions::cluster_role;
pub use secrets::KubernetesSecretStore;
