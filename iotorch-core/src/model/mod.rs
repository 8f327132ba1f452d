//! The information model: what a user writes.
//!
//! Two kinds of document, [`Infrastructure`] and [`Slice`], in the Kubernetes resource format. [`read`] turns files
//! into [`Documents`] that are known to be right, or into [`Problems`] that name every fault with its place.

mod defaults;
mod device;
mod gateway;
mod infrastructure;
mod name;
mod network;
mod placement;
mod quantity;
mod service;
mod slice;

pub use device::{Access, Device, DeviceProtocol, Profile, ProfileResource, Range, ValueType};
pub use gateway::{Chart, Connection, External, Gateway, Server, Sink, SinkKind};
pub use infrastructure::{Capacity, Infrastructure, InfrastructureSpec, Location, Tier};
pub use name::{DriverName, InfrastructureName, MAX_NAME, PartName, ResourceName, SliceName};
pub use network::{
    AccessSegment, AccessTechnology, BandwidthObjective, CoreSegment, Encryption, FunctionBinding,
    FunctionType, Isolation, Network, NetworkFunction, Objectives, OnUnenforced, Physical, Snssai,
    TransportSegment,
};
pub use placement::{Near, Placement};
pub use quantity::{Bandwidth, ByteSize, Cpu, Distance, MessageRate, Percent, TimeSpan};
pub use service::{CommunicationService, ServiceType};
pub use slice::{FailurePolicy, Offline, OnOffline, Slice, SliceSpec};

/// Values that the model passes on without reading them: chart values, driver settings.
pub type Settings = serde_json::Map<String, serde_json::Value>;

/// Free key-value pairs that select and group.
pub type Labels = std::collections::BTreeMap<String, String>;

/// The version of the document format.
pub const API_VERSION: &str = "iotorch.dev/v1alpha1";
