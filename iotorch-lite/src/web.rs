//! HTTP as gateway and server speak it: connections, tokens, errors, and the end of serving.
//!
//! Clients may be slow, stalled or malicious, so everything they do has a limit in bytes and a limit in time.

use crate::{
    Error, ErrorKind, Result, Secret,
    api::{Failure, FailureDetail, FailureKind, Health},
    limits::REFUSED_LOGIN,
    listening::{Caller, Door, Stream},
    seats::Seat,
};
use axum::{
    Json, Router,
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::{Query, Request, rejection::QueryRejection},
    http::{Method, StatusCode, header::AUTHORIZATION},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing,
};
use http_body_util::LengthLimitError;
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use percent_encoding::percent_decode_str;
use std::{borrow::Cow, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

/// How long a connection may take until the next head of a request is complete.
const IDLE: Duration = Duration::from_secs(20);

/// How long the body of a request may take.
const BODY: Duration = Duration::from_secs(10);

/// How long a client may take none of its answer.
const STALLED: Duration = Duration::from_secs(10);

/// The buffer of a connection in bytes, and so the longest head of a request.
const BUFFER: usize = 16 * 1024;

/// The largest body of a request to a management API in bytes: a profile with thousands of resources.
const MANAGED: usize = 1024 * 1024;

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, kind) = match self.kind() {
            ErrorKind::Invalid => (StatusCode::BAD_REQUEST, FailureKind::Invalid),
            ErrorKind::Unauthorized => (StatusCode::UNAUTHORIZED, FailureKind::Unauthorized),
            ErrorKind::Forbidden => (StatusCode::FORBIDDEN, FailureKind::Forbidden),
            ErrorKind::NotFound => (StatusCode::NOT_FOUND, FailureKind::NotFound),
            ErrorKind::Conflict => (StatusCode::CONFLICT, FailureKind::Conflict),
            ErrorKind::InUse => (StatusCode::CONFLICT, FailureKind::InUse),
            ErrorKind::Taken | ErrorKind::Store => {
                tracing::error!(error = %self, source = ?std::error::Error::source(&self), "request failed");
                (StatusCode::INTERNAL_SERVER_ERROR, FailureKind::Internal)
            }
        };
        let owner = self.owner().map(str::to_owned);
        let error = FailureDetail { kind, message: self.to_string(), owner };
        (status, Json(Failure { error })).into_response()
    }
}

/// The token of a request.
pub(crate) fn bearer(request: &Request) -> Option<&str> {
    request.headers().get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// The query of a request. An error starts with the parameter that is wrong.
pub(crate) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T> {
    query.map(|Query(query)| query).map_err(|error| {
        let text = error.body_text();
        Error::invalid(text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text))
    })
}

/// Lets the administrator through, and whoever else `others` admits; `refused` is told of the rest.
pub(crate) fn guard(
    router: Router,
    admin: Secret,
    others: impl Fn(&str, &Method, &str) -> Result<()> + Send + Sync + 'static,
    refused: impl Fn(&Method, &str, &Error) + Send + Sync + 'static,
) -> Router {
    let (admin, others, refused) = (Arc::new(admin), Arc::new(others), Arc::new(refused));
    with_fallbacks(router).layer(from_fn(move |request: Request, next: Next| {
        let (method, path) = (request.method(), request.uri().path());
        let verdict = match bearer(&request) {
            None => Err(Error::new(ErrorKind::Unauthorized, "the request has no bearer token")),
            Some(token) if admin.matches(token.as_bytes()) => Ok(()),
            Some(token) => others(token, method, path),
        };
        if let Err(error) = &verdict {
            refused(method, path, error);
        }
        async move {
            match verdict {
                Ok(()) => run(request, next).await,
                Err(error) => {
                    tokio::time::sleep(REFUSED_LOGIN).await;
                    error.into_response()
                }
            }
        }
    }))
}

/// Carries out a request of somebody who is let through.
async fn run(request: Request, next: Next) -> Response {
    if let Some(seat) = request.extensions().get::<Arc<Seat>>() {
        // Who has more than its share stays a stranger, which is no harm to anybody.
        let _ = seat.know("manager");
    }
    let (head, body) = request.into_parts();
    match read(body, MANAGED).await {
        Ok(body) => next.run(Request::from_parts(head, body.into())).await,
        Err(refused) => refused,
    }
}

/// Answers in JSON what no route takes.
pub(crate) fn with_fallbacks(router: Router) -> Router {
    let not_found = |request: Request| async move { Error::not_found(request.uri().path()) };
    let not_allowed = || async {
        failure(StatusCode::METHOD_NOT_ALLOWED, FailureKind::Invalid, "the path does not take this method")
    };
    router.fallback(not_found).method_not_allowed_fallback(not_allowed)
}

/// Adds `GET /health`, the one call without a token.
pub(crate) fn with_health(router: Router, role: &'static str) -> Router {
    let health = Health {
        application: "iotorch-lite".to_owned(),
        role: role.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Router::new().route("/health", routing::get(|| async move { Json(health) })).fallback_service(router)
}

/// Answers requests at a door until `stop`, then finishes those under way.
pub(crate) fn serve(door: Door, router: Router, stop: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(door.serve(stop.clone(), move |Caller { stream, seat, .. }| {
        let (router, stop) = (router.clone(), stop.clone());
        async move {
            let ended = match stream {
                Stream::Plain(stream) => converse(stream, seat, router, stop).await,
                Stream::Tls(stream) => converse(*stream, seat, router, stop).await,
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP connection ended");
            }
        }
    }))
}

/// Answers the requests of one connection.
pub(crate) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    seat: Arc<Seat>,
    router: Router,
    stop: CancellationToken,
) -> hyper::Result<()> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALLED));
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&seat));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// Reads the body of a request, in the time that is given for it.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Bytes, Response> {
    let too_big = || {
        failure(
            StatusCode::PAYLOAD_TOO_LARGE,
            FailureKind::Invalid,
            &format!("the body is larger than {limit} bytes"),
        )
    };
    // What is too big by its own account is not read.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_big());
    }
    match timeout(BODY, to_bytes(body, limit)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if is_too_big(&error) => Err(too_big()),
        Ok(Err(_)) => Err(failure(StatusCode::BAD_REQUEST, FailureKind::Invalid, "the body is broken")),
        Err(_) => {
            let message = format!("the body did not come within {} s", BODY.as_secs());
            Err(failure(StatusCode::REQUEST_TIMEOUT, FailureKind::Invalid, &message))
        }
    }
}

fn is_too_big(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<LengthLimitError>())
}

/// The path of a request without percent encoding.
pub(crate) fn decoded(path: &str) -> Result<Cow<'_, str>> {
    percent_decode_str(path).decode_utf8().map_err(|_| Error::invalid("the path is not text"))
}

/// An answer that is an error.
pub(crate) fn failure(status: StatusCode, kind: FailureKind, message: &str) -> Response {
    let error = FailureDetail { kind, message: message.to_owned(), owner: None };
    (status, Json(Failure { error })).into_response()
}
