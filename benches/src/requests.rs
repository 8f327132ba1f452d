//! What API servers are asked: a proxy, as `kubectl proxy` is one, that counts.

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    response::Response,
};
use kube::Client;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

use crate::Result;

/// The largest request that is passed on; etcd takes no larger object.
const LARGEST: usize = 4 << 20;

/// Counts requests by who makes them. It serves until it is dropped.
#[derive(Debug)]
pub struct Requests {
    /// Leads through the proxy, under the name of the context that it was opened with.
    pub kubeconfig: PathBuf,
    counts: Counts,
    _serving: JoinSet<()>,
}

type Counts = Arc<Mutex<BTreeMap<Asker, u64>>>;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asker {
    /// A helm, by the user agent that it names.
    Helm,
    /// Anybody else.
    Other,
}

impl Requests {
    /// Opens a proxy to the cluster of `client`, and writes a kubeconfig for it to `folder`.
    ///
    /// # Errors
    /// When it cannot listen, or the file cannot be written.
    pub async fn open(client: Client, context: &str, folder: &Path) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let named = |key: &str, what| json!([{ "name": context, key: what }]);
        let document = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": named("cluster", json!({ "server": format!("http://{}", listener.local_addr()?) })),
            "users": named("user", json!({})),
            "contexts": named("context", json!({ "cluster": context, "user": context })),
            "current-context": context,
        });
        let kubeconfig = folder.join("counted-kubeconfig");
        fs::write(&kubeconfig, document.to_string())?;
        let counts = Counts::default();
        let router = Router::new().fallback(pass_on).with_state((client, Arc::clone(&counts)));
        let mut serving = JoinSet::new();
        // It ends when it is aborted, and never by itself.
        serving.spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { kubeconfig, counts, _serving: serving })
    }

    /// The counts since the last time that this was asked.
    #[must_use]
    pub fn take(&self) -> BTreeMap<Asker, u64> {
        std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn pass_on(State((client, counts)): State<(Client, Counts)>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let asker = if agent.is_some_and(|agent| agent.starts_with("Helm")) { Asker::Helm } else { Asker::Other };
    *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(asker).or_default() += 1;
    // It is the name of this proxy; the client puts that of the API server in its place.
    parts.headers.remove(header::HOST);
    let failed = |error: String| {
        let mut response = Response::new(Body::from(error));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    };
    let body = match to_bytes(body, LARGEST).await {
        Ok(body) => kube::client::Body::from(body),
        Err(error) => return failed(error.to_string()),
    };
    match client.send(axum::http::Request::from_parts(parts, body)).await {
        Ok(response) => response.map(Body::new),
        Err(error) => failed(error.to_string()),
    }
}
