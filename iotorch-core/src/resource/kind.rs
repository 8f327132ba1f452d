//! The closed set of resource kinds.
//!
//! [`Kind`] ties the types of a kind together; [`Spec`], [`Inputs`], [`Outputs`] and [`Work`] are the sums over all of them, for
//! journals and for code that treats every kind alike.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    ApplicationInputs, ApplicationOutputs, ApplicationSpec, AttachmentInputs, AttachmentOutputs,
    AttachmentSpec, Change, CredentialInputs, CredentialOutputs, CredentialSpec, DeviceInputs, DeviceOutputs,
    DeviceSpec, ExportInputs, ExportOutputs, ExportSpec, ExportTarget, InApplication, NoInputs, Ownership,
    PortInputs, PortOutputs, PortSpec, ProfileOutputs, ProfileSpec, ResourceId, SegmentOutputs, SegmentSpec,
    SpaceOutputs, SpaceSpec, TenantOutputs, TenantSpec, WorkloadInputs, WorkloadOutputs, WorkloadSpec,
};
use crate::secret::SecretRef;

/// A kind of resource: ties together what is wanted, what it needs, and what it tells.
pub trait Kind: fmt::Debug + Clone + Send + Sync + 'static {
    /// The kind's name.
    const NAME: KindName;
    /// What is wanted; pure, from documents alone.
    type Spec: Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync;
    /// What it needs to know of its host and of what it uses, filled in when the step runs.
    type Inputs: Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync;
    /// What it tells its users; durable facts only.
    type Outputs: Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync;
}

/// A step on one resource, as a domain gets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "", rename_all = "camelCase")]
pub struct Job<K: Kind> {
    /// The resource; with the installation it is the ownership mark.
    pub id: ResourceId,
    /// What to do.
    pub change: Change<K::Spec>,
    /// What it needs to know.
    pub inputs: K::Inputs,
    /// What to do about the mark.
    pub ownership: Ownership,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $word:literal, $spec:ty, $inputs:ty, $outputs:ty;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum $kind {}

            impl Kind for $kind {
                const NAME: KindName = KindName::$kind;
                type Spec = $spec;
                type Inputs = $inputs;
                type Outputs = $outputs;
            }

            impl From<$spec> for Spec {
                fn from(spec: $spec) -> Self {
                    Self::$kind(spec)
                }
            }

            impl From<$outputs> for Outputs {
                fn from(outputs: $outputs) -> Self {
                    Self::$kind(outputs)
                }
            }

            impl From<Job<$kind>> for Work {
                fn from(job: Job<$kind>) -> Self {
                    Self::$kind(job)
                }
            }
        )*

        /// The names of the kinds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum KindName {
            $($(#[$doc])* $kind,)*
        }

        impl KindName {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The word a person reads.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                }
            }
        }

        /// What is wanted of a resource of any kind.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum Spec {
            $($(#[$doc])* $kind($spec),)*
        }

        impl Spec {
            /// The kind.
            #[must_use]
            pub const fn kind(&self) -> KindName {
                match self {
                    $(Self::$kind(_) => KindName::$kind,)*
                }
            }
        }

        /// What a step on a resource of any kind needs to know.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum Inputs {
            $($(#[$doc])* $kind($inputs),)*
        }

        /// What a resource of any kind tells.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[non_exhaustive]
        pub enum Outputs {
            $($(#[$doc])* $kind($outputs),)*
            /// The resource is gone.
            Removed {
                /// What the other system cannot delete and therefore keeps, in words.
                #[serde(default, skip_serializing_if = "Vec::is_empty")]
                residue: Vec<String>,
            },
        }

        /// A step on a resource of any kind.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[non_exhaustive]
        pub enum Work {
            $($(#[$doc])* $kind(Job<$kind>),)*
        }

        impl Work {
            /// Puts a step together.
            ///
            /// Returns `None` when the kinds of `change` and `inputs` differ, which no plan contains.
            pub(crate) fn new(id: ResourceId, change: Change<Spec>, inputs: Inputs, ownership: Ownership) -> Option<Self> {
                match inputs {
                    $(Inputs::$kind(inputs) => {
                        let only = |spec| match spec {
                            Spec::$kind(spec) => Some(spec),
                            _ => None,
                        };
                        let change = match change {
                            Change::Create { after } => Change::Create { after: only(after)? },
                            Change::Update { before, after } => {
                                Change::Update { before: only(before)?, after: only(after)? }
                            }
                            Change::Delete { before } => Change::Delete { before: only(before)? },
                        };
                        Some(Self::$kind(Job { id, change, inputs, ownership }))
                    })*
                }
            }

            /// The resource.
            #[must_use]
            pub const fn id(&self) -> &ResourceId {
                match self {
                    $(Self::$kind(job) => &job.id,)*
                }
            }

            /// What to do.
            #[must_use]
            pub fn change(&self) -> Change<Spec> {
                match self {
                    $(Self::$kind(job) => job.change.clone().map(Spec::$kind),)*
                }
            }

            /// What it needs to know.
            #[must_use]
            pub fn inputs(&self) -> Inputs {
                match self {
                    $(Self::$kind(job) => Inputs::$kind(job.inputs.clone()),)*
                }
            }

            /// What to do about the mark.
            #[must_use]
            pub const fn ownership(&self) -> Ownership {
                match self {
                    $(Self::$kind(job) => job.ownership,)*
                }
            }
        }
    };
}

kinds! {
    /// The slice's own part of an infrastructure.
    Space, "space", SpaceSpec, NoInputs, SpaceOutputs;
    /// A segment of the network slice.
    Segment, "segment", SegmentSpec, NoInputs, SegmentOutputs;
    /// The deployment of a gateway, server or network function.
    Workload, "workload", WorkloadSpec, WorkloadInputs, WorkloadOutputs;
    /// A workload's endpoint joined to a segment.
    Port, "port", PortSpec, PortInputs, PortOutputs;
    /// Gateway or server software that answers.
    Application, "application", ApplicationSpec, ApplicationInputs, ApplicationOutputs;
    /// The slice's account on a server application.
    Tenant, "tenant", TenantSpec, InApplication, TenantOutputs;
    /// A gateway's identity and channel at a server.
    Attachment, "attachment", AttachmentSpec, AttachmentInputs, AttachmentOutputs;
    /// A generation of a secret of an attachment or device.
    Credential, "credential", CredentialSpec, CredentialInputs, CredentialOutputs;
    /// A device profile.
    Profile, "profile", ProfileSpec, InApplication, ProfileOutputs;
    /// A device on a gateway.
    Device, "device", DeviceSpec, DeviceInputs, DeviceOutputs;
    /// A gateway's north side.
    Export, "export", ExportSpec, ExportInputs, ExportOutputs;
}

impl Spec {
    /// The secret that it names: the resource's own (see [`ResourceId::own_secret`]), or one of the user's choosing.
    #[must_use]
    pub const fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::Workload(workload) => workload.admin.as_ref(),
            Self::Application(application) => Some(&application.admin),
            Self::Tenant(tenant) => Some(&tenant.secret),
            Self::Credential(credential) => Some(&credential.secret),
            Self::Export(export) => match &export.target {
                ExportTarget::Sink(sink) => sink.credentials.as_ref(),
                ExportTarget::Server => None,
            },
            _ => None,
        }
    }
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
