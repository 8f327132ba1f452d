//! Messages over HTTP: what a gateway takes from devices, and a server from things.
//!
//! | path | methods | |
//! |---|---|---|
//! | `/health` | GET | without a login |
//! | `/devices/{device}`, `/devices/{device}/{resource}` | POST PUT | gateway: readings |
//! | `/devices/{device}/commands?wait={seconds}` | GET | gateway: the commands that wait, the oldest first |
//! | `/devices/{device}/commands/{number}` | DELETE | gateway: acknowledges a command |
//! | `/channels/{channel}/messages` | POST PUT | server: a SenML pack |
//!
//! Logins are Basic (RFC 7617) with the name and the password that are used over MQTT. An answer is 204 when everything was
//! accepted, 200 when a part was, and 422 when nothing was; the latter two say why. An error is answered as in the management
//! API, with a [`Failure`](crate::api::Failure).

use crate::{
    Error, Result,
    access::{Access, Protocol, Taken},
    api::{CommandState, FailureKind},
    limits::REFUSED_LOGIN,
    listening::Door,
    parameter::given,
    seats::Seat,
    web,
};
use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{
        HeaderMap, HeaderValue, StatusCode, Uri,
        header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// The longest a request for commands may wait for one, in seconds.
const LONGEST_WAIT: u64 = 60;

const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"iotorch\", charset=\"UTF-8\"");

/// What a request is besides its body.
type Sent = (Uri, HeaderMap, Extension<Arc<Seat>>);

struct Desk {
    access: Arc<dyn Access>,
    packet_limit: usize,
    stop: CancellationToken,
}

/// What became of the readings of a message that was not accepted as a whole.
#[derive(Serialize)]
struct Answer {
    accepted: u64,
    rejected: Vec<String>,
}

#[derive(Deserialize)]
struct Wait {
    #[serde(default, deserialize_with = "given")]
    wait: u64,
}

/// Takes messages at a door until `stop`.
pub(crate) fn serve(
    door: Door,
    role: &'static str,
    packet_limit: usize,
    access: Arc<dyn Access>,
    stop: CancellationToken,
) -> JoinHandle<()> {
    web::serve(door, router(role, packet_limit, access, stop.clone()), stop)
}

/// The paths of messages, and that of health.
pub(crate) fn router(
    role: &'static str,
    packet_limit: usize,
    access: Arc<dyn Access>,
    stop: CancellationToken,
) -> Router {
    let desk = Arc::new(Desk { access, packet_limit, stop });
    let router = Router::new()
        .route("/devices/{device}/commands", get(commands).post(message).put(message))
        .route("/devices/{device}/commands/{number}", delete(acknowledge))
        .route("/{*topic}", post(message).put(message))
        .with_state(desk);
    web::with_health(web::with_fallbacks(router), role)
}

/// Answers POST and PUT of a message.
async fn message(
    State(desk): State<Arc<Desk>>,
    (uri, headers, Extension(seat)): Sent,
    body: Body,
) -> Response {
    let topic = match web::decoded(uri.path()) {
        Ok(path) => path.trim_start_matches('/').to_owned(),
        Err(error) => return error.into_response(),
    };
    let user = match desk.user(&headers, &seat).await {
        Ok(user) => user,
        Err(refused) => return refused,
    };
    if !desk.access.may_publish(&user, &topic) {
        return desk.forbidden(&user, &format!("posted to \"{}\"", topic.escape_debug()));
    }
    let body = match web::read(body, desk.packet_limit).await {
        Ok(body) => body,
        Err(refused) => {
            let reason = "its message is too big, or did not come in time";
            desk.access.refusals().request(Protocol::Http, &user, reason);
            return refused;
        }
    };
    match desk.access.publish(&user, &topic, &body).await {
        Ok(taken) => answer(&taken),
        Err(error) => error.into_response(),
    }
}

fn answer(taken: &Taken) -> Response {
    if taken.rejected.is_empty() {
        return StatusCode::NO_CONTENT.into_response();
    }
    let status = if taken.accepted > 0 { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let answer = Answer { accepted: taken.accepted, rejected: taken.reasons(taken.told()) };
    (status, Json(answer)).into_response()
}

/// Answers GET of the commands of a device: at once if there are any, else as soon as there are, or when the time is up.
async fn commands(
    State(desk): State<Arc<Desk>>,
    Path(device): Path<String>,
    wait: Result<Query<Wait>, QueryRejection>,
    (uri, headers, Extension(seat)): Sent,
) -> Response {
    let found = async {
        let Wait { wait } = web::query(wait)?;
        if wait > LONGEST_WAIT {
            return Err(Error::invalid(format!("wait for 0 to {LONGEST_WAIT} seconds")));
        }
        let commands = desk.access.commands().ok_or_else(|| Error::not_found(uri.path()))?;
        let until = Instant::now() + Duration::from_secs(wait);
        let mut changes = commands.changes();
        loop {
            let waiting = commands.waiting(&device)?;
            if !waiting.is_empty() {
                return Ok(waiting);
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return Ok(waiting) },
                () = tokio::time::sleep_until(until) => return Ok(waiting),
                () = desk.stop.cancelled() => return Ok(waiting),
            }
        }
    };
    if let Err(refused) = desk.device(&headers, &seat, &device, "asked for").await {
        return refused;
    }
    let waiting = match found.await {
        Ok(waiting) => waiting,
        Err(error) => return error.into_response(),
    };
    // The credential may have gone while it waited.
    match desk.login(&headers) {
        Ok(_) => Json(waiting).into_response(),
        Err((user, reason)) => desk.unauthorized(&user, &reason).await,
    }
}

/// Answers DELETE of a command. One that has ended before counts as acknowledged.
async fn acknowledge(
    State(desk): State<Arc<Desk>>,
    Path((device, number)): Path<(String, String)>,
    (uri, headers, Extension(seat)): Sent,
) -> Response {
    if let Err(refused) = desk.device(&headers, &seat, &device, "acknowledged").await {
        return refused;
    }
    let ended = async {
        let not_found = || Error::not_found(uri.path());
        let commands = desk.access.commands().ok_or_else(not_found)?;
        let number = number.parse().map_err(|_| not_found())?;
        if commands.end(&device, number, CommandState::Delivered).await?
            || commands.all(&device)?.iter().any(|command| command.id == number)
        {
            return Ok(StatusCode::NO_CONTENT);
        }
        Err(not_found())
    };
    ended.await.into_response()
}

impl Desk {
    /// Who has sent a request, once it may send one.
    async fn user(&self, headers: &HeaderMap, seat: &Seat) -> Result<String, Response> {
        let user = match self.login(headers) {
            Ok(user) => user,
            Err((user, reason)) => return Err(self.unauthorized(&user, &reason).await),
        };
        if !seat.know(&user) {
            let reason = "it has too many connections already";
            self.access.refusals().login(Protocol::Http, &user, reason);
            return Err(web::failure(StatusCode::TOO_MANY_REQUESTS, FailureKind::Limited, reason));
        }
        self.access.limits().admit(&user).map_err(too_fast)?;
        Ok(user)
    }

    /// Lets a device through to its commands.
    async fn device(
        &self,
        headers: &HeaderMap,
        seat: &Seat,
        device: &str,
        what: &str,
    ) -> Result<(), Response> {
        let user = self.user(headers, seat).await?;
        let filter = format!("devices/{device}/commands/#");
        if self.access.may_subscribe(&user, &filter) || self.access.commands().is_none() {
            return Ok(());
        }
        Err(self.forbidden(&user, &format!("{what} commands of \"{}\"", device.escape_debug())))
    }

    /// The user of a request, or the one that it claims to be and why it is not.
    fn login(&self, headers: &HeaderMap) -> Result<String, (String, String)> {
        let Some((user, password)) = credentials(headers) else {
            return Err((String::new(), "it did not log in".to_owned()));
        };
        match self.access.login(Protocol::Http, &user, password.as_bytes()) {
            Ok(_) => Ok(user),
            Err(reason) => Err((user, reason)),
        }
    }

    async fn unauthorized(&self, user: &str, reason: &str) -> Response {
        self.access.refusals().login(Protocol::Http, user, reason);
        tokio::time::sleep(REFUSED_LOGIN).await;
        let mut response = web::failure(
            StatusCode::UNAUTHORIZED,
            FailureKind::Unauthorized,
            "log in with a name and its password",
        );
        response.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
        response
    }

    fn forbidden(&self, user: &str, what: &str) -> Response {
        let reason = format!("{what}, which is not its own");
        self.access.refusals().request(Protocol::Http, user, &reason);
        web::failure(StatusCode::FORBIDDEN, FailureKind::Forbidden, &format!("\"{user}\" {reason}"))
    }
}

fn too_fast(wait: Duration) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let message = format!("too many messages: wait {seconds} s");
    let mut response = web::failure(StatusCode::TOO_MANY_REQUESTS, FailureKind::Limited, &message);
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

/// The user name and password of Basic authentication (RFC 7617).
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_basic_logins_are_read() {
        let read = |value: &'static str| {
            credentials(&HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]))
        };
        assert_eq!(read("Basic ZDE6YTpi"), Some(("d1".to_owned(), "a:b".to_owned())));
        assert_eq!(read("basic ZDE6"), Some(("d1".to_owned(), String::new())));
        for wrong in ["Basic", "Basic ZDE", "Basic ****", "Bearer ZDE6YTpi", "Basic /////w==", "ZDE6YTpi"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(credentials(&HeaderMap::new()), None);
    }
}
