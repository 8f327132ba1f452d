//! A registry, as far as pulling goes (OCI distribution specification 1.1.1, "Pull" and "Listing tags").
//!
//! It notes where a client does not keep to that.

use super::{Server, authorization, basic};
use axum::{
    Json, Router,
    extract::{Query, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use iotorch_helm::chart::Digest;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Tags that are on one page.
const PAGE: usize = 1;

const TOKEN: &str = "a-token-of-this-registry";

/// What a registry is going to have.
#[derive(Default)]
pub(crate) struct Registry {
    /// By repository and tag.
    manifests: BTreeMap<(String, String), Value>,
    blobs: BTreeMap<String, Vec<u8>>,
    /// Whether tokens are needed, and what `reader` has to know to get one.
    tokens: Option<Option<String>>,
    host: String,
    breaches: Mutex<Vec<String>>,
}

/// A registry that is served.
pub(crate) struct Served {
    server: Server,
    shared: Arc<Registry>,
}

impl Registry {
    pub(crate) fn push(&mut self, repository: &str, version: &str, archive: &[u8]) {
        let chart = json!([
            { "mediaType": CHART, "digest": self.blob(archive), "size": archive.len() },
            // As `helm push` adds it for charts that are signed.
            { "mediaType": "application/vnd.cncf.helm.chart.provenance.v1.prov", "digest": self.blob(b"x"), "size": 1 },
        ]);
        self.manifest(repository, &version.replace('+', "_"), CONFIG, &chart);
    }

    /// Something that is no chart.
    pub(crate) fn push_image(&mut self, repository: &str, tag: &str) {
        let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
        let layers = json!([{ "mediaType": layer, "digest": self.blob(b"x"), "size": 1 }]);
        self.manifest(repository, tag, "application/vnd.oci.image.config.v1+json", &layers);
    }

    fn manifest(&mut self, repository: &str, tag: &str, config: &str, layers: &Value) {
        let config = json!({ "mediaType": config, "digest": self.blob(b"{}"), "size": 2 });
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        self.manifests.insert((repository.to_owned(), tag.to_owned()), manifest);
    }

    pub(crate) fn tag(&mut self, repository: &str, tag: &str, like: &str) {
        let manifest = self.manifests[&(repository.to_owned(), like.to_owned())].clone();
        self.manifests.insert((repository.to_owned(), tag.to_owned()), manifest);
    }

    /// Gives other bytes than those that the digest is of.
    pub(crate) fn forge(&mut self, digest: &Digest, bytes: Vec<u8>) {
        self.blobs.insert(digest.to_string(), bytes);
    }

    /// Has everybody ask for a token first; for a password, if there is one.
    pub(crate) fn with_tokens(&mut self, password: Option<&str>) {
        self.tokens = Some(password.map(str::to_owned));
    }

    fn blob(&mut self, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes).to_string();
        self.blobs.insert(digest.clone(), bytes.to_vec());
        digest
    }

    pub(crate) async fn serve(mut self) -> Served {
        let mut shared = None;
        let server = Server::start(|address| {
            self.host = address.to_string();
            let state = Arc::new(self);
            shared = Some(Arc::clone(&state));
            Router::new().route("/token", get(token)).fallback(pull).with_state(state)
        })
        .await;
        Served { server, shared: shared.unwrap() }
    }

    fn breach(&self, what: &str) {
        self.breaches.lock().unwrap().push(what.to_owned());
    }

    /// The repository and what is asked of it.
    fn answer(&self, path: &str, query: &str, headers: &HeaderMap) -> Option<Response> {
        let path = path.strip_prefix("/v2/")?;
        if let Some(repository) = path.strip_suffix("/tags/list") {
            return self.tags(repository, query);
        }
        if let Some((repository, tag)) = path.split_once("/manifests/") {
            let accept = headers.get("accept").and_then(|accept| accept.to_str().ok()).unwrap_or_default();
            if !accept.contains(MANIFEST) {
                self.breach("a client SHOULD say which manifests it accepts");
            }
            if !tag.starts_with("sha256:") && !is_tag(tag) {
                self.breach("a tag is [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}");
            }
            let manifest = match tag.strip_prefix("sha256:") {
                None => self.manifests.get(&(repository.to_owned(), tag.to_owned())),
                Some(_) => self.manifests.values().find(|manifest| digest_of(manifest) == tag),
            }?;
            let digest = ("docker-content-digest", digest_of(manifest));
            let kind = ("content-type", MANIFEST.to_owned());
            return Some(([kind, digest], manifest.to_string()).into_response());
        }
        let (_, digest) = path.split_once("/blobs/")?;
        Some(self.blobs.get(digest)?.clone().into_response())
    }

    fn tags(&self, repository: &str, query: &str) -> Option<Response> {
        let last = query.split('&').find_map(|part| part.strip_prefix("last=")).unwrap_or_default();
        let all: Vec<&str> = self
            .manifests
            .keys()
            .filter(|(name, _)| name == repository)
            .map(|(_, tag)| tag.as_str())
            .collect();
        let rest: Vec<&str> = all.iter().copied().filter(|tag| *tag > last).collect();
        let page = &rest[..rest.len().min(PAGE)];
        let answer = Json(json!({ "name": repository, "tags": page }));
        if all.is_empty() {
            return None;
        }
        match page.last() {
            Some(last) if rest.len() > PAGE => {
                let link = format!("</v2/{repository}/tags/list?n={PAGE}&last={last}>; rel=\"next\"");
                Some(([("link", link)], answer).into_response())
            }
            _ => Some(answer.into_response()),
        }
    }
}

impl Served {
    pub(crate) fn host(&self) -> &str {
        &self.shared.host
    }

    pub(crate) fn url(&self, repository: &str) -> String {
        format!("oci://{}/{repository}", self.server.address)
    }

    /// What clients did that the specification does not have.
    pub(crate) fn breaches(&self) -> Vec<String> {
        self.shared.breaches.lock().unwrap().clone()
    }
}

fn digest_of(manifest: &Value) -> String {
    Digest::of(manifest.to_string().as_bytes()).to_string()
}

fn is_tag(text: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.len() <= 128 && !text.starts_with(['.', '-']) && !text.is_empty() && text.chars().all(is_inside)
}

async fn pull(State(registry): State<Arc<Registry>>, request: Request) -> Response {
    let headers = request.headers();
    if registry.tokens.is_some() && authorization(headers) != Some(&format!("Bearer {TOKEN}")) {
        let realm = format!("http://{}/token", registry.host);
        let repository = request.uri().path().trim_start_matches("/v2/");
        let repository = repository.rsplitn(3, '/').last().unwrap_or_default();
        let challenge =
            format!("Bearer realm=\"{realm}\",service=\"tests\",scope=\"repository:{repository}:pull\"");
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response();
    }
    let query = request.uri().query().unwrap_or_default();
    let missing = || {
        let errors = json!({ "errors": [{ "code": "NAME_UNKNOWN", "message": "there is none" }] });
        (StatusCode::NOT_FOUND, Json(errors)).into_response()
    };
    registry.answer(request.uri().path(), query, headers).unwrap_or_else(missing)
}

async fn token(
    State(registry): State<Arc<Registry>>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if query.get("service").map(String::as_str) != Some("tests") {
        registry.breach("a token is asked for with the service of the challenge");
    }
    if query.get("scope").map(String::as_str) != Some("repository:charts/gateway:pull") {
        registry.breach("a token is asked for with the scope of the challenge");
    }
    match &registry.tokens {
        Some(Some(password)) if authorization(&headers) != Some(&basic(password)) => {
            StatusCode::UNAUTHORIZED.into_response()
        }
        _ => Json(json!({ "token": TOKEN, "expires_in": 60 })).into_response(),
    }
}
