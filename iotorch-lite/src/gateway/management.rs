//! The management API of the gateway; its paths are listed in [`crate::api`].

use super::{App, outbox, state};
use crate::{
    Error, ErrorKind, Result, Secret,
    api::{Device, Export, ExportStatus, GatewayStatus, Kind, Managed, Nothing, OutboxStatus, Profile},
    objects::{self, Kept, OBJECTS, Object, check_name},
    web::{self, ChangeQuery},
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    routing::get,
};
use std::{collections::BTreeMap, sync::Arc};

type Shown = Result<Json<Managed<serde_json::Value>>>;
type ChangeOptions = Result<Query<ChangeQuery>, QueryRejection>;

pub(crate) fn router(app: Arc<App>, admin: Secret) -> Router {
    let router = Router::new()
        .route("/objects", get(web::all_objects::<App>))
        .route("/status", get(status))
        .route("/profiles/{name}", get(web::one_object::<App>).put(put_profile).delete(delete_profile))
        .route("/devices/{name}", get(web::one_object::<App>).put(put_device).delete(delete_device))
        .route("/devices/{name}/credentials", get(generations))
        .route(
            "/devices/{name}/credentials/{generation}",
            get(web::one_object::<App>).put(put_credential).delete(delete_credential),
        )
        .route("/exports/{name}", get(web::one_object::<App>).put(put_export).delete(delete_export))
        .with_state(app);
    let nobody_else = |_: &str, _: &_, _: &str| Err(Error::new(ErrorKind::Unauthorized, "the token is not valid"));
    web::with_health(web::guard(router, admin, nobody_else), "gateway")
}

impl web::HasStore for App {
    fn store(&self) -> &crate::store::Store {
        &self.core.store
    }
}

async fn status(State(app): State<Arc<App>>) -> Result<Json<GatewayStatus>> {
    let core = &app.core;
    core.store.read(|txn| {
        let objects = txn.open_table(OBJECTS)?;
        let (mut devices, mut exports) = (BTreeMap::new(), BTreeMap::new());
        for (path, object) in objects::below(&objects, "")? {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            match object.kind {
                Kind::Device => {
                    let status = state::device_status(txn, &name)?;
                    devices.insert(name, status);
                }
                Kind::Export => {
                    let (link, (pending, acknowledged)) = (core.links.get(&name), outbox::progress(txn, &name)?);
                    let (connected, last_error) = (link.connected, link.last_error);
                    exports.insert(name, ExportStatus { connected, pending, acknowledged, last_error });
                }
                _ => {}
            }
        }
        let (records, dropped) = outbox::fill(txn)?;
        let refused = core.refusals.all();
        Ok(Json(GatewayStatus { devices, exports, outbox: OutboxStatus { records, dropped }, refused }))
    })
}

async fn generations(State(app): State<Arc<App>>, Path(device): Path<String>) -> Result<Json<Vec<u64>>> {
    web::generations(&app.core.store, &format!("devices/{device}"))
}

async fn put_profile(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    options: ChangeOptions,
    body: Bytes,
) -> Shown {
    check_name("profile", &name)?;
    let (adopt, put) = (web::query(options)?.adopt, web::put_body::<Profile>(&body)?);
    web::check_secret(&put, false)?;
    for (resource, settings) in &put.settings.resources {
        check_name("resource", resource)?;
        if settings.min.zip(settings.max).is_some_and(|(min, max)| min > max) {
            return Err(Error::invalid(format!("resource \"{resource}\" has a minimum above its maximum")));
        }
    }
    let (path, object) = (format!("profiles/{name}"), Object::new(Kind::Profile, put, Kept::hash)?);
    let shown = object.clone().shown(&path);
    let running = Arc::clone(&app);
    app.changes
        .run(async move { running.core.store.write(move |txn| state::put_profile(txn, &path, &object, adopt)).await })
        .await?;
    Ok(Json(shown))
}

async fn put_device(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    options: ChangeOptions,
    body: Bytes,
) -> Shown {
    check_name("device", &name)?;
    let (adopt, put) = (web::query(options)?.adopt, web::put_body::<Device>(&body)?);
    web::check_secret(&put, false)?;
    let (path, object) = (format!("devices/{name}"), Object::new(Kind::Device, put, Kept::hash)?);
    let shown = object.clone().shown(&path);
    let running = Arc::clone(&app);
    app.changes
        .run(async move { running.core.store.write(move |txn| state::put_device(txn, &path, &object, adopt)).await })
        .await?;
    Ok(Json(shown))
}
