//! EdgeX gateways as a management domain.

mod application;
mod credentials;
mod exports;
mod kept;
mod objects;
mod observe;
mod own_export;
mod registration;
pub(crate) mod session;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use iotorch_core::{
    Context, Domain, Driver as _, Error, ErrorKind, Observed, Result, Scope, Target,
    resource::{ApplicationOutputs, Inputs, KindName, Outputs, Ownership, ResourceId, Work},
};
use iotorch_lite::LiteDriver;

use self::session::{Known, Session};
use crate::client::object::{DeviceObject, ProfileObject};

/// The gateways in one place.
pub(crate) struct EdgexDomain {
    /// What makes and looks at exports at bridges.
    bridges: Arc<dyn Domain>,
    known: Known,
}

impl EdgexDomain {
    pub(crate) fn new(to: &Target) -> Result<Self> {
        Ok(Self { bridges: LiteDriver.connect(to)?, known: Known::default() })
    }
}

/// The gateway that a step is about.
fn application_of(work: &Work) -> Option<ApplicationOutputs> {
    match work.inputs() {
        Inputs::Profile(inputs) => Some(inputs.application),
        Inputs::Device(inputs) => Some(inputs.application),
        Inputs::Credential(inputs) => Some(inputs.application),
        Inputs::Export(inputs) => Some(inputs.application),
        _ => None,
    }
}

fn unsupported(kind: KindName) -> Error {
    Error::new(ErrorKind::Unsupported, format!("cannot make a {kind} with driver \"edgex\""))
}

/// Steps of one kind on one gateway, each with its place in the call.
struct Group {
    kind: KindName,
    application: Option<ApplicationOutputs>,
    places: Vec<usize>,
    works: Vec<Work>,
}

fn groups(batch: Vec<Work>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (place, work) in batch.into_iter().enumerate() {
        let (kind, application) = (work.id().kind(), application_of(&work));
        let found = groups.iter_mut().find(|group| group.kind == kind && group.application == application);
        match found {
            Some(group) => {
                group.places.push(place);
                group.works.push(work);
            }
            None => groups.push(Group { kind, application, places: vec![place], works: vec![work] }),
        }
    }
    groups
}

impl EdgexDomain {
    async fn do_group(
        &self,
        cx: &Context,
        kind: KindName,
        application: Option<ApplicationOutputs>,
        works: Vec<Work>,
    ) -> Vec<Result<Outputs>> {
        let Some(application) = application else {
            let mut results = Vec::with_capacity(works.len());
            for work in &works {
                results.push(match work {
                    Work::Application(job) => self.check_application(cx, job).await,
                    other => Err(unsupported(other.id().kind())),
                });
            }
            return results;
        };
        let session = Session::new(cx, application, &self.known);
        match kind {
            KindName::Profile => objects::apply::<ProfileObject>(&session, &works).await,
            KindName::Device => objects::apply::<DeviceObject>(&session, &works).await,
            KindName::Credential => credentials::apply(&session, &works).await,
            KindName::Export => {
                let mut results = Vec::with_capacity(works.len());
                for work in works {
                    results.push(self.export(&session, work).await);
                }
                results
            }
            other => works.iter().map(|_| Err(unsupported(other))).collect(),
        }
    }
}

#[async_trait]
impl Domain for EdgexDomain {
    async fn observe(&self, cx: &Context, scope: &Scope) -> Result<Vec<(ResourceId, Observed)>> {
        self.look(cx, scope).await
    }

    async fn apply(&self, cx: &Context, batch: Vec<Work>) -> Vec<Result<Outputs>> {
        let mut results: Vec<_> = batch.iter().map(|work| Err(unsupported(work.id().kind()))).collect();
        for Group { kind, application, places, works } in groups(batch) {
            for (place, result) in places.into_iter().zip(self.do_group(cx, kind, application, works).await) {
                results[place] = result;
            }
        }
        results
    }

    fn recall(&self, scope: &Scope) {
        if let Some((spec, application)) = scope.reachable() {
            self.known.learn(spec, application);
            self.bridges.recall(&exports::of_bridge(scope, application, BTreeSet::new()));
        }
    }

    /// To find out whether a gateway is ready changes nothing. Of anything else nobody can tell: a service that gave up goes on, and
    /// does not say when it is done.
    async fn is_quiescent(&self, _: &Context, id: &ResourceId) -> bool {
        id.kind() == KindName::Application
    }

    /// A profile or device is made by its name, which fails where there is one, and changed whole by its name; a user of the broker is put
    /// whole. What is removed goes by its name as well, and may have been made again since. EdgeX's own export must not be told two
    /// things at once.
    fn repeats_at_once(&self, call: &Work) -> bool {
        let by_name = matches!(call.id().kind(), KindName::Profile | KindName::Device | KindName::Credential);
        match call {
            Work::Application(_) => true,
            Work::Export(job) => {
                job.inputs.application.endpoints.contains_key(session::BRIDGE)
                    && self.bridges.repeats_at_once(call)
            }
            _ => by_name && call.ownership() == Ownership::Ours && !call.change().is_delete(),
        }
    }
}
