//! The API server: requests in, answers out.

use std::{convert::Infallible, io, sync::Arc};

use futures::StreamExt as _;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Response,
    body::{Bytes, Frame},
    header,
};
use k8s_openapi::ByteString;
use kube::client::Body;
use serde_json::{Value, json};

use super::{
    Inner,
    faults::Fault,
    kinds::{self, Kind},
    refusal::Refusal,
    request::{Request, deletion},
    selector::Selector,
    state::State,
    store::Key,
    watching,
};

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// What is answered, when it is no stream.
enum Done {
    Json(u16, Value),
    Text(String),
    Watch { selector: Selector, request: Box<Request> },
}

/// How a caller sees a connection that is gone.
pub fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer")
}

pub async fn serve(inner: Arc<Inner>, request: hyper::Request<Body>) -> Result<Answer, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| cut())?.to_bytes();
    let (done, is_lost) = {
        let mut state = inner.state();
        let version = state.store.version();
        let (done, is_lost) = match Request::read(&head.method, &head.uri, &head.headers) {
            Ok(request) => {
                state.asked.push(request.words());
                match state.faults.of(&request.asked()) {
                    Some(Fault::Cut) => return Err(cut()),
                    Some(Fault::Refused(refusal)) => (Err(refusal), false),
                    Some(Fault::AnswerLost) => (answer(&mut state, request, &body), true),
                    None => (answer(&mut state, request, &body), false),
                }
            }
            Err(_) if state.faults.is_cut_off => return Err(cut()),
            Err(_) if state.faults.is_token_expired => (Err(Refusal::unauthorized()), false),
            Err(refusal) => {
                (of_the_server(&state, &head.method, head.uri.path(), &body).ok_or(refusal), false)
            }
        };
        if state.store.version() != version {
            inner.tell(state.store.version());
        }
        (done, is_lost)
    };
    if is_lost {
        return Err(cut());
    }
    Ok(match done {
        Ok(Done::Json(code, json)) => whole(code, "application/json", None, json.to_string()),
        Ok(Done::Text(text)) => whole(200, "text/plain", None, text),
        Ok(Done::Watch { selector, request }) => stream(watching::open(&inner, selector, &request)),
        Err(refusal) => {
            whole(refusal.code, "application/json", refusal.retry_after(), refusal.json().to_string())
        }
    })
}

fn whole(code: u16, content_type: &str, retry_after: Option<u64>, text: String) -> Answer {
    let answer = Response::builder().status(code).header(header::CONTENT_TYPE, content_type);
    let answer = match retry_after {
        Some(seconds) => answer.header(header::RETRY_AFTER, seconds),
        None => answer,
    };
    let body = Full::from(text).map_err(|never: Infallible| match never {}).boxed_unsync();
    answer.body(body).expect("codes and headers are right")
}

fn stream(lines: impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static) -> Answer {
    let body = StreamBody::new(lines.map(|line| line.map(Frame::data))).boxed_unsync();
    let answer = Response::builder().header(header::CONTENT_TYPE, "application/json");
    answer.body(body).expect("headers are right")
}

/// What is not about objects.
fn of_the_server(state: &State, method: &Method, path: &str, body: &[u8]) -> Option<Done> {
    match (method, path) {
        (&Method::GET, "/version") => {
            let version = json!({ "major": "1", "minor": "37", "gitVersion": "v1.37.2", "gitCommit": "",
                "gitTreeState": "", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "go1.26.8", "compiler": "gc",
                "platform": "linux/amd64" });
            Some(Done::Json(200, version))
        }
        (&Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews") => {
            let mut review: Value = serde_json::from_slice(body).ok()?;
            let right = &review["spec"]["resourceAttributes"];
            let [verb, resource] = ["verb", "resource"].map(|name| right[name].as_str().unwrap_or_default());
            let allowed = state.faults.is_allowed(verb, resource);
            review["kind"] = "SelfSubjectAccessReview".into();
            review["apiVersion"] = "authorization.k8s.io/v1".into();
            review["status"] = json!({ "allowed": allowed });
            Some(Done::Json(201, review))
        }
        _ => None,
    }
}

fn answer(state: &mut State, request: Request, body: &[u8]) -> Result<Done, Refusal> {
    let (kind, key) = (request.kind, request.key());
    let shown = |object: Value| shown(kind, object, request.wants_metadata);
    match (request.verb(), request.subresource.as_deref()) {
        ("get", Some("log")) if kind == &kinds::POD => log(state, &key, &request),
        ("get", None | Some("status")) => Ok(Done::Json(200, shown(state.live(&key)?))),
        ("watch", None) => {
            let selector = selector(&request)?;
            Ok(Done::Watch { selector, request: Box::new(request) })
        }
        ("list", None) => list(state, &request),
        ("create", None) => {
            let object = object(kind, body)?;
            let writer = state.writer(request.manager(), None);
            Ok(Done::Json(201, shown(state.create(kind, &request.namespace, object, &writer)?)))
        }
        ("update", subresource @ (None | Some("status"))) => {
            let object = object(kind, body)?;
            let writer = state.writer(request.manager(), subresource);
            Ok(Done::Json(200, shown(state.update(&key, object, &writer)?)))
        }
        ("patch", None | Some("status")) => {
            let (code, object) = patch(state, &key, &request, body)?;
            Ok(Done::Json(code, shown(object)))
        }
        ("delete", None) => {
            let options = deletion(&options(body)?, &request.query);
            let gone = state.delete(&key, &options)?;
            Ok(Done::Json(200, if gone["kind"] == "Status" { gone } else { shown(gone) }))
        }
        ("deletecollection", None) => {
            let options = deletion(&options(body)?, &request.query);
            let selector = selector(&request)?;
            let all = state.store.copies(kind, request.space().as_deref());
            let chosen: Vec<_> =
                all.into_iter().filter(|(key, object)| selector.matches(key, object)).collect();
            for (key, _) in &chosen {
                state.delete(key, &options)?;
            }
            let items: Vec<_> = chosen.into_iter().map(|(_, object)| object).collect();
            Ok(Done::Json(
                200,
                list_of(kind, items, json!({ "resourceVersion": state.store.version().to_string() })),
            ))
        }
        _ => Err(Refusal::no_such_resource()),
    }
}

fn selector(request: &Request) -> Result<Selector, Refusal> {
    let (labels, fields) = (request.query("labelSelector"), request.query("fieldSelector"));
    Selector::new(request.kind, request.space(), labels, fields)
}

/// An object as it is answered: objects are kept without what their kind says.
pub fn shown(kind: &Kind, mut object: Value, is_metadata: bool) -> Value {
    if is_metadata {
        return json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"].take() });
    }
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.into();
    object
}

fn list_of(kind: &Kind, items: Vec<Value>, metadata: Value) -> Value {
    json!({ "kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(), "metadata": metadata, "items": items })
}

/// Pages are of what is there now, also where that is not what was there when the first one was asked for.
fn list(state: &State, request: &Request) -> Result<Done, Refusal> {
    let (kind, store) = (request.kind, &state.store);
    let wanted: u64 = request.query("resourceVersion").parse().unwrap_or_default();
    if wanted > store.version() {
        return Err(Refusal::too_new(wanted, store.version()));
    }
    let (version, after) = match request.query("continue") {
        "" => (store.version(), None),
        token => {
            let (version, after) = read_token(token)?;
            if version < store.compacted() {
                return Err(Refusal::expired_page());
            }
            (version, Some(after))
        }
    };
    let selector = selector(request)?;
    let all = store.all(kind, request.space().as_deref()).into_iter();
    let mut chosen: Vec<_> = all
        .filter(|(key, object)| selector.matches(key, object))
        .filter(|(key, _)| after.as_ref().is_none_or(|after| *after < place_of(key)))
        .collect();
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    let limit = request.query("limit").parse().unwrap_or_default();
    if limit > 0 && chosen.len() > limit {
        let rest = chosen.split_off(limit);
        let last = chosen.last().map(|(key, _)| place_of(key)).unwrap_or_default();
        metadata["continue"] = token(version, &last);
        // With a selector nobody knows how many there are.
        if request.query("labelSelector").is_empty() && request.query("fieldSelector").is_empty() {
            metadata["remainingItemCount"] = rest.len().into();
        }
    }
    let items: Vec<Value> = chosen
        .into_iter()
        .map(
            |(_, object)| {
                if request.wants_metadata { shown(kind, object.clone(), true) } else { object.clone() }
            },
        )
        .collect();
    let mut list = list_of(kind, items, metadata);
    if request.wants_metadata {
        list["kind"] = "PartialObjectMetadataList".into();
        list["apiVersion"] = "meta.k8s.io/v1".into();
    }
    Ok(Done::Json(200, list))
}

fn place_of(key: &Key) -> String {
    format!("{}/{}", key.namespace, key.name)
}

fn token(version: u64, after: &str) -> Value {
    json!(ByteString(
        json!({ "v": "meta.k8s.io/v1", "rv": version, "start": after }).to_string().into_bytes()
    ))
}

fn read_token(token: &str) -> Result<(u64, String), Refusal> {
    let wrong = || Refusal::bad_request("continue key is not valid");
    let ByteString(bytes) = serde_json::from_value(token.into()).map_err(|_| wrong())?;
    let token: Value = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    let start = token["start"].as_str().map(str::to_owned);
    token["rv"].as_u64().zip(start).ok_or_else(wrong)
}

/// The object of a body, which has to be of the kind that the path says.
fn object(kind: &'static Kind, body: &[u8]) -> Result<Value, Refusal> {
    let object = serde_json::from_slice(body).map(Value::Object).map_err(|error| {
        let why = format!("the object provided is unrecognized (must be of type {}): {error}", kind.kind);
        Refusal::bad_request(why)
    })?;
    match (object["kind"].as_str(), object["apiVersion"].as_str()) {
        (Some(other), _) if other != kind.kind => {
            let version = object["apiVersion"].as_str().unwrap_or_default();
            let (from, to) = (format!("{version}.{other}"), format!("core.{}", kind.kind));
            let why = format!(
                "{other} in version \"{version}\" cannot be handled as a {}: converting ({from}) to ({to}): unknown conversion",
                kind.kind
            );
            Err(Refusal::bad_request(why))
        }
        _ => Ok(object),
    }
}

fn options(body: &[u8]) -> Result<Value, Refusal> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(body).map_err(|error| Refusal::bad_request(error.to_string()))
}

fn patch(state: &mut State, key: &Key, request: &Request, body: &[u8]) -> Result<(u16, Value), Refusal> {
    let kind = key.kind;
    let writer = state.writer(request.manager(), request.subresource.as_deref());
    let change: Value =
        serde_json::from_slice(body).map_err(|error| Refusal::bad_request(error.to_string()))?;
    match request.content_type.as_str() {
        "application/merge-patch+json" => {
            let mut object = state.live(key)?;
            // Without a version of its own it is laid over whatever is there.
            object["metadata"]["resourceVersion"] = Value::Null;
            merge(&mut object, &change);
            Ok((200, state.update(key, object, &writer)?))
        }
        "application/apply-patch+yaml" => {
            if request.query("fieldManager").is_empty() {
                let why = super::refusal::Cause::required("fieldManager", "is required for apply patch");
                return Err(Refusal::invalid("meta.k8s.io", "PatchOptions", "", &[why]));
            }
            let called = (change["apiVersion"].as_str(), change["kind"].as_str());
            if called != (Some(&kind.api_version()), Some(kind.kind)) {
                let (version, kind) = (called.0.unwrap_or("/"), called.1.unwrap_or_default());
                return Err(Refusal::bad_request(format!("invalid object type: {version}, Kind={kind}")));
            }
            if !change["metadata"]["managedFields"].is_null() {
                return Err(Refusal::bad_request("metadata.managedFields must be nil"));
            }
            if state.store.get(key).is_none() {
                return Ok((201, state.create_applied(key, change, &writer)?));
            }
            Ok((200, state.apply(key, &change, &writer, request.is_set("force"))?))
        }
        _ => Err(Refusal::unsupported_media()),
    }
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        match (value, target.as_object_mut()) {
            (Value::Null, Some(fields)) => drop(fields.remove(name)),
            (value, _) => merge(&mut target[name], value),
        }
    }
}

/// The last words of a container that has crashed; nothing of one that runs.
fn log(state: &State, key: &Key, request: &Request) -> Result<Done, Refusal> {
    let pod = state.live(key)?;
    let wanted = request.query("container");
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let container = containers.clone().find(|it| wanted.is_empty() || it["name"] == wanted);
    let image = container.and_then(|container| container["image"].as_str()).unwrap_or_default();
    let lines = state.images.get(image).map(super::controllers::Image::log).unwrap_or_default();
    let lines: Vec<&str> = lines.lines().collect();
    let tail = request.query("tailLines").parse().unwrap_or(lines.len());
    let last = &lines[lines.len().saturating_sub(tail)..];
    Ok(Done::Text(last.iter().map(|line| format!("{line}\n")).collect()))
}
