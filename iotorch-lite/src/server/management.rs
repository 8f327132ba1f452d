//! The management API of the server; its paths are listed in [`crate::api`].

use super::{App, messages, state};
use crate::{
    Error, ErrorKind, Result, Secret,
    api::{ChannelStats, Kind, Managed, MessageQuery, Nothing, Page, ServerStatus},
    objects::{self, Kept, check_name},
    web::{self, ChangeOptions, Rule, Shown, Wanted},
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{Method, StatusCode, Uri},
    routing::get,
};
use redb::WriteTransaction;
use std::sync::Arc;

type Managing = State<Arc<App>>;

pub(crate) fn router(app: Arc<App>, admin: Secret) -> Router {
    let core = Arc::clone(&app.core);
    let tenants = move |token: &str, method: &Method, path: &str| {
        let allowed = core.store.read(|txn| state::check_token(txn, token, path));
        match (allowed, method) {
            (Ok(()), method) if method != Method::GET => {
                Err(Error::new(ErrorKind::Forbidden, "the token is for reading only"))
            }
            (allowed, _) => allowed,
        }
    };
    let router = Router::new()
        .route("/objects", get(async |State(app): Managing| web::all_objects(&app.core.store)))
        .route("/status", get(status))
        .route("/tenants/{tenant}", get(object).put(put_tenant).delete(delete_tenant))
        .route(
            "/tenants/{tenant}/attachments/{name}",
            get(object).put(put_attachment).delete(delete_attachment),
        )
        .route("/tenants/{tenant}/attachments/{name}/credentials", get(generations))
        .route(
            "/tenants/{tenant}/attachments/{name}/credentials/{generation}",
            get(object).put(put_credential).delete(delete_credential),
        )
        .route("/tenants/{tenant}/channels/{channel}/messages", get(read_messages))
        .route("/tenants/{tenant}/channels/{channel}/stats", get(read_stats))
        .with_state(app);
    web::with_health(web::guard(router, admin, tenants), "server")
}

impl App {
    /// Carries out a change; `work` gives its answer and the sessions to end once it is durable.
    async fn change<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&WriteTransaction) -> Result<(T, Vec<(String, Option<u64>)>)> + Send + 'static,
    ) -> Result<T> {
        let app = Arc::clone(&self);
        let change = async move {
            let (answer, ended) = app.core.store.write(work).await?;
            for (thing, generation) in ended {
                app.clients.disconnect(&thing, generation).await;
            }
            Ok(answer)
        };
        self.changes.run(change).await
    }

    async fn delete(
        self: Arc<Self>,
        options: ChangeOptions,
        work: impl FnOnce(&WriteTransaction, Option<&str>) -> Result<Vec<(String, Option<u64>)>> + Send + 'static,
    ) -> Result<StatusCode> {
        let mark = web::query(options)?.mark;
        self.change(move |txn| Ok(((), work(txn, mark.as_deref())?))).await?;
        Ok(StatusCode::NO_CONTENT)
    }
}

async fn status(State(app): Managing) -> Json<ServerStatus> {
    Json(ServerStatus { refused: app.core.refusals.all() })
}

async fn object(State(app): Managing, uri: Uri) -> Result<Json<Managed<serde_json::Value>>> {
    web::one_object(&app.core.store, uri.path())
}

async fn generations(
    State(app): Managing,
    Path((tenant, name)): Path<(String, String)>,
) -> Result<Json<Vec<u64>>> {
    web::all_generations(&app.core.store, &format!("tenants/{tenant}/attachments/{name}"))
}

async fn put_tenant(
    State(app): Managing,
    Path(tenant): Path<String>,
    options: ChangeOptions,
    body: Bytes,
) -> Shown {
    check_name("tenant", &tenant)?;
    let rule = Rule::Optional(Kept::hash);
    let Wanted { object, adopt, .. } = Wanted::read::<Nothing>(Kind::Tenant, options, &body, rule)?;
    let path = format!("tenants/{tenant}");
    let shown = object.clone().shown(&path);
    let work = move |txn: &_| {
        objects::put(txn, &path, &object, adopt)?;
        Ok(((), Vec::new()))
    };
    app.change(work).await?;
    Ok(Json(shown))
}

async fn delete_tenant(
    State(app): Managing,
    Path(tenant): Path<String>,
    options: ChangeOptions,
) -> Result<StatusCode> {
    let work = move |txn: &_, mark: Option<&_>| {
        let things = state::delete_tenant(txn, &format!("tenants/{tenant}"), mark)?;
        Ok(things.into_iter().map(|thing| (thing, None)).collect())
    };
    app.delete(options, work).await
}

async fn put_attachment(
    State(app): Managing,
    Path((tenant, name)): Path<(String, String)>,
    options: ChangeOptions,
    body: Bytes,
) -> Shown {
    check_name("attachment", &name)?;
    let Wanted { object, adopt, .. } = Wanted::read::<Nothing>(Kind::Attachment, options, &body, Rule::None)?;
    let tenant = format!("tenants/{tenant}");
    let path = format!("{tenant}/attachments/{name}");
    let shown_path = path.clone();
    let work = move |txn: &_| Ok((state::put_attachment(txn, &tenant, &path, object, adopt)?, Vec::new()));
    Ok(Json(app.change(work).await?.shown(&shown_path)))
}

async fn delete_attachment(
    State(app): Managing,
    Path((tenant, name)): Path<(String, String)>,
    options: ChangeOptions,
) -> Result<StatusCode> {
    let work = move |txn: &_, mark: Option<&_>| {
        let thing = state::delete_attachment(txn, &format!("tenants/{tenant}/attachments/{name}"), mark)?;
        Ok(thing.into_iter().map(|thing| (thing, None)).collect())
    };
    app.delete(options, work).await
}

async fn put_credential(
    State(app): Managing,
    Path((tenant, name, generation)): Path<(String, String, String)>,
    options: ChangeOptions,
    body: Bytes,
) -> Shown {
    let generation = web::generation(&generation)?;
    let rule = Rule::Required(Kept::hash);
    let Wanted { object, secret, adopt } = Wanted::read::<Nothing>(Kind::Credential, options, &body, rule)?;
    let Some(secret) = secret else { return Err(Error::invalid("the object needs a secret")) };
    let holder = format!("tenants/{tenant}/attachments/{name}");
    let path = format!("{holder}/credentials/{generation}");
    let shown = object.clone().shown(&path);
    let work = move |txn: &WriteTransaction| {
        let replaced = objects::put_credential(txn, &holder, &path, &object, &secret, adopt)?;
        let thing = if replaced { state::thing(txn, &holder)? } else { None };
        Ok(((), thing.into_iter().map(|thing| (thing, Some(generation))).collect()))
    };
    app.change(work).await?;
    Ok(Json(shown))
}

async fn delete_credential(
    State(app): Managing,
    Path((tenant, name, generation)): Path<(String, String, String)>,
    options: ChangeOptions,
) -> Result<StatusCode> {
    let generation = web::generation(&generation)?;
    let holder = format!("tenants/{tenant}/attachments/{name}");
    let work = move |txn: &WriteTransaction, mark: Option<&_>| {
        objects::delete(txn, &format!("{holder}/credentials/{generation}"), mark)?;
        Ok(state::thing(txn, &holder)?.into_iter().map(|thing| (thing, Some(generation))).collect())
    };
    app.delete(options, work).await
}

async fn read_messages(
    State(app): Managing,
    Path((tenant, channel)): Path<(String, String)>,
    query: Result<Query<MessageQuery>, QueryRejection>,
) -> Result<Json<Page>> {
    let query = web::query(query)?;
    let read = move || {
        app.core.store.read(|txn| {
            state::check_channel(txn, &tenant, &channel)?;
            messages::page(txn, &channel, &query)
        })
    };
    // A page may have to come from disk.
    let page = tokio::task::spawn_blocking(read).await;
    page.map_err(|error| Error::store("cannot read messages").caused_by(error))?.map(Json)
}

async fn read_stats(
    State(app): Managing,
    Path((tenant, channel)): Path<(String, String)>,
) -> Result<Json<ChannelStats>> {
    app.core.store.read(|txn| {
        state::check_channel(txn, &tenant, &channel)?;
        Ok(Json(messages::stats(txn, &channel)?))
    })
}
