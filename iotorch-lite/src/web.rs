//! The HTTP side that both management APIs share: tokens, errors, and the end of serving.

use crate::{
    Error, ErrorKind, Result, Secret,
    api::{Failure, FailureDetail, Health},
};
use axum::{
    Json, Router,
    extract::{Query, Request, rejection::QueryRejection},
    http::{Method, StatusCode, header::AUTHORIZATION},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing,
};
use std::{future::IntoFuture, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How long requests under way may take when serving ends.
const GRACE: Duration = Duration::from_secs(5);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, kind) = match self.kind() {
            ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "invalid"),
            ErrorKind::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            ErrorKind::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            ErrorKind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            ErrorKind::Conflict => (StatusCode::CONFLICT, "conflict"),
            ErrorKind::InUse => (StatusCode::CONFLICT, "in_use"),
            ErrorKind::Taken | ErrorKind::Store => {
                tracing::error!(error = %self, source = ?std::error::Error::source(&self), "request failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        let owner = self.owner().map(str::to_owned);
        let error = FailureDetail { kind: kind.to_owned(), message: self.to_string(), owner };
        (status, Json(Failure { error })).into_response()
    }
}

/// The token of a request.
pub(crate) fn bearer(request: &Request) -> Option<&str> {
    request.headers().get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// The query of a request.
pub(crate) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T> {
    query.map(|Query(query)| query).map_err(|error| Error::invalid(error.body_text()))
}

/// Lets the administrator through, and whoever else `others` admits.
pub(crate) fn guard(
    router: Router,
    admin: Secret,
    others: impl Fn(&str, &Method, &str) -> Result<()> + Send + Sync + 'static,
) -> Router {
    let (admin, others) = (Arc::new(admin), Arc::new(others));
    let not_found = |request: Request| async move { Error::not_found(request.uri().path()) };
    let not_allowed = || async {
        let error = FailureDetail {
            kind: "invalid".to_owned(),
            message: "the path does not take this method".to_owned(),
            owner: None,
        };
        (StatusCode::METHOD_NOT_ALLOWED, Json(Failure { error }))
    };
    let router = router.fallback(not_found).method_not_allowed_fallback(not_allowed);
    router.layer(from_fn(move |request: Request, next: Next| {
        let verdict = match bearer(&request) {
            None => Err(Error::new(ErrorKind::Unauthorized, "the request has no bearer token")),
            Some(token) if admin.matches(token.as_bytes()) => Ok(()),
            Some(token) => others(token, request.method(), request.uri().path()),
        };
        async move {
            match verdict {
                Ok(()) => next.run(request).await,
                Err(error) => error.into_response(),
            }
        }
    }))
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

/// Serves until `stop`, then finishes the requests under way.
pub(crate) fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let drain = stop.clone();
        let serving = axum::serve(listener, router).with_graceful_shutdown(drain.cancelled_owned());
        let too_long = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            ended = serving.into_future() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the management API ended");
                }
            }
            () = too_long => tracing::warn!("requests were cut off at the end of serving"),
        }
    })
}
