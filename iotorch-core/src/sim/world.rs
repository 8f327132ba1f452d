//! The objects of a simulated world.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{Fault, Faults};
use crate::{
    domain::{Health, Observed},
    driver::Drivers,
    error::{Error, ErrorKind, Result},
    resource::{
        ApplicationOutputs, AttachmentOutputs, Change, CredentialHolder, CredentialOutputs, DeviceOutputs,
        Endpoint, ExportOutputs, Inputs, KindName, Outputs, Ownership, PortOutputs, ProfileOutputs,
        ResourceId, SegmentOutputs, SpaceOutputs, Spec, TenantOutputs, Work, WorkloadOutputs,
    },
};

/// An object in a [`World`].
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Whose it is: an ownership mark, or anything for a foreign one.
    pub owner: String,
    /// What it is like.
    pub spec: Spec,
    /// What it tells.
    pub outputs: Outputs,
    /// How it is.
    pub health: Health,
    /// What it uses, which cannot go before it.
    pub uses: Vec<ResourceId>,
}

/// A world that simulated domains manage. Clones are the same world.
#[derive(Clone, Default)]
pub struct World {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<ResourceId, Object>,
    faults: Faults,
    injected: Vec<(String, Fault)>,
    /// Changes that were sent and have not arrived.
    late: Vec<(Instant, String, Work)>,
    away: BTreeMap<String, Option<Instant>>,
    /// The places that do not let us in.
    locked: BTreeSet<String>,
    /// Numbers for what the other systems would choose.
    next: u64,
    calls: u64,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("objects", &self.state().objects.len()).finish_non_exhaustive()
    }
}

/// What has to happen with a step before it is answered.
pub(super) enum Ruling {
    /// Wait, then do it.
    Do(Duration),
    /// Do it, then say that it failed.
    DoAndFail,
    /// Fail without doing it.
    Fail(Error),
}

impl World {
    /// An empty world without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.arrive();
        state
    }

    /// Drivers that manage this world: infrastructures `sim`, gateways and servers `sim-app`, segments `sim-net`; and `declared`.
    #[must_use]
    pub fn drivers(&self) -> Drivers {
        super::driver::drivers(self)
    }

    /// Has faults happen from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Has `fault` happen to the next step on a resource whose id begins with `id`.
    pub fn inject(&self, id: impl Into<String>, fault: Fault) {
        self.state().injected.push((id.into(), fault));
    }

    /// Cuts a place (the second word of the ids there) off until [`Self::heal`].
    pub fn cut_off(&self, place: impl Into<String>) {
        self.state().away.insert(place.into(), None);
    }

    /// Has a place refuse everything, as for want of permissions, until [`Self::heal`].
    pub fn lock(&self, place: impl Into<String>) {
        self.state().locked.insert(place.into());
    }

    /// Makes every place reachable and open again and takes back all faults that have not happened. What was sent still arrives.
    pub fn heal(&self) {
        let mut state = self.state();
        state.away.clear();
        state.locked.clear();
        state.injected.clear();
        state.faults = Faults::none();
    }

    /// Everything that is there.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<ResourceId, Object> {
        self.state().objects.clone()
    }

    /// How many steps and observations were asked for.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Whether changes were sent that have not arrived.
    #[must_use]
    pub fn has_late_calls(&self) -> bool {
        !self.state().late.is_empty()
    }

    /// Puts an object there by hand, such as a foreign one.
    pub fn place(&self, id: ResourceId, object: Object) {
        self.state().objects.insert(id, object);
    }

    /// Removes an object and all in it by hand.
    pub fn remove(&self, id: &ResourceId) {
        self.state().remove(id);
    }

    /// Changes an object by hand.
    pub fn change(&self, id: &ResourceId, change: impl FnOnce(&mut Object)) {
        if let Some(object) = self.state().objects.get_mut(id) {
            change(object);
        }
    }

    /// Fails when the place of `id` cannot be reached.
    pub(super) fn reach(&self, id: &ResourceId) -> Result<()> {
        let mut state = self.state();
        state.calls += 1;
        state.reach(id.place())
    }

    /// Decides what happens with a step.
    pub(super) fn rule(&self, work: &Work, mark: &str) -> Ruling {
        let mut state = self.state();
        state.calls += 1;
        if let Err(away) = state.reach(work.id().place()) {
            return Ruling::Fail(away);
        }
        let placed = state.injected.iter().position(|(id, _)| work.id().as_str().starts_with(id.as_str()));
        let fault = match placed {
            Some(index) => Some(state.injected.remove(index).1),
            None => state.faults.next(),
        };
        let unreachable = || Error::new(ErrorKind::Unavailable, "connection reset");
        match fault {
            None => Ruling::Do(Duration::ZERO),
            Some(Fault::Delay(delay)) => Ruling::Do(delay),
            Some(Fault::LostReply) => Ruling::DoAndFail,
            Some(Fault::Error(kind)) => Ruling::Fail(Error::new(kind, format!("simulated: {kind}"))),
            Some(Fault::NotReady) => {
                Ruling::Fail(Error::new(ErrorKind::NotReady, "simulated: still starting"))
            }
            Some(Fault::LateArrival(after)) => {
                state.late.push((Instant::now() + after, mark.to_owned(), work.clone()));
                Ruling::Fail(unreachable())
            }
            Some(Fault::Partition(time)) => {
                let until = Instant::now() + time;
                state.away.insert(work.id().place().to_owned(), Some(until));
                Ruling::Fail(unreachable())
            }
        }
    }

    /// Does a step.
    pub(super) fn perform(&self, work: &Work, mark: &str) -> Result<Outputs> {
        self.state().perform(work, mark)
    }

    pub(super) fn observed(&self, id: &ResourceId, mark: &str) -> Observed {
        match self.state().objects.get(id) {
            None => Observed::Absent,
            Some(object) if object.owner == mark => Observed::Present {
                spec: object.spec.clone(),
                outputs: object.outputs.clone(),
                health: object.health.clone(),
            },
            Some(object) => {
                Observed::Foreign { owner: object.owner.clone(), spec: Some(object.spec.clone()) }
            }
        }
    }

    /// The ids in the scope of `root` that bear a mark of the same installation.
    pub(super) fn in_scope(&self, root: &ResourceId, installation: &str) -> Vec<ResourceId> {
        let state = self.state();
        let ours = state.objects.iter().filter(|(id, object)| object.owner == format!("{installation}/{id}"));
        ours.map(|(id, _)| id).filter(|id| id.scope() == *root).cloned().collect()
    }
}

impl State {
    /// Does what was sent and is due now.
    fn arrive(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.late).into_iter().partition(|(at, _, _)| *at <= now);
        self.late = later;
        for (_, mark, work) in due {
            // Nobody is there to hear that it failed.
            let _ = self.perform(&work, &mark);
        }
    }

    fn reach(&mut self, place: &str) -> Result<()> {
        if self.locked.contains(place) {
            return Err(Error::new(ErrorKind::Denied, format!("\"{place}\" is locked")));
        }
        match self.away.get(place) {
            Some(Some(until)) if *until <= Instant::now() => {
                self.away.remove(place);
                Ok(())
            }
            Some(_) => Err(Error::new(ErrorKind::Unavailable, format!("cannot reach \"{place}\""))),
            None => Ok(()),
        }
    }

    fn remove(&mut self, id: &ResourceId) {
        self.objects.retain(|other, _| other != id && !id.contains(other));
    }

    fn perform(&mut self, work: &Work, mark: &str) -> Result<Outputs> {
        let id = work.id();
        let refused = |kind, why: String| Err(Error::new(kind, format!("cannot change \"{id}\": {why}")));
        if let Some(object) = self.objects.get(id).filter(|object| object.owner != mark) {
            match work.ownership() {
                Ownership::Adopt => {}
                // It was given back before.
                Ownership::Release => return Ok(object.outputs.clone()),
                Ownership::Ours => {
                    return refused(ErrorKind::Conflict, format!("it belongs to {}", object.owner));
                }
            }
        }
        let change = work.change();
        let Some(after) = change.after() else { return self.delete(id) };
        if let Some(host) = id.host().filter(|host| !self.objects.contains_key(host)) {
            return refused(ErrorKind::NotFound, format!("there is no \"{host}\""));
        }
        let uses = match needed(work) {
            Ok(uses) => uses,
            Err(why) => return refused(ErrorKind::Invalid, why),
        };
        if let Some(missing) = uses.iter().find(|used| !self.objects.contains_key(*used)) {
            return refused(ErrorKind::NotFound, format!("there is no \"{missing}\""));
        }
        let owner = match work.ownership() {
            Ownership::Release => "nobody".to_owned(),
            Ownership::Ours | Ownership::Adopt => mark.to_owned(),
        };
        let known = self.objects.get(id).map(|object| object.outputs.clone());
        let outputs = self.outputs(work, after, known);
        let object =
            Object { owner, spec: after.clone(), outputs: outputs.clone(), health: Health::Ready, uses };
        self.objects.insert(id.clone(), object);
        Ok(outputs)
    }

    fn delete(&mut self, id: &ResourceId) -> Result<Outputs> {
        let stays = |other: &ResourceId| other != id && !id.contains(other);
        let user = self.objects.iter().find(|(other, object)| stays(other) && object.uses.contains(id));
        if let Some((user, _)) = user {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("cannot delete \"{id}\": \"{user}\" uses it"),
            ));
        }
        if id.is_external_application() {
            // It runs on, with all that others have in it.
            self.objects.remove(id);
        } else {
            self.remove(id);
        }
        Ok(Outputs::Removed { residue: Vec::new() })
    }

    /// What the object tells; what the other system chose once stays.
    fn outputs(&mut self, work: &Work, spec: &Spec, known: Option<Outputs>) -> Outputs {
        self.next += 1;
        let number = self.next;
        match (spec, work.inputs()) {
            (Spec::Space(space), _) => SpaceOutputs { namespace: space.name.clone() }.into(),
            (Spec::Segment(segment), _) => known.unwrap_or_else(|| {
                let identity = u32::try_from(number).ok();
                let addresses = segment.endpoints.iter().zip(1_u8..).map(|(endpoint, last)| {
                    (endpoint.part.clone(), std::net::IpAddr::from([10, 0, 0, last]))
                });
                SegmentOutputs { identity, addresses: addresses.collect(), ..SegmentOutputs::default() }
                    .into()
            }),
            (Spec::Workload(workload), _) => known.unwrap_or_else(|| {
                let port = 1024 + u16::try_from(number % 60_000).unwrap_or_default();
                let endpoint = Endpoint::net("sim", port);
                let endpoints = ["management", "mqtt"].map(|name| (name.to_owned(), endpoint.clone())).into();
                WorkloadOutputs { release: format!("{} {number}", workload.name), endpoints }.into()
            }),
            (Spec::Port(port), Inputs::Port(inputs)) => {
                PortOutputs { address: inputs.segment.addresses.get(&port.part).copied() }.into()
            }
            (Spec::Application(application), Inputs::Application(inputs)) => ApplicationOutputs {
                version: "sim 1".into(),
                endpoints: inputs.workload.map(|workload| workload.endpoints).unwrap_or_default(),
                admin: application.admin.clone(),
            }
            .into(),
            (Spec::Tenant(tenant), _) => {
                let id = match known {
                    Some(Outputs::Tenant(known)) => known.id,
                    _ => format!("tenant-{number}"),
                };
                TenantOutputs { id, secret: tenant.secret.clone() }.into()
            }
            (Spec::Attachment(_), _) => known.unwrap_or_else(|| {
                AttachmentOutputs::new(format!("thing-{number}"), format!("channel-{number}")).into()
            }),
            (Spec::Credential(credential), Inputs::Credential(inputs)) => {
                let user_name = match inputs.holder {
                    CredentialHolder::Attachment { attachment, .. } => attachment.thing,
                    CredentialHolder::Device(device) => device.name,
                };
                CredentialOutputs { user_name, secret: credential.secret.clone() }.into()
            }
            (Spec::Profile(profile), _) => ProfileOutputs { name: profile.name.clone() }.into(),
            (Spec::Device(device), Inputs::Device(inputs)) => DeviceOutputs {
                name: device.name.clone(),
                endpoint: inputs.application.endpoints.get("mqtt").cloned(),
                path: Some(format!("devices/{}", device.name)),
                commands: None,
            }
            .into(),
            (Spec::Export(export), Inputs::Export(inputs)) => {
                let destination = inputs
                    .server
                    .map(|server| format!("{} as {}", server.attachment.channel, server.attachment.thing));
                ExportOutputs { destination: destination.unwrap_or_else(|| export.name.clone()) }.into()
            }
            // No plan joins the specification of one kind with the inputs of another.
            (_, _) => {
                Outputs::Removed { residue: vec!["the kinds of specification and inputs differ".into()] }
            }
        }
    }
}

/// What must be there for a step, and cannot go as long as its object is.
fn needed(work: &Work) -> Result<Vec<ResourceId>, String> {
    let id = work.id();
    let (Change::Create { after } | Change::Update { after, .. }) = work.change() else {
        return Ok(Vec::new());
    };
    let Some(application) = id.hosts().find(|host| host.kind() == KindName::Application) else {
        return Ok(Vec::new());
    };
    match after {
        Spec::Device(device) => {
            // In an application that slices share, names are qualified; ids never are.
            let name = device.profile.rsplit('.').next().unwrap_or_default();
            let profile = crate::model::PartName::new(name).map_err(|error| error.to_string())?;
            Ok(vec![application.profile(&profile)])
        }
        _ => Ok(Vec::new()),
    }
}
