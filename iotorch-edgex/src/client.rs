//! The services of EdgeX over HTTP.
//!
//! Each request is sent once: whether and when to try again is core's business. The one exception is a login that has expired,
//! which is made anew once.

pub(crate) mod arrays;
pub(crate) mod broker;
pub(crate) mod configuration;
pub(crate) mod login;
pub(crate) mod metadata;
pub(crate) mod object;
mod v1;
mod v3;

use std::{path::Path, sync::Arc, time::Duration};

use iotorch_core::{Error, ErrorKind, Result as CoreResult, Route};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, StatusCode};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use self::login::Login;
use crate::error::{Failure, Why};

/// How long a request may take, answer included: twice what services allow themselves (`Service.RequestTimeout`).
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a service answers when it breaks off: since 4.0.2 (go-mod-bootstrap 4.0.5), and before that what Go's `http.TimeoutHandler` says by
/// itself.
const GAVE_UP: [&str; 2] =
    ["request timeout", "<html><head><title>Timeout</title></head><body><h1>Timeout</h1></body></html>"];

/// What a name in a path keeps; everything else is encoded.
const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// A name as a part of a path.
pub(crate) fn part(name: &str) -> String {
    utf8_percent_encode(name, &KEPT).to_string()
}

/// The HTTP clients of one call.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    /// Keeps connections.
    pooled: Client,
    /// Keeps none: the late answer of a request that its service gave up on comes on the same connection, in front of the next answer.
    once: Client,
}

impl Clients {
    /// Clients that check certificates against the authorities in a file, or those of the system; without TLS against nobody.
    pub(crate) fn new(tls: bool, trust: Option<&Path>) -> CoreResult<Self> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Invalid, "cannot make an HTTP client").with_source(error.to_string())
        };
        let tls = if tls {
            iotorch_lite::client::tls(trust).map_err(|error| failed(&error))?
        } else {
            let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
            let builder = builder.with_safe_default_protocol_versions().map_err(|error| failed(&error))?;
            builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        };
        // Services are on this host, in a cluster, or behind a forwarded port, so never behind a proxy.
        let builder = || Client::builder().timeout(TIMEOUT).no_proxy().tls_backend_preconfigured(tls.clone());
        let pooled = builder().build().map_err(|error| failed(&error))?;
        let once = builder().pool_max_idle_per_host(0).build().map_err(|error| failed(&error))?;
        Ok(Self { pooled, once })
    }
}

/// One service, and the way to it.
#[derive(Debug)]
pub(crate) struct Service {
    name: Arc<str>,
    base: String,
    clients: Clients,
    login: Option<Arc<Login>>,
    _route: Arc<Route>,
}

/// What is sent along.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body<'a> {
    None,
    Json(&'a Value),
    Text(&'a str),
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Service {
    pub(crate) fn new(
        name: &str,
        base: String,
        clients: Clients,
        login: Option<Arc<Login>>,
        route: Arc<Route>,
    ) -> Self {
        Self { name: name.into(), base, clients, login, _route: route }
    }

    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn fails(&self, why: Why) -> Failure {
        Failure::new(&self.name, why)
    }

    /// Sends a request and gives whatever is answered, except for a refused login and a request that was given up on.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Body<'_>) -> Result<Reply> {
        let Some(login) = &self.login else { return self.send(method, path, body, None).await };
        let token = login.token(&self.clients.pooled).await?;
        match self.send(method.clone(), path, body, Some(token.expose())).await {
            Err(failure) if matches!(failure.why(), Why::Denied(401)) => {
                let token = login.renew(&self.clients.pooled, &token).await?;
                self.send(method, path, body, Some(token.expose())).await
            }
            answered => answered,
        }
    }

    async fn send(&self, method: Method, path: &str, body: Body<'_>, token: Option<&str>) -> Result<Reply> {
        let client = if matches!(body, Body::None) { &self.clients.pooled } else { &self.clients.once };
        let mut request = client.request(method, format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request = match body {
            Body::None => request,
            Body::Json(json) => request.json(json),
            Body::Text(text) => request.body(text.to_owned()),
        };
        let failed = |error| Failure::of_request(&self.name, error);
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let body = response.text().await.map_err(failed)?;
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.fails(Why::Denied(status.as_u16()))),
            StatusCode::SERVICE_UNAVAILABLE if GAVE_UP.contains(&body.trim()) => Err(self.fails(Why::GaveUp)),
            _ if has_two_answers(&body) => Err(self.fails(Why::Mixed)),
            status => Ok(Reply { status: status.as_u16(), body }),
        }
    }

    /// What a request with a good answer says.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Body<'_>,
    ) -> Result<T> {
        let reply = self.good(method, path, body).await?;
        serde_json::from_str(&reply.body).map_err(|_| self.strange(&reply))
    }

    /// The good answer to a request, whatever it says.
    pub(crate) async fn good(&self, method: Method, path: &str, body: Body<'_>) -> Result<Reply> {
        let reply = self.ask(method, path, body).await?;
        if (200..300).contains(&reply.status) { Ok(reply) } else { Err(self.refusal(&reply)) }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.json(Method::GET, path, Body::None).await
    }

    /// As [`Self::get`]; `None` for what is not there.
    pub(crate) async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(failure) if failure.status() == Some(404) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Removes what is there, or was.
    pub(crate) async fn remove(&self, path: &str) -> Result<()> {
        match self.good(Method::DELETE, path, Body::None).await {
            Err(failure) if failure.status() != Some(404) => Err(failure),
            _ => Ok(()),
        }
    }

    /// What a service says of a request that it refuses: an object with a message, or a text, as in version 1 and Consul.
    pub(crate) fn refusal(&self, reply: &Reply) -> Failure {
        let status = reply.status;
        match serde_json::from_str::<Value>(&reply.body) {
            Ok(Value::Object(said)) => match said.get("message").and_then(Value::as_str) {
                Some(message) => self.fails(Why::Said { status, message: message.to_owned() }),
                None => self.strange(reply),
            },
            Ok(Value::String(message)) => self.fails(Why::Said { status, message }),
            Ok(_) => self.strange(reply),
            Err(_) => {
                let message = reply.body.trim();
                // A page or nothing comes from what stands between. That something is not there, and what a request is too large for, is
                // said well enough by the status.
                let is_said = !message.is_empty() && (status < 500 || !message.starts_with('<'));
                if is_said || status == 404 {
                    self.fails(Why::Said { status, message: message.to_owned() })
                } else {
                    self.strange(reply)
                }
            }
        }
    }

    pub(crate) fn strange(&self, reply: &Reply) -> Failure {
        Failure::strange(&self.name, reply.status, &reply.body)
    }

    /// Whether the service answers, as it says in version `api` of its API.
    pub(crate) async fn ping(&self, api: &str) -> Result<()> {
        self.good(Method::GET, &format!("{api}/ping"), Body::None).await.map(drop)
    }
}

/// Whether an answer has the late one of another request in front of it. Either is an object or an array in JSON.
fn has_two_answers(body: &str) -> bool {
    let body = body.trim();
    let documents = || serde_json::Deserializer::from_str(body).into_iter::<IgnoredAny>();
    body.starts_with(['{', '[']) && documents().take_while(Result::is_ok).take(2).count() == 2
}
