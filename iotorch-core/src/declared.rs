//! The `declared` driver: segments that nobody enforces, and physical network functions.
//!
//! It writes down what is wanted and says so: every objective comes back as [`Assurance::Declared`]. What it "makes" exists in
//! iotorch's own records alone, so observing it is always the recorded truth.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    domain::{Context, Domain, Health, Observed, Scope},
    driver::{Driver, DriverInfo, Issue, Serves, Target},
    error::{Error, ErrorKind, Result},
    model::{DriverName, OnUnenforced},
    resource::{
        Assurance, KindName, Outputs, PortOutputs, ResourceId, SegmentOutputs, SegmentSpec, Spec, Work,
        WorkloadOutputs,
    },
};

/// The name of the driver.
pub const DECLARED: &str = "declared";

/// The driver called `declared`.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeclaredDriver;

impl Driver for DeclaredDriver {
    fn info(&self) -> DriverInfo {
        let kinds = vec![KindName::Segment, KindName::Port, KindName::Workload];
        DriverInfo {
            name: DriverName::literal(DECLARED),
            serves: Serves::Network,
            batch_limits: kinds.iter().map(|kind| (*kind, usize::MAX)).collect(),
            kinds,
            settings_schema: serde_json::json!({ "type": "object", "maxProperties": 0 }),
            settings_format: 1,
            pause: std::time::Duration::ZERO,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<Issue> {
        match spec {
            Spec::Segment(segment) => {
                let mut issues = Vec::new();
                if segment.on_unenforced == OnUnenforced::Refuse {
                    issues.extend(segment.wanted().into_iter().map(|(objective, value)| {
                        Issue::new("/objectives", format!("nothing enforces {objective} {value}")).with_help(
                            "choose a driver that enforces it, or set network.onUnenforced to warn",
                        )
                    }));
                }
                if let Some(name) = segment.settings.keys().next() {
                    issues.push(Issue::new(
                        format!("/settings/{name}"),
                        "the driver \"declared\" has no settings",
                    ));
                }
                issues
            }
            Spec::Port(_) => Vec::new(),
            Spec::Workload(workload) if workload.physical.is_some() => Vec::new(),
            other => vec![Issue::new("", format!("the driver \"declared\" cannot make a {}", other.kind()))],
        }
    }

    fn connect(&self, _: &Target) -> Result<Arc<dyn Domain>> {
        Ok(Arc::new(Declared))
    }
}

/// The domain of [`DeclaredDriver`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Declared;

fn outputs(spec: &Spec) -> Result<Outputs> {
    match spec {
        Spec::Segment(segment) => Ok(declare(segment).into()),
        Spec::Port(_) => Ok(PortOutputs::default().into()),
        Spec::Workload(workload) => {
            let address =
                workload.physical.as_ref().map_or_else(String::new, |physical| physical.address.to_string());
            Ok(WorkloadOutputs { release: format!("physical {address}"), ..WorkloadOutputs::default() }
                .into())
        }
        other => Err(Error::new(ErrorKind::Unsupported, format!("cannot declare a {}", other.kind()))),
    }
}

fn declare(segment: &SegmentSpec) -> SegmentOutputs {
    SegmentOutputs {
        assurances: segment
            .wanted()
            .into_iter()
            .map(|(objective, _)| (objective, Assurance::Declared))
            .collect(),
        ..SegmentOutputs::default()
    }
}

#[async_trait]
impl Domain for Declared {
    async fn observe(&self, _: &Context, scope: &Scope) -> Result<Vec<(ResourceId, Observed)>> {
        let mut seen = Vec::with_capacity(scope.recorded.len());
        for (id, spec) in &scope.recorded {
            let outputs = outputs(spec)?;
            seen.push((
                id.clone(),
                Observed::Present { spec: Spec::clone(spec), outputs, health: Health::Ready },
            ));
        }
        let unseen = scope.known.iter().filter(|id| !scope.recorded.contains_key(*id));
        seen.extend(unseen.map(|id| (id.clone(), Observed::Absent)));
        Ok(seen)
    }

    async fn apply(&self, _: &Context, batch: Vec<Work>) -> Vec<Result<Outputs>> {
        let step = |work: Work| match work.change().after() {
            Some(spec) => outputs(spec),
            None => Ok(Outputs::Removed { residue: Vec::new() }),
        };
        batch.into_iter().map(step).collect()
    }

    async fn is_quiescent(&self, _: &Context, _: &ResourceId) -> bool {
        true
    }
}
