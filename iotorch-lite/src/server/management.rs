//! The management API of the server; its paths are listed in [`crate::api`].

use super::{App, messages, reading, state};
use crate::{
    Error, ErrorKind, Result, Secret,
    api::{Attachment, ChannelStats, Kind, MessageQuery, Nothing, Page, SenmlRecord, ServerStatus},
    clock,
    following::{LINES, lines},
    log::Log,
    managing::{self, Changes, Ended, Manages, Rule, Sort, credential, credentials, object},
    metrics::Metrics,
    objects::Kept,
    openapi::{Calls, Operation, with_document},
    senml::{self, Format},
    store::Store,
    web,
};
use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{
        HeaderMap, HeaderName, Method, Uri,
        header::{ACCEPT, CONTENT_TYPE, LINK},
    },
    response::{IntoResponse, Response},
};
use redb::WriteTransaction;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

const SENML_JSON: &str = "application/senml+json";
const SENML_CBOR: &str = "application/senml+cbor";

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
    let (core, counted) = (Arc::clone(&app.core), Arc::clone(&app.core));
    let refused = move |method: &Method, path: &str, why: &Error| counted.refusals.call(method, path, why);
    let tenants = move |token: &str, method: &Method, path: &str| {
        let allowed = core.store.read(|txn| state::check_token(txn, token, path));
        match (allowed, method) {
            (Ok(()), method) if method != Method::GET => {
                Err(Error::new(ErrorKind::Forbidden, "the token is for reading only"))
            }
            (allowed, _) => allowed,
        }
    };
    let (router, document) = managing::router()
        .route("/status", Calls::get(status, Operation::get("How it is doing").gives::<ServerStatus>()))
        .route("/tenants/{tenant}", object::<App, Nothing, Nothing>(TENANTS))
        .route("/tenants/{tenant}/attachments/{name}", object::<App, Nothing, Attachment>(ATTACHMENTS))
        .route("/tenants/{tenant}/attachments/{name}/credentials", credentials())
        .route("/tenants/{tenant}/attachments/{name}/credentials/{generation}", credential())
        .route("/tenants/{tenant}/channels/{channel}/messages", messages_calls())
        .route("/tenants/{tenant}/channels/{channel}/messages/stream", stream_calls())
        .route("/tenants/{tenant}/channels/{channel}/stats", stats_calls())
        .finish("server", app);
    with_document(web::with_health(web::guard(router, admin, tenants, refused), "server"), document)
}

fn messages_calls() -> Calls<Arc<App>> {
    let operation = Operation::get("Messages of a channel")
        .query::<MessageQuery>()
        .gives::<Page>()
        .gives_as::<Vec<SenmlRecord>>(SENML_JSON)
        .gives_plain(SENML_CBOR);
    Calls::get(read_messages, operation)
}

fn stream_calls() -> Calls<Arc<App>> {
    let operation = Operation::get("New messages of a channel, a line each").gives_as::<SenmlRecord>(LINES);
    Calls::get(follow_messages, operation)
}

fn stats_calls() -> Calls<Arc<App>> {
    Calls::get(read_stats, Operation::get("What is in a channel").gives::<ChannelStats>())
}

#[async_trait]
impl Manages for App {
    fn store(&self) -> &Store {
        &self.core.store
    }

    fn changes(&self) -> &Changes {
        &self.changes
    }

    fn log(&self) -> &Log {
        &self.core.log
    }

    fn stopped(&self) -> &CancellationToken {
        &self.stop
    }

    fn metrics(&self) -> Result<Metrics> {
        let core = &self.core;
        let open = self.seats.each_ref().map(|(protocol, seats)| (*protocol, seats.count()));
        let mut metrics = Metrics::new("server", &core.counters, core.store.commits(), &open);
        metrics.usage(&core.store.read(messages::usage)?);
        Ok(metrics)
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

async fn status(State(app): State<Arc<App>>) -> Result<Json<ServerStatus>> {
    let tenants = app.core.store.read(messages::usage)?;
    Ok(Json(ServerStatus { tenants, refused: app.core.refusals.all() }))
}

async fn read_messages(
    State(app): State<Arc<App>>,
    Path((tenant, channel)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    query: Result<Query<MessageQuery>, QueryRejection>,
) -> Result<Response> {
    let query = web::query(query)?;
    let read = move || {
        let since = app.core.bounds(clock::now()).since;
        app.core.store.read(|txn| {
            state::check_channel(txn, &tenant, &channel)?;
            reading::page(txn, &channel, &query, since)
        })
    };
    // A page may have to come from disk.
    let page = tokio::task::spawn_blocking(read).await;
    let page = page.map_err(|error| Error::store("cannot read messages").caused_by(error))??;
    Ok(match accepted(&headers) {
        None => Json(page).into_response(),
        Some((form, format)) => {
            let next = page.next.map(|cursor| next_link(&uri, &cursor));
            (next, [(CONTENT_TYPE, form)], senml::write(&page.messages, format)).into_response()
        }
    })
}

/// The form of SenML that the request prefers to a page.
fn accepted(headers: &HeaderMap) -> Option<(&'static str, Format)> {
    let forms = headers.get(ACCEPT)?.to_str().ok()?.split(',');
    let mut known = forms.filter_map(|form| match form.split(';').next().unwrap_or_default().trim() {
        SENML_JSON => Some(Some((SENML_JSON, Format::Json))),
        SENML_CBOR => Some(Some((SENML_CBOR, Format::Cbor))),
        "application/json" | "application/*" | "*/*" => Some(None),
        _ => None,
    });
    known.next().flatten()
}

/// Where the next page is, as RFC 8288 writes it.
fn next_link(uri: &Uri, cursor: &str) -> [(HeaderName, String); 1] {
    let parameters = uri.query().unwrap_or_default().split('&');
    let others = parameters.filter(|one| !one.is_empty() && !one.starts_with("cursor="));
    let query: String = others.map(|other| format!("{other}&")).collect();
    [(LINK, format!("<{}?{query}cursor={cursor}>; rel=\"next\"", uri.path()))]
}

async fn follow_messages(
    State(app): State<Arc<App>>,
    Path((tenant, channel)): Path<(String, String)>,
) -> Result<Response> {
    app.core.store.read(|txn| state::check_channel(txn, &tenant, &channel))?;
    Ok(lines(app.core.followers.follow(&channel)?, app.stop.clone()))
}

async fn read_stats(
    State(app): State<Arc<App>>,
    Path((tenant, channel)): Path<(String, String)>,
) -> Result<Json<ChannelStats>> {
    let since = app.core.bounds(clock::now()).since;
    app.core.store.read(|txn| {
        state::check_channel(txn, &tenant, &channel)?;
        Ok(Json(messages::stats(txn, &tenant, &channel, since)?))
    })
}
