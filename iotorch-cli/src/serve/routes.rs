//! What the socket answers.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::{StreamExt, stream};
use iotorch_core::{
    ApplyError, Error, ErrorKind, Intent, Orchestrator, Report, RunOptions,
    model::{Infrastructure, InfrastructureName, Slice, SliceName},
    observer::RunEvent,
    orchestrator::{RunFilter, RunSummary},
    plan::Plan,
    resource::ResourceId,
    status::SliceStatus,
};
use tokio::sync::mpsc::{UnboundedSender, channel, unbounded_channel};

use super::Shared;
use crate::wire::{Apply, Line, Options, Resume, Uses};

/// How many events wait for somebody who does not read them; then they are let go.
const WAITING_EVENTS: usize = 10_000;

type Answer<T> = Result<Json<T>, Refusal>;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/attach", get(attach))
        .route("/v1/plan", post(plan))
        .route("/v1/apply", post(apply))
        .route("/v1/resume", post(resume))
        .route("/v1/cancel/{key}", post(cancel))
        .route("/v1/events", get(events))
        .route("/v1/runs", get(runs))
        .route("/v1/slices", get(slices))
        .route("/v1/slices/{name}/status", get(status))
        .route("/v1/slices/{name}/document", get(document))
        .route("/v1/infrastructures", get(infrastructures))
        .route("/v1/infrastructures/uses", get(uses))
        .route("/v1/infrastructures/{name}/forget", post(forget))
        .route("/v1/state", get(export))
        // Only the owner can call, and a plan over thousands of slices is large.
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

/// An error on its way to the caller.
struct Refusal(Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.0.kind() {
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict | ErrorKind::Moved => StatusCode::CONFLICT,
            ErrorKind::Denied => StatusCode::FORBIDDEN,
            ErrorKind::Unsupported | ErrorKind::Infeasible => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::Unavailable | ErrorKind::NotReady | ErrorKind::Cancelled => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(self.0.to_cause())).into_response()
    }
}

fn lines(body: Body) -> Response {
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

async fn attach(State(shared): State<Arc<Shared>>) -> Response {
    let Some(guard) = shared.attach() else {
        return Refusal(Error::new(ErrorKind::Unavailable, "the process that holds the state is ending"))
            .into_response();
    };
    let holder = line(&shared.service.holder);
    let ended = shared.ended.clone();
    // The guard lives in the body: it is dropped with the connection, however the caller goes.
    let stay = stream::once(async move {
        let _guard = guard;
        ended.cancelled().await;
        Vec::new()
    });
    lines(Body::from_stream(stream::once(async { holder }).chain(stay).map(Ok::<_, Infallible>)))
}

async fn plan(State(shared): State<Arc<Shared>>, Json(intent): Json<Intent>) -> Answer<Plan> {
    Ok(Json(shared.service.orchestrator.plan(&intent).await?))
}

async fn apply(State(shared): State<Arc<Shared>>, Json(Apply { plan, options }): Json<Apply>) -> Response {
    let slices: Vec<SliceName> = plan.slices.iter().map(|slice| slice.slice.clone()).collect();
    follow(
        &shared,
        options,
        move |event| slices.contains(&event.slice),
        |orchestrator, options| async move { orchestrator.apply(plan, options).await },
    )
}

async fn resume(State(shared): State<Arc<Shared>>, Json(resume): Json<Resume>) -> Response {
    let Resume { run, direction, options } = resume;
    follow(
        &shared,
        options,
        move |event| event.run == run,
        move |orchestrator, options| async move { orchestrator.resume(run, direction, options).await },
    )
}

async fn cancel(State(shared): State<Arc<Shared>>, Path(key): Path<String>) {
    shared.cancel(&key);
}

/// The events of all runs from now on. Who follows them is not attached: it does not keep this process from ending.
async fn events(State(shared): State<Arc<Shared>>) -> Response {
    let mut events = shared.service.events.listen();
    let ended = shared.ended.clone();
    let (sender, receiver) = channel(WAITING_EVENTS);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => {
                    if sender.try_send(line(&*event)).is_err() {
                        return;
                    }
                }
                () = sender.closed() => return,
                () = ended.cancelled() => return,
            }
        }
    });
    let receiving = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|line| (Ok::<_, Infallible>(line), receiver))
    });
    lines(Body::from_stream(receiving))
}

async fn runs(State(shared): State<Arc<Shared>>, Query(filter): Query<RunFilter>) -> Answer<Vec<RunSummary>> {
    Ok(Json(shared.service.orchestrator.runs(&filter).await?))
}

async fn slices(State(shared): State<Arc<Shared>>) -> Answer<Vec<SliceName>> {
    Ok(Json(shared.service.orchestrator.slices().await?))
}

async fn status(State(shared): State<Arc<Shared>>, Path(slice): Path<SliceName>) -> Answer<SliceStatus> {
    Ok(Json(shared.service.orchestrator.status(&slice).await?))
}

async fn document(State(shared): State<Arc<Shared>>, Path(slice): Path<SliceName>) -> Answer<Option<Slice>> {
    Ok(Json(shared.service.orchestrator.document(&slice).await?))
}

async fn infrastructures(State(shared): State<Arc<Shared>>) -> Answer<Vec<Infrastructure>> {
    Ok(Json(shared.service.orchestrator.infrastructures().await?))
}

async fn uses(State(shared): State<Arc<Shared>>) -> Answer<Uses> {
    Ok(Json(shared.service.archive.uses().await?))
}

async fn forget(
    State(shared): State<Arc<Shared>>,
    Path(infrastructure): Path<InfrastructureName>,
) -> Answer<Vec<ResourceId>> {
    Ok(Json(shared.service.orchestrator.forget(&infrastructure).await?))
}

async fn export(State(shared): State<Arc<Shared>>) -> Answer<serde_json::Value> {
    Ok(Json(shared.service.archive.export().await?))
}

/// Begins a run and answers with its events and its end. The run goes on when the caller is gone: it is in the journal, and this
/// process lives.
fn follow<F>(
    shared: &Arc<Shared>,
    options: Options,
    concerns: impl Fn(&RunEvent) -> bool + Send + 'static,
    work: impl FnOnce(Arc<dyn Orchestrator>, RunOptions) -> F,
) -> Response
where
    F: Future<Output = Result<Report, ApplyError>> + Send + 'static,
{
    let cancellable = shared.cancellable(options.key);
    let run = work(
        Arc::clone(&shared.service.orchestrator),
        RunOptions {
            on_failure: options.on_failure,
            cancelled: cancellable.token.clone(),
            rollback_on_interrupt: options.rollback_on_interrupt,
        },
    );
    let mut events = shared.service.events.listen();
    let (sender, receiver) = unbounded_channel::<Vec<u8>>();
    shared.runs.spawn(async move {
        let _cancellable = cancellable;
        let mut run = std::pin::pin!(run);
        let result = loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => tell(&sender, &concerns, &event),
                result = &mut run => break result,
            }
        };
        while let Ok(event) = events.try_recv() {
            tell(&sender, &concerns, &event);
        }
        // Nobody listens any more when the caller is gone.
        let _ = sender.send(line(&Line::end(result)));
    });
    let receiving = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|line| (Ok::<_, Infallible>(line), receiver))
    });
    lines(Body::from_stream(receiving))
}

fn tell(sender: &UnboundedSender<Vec<u8>>, concerns: &impl Fn(&RunEvent) -> bool, event: &RunEvent) {
    if concerns(event) {
        let _ = sender.send(line(&Line::Event(Box::new(event.clone()))));
    }
}

/// One line of an answer. What goes through the socket has no map with other keys than text, so it always serialises.
fn line<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_else(|error| {
        tracing::error!(%error, "cannot write a line of an answer");
        Vec::new()
    });
    line.push(b'\n');
    line
}
