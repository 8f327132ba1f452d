//! Questions as they arrive, and answers in the words of EdgeX.

use axum::http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::{Release, Service};

/// A request that a service was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The service.
    pub service: Service,
    /// The method of HTTP.
    pub method: Method,
    /// The path with its query, as it was sent.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Asked {
    /// The body as JSON; nothing if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The parts of the path behind `prefix`, decoded once; nothing where the path begins otherwise.
    pub(crate) fn parts(&self, prefix: &str) -> Option<Vec<String>> {
        let path = self.path.split('?').next().unwrap_or_default();
        let rest = path.strip_prefix(prefix)?;
        Some(rest.split('/').map(decoded).collect())
    }

    /// The first value of a parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.path.split_once('?')?;
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| decoded(&value.replace('+', " "))).next()
    }

    /// Whether a parameter of the query is `true`.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.parameter(name).as_deref() == Some("true")
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A name in a path is decoded once more by EdgeX than by those who route to it.
///
/// # Errors
/// The answer where that fails, as it does for a `%` that was encoded once.
pub(crate) fn name(part: &str) -> Result<String, Answer> {
    let bytes = part.as_bytes();
    let broken = bytes.iter().enumerate().any(|(at, byte)| {
        *byte == b'%' && !bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    });
    if broken { Err(Answer::message(500, "Internal Server Error")) } else { Ok(decoded(part)) }
}

/// What a service answers.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, content_type: Some("application/json"), body: body.to_string().into_bytes() }
    }

    /// With the version of the API, and the status once more.
    pub(crate) fn v3(status: u16, mut body: Value) -> Self {
        body["apiVersion"] = "v3".into();
        body["statusCode"] = status.into();
        Self::json(status, &body)
    }

    pub(crate) fn done() -> Self {
        Self::v3(200, json!({}))
    }

    pub(crate) fn refused(status: u16, message: impl Into<String>) -> Self {
        Self::v3(status, json!({ "message": message.into() }))
    }

    /// What the router of EdgeX answers by itself.
    pub(crate) fn message(status: u16, message: &str) -> Self {
        Self::json(status, &json!({ "message": message }))
    }

    pub(crate) fn text(status: u16, content_type: &'static str, text: impl Into<String>) -> Self {
        Self { status, content_type: Some(content_type), body: text.into().into_bytes() }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, content_type: None, body: Vec::new() }
    }

    /// What is answered after five seconds while the work goes on. Up to 4.0.1 it is what Go's `http.TimeoutHandler` says itself.
    pub(crate) fn timeout(release: Release) -> Self {
        match release {
            Release::V4 => Self::text(503, "text/plain; charset=utf-8", "request timeout"),
            Release::V3_1 | Release::V1 => {
                let page = "<html><head><title>Timeout</title></head><body><h1>Timeout</h1></body></html>";
                Self::text(503, "text/html; charset=utf-8", page)
            }
        }
    }

    /// The answers to items of an array.
    pub(crate) fn items(items: Vec<Value>) -> Self {
        let body = if items.is_empty() { Value::Null } else { Value::Array(items) };
        Self::json(207, &body)
    }
}

/// Why something was refused: a status and a message.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::refused(refusal.status, refusal.message)
    }
}

/// An array of requests, as the handlers of core-metadata read it: `type_name` is what an item is there.
///
/// # Errors
/// The answer to a body that is no array.
pub(crate) fn array(body: &[u8], type_name: &str) -> Result<Vec<Value>, Answer> {
    let wrong = |found: &str| {
        let message = format!("json: cannot unmarshal {found} into Go value of type []requests.{type_name}");
        Answer::refused(500, message)
    };
    match value(body)? {
        Value::Array(items) => Ok(items),
        Value::Null => Ok(Vec::new()),
        Value::Object(_) => Err(wrong("object")),
        Value::String(_) => Err(wrong("string")),
        Value::Number(_) => Err(wrong("number")),
        Value::Bool(_) => Err(wrong("bool")),
    }
}

/// JSON, or what EdgeX says of a text that is none.
///
/// # Errors
/// The answer to a body that is no JSON.
pub(crate) fn value(body: &[u8]) -> Result<Value, Answer> {
    if body.trim_ascii().is_empty() {
        return Err(Answer::refused(500, "EOF"));
    }
    serde_json::from_slice(body).map_err(|error| {
        if error.is_eof() {
            return Answer::refused(500, "unexpected EOF");
        }
        let at = body.iter().copied().find(|byte| !byte.is_ascii_whitespace()).unwrap_or(b' ');
        let message = format!("invalid character '{}' looking for beginning of value", char::from(at));
        Answer::refused(500, message)
    })
}

/// JSON inside of JSON, as Go writes it: it takes care of HTML.
pub(crate) fn go_text(value: &Value) -> String {
    let text = value.to_string();
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
