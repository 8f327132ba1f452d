//! A chart repository: an index and files.

use super::{Server, authorization, basic};
use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use iotorch_helm::chart::Digest;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What a repository is going to have.
#[derive(Default)]
pub(crate) struct Repository {
    /// By the name of the chart: version, URL and digest.
    entries: BTreeMap<String, Vec<(String, String, Option<String>)>>,
    files: BTreeMap<String, Vec<u8>>,
    /// Where the index is instead.
    pub(crate) redirect: Option<String>,
    /// What `reader` has to know.
    pub(crate) password: Option<String>,
}

/// A repository that is served.
pub(crate) struct Served {
    server: Server,
    host: String,
    shared: Arc<Shared>,
}

struct Shared {
    repository: Repository,
    seen_credentials: AtomicUsize,
}

impl Repository {
    pub(crate) fn add(&mut self, chart: &str, version: &str, archive: Vec<u8>) {
        let file = format!("{chart}-{version}.tgz");
        let digest = Digest::of(&archive).as_str().trim_start_matches("sha256:").to_owned();
        let entry = (version.to_owned(), format!("files/{file}"), Some(digest));
        self.entries.entry(chart.to_owned()).or_default().push(entry);
        self.files.insert(file, archive);
    }

    pub(crate) fn add_elsewhere(&mut self, chart: &str, version: &str, url: &str) {
        let entry = (version.to_owned(), url.to_owned(), None);
        self.entries.entry(chart.to_owned()).or_default().push(entry);
    }

    /// Changes a file, but not what the index says about it.
    pub(crate) fn replace(&mut self, file: &str, archive: Vec<u8>) {
        self.files.insert(file.to_owned(), archive);
    }

    fn index(&self) -> String {
        let mut index = "apiVersion: v1\ngenerated: 2025-01-01T00:00:00Z\nentries:\n".to_owned();
        for (chart, versions) in &self.entries {
            writeln!(index, "  {chart}:").unwrap();
            for (version, url, digest) in versions {
                writeln!(index, "  - name: {chart}\n    version: {version}\n    urls: [\"{url}\"]").unwrap();
                if let Some(digest) = digest {
                    writeln!(index, "    digest: {digest}").unwrap();
                }
            }
        }
        index
    }

    pub(crate) async fn serve(self) -> Served {
        let shared = Arc::new(Shared { repository: self, seen_credentials: AtomicUsize::new(0) });
        let router = Router::new()
            .route("/stable/index.yaml", get(index))
            .route("/stable/files/{file}", get(file))
            .with_state(Arc::clone(&shared));
        let server = Server::start(|_| router).await;
        Served { host: server.address.to_string(), server, shared }
    }
}

impl Served {
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/stable/{path}", self.server.address)
    }

    /// How many requests came with a password.
    pub(crate) fn seen_credentials(&self) -> usize {
        self.shared.seen_credentials.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn admit(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        let given = authorization(headers);
        if given.is_some() {
            self.seen_credentials.fetch_add(1, Ordering::Relaxed);
        }
        let wanted = self.repository.password.as_deref().map(basic);
        if wanted.is_some() && wanted.as_deref() != given {
            return Err(StatusCode::UNAUTHORIZED);
        }
        Ok(())
    }
}

async fn index(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Result<Response, StatusCode> {
    shared.admit(&headers)?;
    Ok(match &shared.repository.redirect {
        Some(url) => Redirect::temporary(url).into_response(),
        None => shared.repository.index().into_response(),
    })
}

async fn file(
    State(shared): State<Arc<Shared>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Vec<u8>, StatusCode> {
    shared.admit(&headers)?;
    shared.repository.files.get(&file).cloned().ok_or(StatusCode::NOT_FOUND)
}
