//! An orchestrator in another process: the one that holds the store.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use iotorch_core::{
    ApplyError, Cause, Direction, Error, ErrorKind, Intent, Orchestrator, Report, Result, RunOptions,
    model::{Infrastructure, InfrastructureName, Slice, SliceName},
    observer::{Observer, RunEvent},
    orchestrator::{RunFilter, RunSummary},
    plan::Plan,
    resource::ResourceId,
    status::SliceStatus,
    store::RunId,
};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::{
    events::Hub,
    tls,
    wire::{Apply, Holder, Line, Options, Resume, Uses},
};

/// How long the holder may take to say who it is.
const GREETING: Duration = Duration::from_secs(5);

/// Works through the socket of the process that holds the store, which does not end while this lives.
#[derive(Debug)]
pub(crate) struct RemoteOrchestrator {
    http: Client,
    events: Hub,
    holder: Holder,
    /// Keeps the holder from ending.
    _attached: Response,
}

/// What came of an attempt to attach.
#[derive(Debug)]
pub(crate) enum Attachment {
    /// The holder waits for us.
    Attached(Box<RemoteOrchestrator>),
    /// Nobody answers, or the holder is about to end: try the lock again.
    Nobody,
}

impl RemoteOrchestrator {
    /// Attaches to the process that serves at `socket`. The events of the runs it does for us go to `events`.
    pub(crate) async fn attach(socket: &Path, events: Hub) -> Result<Attachment> {
        let http = client(socket)?;
        let greeted = tokio::time::timeout(GREETING, greet(&http)).await.map_err(|_| {
            Error::new(ErrorKind::Timeout, format!("cannot attach to \"{}\": no answer", socket.display()))
                .with_help(
                    "the process that holds the state may be stopped; see it with: ps -e | grep iotorch",
                )
        })?;
        Ok(match greeted? {
            Some((attached, holder)) => {
                Attachment::Attached(Box::new(Self { http, events, holder, _attached: attached }))
            }
            None => Attachment::Nobody,
        })
    }

    /// Who holds the store.
    pub(crate) const fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The whole state, for a backup.
    pub(crate) async fn export(&self) -> Result<serde_json::Value> {
        self.get("state").await
    }

    /// The slices that have something on each infrastructure.
    pub(crate) async fn uses(&self) -> Result<Uses> {
        self.get("infrastructures/uses").await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        read(self.http.get(url(path))).await
    }

    /// Sends a request for a run, passes on its events, and hands over a wish to stop.
    async fn follow(
        &self,
        request: RequestBuilder,
        key: &str,
        cancelled: &CancellationToken,
    ) -> Result<Report, ApplyError> {
        let mut lines =
            Lines { response: send(request).await.map_err(ApplyError::before_start)?, rest: Vec::new() };
        let mut stop = std::pin::pin!(async {
            cancelled.cancelled().await;
            send(self.http.post(url(&format!("cancel/{key}")))).await
        });
        let mut told = false;
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                asked = &mut stop, if !told => {
                    told = true;
                    asked.map_err(ApplyError::before_start)?;
                    continue;
                }
            };
            match line.map_err(ApplyError::before_start)? {
                Line::Event(event) => self.events.event(&event),
                Line::Done(report) => return Ok(report),
                Line::Failed { error, report } => return Err(ApplyError { error: error.into(), report }),
            }
        }
    }
}

fn client(socket: &Path) -> Result<Client> {
    tls::provide();
    Client::builder()
        .unix_socket(socket)
        .no_proxy()
        .build()
        .map_err(|error| Error::new(ErrorKind::Unexpected, "cannot make an HTTP client").with_source(error))
}

/// The events of all runs of another process, which may end meanwhile.
#[derive(Debug)]
pub(crate) struct Events(Lines);

impl Events {
    /// Begins to follow the process that serves at `socket`; none if nobody does.
    pub(crate) async fn follow(socket: &Path) -> Result<Option<Self>> {
        match client(socket)?.get(url("events")).send().await {
            Ok(response) if response.status().is_success() => {
                Ok(Some(Self(Lines { response, rest: Vec::new() })))
            }
            Ok(response) => Err(refusal(response).await),
            // Nobody listens, or the listener went before it answered.
            Err(_) => Ok(None),
        }
    }

    /// The next event; none once the process has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<RunEvent>> {
        match self.0.next().await {
            Ok(event) => Ok(Some(event)),
            Err(error) if error.kind() == ErrorKind::Unavailable => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A key that no other call under way has: the number of the process and of the call in it.
fn new_key() -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), CALLS.fetch_add(1, Ordering::Relaxed))
}

/// The host is not used: the connection goes to the socket.
fn url(path: &str) -> String {
    format!("http://iotorch/v1/{path}")
}

async fn greet(http: &Client) -> Result<Option<(Response, Holder)>> {
    let response = match http.get(url("attach")).send().await {
        Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => return Ok(None),
        Ok(response) => response,
        // Nobody listens, or the listener went before it answered.
        Err(_) => return Ok(None),
    };
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let mut lines = Lines { response, rest: Vec::new() };
    match lines.next::<Holder>().await {
        Ok(holder) => Ok(Some((lines.response, holder))),
        Err(_) => Ok(None),
    }
}

async fn send(request: RequestBuilder) -> Result<Response> {
    let response = request.send().await.map_err(gone)?;
    if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
}

async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T> {
    let body = send(request).await?.bytes().await.map_err(gone)?;
    serde_json::from_slice(&body).map_err(strange)
}

async fn refusal(response: Response) -> Error {
    let status = response.status();
    match response.bytes().await {
        Ok(body) => match serde_json::from_slice::<Cause>(&body) {
            Ok(cause) => cause.into(),
            Err(_) => Error::new(
                ErrorKind::Unexpected,
                format!(
                    "the process that holds the state answers {status}: {}",
                    String::from_utf8_lossy(&body)
                ),
            )
            .with_help("another version of iotorch may hold it; end that one first"),
        },
        Err(error) => gone(error),
    }
}

fn gone(error: reqwest::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the process that holds the state has ended")
        .with_help("type the command again; iotorch runs --open lists what is unfinished")
        .with_source(error)
}

fn strange(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Unexpected, "cannot read the answer of the process that holds the state")
        .with_help("another version of iotorch may hold it; end that one first")
        .with_source(error)
}

/// The lines of an answer.
#[derive(Debug)]
struct Lines {
    response: Response,
    rest: Vec<u8>,
}

impl Lines {
    async fn next<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.rest[searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=searched + end).collect();
                return serde_json::from_slice(&line).map_err(strange);
            }
            searched = self.rest.len();
            match self.response.chunk().await.map_err(gone)? {
                Some(chunk) => self.rest.extend_from_slice(&chunk),
                None => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        "the process that holds the state ended in the middle of its answer",
                    )
                    .with_help("iotorch runs --open lists what is unfinished, iotorch resume ends it"));
                }
            }
        }
    }
}

#[async_trait]
impl Orchestrator for RemoteOrchestrator {
    async fn plan(&self, intent: &Intent) -> Result<Plan> {
        read(self.http.post(url("plan")).json(intent)).await
    }

    async fn apply(&self, plan: Plan, options: RunOptions) -> Result<Report, ApplyError> {
        let key = new_key();
        let body = Apply { plan, options: Options::of(&options, key.clone()) };
        self.follow(self.http.post(url("apply")).json(&body), &key, &options.cancelled).await
    }

    async fn resume(
        &self,
        run: RunId,
        direction: Direction,
        options: RunOptions,
    ) -> Result<Report, ApplyError> {
        let key = new_key();
        let body = Resume { run, direction, options: Options::of(&options, key.clone()) };
        self.follow(self.http.post(url("resume")).json(&body), &key, &options.cancelled).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunSummary>> {
        read(self.http.get(url("runs")).query(filter)).await
    }

    async fn status(&self, slice: &SliceName) -> Result<SliceStatus> {
        self.get(&format!("slices/{slice}/status")).await
    }

    async fn slices(&self) -> Result<Vec<SliceName>> {
        self.get("slices").await
    }

    async fn infrastructures(&self) -> Result<Vec<Infrastructure>> {
        self.get("infrastructures").await
    }

    async fn document(&self, slice: &SliceName) -> Result<Option<Slice>> {
        self.get(&format!("slices/{slice}/document")).await
    }

    async fn forget(&self, infrastructure: &InfrastructureName) -> Result<Vec<ResourceId>> {
        read(self.http.post(url(&format!("infrastructures/{infrastructure}/forget")))).await
    }
}

#[cfg(test)]
mod tests;
