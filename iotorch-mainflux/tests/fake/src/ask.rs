//! What is asked over HTTP, and what is answered.

use std::time::Duration;

use hyper::{
    Method, Response, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, LOCATION},
};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Service;

/// What a service is asked over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) service: Service,
    pub(crate) method: Method,
    /// The path, decoded, without its slash at the start.
    pub(crate) path: String,
    /// Names and values of the query, decoded, in their order.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) authorization: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Bytes,
}

impl Ask {
    /// The parts of the path.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.split('/').collect()
    }

    /// Whether the body is said to be JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.content_type.as_ref().is_some_and(|kind| kind.contains("application/json"))
    }

    /// The body as JSON; none if it is something else, or has other types.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What is after a prefix such as `Bearer ` in `Authorization`.
    pub(crate) fn authorized_by(&self, prefix: &str) -> Option<&str> {
        self.authorization.as_deref()?.strip_prefix(prefix)
    }
}

/// A query, decoded.
pub(crate) fn decode_query(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// What a service answers.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    content_type: Option<&'static str>,
    location: Option<String>,
    body: String,
    /// How long it takes until the answer is there.
    pub(crate) after: Duration,
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

impl Answer {
    /// A status alone.
    pub(crate) fn bare(status: u16) -> Self {
        Self { status, content_type: None, location: None, body: String::new(), after: Duration::ZERO }
    }

    /// A status that is said to be JSON, though there is none.
    pub(crate) fn empty(status: u16) -> Self {
        Self { content_type: Some(JSON), ..Self::bare(status) }
    }

    /// JSON.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, JSON, body.to_string())
    }

    /// A body of any kind.
    pub(crate) fn text(status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        Self { content_type: Some(content_type), body: body.into(), ..Self::bare(status) }
    }

    /// What a router says to a path that it does not know.
    pub(crate) fn no_page() -> Self {
        Self::text(404, TEXT, "404 page not found\n")
    }

    /// Where what was made is.
    pub(crate) fn at(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }

    /// The same, as SuperMQ up to 0.18.3 tells refusals: beside the words it has those of what they wrap, if it wraps anything.
    pub(crate) fn with_wrapped(mut self) -> Self {
        if self.status >= 400
            && let Ok(Value::Object(mut body)) = serde_json::from_str(&self.body)
        {
            body.entry("error").or_insert_with(|| "".into());
            self.body = Value::Object(body).to_string();
        }
        self
    }

    /// The answer only after a while.
    pub(crate) fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    /// As it is sent.
    pub(crate) fn into_response(self) -> Response<http_body_util::Full<Bytes>> {
        let mut response = Response::new(http_body_util::Full::new(Bytes::from(self.body)));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or_default();
        let headers = response.headers_mut();
        if let Some(kind) = self.content_type.and_then(|kind| kind.parse().ok()) {
            headers.insert(CONTENT_TYPE, kind);
        }
        if let Some(location) = self.location.and_then(|location| location.parse().ok()) {
            headers.insert(LOCATION, location);
        }
        response
    }
}
