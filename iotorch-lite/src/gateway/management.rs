//! The management API of the gateway; its paths are listed in [`crate::api`].

use super::{App, outbox, state};
use crate::{
    Error, ErrorKind, Result, Secret,
    api::{Device, Export, ExportStatus, GatewayStatus, Kind, OutboxStatus, Profile},
    managing::{self, Changes, Ended, Manages, Rule, Sort, credential, object},
    objects::{self, Kept, OBJECTS, name_of},
    store::Store,
    web,
};
use async_trait::async_trait;
use axum::{Json, Router, extract::State, routing::get};
use redb::WriteTransaction;
use std::{collections::BTreeMap, sync::Arc};

const PROFILES: Sort =
    Sort { kind: Kind::Profile, secret: Rule::None, put: state::put_profile, delete: state::delete_profile };
const DEVICES: Sort =
    Sort { kind: Kind::Device, secret: Rule::None, put: state::put_device, delete: state::delete_device };
const EXPORTS: Sort = Sort {
    kind: Kind::Export,
    secret: Rule::Optional(Kept::clear),
    put: state::put_export,
    delete: state::delete_export,
};

pub(crate) fn router(app: Arc<App>, admin: Secret) -> Router {
    let router = Router::new()
        .route("/objects", get(managing::all::<App>))
        .route("/status", get(status))
        .route("/profiles/{name}", object::<App, Profile>(PROFILES))
        .route("/devices/{name}", object::<App, Device>(DEVICES))
        .route("/devices/{name}/credentials", get(managing::generations::<App>))
        .route("/devices/{name}/credentials/{generation}", credential::<App>())
        .route("/exports/{name}", object::<App, Export>(EXPORTS))
        .with_state(app);
    let nobody_else =
        |_: &str, _: &_, _: &str| Err(Error::new(ErrorKind::Unauthorized, "the token is not valid"));
    web::with_health(web::guard(router, admin, nobody_else), "gateway")
}

#[async_trait]
impl Manages for App {
    fn store(&self) -> &Store {
        &self.core.store
    }

    fn changes(&self) -> &Changes {
        &self.changes
    }

    fn user(_: &WriteTransaction, holder: &str) -> Result<Option<String>> {
        Ok(Some(name_of(holder).to_owned()))
    }

    async fn settle(&self, path: &str, ended: Ended) -> Result<()> {
        for (device, generation) in ended {
            self.clients.disconnect(&device, generation).await;
        }
        if path.starts_with("exports/") {
            self.forwarders.follow(&self.core, &self.stop).await?;
        }
        Ok(())
    }
}

async fn status(State(app): State<Arc<App>>) -> Result<Json<GatewayStatus>> {
    let core = &app.core;
    core.store.read(|txn| {
        let (mut devices, mut exports) = (BTreeMap::new(), BTreeMap::new());
        for (path, object) in objects::below(&txn.open_table(OBJECTS)?, "")? {
            let name = name_of(&path).to_owned();
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
