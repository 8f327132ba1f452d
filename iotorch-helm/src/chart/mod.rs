//! Charts: where they come from, and how they are pinned.
//!
//! A [`ChartSource`] is what a person writes. [`Charts`] turns it, and a [`VersionRange`], into a [`ResolvedChart`]: one
//! archive on disk, known by its [`Digest`]. From then on the digest is enough: [`Charts::pinned`] finds the archive again
//! without a network, also when the repository is gone.

mod archive;
mod cache;
mod charts;
mod content;
mod digest;
mod directory;
mod ignore;
mod metadata;
mod pattern;
mod registry;
mod repository;
mod source;
mod version;
mod web;

pub use charts::{Charts, ChartsConfig, ResolvedChart};
pub use digest::Digest;
pub use source::ChartSource;
pub use version::VersionRange;
pub(crate) use version::is_version;
pub use web::Credentials;
