//! The information model: what a user writes.
//!
//! Two kinds of document, [`Infrastructure`] and [`Slice`], in the Kubernetes resource format. [`Documents::read`] turns files
//! into documents that are known to be right, or into [`Problems`] that name every fault with its place.

mod conform;
mod defaults;
mod device;
mod document;
mod gateway;
mod infrastructure;
mod leaf;
mod name;
mod network;
mod placement;
mod problem;
mod quantity;
mod scalar;
pub mod schema;
mod served;
mod service;
mod shape;
mod slice;
mod suggest;
mod syntax;
mod tree;
mod validate;
mod yaml;

pub use device::{Access, Device, DeviceProtocol, Profile, ProfileResource, Range, ValueType};
pub use document::{DocumentKey, Documents, MAX_SOURCE};
pub use gateway::{Chart, Connection, External, Gateway, Server, Sink, SinkKind};
pub use infrastructure::{Capacity, Infrastructure, InfrastructureSpec, Location, Tier};
pub use name::{DriverName, InfrastructureName, MAX_NAME, PartName, ResourceName, SliceName};
pub use network::{
    AccessSegment, AccessTechnology, BandwidthObjective, CoreSegment, Encryption, FunctionBinding,
    FunctionType, Isolation, Network, NetworkFunction, Objectives, OnUnenforced, Physical,
    SliceDifferentiator, Snssai, TransportSegment,
};
pub use placement::{Near, Placement};
pub use problem::{Problem, Problems, Source};
pub use quantity::{Bandwidth, ByteSize, Cpu, Distance, MessageRate, Percent, TimeSpan};
pub use service::{CommunicationService, ServiceType};
pub use slice::{FailurePolicy, Offline, OnOffline, Places, Quota, Slice, SliceSpec};
pub use suggest::nearest;

/// Values that the model passes on without reading them: chart values, driver settings.
pub type Settings = serde_json::Map<String, serde_json::Value>;

/// Free key-value pairs that select and group.
pub type Labels = std::collections::BTreeMap<String, String>;

/// The version of the document format.
pub const API_VERSION: &str = "iotorch.dev/v1alpha1";
