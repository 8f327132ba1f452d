//! Server and client together, over a real socket, around a scripted orchestrator.

use std::{os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

use iotorch_core::{
    observer::{Progress, RunEvent},
    orchestrator::{MockOrchestrator, RunReport, StepFailure},
    plan::{PLAN_FORMAT, SlicePlan, Summary},
    status::Condition,
    store::RunState,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
};

use super::*;
use crate::{
    render::status::tests::slice,
    serve::{Archive, Server, Service},
    wire::SOCKET,
};

/// A served orchestrator and what a caller needs to reach it.
struct Served {
    server: Server,
    socket: PathBuf,
    _directory: TempDir,
}

struct NoArchive;

#[async_trait]
impl Archive for NoArchive {
    async fn export(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({ "format": 1 }))
    }

    async fn uses(&self) -> Result<Uses> {
        Ok([("edge-1".parse()?, ["greenhouse".parse()?].into())].into())
    }
}

fn serve(orchestrator: impl Orchestrator + 'static, events: &Hub) -> Served {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join(SOCKET);
    let holder = Holder { version: "0.1.0".into(), pid: 42, works: true, hosts: true, stays: true };
    let service = Service {
        orchestrator: Arc::new(orchestrator),
        events: events.clone(),
        holder,
        archive: Arc::new(NoArchive),
    };
    let server = Server::start(&socket, service).unwrap();
    Served { server, socket, _directory: directory }
}

async fn attach(socket: &Path, events: &Hub) -> RemoteOrchestrator {
    match RemoteOrchestrator::attach(socket, events.clone()).await.unwrap() {
        Attachment::Attached(remote) => *remote,
        Attachment::Nobody => panic!("nobody answers"),
    }
}

fn empty_plan(slices: &[&str]) -> Plan {
    let slice = |name: &&str| {
        let text = format!(r#"{{"slice":"{name}","onFailure":"rollback","steps":[],"unchanged":3}}"#);
        serde_json::from_str::<SlicePlan>(&text).unwrap()
    };
    Plan {
        format: PLAN_FORMAT,
        infrastructures: Vec::new(),
        removed_infrastructures: Vec::new(),
        unusable: std::collections::BTreeMap::new(),
        places: std::collections::BTreeMap::new(),
        slices: slices.iter().map(slice).collect(),
    }
}

fn run(state: RunState) -> RunReport {
    let refused = Error::new(ErrorKind::Denied, "the server refused the key").with_help("rotate it");
    RunReport {
        slice: "greenhouse".parse().unwrap(),
        run: RunId(7),
        state,
        done: Summary { create: 2, ..Summary::default() },
        undone: 2,
        took: Duration::from_millis(1_250),
        failure: Some(StepFailure {
            step: Some("greenhouse/edge-1/space".parse().unwrap()),
            cause: refused.to_cause(),
            after: Duration::from_secs(1),
        }),
        residue: vec!["user greenhouse".into()],
    }
}

fn event(slice: &str, event: Progress) -> RunEvent {
    let at = "2024-06-01T12:00:00Z".parse().unwrap();
    RunEvent { slice: slice.parse().unwrap(), run: RunId(7), at, event }
}

#[tokio::test]
async fn every_question_gets_the_same_answer_through_the_socket() {
    let mut mock = MockOrchestrator::new();
    let intent = Intent { reconcile: vec!["greenhouse".parse().unwrap()], ..Intent::default() };
    let wanted = intent.clone();
    mock.expect_plan().withf(move |intent| *intent == wanted).returning(|_| Ok(empty_plan(&["greenhouse"])));
    let filter = RunFilter { slice: Some("greenhouse".parse().unwrap()), open: true, limit: Some(3) };
    let asked = filter.clone();
    mock.expect_runs().withf(move |filter| *filter == asked).returning(|_| Ok(Vec::new()));
    mock.expect_slices().returning(|| Ok(vec!["greenhouse".parse().unwrap()]));
    mock.expect_status().returning(|name| Ok(slice(name.as_str(), Condition::Ready)));
    mock.expect_document().returning(|_| Ok(None));
    mock.expect_infrastructures().returning(|| Ok(Vec::new()));
    mock.expect_forget().returning(|_| Ok(vec!["greenhouse/edge-1/space".parse().unwrap()]));
    let hub = Hub::default();
    let served = serve(mock, &hub);
    let remote = attach(&served.socket, &hub).await;
    let name: SliceName = "greenhouse".parse().unwrap();

    assert_eq!(remote.holder().pid, 42);
    assert_eq!(remote.plan(&intent).await.unwrap(), empty_plan(&["greenhouse"]));
    assert!(remote.runs(&filter).await.unwrap().is_empty());
    assert_eq!(remote.slices().await.unwrap(), std::slice::from_ref(&name));
    assert_eq!(remote.status(&name).await.unwrap(), slice("greenhouse", Condition::Ready));
    assert_eq!(remote.document(&name).await.unwrap(), None);
    assert!(remote.infrastructures().await.unwrap().is_empty());
    assert_eq!(remote.forget(&"edge-1".parse().unwrap()).await.unwrap().len(), 1);
    assert_eq!(remote.export().await.unwrap()["format"], 1);
    let uses = remote.uses().await.unwrap();
    assert_eq!(uses.keys().map(ToString::to_string).collect::<Vec<_>>(), ["edge-1"]);
    drop(remote);
    served.server.stop().await;
}

#[tokio::test]
async fn an_error_comes_through_with_its_kind_its_chain_and_its_help() {
    let refusal = || {
        Error::new(ErrorKind::Infeasible, "cannot place gateway \"gw\"")
            .with_context("slice", "greenhouse")
            .with_help("add an infrastructure")
            .with_source(
                Error::new(ErrorKind::Infeasible, "edge-1 is full").with_source("8 of 8 cpu are taken"),
            )
    };
    let mut mock = MockOrchestrator::new();
    mock.expect_plan().returning(move |_| Err(refusal()));
    let hub = Hub::default();
    let served = serve(mock, &hub);
    let remote = attach(&served.socket, &hub).await;
    let error = remote.plan(&Intent::default()).await.unwrap_err();
    assert_eq!(error.to_cause(), refusal().to_cause());
    drop(remote);
    served.server.stop().await;
}

#[tokio::test]
async fn events_of_the_slices_at_hand_come_before_the_end_and_in_order() {
    let server_side = Hub::default();
    let events = server_side.clone();
    let mut mock = MockOrchestrator::new();
    mock.expect_apply()
        .withf(|plan, options| plan.slices.len() == 1 && options.rollback_on_interrupt)
        .returning(move |_, _| {
            events.event(&event("greenhouse", Progress::Unwinding));
            events.event(&event("orchard", Progress::Unwinding));
            events.event(&event("greenhouse", Progress::RunEnded { state: RunState::RolledBack }));
            let error = Error::new(ErrorKind::Denied, "cannot create slice \"greenhouse\"");
            Err(ApplyError { error, report: Report { runs: vec![run(RunState::RolledBack)] } })
        });
    let served = serve(mock, &server_side);
    let client_side = Hub::default();
    let mut heard = client_side.listen();
    let remote = attach(&served.socket, &client_side).await;
    let options = RunOptions { rollback_on_interrupt: true, ..RunOptions::default() };
    let failed = remote.apply(empty_plan(&["greenhouse"]), options).await.unwrap_err();

    assert_eq!(failed.error.kind(), ErrorKind::Denied);
    assert_eq!(failed.report.runs, [run(RunState::RolledBack)]);
    assert_eq!(*heard.try_recv().unwrap(), event("greenhouse", Progress::Unwinding));
    let ended = Progress::RunEnded { state: RunState::RolledBack };
    assert_eq!(*heard.try_recv().unwrap(), event("greenhouse", ended));
    assert!(heard.try_recv().is_err());
    drop(remote);
    served.server.stop().await;
}

/// An orchestrator whose runs last until they are cancelled.
#[derive(Default)]
struct Patient {
    stage: watch::Sender<Stage>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Stage {
    #[default]
    Asleep,
    Began,
    Over,
}

impl Patient {
    async fn wait(&self, options: RunOptions) -> Result<Report, ApplyError> {
        self.stage.send_replace(Stage::Began);
        options.cancelled.cancelled().await;
        self.stage.send_replace(Stage::Over);
        let error = Error::new(ErrorKind::Cancelled, "cannot apply slice \"greenhouse\"");
        Err(ApplyError { error, report: Report { runs: vec![run(RunState::Interrupted)] } })
    }
}

#[async_trait]
impl Orchestrator for Patient {
    async fn plan(&self, _: &Intent) -> Result<Plan> {
        Ok(empty_plan(&[]))
    }

    async fn apply(&self, _: Plan, options: RunOptions) -> Result<Report, ApplyError> {
        self.wait(options).await
    }

    async fn resume(&self, _: RunId, _: Direction, options: RunOptions) -> Result<Report, ApplyError> {
        self.wait(options).await
    }

    async fn runs(&self, _: &RunFilter) -> Result<Vec<RunSummary>> {
        Ok(Vec::new())
    }

    async fn status(&self, name: &SliceName) -> Result<SliceStatus> {
        Ok(slice(name.as_str(), Condition::Ready))
    }

    async fn slices(&self) -> Result<Vec<SliceName>> {
        Ok(Vec::new())
    }

    async fn infrastructures(&self) -> Result<Vec<Infrastructure>> {
        Ok(Vec::new())
    }

    async fn document(&self, _: &SliceName) -> Result<Option<Slice>> {
        Ok(None)
    }

    async fn forget(&self, _: &InfrastructureName) -> Result<Vec<ResourceId>> {
        Ok(Vec::new())
    }
}

fn patient() -> (Patient, watch::Receiver<Stage>) {
    let patient = Patient::default();
    let stage = patient.stage.subscribe();
    (patient, stage)
}

#[tokio::test]
async fn a_wish_to_stop_reaches_the_run_in_the_other_process() {
    let (patient, mut stage) = patient();
    let hub = Hub::default();
    let served = serve(patient, &hub);
    let remote = attach(&served.socket, &hub).await;
    let options = RunOptions::default();
    let cancelled = options.cancelled.clone();
    let resuming = remote.resume(RunId(7), Direction::Continue, options);
    let cancelling = async {
        stage.wait_for(|stage| *stage == Stage::Began).await.unwrap();
        cancelled.cancel();
    };
    let (failed, ()) = tokio::join!(resuming, cancelling);
    let failed = failed.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::Cancelled);
    assert_eq!(failed.report.runs[0].state, RunState::Interrupted);
    drop(remote);
    served.server.stop().await;
}

#[tokio::test]
async fn a_run_goes_on_when_its_caller_is_gone() {
    let (patient, mut stage) = patient();
    let hub = Hub::default();
    let served = serve(patient, &hub);
    let socket = served.socket.clone();
    let calling = tokio::spawn(async move {
        let remote = attach(&socket, &Hub::default()).await;
        remote.apply(empty_plan(&["greenhouse"]), RunOptions::default()).await
    });
    stage.wait_for(|stage| *stage == Stage::Began).await.unwrap();
    calling.abort();
    assert!(calling.await.unwrap_err().is_cancelled());

    let other = attach(&served.socket, &hub).await;
    other.plan(&Intent::default()).await.unwrap();
    drop(other);
    assert_eq!(*stage.borrow(), Stage::Began);
    served.server.interrupt();
    stage.wait_for(|stage| *stage == Stage::Over).await.unwrap();
    served.server.stop().await;
}

#[tokio::test]
async fn a_holder_that_is_asked_to_stop_hands_that_on_to_the_runs_of_others() {
    let (patient, mut stage) = patient();
    let hub = Hub::default();
    let served = serve(patient, &hub);
    let remote = attach(&served.socket, &hub).await;
    let applying = remote.apply(empty_plan(&["greenhouse"]), RunOptions::default());
    let interrupting = async {
        stage.wait_for(|stage| *stage == Stage::Began).await.unwrap();
        served.server.interrupt();
    };
    let (failed, ()) = tokio::join!(applying, interrupting);
    assert_eq!(failed.unwrap_err().error.kind(), ErrorKind::Cancelled);
    drop(remote);
    served.server.stop().await;
}

#[tokio::test]
async fn a_holder_stays_for_those_who_are_attached_and_takes_nobody_new() {
    let (patient, _) = patient();
    let hub = Hub::default();
    let served = serve(patient, &hub);
    let remote = attach(&served.socket, &hub).await;
    let socket = served.socket.clone();
    let mut stopping = std::pin::pin!(served.server.stop());
    assert!(futures::poll!(&mut stopping).is_pending());

    let late = RemoteOrchestrator::attach(&socket, hub.clone()).await.unwrap();
    assert!(matches!(late, Attachment::Nobody));
    assert!(remote.plan(&Intent::default()).await.unwrap().is_empty());
    drop(remote);
    stopping.await;
    assert!(!socket.exists());
    let gone = RemoteOrchestrator::attach(&socket, hub).await.unwrap();
    assert!(matches!(gone, Attachment::Nobody));
}

#[tokio::test]
async fn a_socket_that_a_crash_left_behind_is_replaced_by_one_for_the_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join(SOCKET);
    drop(tokio::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    let hub = Hub::default();
    let nobody = RemoteOrchestrator::attach(&socket, hub.clone()).await.unwrap();
    assert!(matches!(nobody, Attachment::Nobody));

    let holder = Holder { version: "0.1.0".into(), pid: 1, works: true, hosts: false, stays: false };
    let orchestrator = Arc::new(patient().0);
    let service = Service { orchestrator, events: hub.clone(), holder, archive: Arc::new(NoArchive) };
    let server = Server::start(&socket, service).unwrap();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    drop(attach(&socket, &hub).await);
    server.stop().await;
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_refused_with_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("x".repeat(120));
    let holder = Holder { version: "0.1.0".into(), pid: 1, works: true, hosts: false, stays: false };
    let service = Service {
        orchestrator: Arc::new(patient().0),
        events: Hub::default(),
        holder,
        archive: Arc::new(NoArchive),
    };
    let failure = Server::start(&socket, service).unwrap_err();
    let crate::failure::Failure::Error(error) = failure else { panic!("{failure:?}") };
    assert!(error.help().unwrap().contains("107"));
}

#[tokio::test]
async fn a_holder_that_dies_in_the_middle_of_a_run_is_told_with_the_way_on() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join(SOCKET);
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let dying = tokio::spawn(async move {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let greeting = r#"{"version":"0.1.0","pid":1,"works":true,"hosts":false,"stays":false}"#;
        let mut request = [0; 64];
        let (mut first, _) = listener.accept().await.unwrap();
        assert!(first.read(&mut request).await.unwrap() > 0);
        let chunk = format!("{head}{:x}\r\n{greeting}\n\r\n", greeting.len() + 1);
        first.write_all(chunk.as_bytes()).await.unwrap();
        let (mut second, _) = listener.accept().await.unwrap();
        assert!(second.read(&mut request).await.unwrap() > 0);
        second.write_all(head.as_bytes()).await.unwrap();
    });
    let remote = attach(&socket, &Hub::default()).await;
    let failed = remote.apply(empty_plan(&["greenhouse"]), RunOptions::default()).await.unwrap_err();
    dying.await.unwrap();
    assert_eq!(failed.error.kind(), ErrorKind::Unavailable);
    assert!(failed.error.help().unwrap().contains("iotorch runs --open"), "{failed}");
}

#[tokio::test]
async fn who_follows_events_gets_those_of_all_runs_and_holds_up_nobody() {
    let hub = Hub::default();
    let served = serve(MockOrchestrator::new(), &hub);
    let mut events = Events::follow(&served.socket).await.unwrap().unwrap();
    let happened = [event("greenhouse", Progress::Unwinding), event("orchard", Progress::Committed)];
    for event in &happened {
        hub.event(event);
    }
    for event in happened {
        assert_eq!(events.next().await.unwrap(), Some(event));
    }
    let began = std::time::Instant::now();
    served.server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "the server waited for a follower");
    assert_eq!(events.next().await.unwrap(), None);
    assert!(Events::follow(&served.socket).await.unwrap().is_none());
}
