//! A way to services on which any request that changes something can be stopped.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{
        HeaderMap, Method, StatusCode, Uri,
        header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
    },
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, sync::watch};

/// Headers that are between two ends of a connection (RFC 9110, section 7.6.1), or said again on the next one.
const OWN: [axum::http::HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING];

/// When a request is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// On its way to the service, which it reaches late.
    Before,
    /// When the service has done what it asks; its answer is on its way.
    After,
}

/// The way to any number of services.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    client: reqwest::Client,
    next: Arc<Mutex<Option<Stop>>>,
    /// How many requests that change something have come.
    changes: Arc<AtomicUsize>,
}

/// The request that is to be stopped.
#[derive(Debug)]
struct Stop {
    /// How many that change something pass before.
    passes: usize,
    moment: Moment,
    stopped: Stopped,
}

/// A request that is stopped, or is going to be.
#[derive(Clone, Debug)]
pub(crate) struct Stopped(watch::Sender<Stage>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Awaited,
    Here,
    LetGo,
    Done,
}

impl Gate {
    pub(crate) fn new() -> Self {
        // Another test has done so if it fails.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            next: Arc::default(),
            changes: Arc::default(),
        }
    }

    /// Where a service is reached through the gate.
    pub(crate) async fn way(&self, there: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let here = listener.local_addr().unwrap();
        let service = Router::new().fallback(pass).with_state((self.clone(), there));
        tokio::spawn(async move { axum::serve(listener, service).await });
        here
    }

    /// Stops the request that changes something after so many of them have passed.
    pub(crate) fn stop(&self, passes: usize, moment: Moment) -> Stopped {
        let stopped = Stopped(watch::Sender::new(Stage::Awaited));
        *self.next.lock().unwrap() = Some(Stop { passes, moment, stopped: stopped.clone() });
        stopped
    }

    /// How many requests that change something have come.
    pub(crate) fn changes(&self) -> usize {
        self.changes.load(Ordering::Relaxed)
    }

    /// Stops none.
    pub(crate) fn clear(&self) {
        *self.next.lock().unwrap() = None;
    }

    /// Whether this request is the one to be stopped.
    fn meets(&self, method: &Method) -> Option<Stop> {
        if method.is_safe() {
            return None;
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
        let mut next = self.next.lock().unwrap();
        let stop = next.as_mut()?;
        if stop.passes > 0 {
            stop.passes -= 1;
            return None;
        }
        next.take()
    }

    async fn forward(
        &self,
        there: SocketAddr,
        method: Method,
        uri: &Uri,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> reqwest::Result<Response> {
        OWN.iter().for_each(|own| drop(headers.remove(own)));
        let request = self.client.request(method, format!("http://{there}{uri}")).headers(headers);
        let answer = request.body(body).send().await?;
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        OWN.iter().for_each(|own| drop(headers.remove(own)));
        Ok((status, headers, answer.bytes().await?).into_response())
    }
}

impl Stopped {
    /// Whether it has come, and waits.
    pub(crate) fn is_here(&self) -> bool {
        *self.0.borrow() == Stage::Here
    }

    /// Lets it go on, and waits until it has done what it asks.
    pub(crate) async fn let_go(self) {
        self.0.send_replace(Stage::LetGo);
        self.reached(Stage::Done).await;
    }

    /// Waits here until it is let go.
    async fn wait(&self) {
        self.0.send_replace(Stage::Here);
        self.reached(Stage::LetGo).await;
    }

    fn finish(&self) {
        self.0.send_replace(Stage::Done);
    }

    async fn reached(&self, stage: Stage) {
        self.0.subscribe().wait_for(|now| *now >= stage).await.unwrap();
    }
}

async fn pass(
    State((gate, there)): State<(Gate, SocketAddr)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let passing = async move {
        let stop = gate.meets(&method);
        let wait = async |moment| {
            if let Some(stop) = stop.as_ref().filter(|stop| stop.moment == moment) {
                stop.stopped.wait().await;
            }
        };
        wait(Moment::Before).await;
        let answer = gate.forward(there, method, &uri, headers, body).await;
        wait(Moment::After).await;
        if let Some(stop) = &stop {
            stop.stopped.finish();
        }
        answer.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
    };
    // It goes on when whoever sent it is gone.
    tokio::spawn(passing).await.unwrap()
}
