//! What a step needs to know, collected from the outputs of its host and of what it uses.

use super::{
    ApplicationInputs, ApplicationOutputs, AttachmentInputs, AttachmentOutputs, CredentialHolder,
    CredentialInputs, CredentialOutputs, DeviceInputs, DeviceOutputs, ExportInputs, ExportServer,
    InApplication, Inputs, KindName, NoInputs, Outputs, PortInputs, PortOutputs, ProfileOutputs, ResourceId,
    SegmentOutputs, SpaceOutputs, Spec, TenantOutputs, WorkloadInputs, WorkloadOutputs,
};
use crate::error::{Error, ErrorKind, Result};

/// Looks up the recorded outputs of a resource.
pub(crate) type OutputsOf<'a> = dyn Fn(&ResourceId) -> Option<Outputs> + 'a;

macro_rules! typed {
    ($($name:ident, $kind:ident, $type:ty;)*) => {
        $(
            fn $name(outputs_of: &OutputsOf<'_>, id: &ResourceId) -> Result<$type> {
                match outputs_of(id) {
                    Some(Outputs::$kind(outputs)) => Ok(outputs),
                    _ => Err(Error::new(ErrorKind::Unexpected, format!("cannot find the outputs of \"{id}\""))),
                }
            }
        )*
    };
}

typed! {
    space, Space, SpaceOutputs;
    segment, Segment, SegmentOutputs;
    workload, Workload, WorkloadOutputs;
    port, Port, PortOutputs;
    application, Application, ApplicationOutputs;
    tenant, Tenant, TenantOutputs;
    attachment, Attachment, AttachmentOutputs;
    credential, Credential, CredentialOutputs;
    profile, Profile, ProfileOutputs;
    device, Device, DeviceOutputs;
}

fn nearest(id: &ResourceId, kind: KindName) -> Result<ResourceId> {
    id.hosts().find(|host| host.kind() == kind).ok_or_else(|| {
        Error::new(ErrorKind::Unexpected, format!("cannot find the {kind} that \"{id}\" lives in"))
    })
}

/// Collects the inputs of `id`, which is like `spec` and uses `uses`.
pub(crate) fn resolve_inputs(
    id: &ResourceId,
    spec: &Spec,
    uses: &[ResourceId],
    outputs_of: &OutputsOf<'_>,
) -> Result<Inputs> {
    let of_kind = |kind| uses.iter().filter(move |used| used.kind() == kind);
    let required = |kind| {
        of_kind(kind).next().ok_or_else(|| {
            Error::new(ErrorKind::Unexpected, format!("cannot find the {kind} that \"{id}\" uses"))
        })
    };
    let in_application = || application(outputs_of, &nearest(id, KindName::Application)?);
    Ok(match id.kind() {
        KindName::Space => Inputs::Space(NoInputs {}),
        KindName::Segment => Inputs::Segment(NoInputs {}),
        KindName::Workload => Inputs::Workload(WorkloadInputs {
            space: id.host().map(|host| space(outputs_of, &host)).transpose()?,
            segments: of_kind(KindName::Segment)
                .map(|used| Ok((used.to_string(), segment(outputs_of, used)?)))
                .collect::<Result<_>>()?,
        }),
        KindName::Port => {
            // The workload bound to the port bears its name; another one is the exit to the data network.
            let mut bound = None;
            let mut exit = None;
            for used in of_kind(KindName::Workload) {
                let slot = if used.name() == id.name() { &mut bound } else { &mut exit };
                *slot = Some(workload(outputs_of, used)?);
            }
            Inputs::Port(PortInputs {
                segment: segment(outputs_of, &nearest(id, KindName::Segment)?)?,
                workload: bound,
                sgi: exit,
            })
        }
        KindName::Application => Inputs::Application(ApplicationInputs {
            workload: id.host().map(|host| workload(outputs_of, &host)).transpose()?,
        }),
        KindName::Tenant => Inputs::Tenant(InApplication { application: in_application()? }),
        KindName::Profile => Inputs::Profile(InApplication { application: in_application()? }),
        KindName::Attachment => Inputs::Attachment(AttachmentInputs {
            application: in_application()?,
            tenant: tenant(outputs_of, &nearest(id, KindName::Tenant)?)?,
        }),
        KindName::Credential => {
            let holder = id.host().ok_or_else(|| {
                Error::new(ErrorKind::Unexpected, format!("cannot find the holder of credential \"{id}\""))
            })?;
            let holder = if holder.kind() == KindName::Device {
                CredentialHolder::Device(device(outputs_of, &holder)?)
            } else {
                CredentialHolder::Attachment {
                    tenant: tenant(outputs_of, &nearest(id, KindName::Tenant)?)?,
                    attachment: attachment(outputs_of, &holder)?,
                }
            };
            Inputs::Credential(CredentialInputs { application: in_application()?, holder })
        }
        KindName::Device => Inputs::Device(DeviceInputs {
            application: in_application()?,
            profile: match (of_kind(KindName::Profile).next(), spec) {
                // A device that was found without a record goes without more being known of its profile than the name.
                (None, Spec::Device(device)) => ProfileOutputs { name: device.profile.clone() },
                _ => profile(outputs_of, required(KindName::Profile)?)?,
            },
        }),
        KindName::Export => {
            let server = of_kind(KindName::Attachment).next().map(|attached| {
                Ok::<_, Error>(ExportServer {
                    application: application(outputs_of, &nearest(attached, KindName::Application)?)?,
                    attachment: attachment(outputs_of, attached)?,
                    credential: credential(outputs_of, required(KindName::Credential)?)?,
                    port: of_kind(KindName::Port)
                        .find(|used| Some(used.name()) == attached.part())
                        .map(|used| port(outputs_of, used))
                        .transpose()?,
                })
            });
            Inputs::Export(ExportInputs { application: in_application()?, server: server.transpose()? })
        }
    })
}
