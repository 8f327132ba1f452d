//! Commands in the management API of the gateway.

use super::App;
use crate::{
    Error, Result,
    api::{Command, CommandState, NewCommand},
    objects::check_name,
    parameter::given,
    web::query,
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// How long a request may wait for the end of a command, in seconds.
const LONGEST_WAIT: f64 = 60.0;

/// The query of a GET of one command.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Patience {
    /// For how many seconds the answer may wait for the end of the command, 0 to 60.
    #[serde(deserialize_with = "given")]
    wait: f64,
}

/// Answers `POST /devices/{name}/commands`.
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    Path(device): Path<String>,
    body: Bytes,
) -> Result<(StatusCode, Json<Command>)> {
    check_name("device", &device)?;
    let new: NewCommand = serde_json::from_slice(&body)
        .map_err(|error| Error::invalid(format!("the body is not a command: {error}")))?;
    Ok((StatusCode::CREATED, Json(app.core.commands.add(&device, new).await?)))
}

/// Answers `GET /devices/{name}/commands`.
pub(crate) async fn all(
    State(app): State<Arc<App>>,
    Path(device): Path<String>,
) -> Result<Json<Vec<Command>>> {
    check_name("device", &device)?;
    app.core.commands.all(&device).map(Json)
}

/// Answers `GET /devices/{name}/commands/{id}`.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Path((device, id)): Path<(String, String)>,
    patience: Result<Query<Patience>, QueryRejection>,
) -> Result<Json<Command>> {
    let id = number(&device, &id)?;
    let Patience { wait } = query(patience)?;
    if !(0.0..=LONGEST_WAIT).contains(&wait) {
        return Err(Error::invalid(format!("a request waits 0 to {LONGEST_WAIT} s")));
    }
    let ended = app.core.commands.ended(&device, id, Duration::from_secs_f64(wait));
    tokio::select! {
        command = ended => command.map(Json),
        () = app.stop.cancelled() => app.core.commands.one(&device, id).map(Json),
    }
}

/// Answers `DELETE /devices/{name}/commands/{id}`.
pub(crate) async fn withdraw(
    State(app): State<Arc<App>>,
    Path((device, id)): Path<(String, String)>,
) -> Result<Json<Command>> {
    let id = number(&device, &id)?;
    app.core.commands.end(&device, id, CommandState::Withdrawn).await?;
    app.core.commands.one(&device, id).map(Json)
}

/// The number of a command, once its device has a name that a device can have.
fn number(device: &str, id: &str) -> Result<u64> {
    check_name("device", device)?;
    id.parse().map_err(|_| Error::not_found(&format!("devices/{device}/commands/{id}")))
}
