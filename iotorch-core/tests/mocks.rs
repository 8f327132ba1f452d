//! The mocks, used as a service uses them that links against this crate.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use iotorch_core::{
    ApplyError, Context, Domain, Drivers, Engine, Error, ErrorKind, Intent, Observed, Orchestrator, Places,
    Report, Result, RunOptions, Scope,
    model::SliceName,
    network::{NetworkDomain, SegmentStatus},
    plan::{PLAN_FORMAT, Plan},
    resource::{Change, Job, Layer, NoInputs, Outputs, Ownership, ResourceId, Segment, SegmentSpec, Work},
    secret::MemorySecretStore,
    store::MemoryStore,
    testing::{MockDomain, MockNetworkSlicer, MockOrchestrator},
};
use tokio_util::sync::CancellationToken;

/// A service that offers slices to its customers.
struct Shop {
    orchestrator: Arc<dyn Orchestrator>,
}

impl Shop {
    /// Takes a slice away; says in words what came of it.
    async fn cancel(&self, slice: &str) -> Result<String> {
        let name: SliceName = slice.parse()?;
        let plan = self.orchestrator.plan(&Intent { delete: vec![name], ..Intent::default() }).await?;
        Ok(match self.orchestrator.apply(plan, RunOptions::default()).await {
            Ok(report) => format!("gone after {} runs", report.runs.len()),
            Err(failed) if failed.error.is_retryable() => "please try again later".to_owned(),
            Err(failed) => format!("please call us: {failed}"),
        })
    }
}

fn empty_plan() -> Plan {
    Plan {
        format: PLAN_FORMAT,
        infrastructures: Vec::new(),
        removed_infrastructures: Vec::new(),
        unusable: std::collections::BTreeMap::new(),
        places: BTreeMap::new(),
        slices: Vec::new(),
    }
}

fn shop(apply: impl Fn() -> Result<Report, ApplyError> + Send + 'static) -> Shop {
    let mut orchestrator = MockOrchestrator::new();
    orchestrator
        .expect_plan()
        .withf(|intent| intent.delete.iter().any(|name| name.as_str() == "greenhouse"))
        .times(1)
        .returning(|_| Ok(empty_plan()));
    orchestrator.expect_apply().times(1).returning(move |_, _| apply());
    Shop { orchestrator: Arc::new(orchestrator) }
}

#[tokio::test]
async fn a_service_is_tried_without_an_engine() {
    assert_eq!(shop(|| Ok(Report::default())).cancel("greenhouse").await.unwrap(), "gone after 0 runs");
    let refuse = |kind| move || Err(ApplyError::before_start(Error::new(kind, "cannot apply the plan")));
    assert_eq!(
        shop(refuse(ErrorKind::Unavailable)).cancel("greenhouse").await.unwrap(),
        "please try again later"
    );
    assert_eq!(
        shop(refuse(ErrorKind::Moved)).cancel("greenhouse").await.unwrap(),
        "please call us: cannot apply the plan"
    );
}

#[tokio::test]
async fn a_mock_and_an_engine_stand_in_for_each_other() {
    let engine = Engine::builder()
        .store(Arc::new(MemoryStore::new()))
        .secrets(Arc::new(MemorySecretStore::default()))
        .drivers(Drivers::default())
        .build();
    let shop = Shop { orchestrator: Arc::new(engine) };
    assert_eq!(shop.cancel("greenhouse").await.unwrap_err().kind(), ErrorKind::NotFound);
}

fn context() -> Context {
    Context {
        installation: "test".into(),
        deadline: tokio::time::Instant::now() + Duration::from_secs(5),
        cancelled: CancellationToken::new(),
        secrets: Arc::new(MemorySecretStore::default()),
        places: Places::default(),
    }
}

fn segment() -> (ResourceId, SegmentSpec) {
    let spec = SegmentSpec {
        layer: Layer::Core,
        snssai: None,
        endpoints: Vec::new(),
        bandwidth: None,
        objectives: Default::default(),
        on_unenforced: Default::default(),
        settings: Default::default(),
    };
    (ResourceId::core(&"greenhouse".parse().unwrap()), spec)
}

fn scope(root: &ResourceId) -> Scope {
    Scope { root: root.clone(), known: [root.clone()].into(), recorded: BTreeMap::new(), application: None }
}

fn creation() -> Work {
    let (id, after) = segment();
    let change = Change::Create { after };
    Job::<Segment> { id, change, inputs: NoInputs {}, ownership: Ownership::Ours }.into()
}

#[tokio::test]
async fn a_mocked_domain_answers_as_it_is_told() {
    let mut domain = MockDomain::new();
    domain.expect_observe().returning(|_, scope| Ok(vec![(scope.root.clone(), Observed::Absent)]));
    domain
        .expect_apply()
        .withf(|cx, batch| &*cx.installation == "test" && batch.len() == 2)
        .returning(|_, batch| batch.iter().map(|_| Ok(Outputs::Removed { residue: Vec::new() })).collect());
    domain.expect_is_quiescent().return_const(true);
    let domain: Arc<dyn Domain> = Arc::new(domain);
    let (id, _) = segment();
    let seen = domain.observe(&context(), &scope(&id)).await.unwrap();
    assert_eq!(seen, [(id.clone(), Observed::Absent)]);
    assert_eq!(domain.apply(&context(), vec![creation(), creation()]).await.len(), 2);
    assert!(domain.is_quiescent(&context(), &id).await);
}

#[tokio::test]
async fn a_segment_that_a_mocked_slicer_finds_foreign_is_a_conflict_that_names_the_owner() {
    let (id, _) = segment();
    let mut slicer = MockNetworkSlicer::new();
    let foreign = SegmentStatus::Foreign { id: id.clone(), owner: "the other network team".into() };
    slicer.expect_ensure().times(1).returning(move |_, _| Ok(foreign.clone()));
    slicer.expect_release().times(1).returning(|_, _| Ok(()));
    let domain = NetworkDomain::new(slicer);
    let refused = domain.apply(&context(), vec![creation()]).await.remove(0).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains("the other network team"), "{refused}");
    let Work::Segment(job) = creation() else { unreachable!() };
    let deletion = Job { change: job.change.clone().inverse(), ..job };
    let gone = domain.apply(&context(), vec![deletion.into()]).await.remove(0).unwrap();
    assert_eq!(gone, Outputs::Removed { residue: Vec::new() });
}
