//! The management API of the server; its paths are listed in [`crate::api`].

use super::{App, messages, state};
use crate::{
    Error, ErrorKind, Result, Secret,
    api::{ChannelStats, Kind, MessageQuery, Nothing, Page, ServerStatus},
    managing::{self, Changes, Ended, Manages, Rule, Sort, credential, object},
    objects::Kept,
    store::Store,
    web,
};
use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::Method,
    routing::get,
};
use redb::WriteTransaction;
use std::sync::Arc;

const TENANTS: Sort = Sort {
    kind: Kind::Tenant,
    secret: Rule::Optional(Kept::hash),
    put: state::put_tenant,
    delete: state::delete_tenant,
};
const ATTACHMENTS: Sort = Sort {
    kind: Kind::Attachment,
    secret: Rule::None,
    put: state::put_attachment,
    delete: state::delete_attachment,
};

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
        .route("/objects", get(managing::all::<App>))
        .route("/status", get(status))
        .route("/tenants/{tenant}", object::<App, Nothing>(TENANTS))
        .route("/tenants/{tenant}/attachments/{name}", object::<App, Nothing>(ATTACHMENTS))
        .route("/tenants/{tenant}/attachments/{name}/credentials", get(managing::generations::<App>))
        .route("/tenants/{tenant}/attachments/{name}/credentials/{generation}", credential::<App>())
        .route("/tenants/{tenant}/channels/{channel}/messages", get(read_messages))
        .route("/tenants/{tenant}/channels/{channel}/stats", get(read_stats))
        .with_state(app);
    web::with_health(web::guard(router, admin, tenants), "server")
}

#[async_trait]
impl Manages for App {
    fn store(&self) -> &Store {
        &self.core.store
    }

    fn changes(&self) -> &Changes {
        &self.changes
    }

    fn user(txn: &WriteTransaction, holder: &str) -> Result<Option<String>> {
        state::thing(txn, holder)
    }

    async fn settle(&self, _: &str, ended: Ended) -> Result<()> {
        for (thing, generation) in ended {
            self.clients.disconnect(&thing, generation).await;
        }
        Ok(())
    }
}

async fn status(State(app): State<Arc<App>>) -> Json<ServerStatus> {
    Json(ServerStatus { refused: app.core.refusals.all() })
}

async fn read_messages(
    State(app): State<Arc<App>>,
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
    State(app): State<Arc<App>>,
    Path((tenant, channel)): Path<(String, String)>,
) -> Result<Json<ChannelStats>> {
    app.core.store.read(|txn| {
        state::check_channel(txn, &tenant, &channel)?;
        Ok(Json(messages::stats(txn, &channel)?))
    })
}
