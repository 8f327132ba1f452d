//! A network in memory: one link of 10 Mbit/s that its segments share.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use iotorch_core::{
    Context, Domain, Driver, DriverInfo, Error, ErrorKind, Health, Issue, Result, Scope, Serves, Target,
    network::{Capabilities, NetworkDomain, NetworkSlicer, PortStatus, SegmentStatus},
    resource::{
        Assurance, Job, KindName, Objective, Ownership, Port, PortOutputs, ResourceId, Segment,
        SegmentOutputs, SegmentSpec, Spec,
    },
};

const LINK: u64 = 10_000_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct MemorySlicer {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    away: bool,
    next: u32,
    segments: BTreeMap<ResourceId, Kept>,
}

#[derive(Debug)]
struct Kept {
    owner: String,
    spec: SegmentSpec,
    outputs: SegmentOutputs,
    ports: BTreeMap<ResourceId, PortStatus>,
}

impl Kept {
    fn status(&self, id: &ResourceId) -> SegmentStatus {
        SegmentStatus::Present {
            id: id.clone(),
            spec: self.spec.clone(),
            outputs: self.outputs.clone(),
            health: Health::Ready,
            ports: self.ports.values().cloned().collect(),
        }
    }
}

fn guaranteed(spec: &SegmentSpec) -> u64 {
    let rate = spec.bandwidth.and_then(|bandwidth| bandwidth.guaranteed);
    rate.map_or(0, |rate| rate.bits_per_second())
}

fn theirs(id: &ResourceId, owner: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("cannot change segment \"{id}\": it belongs to {owner}"))
}

impl MemorySlicer {
    pub(crate) fn set_away(&self, away: bool) {
        self.state.lock().unwrap().away = away;
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.state.lock().unwrap();
        if state.away {
            return Err(Error::new(ErrorKind::Unavailable, "cannot reach the network"));
        }
        work(&mut state)
    }
}

impl State {
    /// The segment, if it is there and bears our mark.
    fn ours(&mut self, cx: &Context, id: &ResourceId) -> Result<Option<&mut Kept>> {
        match self.segments.get_mut(id) {
            Some(kept) if kept.owner != cx.mark(id).to_string() => Err(theirs(id, &kept.owner)),
            kept => Ok(kept),
        }
    }

    fn admit(&self, id: &ResourceId, spec: &SegmentSpec) -> Result<()> {
        let others = self.segments.iter().filter(|(other, _)| *other != id);
        let (held, wanted) = (others.map(|(_, kept)| guaranteed(&kept.spec)).sum::<u64>(), guaranteed(spec));
        if held + wanted <= LINK {
            return Ok(());
        }
        let why = format!("the link carries {LINK} bit/s, {held} are taken, {wanted} wanted");
        Err(Error::new(ErrorKind::Infeasible, format!("cannot make segment \"{id}\"")).with_source(why))
    }

    fn outputs(&mut self, id: &ResourceId, spec: &SegmentSpec) -> SegmentOutputs {
        let known = self.segments.get(id).map(|kept| kept.outputs.clone());
        let mut outputs = known.unwrap_or_else(|| {
            self.next += 1;
            let hosts = spec.endpoints.iter().zip(1_u8..);
            let addresses = hosts.map(|(end, host)| (end.part.clone(), IpAddr::from([10, 0, 0, host])));
            SegmentOutputs {
                identity: Some(self.next),
                addresses: addresses.collect(),
                ..SegmentOutputs::default()
            }
        });
        let assured = |objective| match objective {
            Objective::BandwidthGuaranteed => Assurance::Enforced { mechanism: "admission".into() },
            _ => Assurance::Declared,
        };
        let wanted = spec.wanted().into_iter();
        outputs.assurances = wanted.map(|(objective, _)| (objective, assured(objective))).collect();
        outputs
    }
}

#[async_trait]
impl NetworkSlicer for MemorySlicer {
    fn capabilities(&self) -> Capabilities {
        let enforced = vec![(Objective::BandwidthGuaranteed, "admission".to_owned())];
        Capabilities { enforced, addresses: true }
    }

    async fn observe(&self, cx: &Context, scope: &Scope) -> Result<Vec<SegmentStatus>> {
        self.with(|state| {
            let here = state.segments.iter().filter(|(id, _)| **id == scope.root);
            let status = |(id, kept): (&ResourceId, &Kept)| match &kept.owner {
                owner if *owner == cx.mark(id).to_string() => kept.status(id),
                owner => SegmentStatus::Foreign { id: id.clone(), owner: owner.clone() },
            };
            Ok(here.map(status).collect())
        })
    }

    async fn ensure(&self, cx: &Context, segment: &Job<Segment>) -> Result<SegmentStatus> {
        self.with(|state| {
            let id = &segment.id;
            if segment.ownership == Ownership::Ours {
                state.ours(cx, id)?;
            }
            let Some(spec) = segment.change.after() else {
                return Err(Error::new(ErrorKind::Unexpected, "cannot ensure what is to go"));
            };
            state.admit(id, spec)?;
            let outputs = state.outputs(id, spec);
            let ports = state.segments.remove(id).map(|kept| kept.ports).unwrap_or_default();
            let kept = Kept { owner: cx.mark(id).to_string(), spec: spec.clone(), outputs, ports };
            let status = kept.status(id);
            state.segments.insert(id.clone(), kept);
            Ok(status)
        })
    }

    async fn bind(&self, cx: &Context, port: &Job<Port>) -> Result<PortStatus> {
        self.with(|state| {
            let missing =
                || Error::new(ErrorKind::NotFound, format!("cannot bind \"{}\" to no segment", port.id));
            let (Some(segment), Some(spec)) = (port.id.host(), port.change.after()) else {
                return Err(missing());
            };
            let kept = state.ours(cx, &segment)?.ok_or_else(missing)?;
            let address = kept.outputs.addresses.get(&spec.part).copied();
            let status = PortStatus {
                id: port.id.clone(),
                spec: spec.clone(),
                outputs: PortOutputs { address },
                health: Health::Ready,
            };
            kept.ports.insert(port.id.clone(), status.clone());
            Ok(status)
        })
    }

    async fn release(&self, cx: &Context, id: &ResourceId) -> Result<()> {
        self.with(|state| {
            match id.host() {
                Some(segment) => {
                    if let Some(kept) = state.ours(cx, &segment)? {
                        kept.ports.remove(id);
                    }
                }
                None => {
                    state.ours(cx, id)?;
                    state.segments.remove(id);
                }
            }
            Ok(())
        })
    }
}

/// The driver of such a network.
pub(crate) struct MemoryNetworkDriver(pub(crate) MemorySlicer);

impl Driver for MemoryNetworkDriver {
    fn info(&self) -> DriverInfo {
        DriverInfo {
            name: "memory".parse().unwrap(),
            serves: Serves::Network,
            kinds: vec![KindName::Segment, KindName::Port],
            settings_schema: serde_json::Value::Bool(true),
            settings_format: 1,
            batch_limits: BTreeMap::new(),
            pause: Duration::ZERO,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<Issue> {
        match spec {
            Spec::Segment(_) | Spec::Port(_) => Vec::new(),
            other => vec![Issue::new("", format!("a network has no {}", other.kind()))],
        }
    }

    fn connect(&self, _: &Target) -> Result<Arc<dyn Domain>> {
        Ok(Arc::new(NetworkDomain::new(self.0.clone())))
    }
}
