//! The HTTP API of a server, in its dialect.
//!
//! Requests are sent once: whether and when to try again is core's business. The one exception is a token that has expired in the
//! middle of a run, which is replaced once for each request.

mod dialect;
mod health;
mod objects;
mod paging;
mod rules;
mod service;
mod tls;
mod users;

#[cfg(test)]
pub(crate) use self::objects::object_of;
pub(crate) use self::{
    dialect::{Dialect, plain},
    health::{ask_health, asked_release},
    objects::{New, Object, Sort},
    rules::Rule,
    service::Service,
    tls::http,
    users::{Account, Login, Made, Tokens, UserNames},
};
pub(crate) use crate::error::Failure;

use iotorch_core::{Places, Route, resource::Endpoint};
use reqwest::Method;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};
use tokio::sync::Mutex;

pub(crate) type Endpoints = BTreeMap<String, Endpoint>;

/// Where the services of a server are, and the ways to them.
pub(crate) struct Services {
    http: reqwest::Client,
    places: Places,
    endpoints: Endpoints,
    /// The ways that are open, by the name of the endpoint. They close with this.
    open: Mutex<HashMap<String, Arc<Way>>>,
}

/// A way to a service.
#[derive(Debug)]
struct Way {
    base: String,
    _route: Route,
}

impl fmt::Debug for Services {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Services").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl Services {
    pub(crate) fn new(http: reqwest::Client, places: Places, endpoints: Endpoints) -> Self {
        Self { http, places, endpoints, open: Mutex::default() }
    }

    /// The endpoint of a service: its own, or the one that stands for all.
    pub(crate) fn endpoint(&self, service: Service) -> Option<(&str, &Endpoint)> {
        let found = |name: &str| self.endpoints.get_key_value(name).map(|(name, to)| (name.as_str(), to));
        found(service.name()).or_else(|| found("api").filter(|_| service.speaks_http()))
    }

    /// Whether it has an endpoint of its own, rather than one that stands for all.
    pub(crate) fn is_apart(&self, service: Service) -> bool {
        self.endpoints.contains_key(service.name())
    }

    /// A route to a service, opened anew.
    pub(crate) async fn route(&self, service: Service) -> Result<Route, Failure> {
        let (_, endpoint) = self.endpoint(service).ok_or(Failure::NoEndpoint(service))?;
        self.places.open(endpoint).await.map_err(|error| Failure::NoRoute(service, error))
    }

    async fn way(&self, service: Service) -> Result<Arc<Way>, Failure> {
        let (name, endpoint) = self.endpoint(service).ok_or(Failure::NoEndpoint(service))?;
        let mut open = self.open.lock().await;
        if let Some(way) = open.get(name) {
            return Ok(Arc::clone(way));
        }
        let route = self.places.open(endpoint).await.map_err(|error| Failure::NoRoute(service, error))?;
        let scheme = if matches!(endpoint, Endpoint::Net(address) if address.tls) { "https" } else { "http" };
        let way = Arc::new(Way { base: format!("{scheme}://{}", route.address()), _route: route });
        open.insert(name.to_owned(), Arc::clone(&way));
        Ok(way)
    }

    /// Sends a request and reads the answer, whatever it says.
    pub(crate) async fn send(&self, call: &Call, authorization: Option<&str>) -> Result<Answer, Failure> {
        let service = call.service;
        let failed = |error: reqwest::Error| {
            if error.is_timeout() { Failure::Timeout(service) } else { Failure::Unreachable(service, error) }
        };
        let way = self.way(service).await?;
        let mut request = self.http.request(call.method.clone(), format!("{}{}", way.base, call.path));
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(authorization) = authorization {
            request = request.header(reqwest::header::AUTHORIZATION, authorization);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(failed)?;
        let location = response.headers().get(reqwest::header::LOCATION);
        let location = location.and_then(|location| location.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let body = response.text().await.map_err(failed)?;
        Ok(Answer { service, status, location, body })
    }
}

/// A request. It may hold passwords and keys, so it is never printed.
#[derive(Clone)]
pub(crate) struct Call {
    service: Service,
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
}

impl Call {
    pub(crate) fn new(service: Service, method: Method, path: impl Into<String>) -> Self {
        Self { service, method, path: path.into(), query: Vec::new(), body: None }
    }

    pub(crate) fn get(service: Service, path: impl Into<String>) -> Self {
        Self::new(service, Method::GET, path)
    }

    pub(crate) fn post(service: Service, path: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new(service, Method::POST, path) }
    }

    pub(crate) fn with_body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.query.push((name, value.to_string()));
        self
    }
}

/// An answer. It may hold tokens and keys, so it is never printed.
pub(crate) struct Answer {
    service: Service,
    pub(crate) status: u16,
    location: Option<String>,
    body: String,
}

impl Answer {
    pub(crate) const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// The answer, if it says yes.
    pub(crate) fn success(self) -> Result<Self, Failure> {
        if self.is_success() { Ok(self) } else { Err(self.failure()) }
    }

    /// What it means that it does not say yes.
    pub(crate) fn failure(&self) -> Failure {
        Failure::of(self.service, self.status, &self.body)
    }

    /// What it says in words.
    pub(crate) fn message(&self) -> String {
        crate::error::message_of(&self.body)
    }

    pub(crate) fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.body).map_err(|error| Failure::Unreadable(self.service, error.to_string()))
    }

    /// The id of what was made: the last part of `Location`.
    pub(crate) fn made(&self) -> Result<String, Failure> {
        let id = self.location.as_deref().and_then(|location| location.rsplit('/').next());
        let missing = || Failure::Unreadable(self.service, "it does not say what was made".to_owned());
        id.filter(|id| !id.is_empty()).map(str::to_owned).ok_or_else(missing)
    }
}

/// A server, as its users see it.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) services: Services,
    pub(crate) dialect: Dialect,
    tokens: Arc<Tokens>,
}

impl Api {
    pub(crate) fn new(services: Services, dialect: Dialect, tokens: Arc<Tokens>) -> Self {
        Self { services, dialect, tokens }
    }
}

/// A part of a path. Ids come from the server, and none may lead elsewhere.
pub(crate) fn part(id: &str) -> Result<&str, Failure> {
    let is_plain = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if is_plain { Ok(id) } else { Err(Failure::Invalid(format!("{id:?} is not an id"))) }
}
