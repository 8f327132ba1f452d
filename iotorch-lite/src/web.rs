//! The HTTP side that both management APIs share: tokens, bodies, errors, and the end of serving.

use crate::{
    Error, ErrorKind, Result, Secret,
    api::{Failure, FailureDetail, Health, Kind, Managed, Put},
    objects::{self, Kept, OBJECTS, Object, unreadable},
    store::Store,
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, Request, rejection::QueryRejection},
    http::{Method, StatusCode, header::AUTHORIZATION},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    future::{Future, IntoFuture},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, sync::Mutex, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long requests under way may take when serving ends.
const GRACE: Duration = Duration::from_secs(5);

/// The query of a PUT or DELETE.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ChangeQuery {
    pub(crate) adopt: bool,
    pub(crate) mark: Option<String>,
}

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

pub(crate) type ChangeOptions = Result<Query<ChangeQuery>, QueryRejection>;
pub(crate) type Shown = Result<Json<Managed<serde_json::Value>>>;

/// What becomes of the secret in the body of a PUT.
pub(crate) enum Rule {
    /// There must be none.
    None,
    /// There may be one; it is kept like this.
    Optional(fn(&Secret) -> Kept),
    /// There must be one; it is kept like this.
    Required(fn(&Secret) -> Kept),
}

/// An object as a PUT wants it.
pub(crate) struct Wanted {
    pub(crate) object: Object,
    pub(crate) secret: Option<Secret>,
    pub(crate) adopt: bool,
}

impl Wanted {
    /// Reads a PUT. Errors show no part of the secret.
    pub(crate) fn read<T: Serialize + DeserializeOwned>(
        kind: Kind,
        options: ChangeOptions,
        body: &Bytes,
        rule: Rule,
    ) -> Result<Self> {
        let adopt = query(options)?.adopt;
        let mut json: serde_json::Value = serde_json::from_slice(body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Error::invalid(format!("the body is not JSON at line {line}, column {column}"))
        })?;
        let secret = match json.as_object_mut().and_then(|fields| fields.remove("secret")) {
            None | Some(serde_json::Value::Null) => None,
            Some(serde_json::Value::String(secret)) if !secret.is_empty() => Some(Secret::new(secret)),
            Some(_) => return Err(Error::invalid("the secret must be a string that is not empty")),
        };
        let Put { mark, spec, settings, .. } = serde_json::from_value::<Put<T>>(json)
            .map_err(|error| Error::invalid(format!("the body is wrong: {error}")))?;
        let kept = match (rule, &secret) {
            (Rule::None, Some(_)) => return Err(Error::invalid("the object takes no secret")),
            (Rule::Required(_), None) => return Err(Error::invalid("the object needs a secret")),
            (Rule::Optional(keep) | Rule::Required(keep), Some(secret)) => Some(keep(secret)),
            (Rule::None | Rule::Optional(_), None) => None,
        };
        let settings = serde_json::to_value(settings).map_err(unreadable)?;
        Ok(Self { object: Object { kind, mark, spec, settings, secret: kept }, secret, adopt })
    }
}

/// Answers `GET /objects`.
pub(crate) fn all_objects(store: &Store) -> Result<Json<Vec<Managed<serde_json::Value>>>> {
    let all = store.read(|txn| objects::below(&txn.open_table(OBJECTS)?, ""))?;
    Ok(Json(all.into_iter().map(|(path, object)| object.shown(&path)).collect()))
}

/// Answers GET of one object.
pub(crate) fn one_object(store: &Store, path: &str) -> Shown {
    let path = path.trim_start_matches('/');
    let object = store.read(|txn| objects::get(&txn.open_table(OBJECTS)?, path))?;
    Ok(Json(object.shown(path)))
}

/// Answers GET of the credentials of an object.
pub(crate) fn all_generations(store: &Store, path: &str) -> Result<Json<Vec<u64>>> {
    store.read(|txn| {
        let objects = txn.open_table(OBJECTS)?;
        objects::get(&objects, path)?;
        let generations = objects::generations(&objects, path)?;
        Ok(Json(generations.into_iter().map(|(generation, _)| generation).collect()))
    })
}

/// The token of a request.
pub(crate) fn bearer(request: &Request) -> Option<&str> {
    request.headers().get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// The query of a request.
pub(crate) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T> {
    query.map(|Query(query)| query).map_err(|error| Error::invalid(error.body_text()))
}

/// The number of a credential's generation.
pub(crate) fn generation(text: &str) -> Result<u64> {
    text.parse()
        .map_err(|_| Error::invalid(format!("\"{text}\" is not a generation: use a whole number from 0")))
}

/// Changes of objects: one after the other, each with its effects, and to the end even if the client goes away in
/// the middle.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    turn: Arc<Mutex<()>>,
    tasks: TaskTracker,
}

impl Changes {
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let turn = Arc::clone(&self.turn);
        let task = self.tasks.spawn(async move {
            let _turn = turn.lock().await;
            change.await
        });
        task.await.map_err(|error| Error::store("the request failed").caused_by(error))?
    }

    /// Waits until no change is under way.
    pub(crate) async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
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
