//! The management API of the gateway; its paths are listed in [`crate::api`].

use super::{App, outbox, state};
use crate::{
    Error, ErrorKind, Result, Secret,
    api::{Device, Export, ExportStatus, GatewayStatus, Kind, Managed, Nothing, OutboxStatus, Profile},
    objects::{self, Kept, OBJECTS, Object, check_name},
    web::{self, ChangeOptions, Rule, Shown, Wanted},
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{StatusCode, Uri},
    routing::get,
};
use redb::WriteTransaction;
use std::{collections::BTreeMap, sync::Arc};

pub(crate) fn router(app: Arc<App>, admin: Secret) -> Router {
    let router = Router::new()
        .route("/objects", get(async |State(app): Managing| web::all_objects(&app.core.store)))
        .route("/status", get(status))
        .route("/profiles/{name}", get(object).put(put_profile).delete(delete_profile))
        .route("/devices/{name}", get(object).put(put_device).delete(delete_device))
        .route("/devices/{name}/credentials", get(generations))
        .route(
            "/devices/{name}/credentials/{generation}",
            get(object).put(put_credential).delete(delete_credential),
        )
        .route("/exports/{name}", get(object).put(put_export).delete(delete_export))
        .with_state(app);
    let nobody_else =
        |_: &str, _: &_, _: &str| Err(Error::new(ErrorKind::Unauthorized, "the token is not valid"));
    web::with_health(web::guard(router, admin, nobody_else), "gateway")
}

type Managing = State<Arc<App>>;

/// What has to happen once a change is durable.
enum Effect {
    Nothing,
    /// End the sessions of a device, all or those of one generation.
    Disconnect(String, Option<u64>),
    /// Run the exports as they are now.
    FollowExports,
}

impl App {
    async fn change(
        self: Arc<Self>,
        work: impl FnOnce(&WriteTransaction) -> Result<Effect> + Send + 'static,
    ) -> Result<()> {
        let app = Arc::clone(&self);
        let change = async move {
            match app.core.store.write(work).await? {
                Effect::Nothing => {}
                Effect::Disconnect(device, generation) => app.clients.disconnect(&device, generation).await,
                Effect::FollowExports => app.forwarders.follow(&app.core, &app.stop).await?,
            }
            Ok(())
        };
        self.changes.run(change).await
    }

    async fn put(
        self: Arc<Self>,
        path: String,
        object: Object,
        work: impl FnOnce(&WriteTransaction, &str, &Object) -> Result<Effect> + Send + 'static,
    ) -> Shown {
        let shown = object.clone().shown(&path);
        self.change(move |txn| work(txn, &path, &object)).await?;
        Ok(Json(shown))
    }

    async fn delete(
        self: Arc<Self>,
        options: ChangeOptions,
        work: impl FnOnce(&WriteTransaction, Option<&str>) -> Result<Effect> + Send + 'static,
    ) -> Result<StatusCode> {
        let mark = web::query(options)?.mark;
        self.change(move |txn| work(txn, mark.as_deref())).await?;
        Ok(StatusCode::NO_CONTENT)
    }
}

async fn status(State(app): Managing) -> Result<Json<GatewayStatus>> {
    let core = &app.core;
    core.store.read(|txn| {
        let (mut devices, mut exports) = (BTreeMap::new(), BTreeMap::new());
        for (path, object) in objects::below(&txn.open_table(OBJECTS)?, "")? {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            match object.kind {
                Kind::Device => {
                    let status = state::device_status(txn, &name)?;
                    devices.insert(name, status);
                }
                Kind::Export => {
                    let (link, (pending, acknowledged)) =
                        (core.links.get(&name), outbox::progress(txn, &name)?);
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

async fn object(State(app): Managing, uri: Uri) -> Result<Json<Managed<serde_json::Value>>> {
    web::one_object(&app.core.store, uri.path())
}

async fn generations(State(app): Managing, Path(device): Path<String>) -> Result<Json<Vec<u64>>> {
    web::all_generations(&app.core.store, &format!("devices/{device}"))
}

async fn put_profile(
    State(app): Managing,
    Path(name): Path<String>,
    options: ChangeOptions,
    body: Bytes,
) -> Shown {
    check_name("profile", &name)?;
    let Wanted { object, adopt, .. } = Wanted::read::<Profile>(Kind::Profile, options, &body, Rule::None)?;
    let work = move |txn: &_, path: &_, object: &_| {
        state::put_profile(txn, path, object, adopt)?;
        Ok(Effect::Nothing)
    };
    app.put(format!("profiles/{name}"), object, work).await
}

async fn delete_profile(
    State(app): Managing,
    Path(name): Path<String>,
    options: ChangeOptions,
) -> Result<StatusCode> {
    let work = move |txn: &_, mark: Option<&_>| {
        state::delete_profile(txn, &name, &format!("profiles/{name}"), mark)?;
        Ok(Effect::Nothing)
    };
    app.delete(options, work).await
}

async fn put_device(
    State(app): Managing,
    Path(name): Path<String>,
    options: ChangeOptions,
    body: Bytes,
) -> Shown {
    check_name("device", &name)?;
    let Wanted { object, adopt, .. } = Wanted::read::<Device>(Kind::Device, options, &body, Rule::None)?;
    let work = move |txn: &_, path: &_, object: &_| {
        state::put_device(txn, path, object, adopt)?;
        Ok(Effect::Nothing)
    };
    app.put(format!("devices/{name}"), object, work).await
}

async fn delete_device(
    State(app): Managing,
    Path(name): Path<String>,
    options: ChangeOptions,
) -> Result<StatusCode> {
    let work = move |txn: &_, mark: Option<&_>| {
        state::delete_device(txn, &name, &format!("devices/{name}"), mark)?;
        Ok(Effect::Disconnect(name, None))
    };
    app.delete(options, work).await
}

async fn put_credential(
    State(app): Managing,
    Path((device, generation)): Path<(String, String)>,
    options: ChangeOptions,
    body: Bytes,
) -> Shown {
    let generation = web::generation(&generation)?;
    let rule = Rule::Required(Kept::hash);
    let Wanted { object, secret, adopt } = Wanted::read::<Nothing>(Kind::Credential, options, &body, rule)?;
    let Some(secret) = secret else { return Err(Error::invalid("the object needs a secret")) };
    let holder = format!("devices/{device}");
    let path = format!("{holder}/credentials/{generation}");
    let work = move |txn: &_, path: &_, object: &_| {
        let replaced = objects::put_credential(txn, &holder, path, object, &secret, adopt)?;
        Ok(if replaced { Effect::Disconnect(device, Some(generation)) } else { Effect::Nothing })
    };
    app.put(path, object, work).await
}

async fn delete_credential(
    State(app): Managing,
    Path((device, generation)): Path<(String, String)>,
    options: ChangeOptions,
) -> Result<StatusCode> {
    let generation = web::generation(&generation)?;
    let work = move |txn: &_, mark: Option<&_>| {
        objects::delete(txn, &format!("devices/{device}/credentials/{generation}"), mark)?;
        Ok(Effect::Disconnect(device, Some(generation)))
    };
    app.delete(options, work).await
}

async fn put_export(
    State(app): Managing,
    Path(name): Path<String>,
    options: ChangeOptions,
    body: Bytes,
) -> Shown {
    check_name("export", &name)?;
    let rule = Rule::Required(Kept::clear);
    let Wanted { object, adopt, .. } = Wanted::read::<Export>(Kind::Export, options, &body, rule)?;
    let path = format!("exports/{name}");
    let work = move |txn: &_, path: &_, object: &_| {
        state::put_export(txn, &name, path, object, adopt)?;
        Ok(Effect::FollowExports)
    };
    app.put(path, object, work).await
}

async fn delete_export(
    State(app): Managing,
    Path(name): Path<String>,
    options: ChangeOptions,
) -> Result<StatusCode> {
    let work = move |txn: &_, mark: Option<&_>| {
        state::delete_export(txn, &name, &format!("exports/{name}"), mark)?;
        Ok(Effect::FollowExports)
    };
    app.delete(options, work).await
}
