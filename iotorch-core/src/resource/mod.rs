//! Resources: what iotorch makes of the documents.
//!
//! A resource *lives in* at most one host and *uses* others. Its [`ResourceId`] is the path of its hosts. Each of the eleven
//! kinds ties together what is wanted ([`Kind::Spec`]), what it needs to know of others when it is made
//! ([`Kind::Inputs`]) and what it tells others once it is there ([`Kind::Outputs`]); see [`kind`].

mod application;
mod change;
mod device;
mod endpoint;
mod id;
mod inputs;
pub mod kind;
mod segment;
mod workload;

pub use application::{
    ApplicationOutputs, ApplicationSpec, AttachmentInputs, AttachmentOutputs, AttachmentSpec,
    CredentialHolder, CredentialInputs, CredentialOutputs, CredentialSpec, InApplication, MqttVersion,
    TenantOutputs, TenantSpec,
};
pub use change::{Change, Ownership};
pub use device::{
    DeviceInputs, DeviceOutputs, DeviceSpec, ExportInputs, ExportOutputs, ExportServer, ExportSpec,
    ExportTarget, ProfileOutputs, ProfileSpec,
};
pub use endpoint::{Endpoint, NetAddress};
pub use id::{Location, ResourceId};
pub(crate) use inputs::resolve_inputs;
pub use kind::{
    Application, Attachment, Credential, Device, Export, Inputs, Job, Kind, KindName, Outputs, Port, Profile,
    Segment, Space, Spec, Tenant, Work, Workload,
};
pub use segment::{
    Assurance, Layer, Objective, PortInputs, PortOutputs, PortSpec, SegmentEndpoint, SegmentOutputs,
    SegmentSpec,
};
pub use workload::{
    ApplicationInputs, Role, SpaceOutputs, SpaceSpec, WorkloadInputs, WorkloadOutputs, WorkloadSpec,
};

/// Inputs of a kind that needs to know of nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NoInputs {}
