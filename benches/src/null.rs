//! Null systems: they do nothing, at once.
//!
//! What is seen of a resource is what is recorded of it, and what it tells is the same whatever it is asked. So all the time that
//! passes is the engine's own, but for the copies of specifications and outputs that every domain has to hand over.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use iotorch_core::{
    Context, Domain, Driver, DriverInfo, Drivers, Error, ErrorKind, Facts, Health, Issue, Observed, Place,
    Result, Route, Scope, Serves, Target,
    model::{DriverName, Infrastructure},
    resource::{
        ApplicationOutputs, AttachmentOutputs, CredentialOutputs, DeviceOutputs, Endpoint, ExportOutputs,
        KindName, Outputs, ProfileOutputs, ResourceId, Role, SpaceOutputs, Spec, TenantOutputs, Work,
        WorkloadOutputs,
    },
    secret::SecretRef,
};

/// How many steps one call of a domain takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batches {
    /// One: the most work for the engine.
    Single,
    /// As many as the drivers `lite` (100) and `local` (16) take.
    Lite,
}

/// The drivers `local` and `lite`, null.
///
/// # Errors
/// None while both names have the form of a driver's name.
pub fn drivers(batches: Batches) -> Result<Drivers> {
    let in_place = [KindName::Space, KindName::Workload];
    let in_application = [
        KindName::Application,
        KindName::Tenant,
        KindName::Attachment,
        KindName::Credential,
        KindName::Profile,
        KindName::Device,
        KindName::Export,
    ];
    let applications = Serves::Applications(vec![Role::Gateway, Role::Server]);
    let limit = |lite| if batches == Batches::Lite { lite } else { 1 };
    Ok(Drivers::default()
        .with(Null::new("local", Serves::Infrastructure, &in_place, limit(16))?)
        .with(Null::new("lite", applications, &in_application, limit(100))?))
}

/// A driver of null systems.
struct Null {
    info: DriverInfo,
    domain: Arc<NullDomain>,
}

impl Null {
    fn new(name: &str, serves: Serves, kinds: &[KindName], limit: usize) -> Result<Self> {
        let info = DriverInfo {
            name: DriverName::new(name)?,
            serves,
            kinds: kinds.to_vec(),
            settings_schema: serde_json::Value::Bool(true),
            settings_format: 1,
            batch_limits: kinds.iter().map(|kind| (*kind, limit)).collect(),
            pause: Duration::ZERO,
        };
        let outputs = kinds.iter().map(|kind| Ok((*kind, outputs(*kind)?))).collect::<Result<_>>()?;
        Ok(Self { info, domain: Arc::new(NullDomain { outputs }) })
    }
}

impl Driver for Null {
    fn info(&self) -> DriverInfo {
        self.info.clone()
    }

    fn check(&self, _: &Spec) -> Vec<Issue> {
        Vec::new()
    }

    fn connect(&self, _: &Target) -> Result<Arc<dyn Domain>> {
        Ok(Arc::clone(&self.domain) as _)
    }

    fn place(&self, _: &Infrastructure) -> Result<Arc<dyn Place>> {
        Ok(Arc::new(NullPlace))
    }
}

/// What a resource tells: constants, of about the size that real ones have. The secret becomes that of its specification.
fn outputs(kind: KindName) -> Result<Outputs> {
    let secret = || "slice-00000/hub/gw/key#1".parse();
    let endpoints = || -> BTreeMap<String, Endpoint> {
        let endpoint = |(name, port): (&str, u16)| (name.to_owned(), Endpoint::net("127.0.0.1", port));
        [("management", 40_001), ("mqtt", 40_002)].map(endpoint).into()
    };
    Ok(match kind {
        KindName::Space => SpaceOutputs { namespace: "slice-00000".into() }.into(),
        KindName::Workload => WorkloadOutputs { release: "null".into(), endpoints: endpoints() }.into(),
        KindName::Application => {
            ApplicationOutputs { version: "null".into(), endpoints: endpoints(), admin: secret()? }.into()
        }
        KindName::Tenant => TenantOutputs { id: "tenant".into(), secret: secret()? }.into(),
        KindName::Attachment => AttachmentOutputs::new("thing", "channel").into(),
        KindName::Credential => CredentialOutputs { user_name: "user".into(), secret: secret()? }.into(),
        KindName::Profile => ProfileOutputs { name: "climate".into() }.into(),
        KindName::Device => {
            let endpoint = Some(Endpoint::net("127.0.0.1", 40_002));
            let path = Some("devices/device".into());
            DeviceOutputs { name: "device".into(), endpoint, path, commands: None }.into()
        }
        KindName::Export => ExportOutputs { destination: "channel as thing".into() }.into(),
        KindName::Segment | KindName::Port => return Err(unserved(kind)),
    })
}

fn unserved(kind: KindName) -> Error {
    Error::new(ErrorKind::Unsupported, format!("cannot make a {kind} in a null system"))
}

/// The domain of every null system.
struct NullDomain {
    outputs: BTreeMap<KindName, Outputs>,
}

impl NullDomain {
    /// What a resource tells whose specification names `secret`.
    fn outputs(&self, kind: KindName, secret: Option<&SecretRef>) -> Result<Outputs> {
        let mut outputs = self.outputs.get(&kind).cloned().ok_or_else(|| unserved(kind))?;
        match (&mut outputs, secret) {
            (Outputs::Application(outputs), Some(secret)) => outputs.admin.clone_from(secret),
            (Outputs::Tenant(outputs), Some(secret)) => outputs.secret.clone_from(secret),
            (Outputs::Credential(outputs), Some(secret)) => outputs.secret.clone_from(secret),
            _ => {}
        }
        Ok(outputs)
    }
}

#[async_trait]
impl Domain for NullDomain {
    async fn observe(&self, _: &Context, scope: &Scope) -> Result<Vec<(ResourceId, Observed)>> {
        let look = |id: &ResourceId| {
            let seen = match scope.recorded.get(id) {
                Some(spec) => Observed::Present {
                    spec: Spec::clone(spec),
                    outputs: self.outputs(id.kind(), spec.secret())?,
                    health: Health::Ready,
                },
                None => Observed::Absent,
            };
            Ok((id.clone(), seen))
        };
        scope.known.iter().map(look).collect()
    }

    async fn apply(&self, _: &Context, batch: Vec<Work>) -> Vec<Result<Outputs>> {
        let step = |work: Work| {
            if is_delete(&work) {
                Ok(Outputs::Removed { residue: Vec::new() })
            } else {
                self.outputs(work.id().kind(), wanted_secret(&work))
            }
        };
        batch.into_iter().map(step).collect()
    }

    async fn is_quiescent(&self, _: &Context, _: &ResourceId) -> bool {
        true
    }
}

/// The secret that a step wants, without a copy of the specification (see [`is_delete`]).
fn wanted_secret(work: &Work) -> Option<&SecretRef> {
    match work {
        Work::Application(job) => job.change.after().map(|application| &application.admin),
        Work::Tenant(job) => job.change.after().map(|tenant| &tenant.secret),
        Work::Credential(job) => job.change.after().map(|credential| &credential.secret),
        _ => None,
    }
}

/// [`Work::change`] copies the specification, which would be counted as the engine's time.
fn is_delete(work: &Work) -> bool {
    match work {
        Work::Space(job) => job.change.is_delete(),
        Work::Workload(job) => job.change.is_delete(),
        Work::Application(job) => job.change.is_delete(),
        Work::Tenant(job) => job.change.is_delete(),
        Work::Attachment(job) => job.change.is_delete(),
        Work::Credential(job) => job.change.is_delete(),
        Work::Profile(job) => job.change.is_delete(),
        Work::Device(job) => job.change.is_delete(),
        Work::Export(job) => job.change.is_delete(),
        other => other.change().is_delete(),
    }
}

/// A place without bounds.
struct NullPlace;

#[async_trait]
impl Place for NullPlace {
    async fn survey(&self) -> Result<Facts> {
        Ok(Facts::default())
    }

    async fn open(&self, to: &Endpoint) -> Result<Route> {
        match to {
            Endpoint::Net(address) => Ok(Route::direct(address.clone())),
            Endpoint::Service { .. } => {
                Err(Error::new(ErrorKind::NotFound, format!("cannot open a route to {to}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use iotorch_core::{Intent, Limits, Orchestrator as _, RunOptions, store::MemoryStore};

    use super::*;
    use crate::{documents, engine};

    #[test]
    fn a_slice_of_two_devices_is_made_in_fourteen_steps_and_then_unchanged() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            for batches in [Batches::Single, Batches::Lite] {
                let engine = engine(Arc::new(MemoryStore::new()), batches, Limits::default()).unwrap();
                let infrastructures = vec![documents::infrastructure().unwrap()];
                let slices = documents::slices(1).unwrap();
                let intent = Intent { infrastructures, slices, ..Intent::default() };
                let plan = engine.plan(&intent).await.unwrap();
                assert_eq!(plan.summary().create, 14);
                engine.apply(plan, RunOptions::default()).await.unwrap();
                assert!(engine.plan(&intent).await.unwrap().is_empty());
            }
        });
    }
}
