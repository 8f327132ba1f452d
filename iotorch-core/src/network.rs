//! Network slicers: domains that make segments, adapted to [`Domain`] by [`NetworkDomain`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{Context, Domain, Health, Observed, Scope},
    error::{Error, ErrorKind, Result},
    resource::{
        Job, Objective, Outputs, Port, PortOutputs, PortSpec, ResourceId, Segment, SegmentOutputs,
        SegmentSpec, Spec, Work,
    },
};

/// What a network slicer can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// The objectives it enforces, with the mechanism; any other is only declared.
    pub enforced: Vec<(Objective, String)>,
    /// Whether it chooses addresses for the parts on a segment.
    pub addresses: bool,
}

/// What was seen of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::large_enum_variant, reason = "a slice has a handful of segments, nearly all of them present")]
pub enum SegmentStatus {
    /// It is there and ours.
    Present {
        /// Which.
        id: ResourceId,
        /// What it is like.
        spec: SegmentSpec,
        /// What it tells.
        outputs: SegmentOutputs,
        /// How it is.
        health: Health,
        /// The ports on it.
        ports: Vec<PortStatus>,
    },
    /// One of that name is there and is not ours.
    Foreign {
        /// Which.
        id: ResourceId,
        /// Whose it is.
        owner: String,
    },
}

/// What was seen of a port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortStatus {
    /// Which.
    pub id: ResourceId,
    /// What it is like.
    pub spec: PortSpec,
    /// What it tells.
    pub outputs: PortOutputs,
    /// How it is.
    pub health: Health,
}

/// Makes segments of a network slice and joins workloads to them.
///
/// # Contract
/// Each method converges: repeated, it changes nothing and answers the same. [`observe`](Self::observe) gives the segments that
/// are there, also marked ones that core does not know; what is absent is left out. [`release`](Self::release) takes the id of a
/// segment (with its ports) or of a port, and succeeds when it is gone already.
///
/// # Guarantees
/// As for [`Domain`]; [`NetworkDomain`] turns core's steps into these calls one at a time.
///
/// # Errors
/// [`ErrorKind::Infeasible`] with the numbers when an objective cannot be met; [`ErrorKind::Unsupported`] for one that it does not know.
///
/// # Examples
/// [`crate::declared::Declared`] writes segments down and enforces nothing.
#[cfg_attr(any(test, feature = "testing"), mockall::automock)]
#[async_trait]
pub trait NetworkSlicer: Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// The segments in a scope.
    async fn observe(&self, cx: &Context, scope: &Scope) -> Result<Vec<SegmentStatus>>;

    /// Makes or changes a segment.
    async fn ensure(&self, cx: &Context, segment: &Job<Segment>) -> Result<SegmentStatus>;

    /// Joins a workload to a segment.
    async fn bind(&self, cx: &Context, port: &Job<Port>) -> Result<PortStatus>;

    /// Removes a segment or a port.
    async fn release(&self, cx: &Context, id: &ResourceId) -> Result<()>;
}

/// A [`NetworkSlicer`] as a [`Domain`].
#[derive(Clone, Debug)]
pub struct NetworkDomain<S> {
    slicer: S,
}

impl<S: NetworkSlicer> NetworkDomain<S> {
    /// Adapts `slicer`.
    pub const fn new(slicer: S) -> Self {
        Self { slicer }
    }

    async fn step(&self, cx: &Context, work: Work) -> Result<Outputs> {
        match work {
            Work::Segment(job) if job.change.is_delete() => self.remove(cx, &job.id).await,
            Work::Port(job) if job.change.is_delete() => self.remove(cx, &job.id).await,
            Work::Segment(job) => match self.slicer.ensure(cx, &job).await? {
                SegmentStatus::Present {
                    outputs, health: Health::Ready | Health::Degraded { .. }, ..
                } => Ok(outputs.into()),
                SegmentStatus::Present { health: Health::Failed { reason }, id, .. } => {
                    Err(Error::new(ErrorKind::NotReady, format!("cannot use segment \"{id}\": {reason}")))
                }
                SegmentStatus::Foreign { id, owner } => Err(Error::new(
                    ErrorKind::Conflict,
                    format!("cannot make segment \"{id}\": it belongs to {owner}"),
                )),
            },
            Work::Port(job) => {
                let status = self.slicer.bind(cx, &job).await?;
                match status.health {
                    Health::Failed { reason } => Err(Error::new(
                        ErrorKind::NotReady,
                        format!("cannot use port \"{}\": {reason}", status.id),
                    )),
                    Health::Ready | Health::Degraded { .. } => Ok(status.outputs.into()),
                }
            }
            other => Err(Error::new(
                ErrorKind::Unsupported,
                format!("cannot make {} \"{}\" in a network domain", other.id().kind(), other.id()),
            )),
        }
    }

    async fn remove(&self, cx: &Context, id: &ResourceId) -> Result<Outputs> {
        self.slicer.release(cx, id).await?;
        Ok(Outputs::Removed { residue: Vec::new() })
    }
}

#[async_trait]
impl<S: NetworkSlicer> Domain for NetworkDomain<S> {
    async fn observe(&self, cx: &Context, scope: &Scope) -> Result<Vec<(ResourceId, Observed)>> {
        let mut seen = Vec::new();
        for status in self.slicer.observe(cx, scope).await? {
            match status {
                SegmentStatus::Present { id, spec, outputs, health, ports } => {
                    seen.push((id, Observed::Present { spec: spec.into(), outputs: outputs.into(), health }));
                    for PortStatus { id, spec, outputs, health } in ports {
                        seen.push((
                            id,
                            Observed::Present { spec: Spec::Port(spec), outputs: outputs.into(), health },
                        ));
                    }
                }
                SegmentStatus::Foreign { id, owner } => {
                    seen.push((id, Observed::Foreign { owner, spec: None }))
                }
            }
        }
        for id in &scope.known {
            if !seen.iter().any(|(seen, _)| seen == id) {
                seen.push((id.clone(), Observed::Absent));
            }
        }
        Ok(seen)
    }

    async fn apply(&self, cx: &Context, batch: Vec<Work>) -> Vec<Result<Outputs>> {
        let mut results = Vec::with_capacity(batch.len());
        for work in batch {
            results.push(self.step(cx, work).await);
        }
        results
    }
}
